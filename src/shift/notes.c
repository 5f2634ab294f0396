/* shift/notes.c — see notes.h.
 *
 * One pass over the bytes, word by word. Most words end at a look at their first letter, and most bytes are in no word;
 * a literal of a megabyte costs what a look at each byte costs. */
#include "shift/notes.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MOST 127 /* bytes of a custom setting's name, both parts */

struct scan {
    struct session_notes *notes;
    const char *at;
    const char *end;
    enum session_text how;
};

/* --- bytes and words --- */

/* What a word may hold: letters, digits, '_', '$' and whatever is not ASCII. */
static const bool in_word[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['_'] = true, ['$'] = true, [128 ... 255] = true};
/* First letters of the words looked for. */
static const bool begins[256] = {
    ['c'] = true, ['C'] = true, ['d'] = true, ['D'] = true, ['i'] = true, ['I'] = true, ['l'] = true, ['L'] = true,
    ['m'] = true, ['M'] = true, ['n'] = true, ['N'] = true, ['r'] = true, ['R'] = true, ['s'] = true, ['S'] = true};

static const char *word_end(const char *at, const char *end)
{
    while (at < end && in_word[(unsigned char)*at])
        at++;
    return at;
}

/* `word` is in lower case, of letters and '_'. Most words differ in the first or second letter: no call is worth it. */
static inline __attribute__((always_inline)) bool is_word(const char *at, size_t len, const char *word)
{
    if (len != strlen(word))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((at[i] | 0x20) != (word[i] | 0x20))
            return false;
    return true;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r')))
        at++;
    return at;
}

/* If `word` stands here, and is all of the word that does: what follows it and blanks; else NULL. */
static const char *after_word(const char *at, const char *end, const char *word)
{
    const char *stop = word_end(at, end);

    return is_word(at, (size_t)(stop - at), word) ? skip_blanks(stop, end) : NULL;
}

/* --- names of custom settings --- */

static bool is_plain(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] >= 128 || !(in_word[(unsigned char)name[i]] || name[i] == '.'))
            return false;
    return len > 0 && len <= NAME_MOST;
}

static void note_custom(struct session_notes *n, const char *name, size_t len)
{
    char lower[NAME_MOST + 1] = {0};

    if (memchr(name, '.', len) == NULL)
        return; /* the server's own: pg_settings has it */
    if (!is_plain(name, len)) {
        n->customs_lost = true;
        return;
    }
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    for (size_t i = 0; i < n->custom_count; i++)
        if (strcmp(n->customs[i], lower) == 0)
            return;
    if (n->custom_count == SESSION_CUSTOMS_MOST) {
        n->customs_lost = true;
        return;
    }
    n->customs = mem_grow(n->customs, (n->custom_count + 1) * sizeof *n->customs);
    n->customs[n->custom_count++] = mem_dup(lower);
}

/* Behind SET, SESSION or LOCAL: name, or "name", or part.part, each part with or without quotes. */
static void read_set(struct scan *s, const char *at)
{
    char name[NAME_MOST + 2];
    size_t len = 0;
    const char *next = after_word(at, s->end, "session");

    next = next != NULL ? next : after_word(at, s->end, "local");
    at = next != NULL ? next : at;
    while (at < s->end && (in_word[(unsigned char)*at] || *at == '.' || *at == '"')) {
        if (*at != '"' && len < sizeof name)
            name[len++] = *at;
        at++;
    }
    note_custom(s->notes, name, len);
}

/* Behind set_config: ( 'name'. Anything but a plain literal may be any name. */
static void read_set_config(struct scan *s, const char *at)
{
    const char *quote;

    at = skip_blanks(at, s->end);
    if (at == s->end || *at != '(')
        return; /* no call */
    at = skip_blanks(at + 1, s->end);
    quote = at < s->end && *at == '\'' ? memchr(at + 1, '\'', (size_t)(s->end - at - 1)) : NULL;
    if (quote == NULL || (quote + 1 < s->end && quote[1] == '\'') || !is_plain(at + 1, (size_t)(quote - at - 1)))
        s->notes->customs_lost = true;
    else
        note_custom(s->notes, at + 1, (size_t)(quote - at - 1));
}

/* --- words --- */

static void note_reading(struct scan *s)
{
    if (!s->notes->advanced || s->how == SESSION_TEXT_PREPARED)
        s->notes->reads_sequences = true;
}

static void look_at(struct scan *s, const char *word, size_t len)
{
    const char *behind = skip_blanks(word + len, s->end);
    struct session_notes *n = s->notes;

    if (is_word(word, len, "set"))
        read_set(s, behind);
    else if (is_word(word, len, "set_config"))
        read_set_config(s, behind);
    else if (is_word(word, len, "currval") || is_word(word, len, "lastval"))
        note_reading(s);
    else if (is_word(word, len, "nextval") || is_word(word, len, "insert") || is_word(word, len, "setval") ||
             is_word(word, len, "merge"))
        n->advanced = n->advanced || s->how == SESSION_TEXT_ONCE;
    else if (is_word(word, len, "dblink_connect") || is_word(word, len, "dblink_connect_u"))
        n->dblink = true;
    else if (is_word(word, len, "discard") ||
             (is_word(word, len, "reset") && after_word(behind, s->end, "all") != NULL))
        n->discard = true;
}

void session_notes_text(struct session_notes *n, const char *sql, size_t len, enum session_text how)
{
    struct scan s = {.notes = n, .at = sql, .end = sql + len, .how = how};

    while (s.at < s.end) {
        const char *stop;

        if (!in_word[(unsigned char)*s.at]) {
            s.at++;
            continue;
        }
        stop = word_end(s.at, s.end);
        if (begins[(unsigned char)*s.at])
            look_at(&s, s.at, (size_t)(stop - s.at));
        s.at = stop;
    }
}

void session_notes_fini(struct session_notes *n)
{
    for (size_t i = 0; i < n->custom_count; i++)
        free(n->customs[i]);
    free(n->customs);
    *n = (struct session_notes){0};
}

const char *session_notes_unmovable(const struct session_notes *n)
{
    if (n->reads_sequences)
        return "currval or lastval across transactions";
    if (n->dblink)
        return "a connection of dblink";
    return n->customs_lost ? "custom settings whose names leat did not see" : NULL;
}
