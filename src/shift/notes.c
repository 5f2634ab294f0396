/* shift/notes.c — see notes.h.
 *
 * One pass over the bytes, word by word. Most words end at a look at their first letter, and most bytes are in no word;
 * a literal of a megabyte costs what a look at each byte costs. */
#include "shift/notes.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MOST 127 /* bytes of a custom setting's name, both parts */
#define PART_MOST 63  /* of a part in SET: the server cuts longer ones off */
#define TAIL 512      /* bytes behind a word that are there before it is looked at, in a text that comes in pieces */

struct scan {
    struct session_notes *notes;
    const char *at;
    const char *end;
    bool more; /* the text goes on behind `end` */
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

/* Behind the begin of a comment; comments stand in comments. */
static const char *comment_end(const char *at, const char *end)
{
    for (int depth = 1; depth > 0; at++) {
        bool two = end - at >= 2;

        if (!two)
            return end;
        if (at[0] == '*' && at[1] == '/')
            depth--;
        else if (at[0] == '/' && at[1] == '*')
            depth++;
        else
            continue;
        at++;
    }
    return at;
}

/* What may stand between two words: blanks and comments. */
static const char *skip(const char *at, const char *end)
{
    for (;;) {
        at = skip_blanks(at, end);
        if (end - at < 2)
            return at;
        if (at[0] == '/' && at[1] == '*') {
            at = comment_end(at + 2, end);
        } else if (at[0] == '-' && at[1] == '-') {
            while (at < end && *at != '\n' && *at != '\r')
                at++;
        } else {
            return at;
        }
    }
}

/* If `word` stands here, and is all of the word that does: what follows it and blanks; else NULL. */
static const char *after_word(const char *at, const char *end, const char *word)
{
    const char *stop = word_end(at, end);

    return is_word(at, (size_t)(stop - at), word) ? skip(stop, end) : NULL;
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

    n->seeded = n->seeded || is_word(name, len, "seed"); /* a way to say setseed */
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

struct name {
    char text[NAME_MOST + 1];
    size_t len;
    bool dotted;
    bool odd; /* it is not what stands in `text`, or not certainly */
};

static void add_part(struct name *n, const char *part, size_t len)
{
    n->dotted = n->dotted || memchr(part, '.', len) != NULL;
    n->odd = n->odd || len == 0 || len > PART_MOST || n->len + len > NAME_MOST;
    if (n->odd)
        return;
    memcpy(n->text + n->len, part, len);
    n->len += len;
}

/* With or without quotes. */
static const char *read_part(const struct scan *s, const char *at, struct name *n)
{
    const char *quote;

    if (at == s->end || *at != '"') {
        const char *stop = word_end(at, s->end);

        add_part(n, at, (size_t)(stop - at));
        return stop;
    }
    quote = memchr(at + 1, '"', (size_t)(s->end - at - 1));
    if (quote == NULL) {
        n->odd = true;
        return s->end;
    }
    add_part(n, at + 1, (size_t)(quote - at - 1));
    n->odd = n->odd || (quote + 1 < s->end && quote[1] == '"');
    return quote + 1;
}

/* part.part, with what may stand between words; gives what follows. */
static const char *read_name(const struct scan *s, const char *at, struct name *n)
{
    for (;;) {
        at = skip(read_part(s, at, n), s->end);
        if (at == s->end || *at != '.')
            return at;
        n->dotted = true;
        n->odd = n->odd || n->len == NAME_MOST;
        if (!n->odd)
            n->text[n->len++] = '.';
        at = skip(at + 1, s->end);
    }
}

/* In a text that makes a text: format('set %I …'), 'set ' || name. */
static bool is_put_together(const struct scan *s, const char *at)
{
    const char *next;

    if (s->end - at < 2)
        return false;
    next = *at == '\'' ? skip(at + 1, s->end) : s->end;
    return (*at == '%' && strchr("IsL123456789", at[1]) != NULL) ||
           (s->end - next >= 2 && next[0] == '|' && next[1] == '|');
}

/* Behind SET: SESSION or LOCAL, then the name, unless that is how the name begins. */
static void read_set(struct scan *s, const char *at)
{
    struct name name = {0};
    const char *next;

    at = skip(at, s->end);
    next = after_word(at, s->end, "session");
    next = next != NULL ? next : after_word(at, s->end, "local");
    at = next != NULL && (next == s->end || *next != '.') ? next : at;
    next = read_name(s, at, &name);
    if ((name.dotted && name.odd) || (next == s->end ? s->more : *next == '&') || is_put_together(s, at)) /* &: U&"…" */
        s->notes->customs_lost = true;
    else if (name.dotted)
        note_custom(s->notes, name.text, name.len);
}

/* Whether an argument ends here, at most a cast behind it: else more of it follows. */
static bool ends_argument(const struct scan *s, const char *at)
{
    at = skip(at, s->end);
    if (s->end - at > 2 && at[0] == ':' && at[1] == ':') {
        at = skip(at + 2, s->end);
        at = skip(word_end(at, s->end), s->end);
    }
    return at < s->end && *at == ',';
}

/* Behind set_config, or "set_config: ( 'name'. Anything but a plain literal may be any name. */
static void read_set_config(struct scan *s, const char *at)
{
    const char *quote;

    at = skip(at < s->end && *at == '"' ? at + 1 : at, s->end);
    if (at == s->end ? !s->more : *at != '(')
        return; /* no call */
    at = at < s->end ? skip(at + 1, s->end) : at;
    quote = at < s->end && *at == '\'' ? memchr(at + 1, '\'', (size_t)(s->end - at - 1)) : NULL;
    if (quote == NULL || !ends_argument(s, quote + 1) || !is_plain(at + 1, (size_t)(quote - at - 1)))
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
    const char *behind = word + len;
    struct session_notes *n = s->notes;

    if (is_word(word, len, "set"))
        read_set(s, behind);
    else if (is_word(word, len, "set_config"))
        read_set_config(s, behind);
    else if (is_word(word, len, "setseed"))
        n->seeded = true;
    else if (is_word(word, len, "currval") || is_word(word, len, "lastval"))
        note_reading(s);
    else if (is_word(word, len, "nextval") || is_word(word, len, "insert") || is_word(word, len, "setval") ||
             is_word(word, len, "merge"))
        n->advanced = n->advanced || s->how == SESSION_TEXT_ONCE;
    else if (is_word(word, len, "dblink_connect") || is_word(word, len, "dblink_connect_u"))
        n->dblink = true;
    else if (is_word(word, len, "discard") ||
             (is_word(word, len, "reset") && after_word(skip(behind, s->end), s->end, "all") != NULL))
        n->discard = true;
}

/* The words that begin before `until`. */
static void look_up_to(struct scan *s, const char *until)
{
    while (s->at < until) {
        const char *stop;

        if (!in_word[(unsigned char)*s->at]) {
            s->at++;
            continue;
        }
        stop = word_end(s->at, s->end);
        if (begins[(unsigned char)*s->at])
            look_at(s, s->at, (size_t)(stop - s->at));
        s->at = stop;
    }
}

void session_notes_text(struct session_notes *n, const char *sql, size_t len, enum session_text how)
{
    struct scan s = {.notes = n, .at = sql, .end = sql + len, .how = how};

    look_up_to(&s, s.end);
}

void session_notes_piece(struct session_notes *n, const char *sql, size_t len, enum session_text how, bool more)
{
    AUTO_BUF all = n->tail;
    struct scan s = {.notes = n, .more = more, .how = how};

    n->tail = (struct buf){0};
    buf_add(&all, sql, len);
    s.at = all.data;
    s.end = all.data + all.len;
    look_up_to(&s, !more ? s.end : all.len > TAIL ? s.end - TAIL : s.at);
    if (more)
        buf_add(&n->tail, s.at, (size_t)(s.end - s.at));
}

static bool is_of_large_objects(uint32_t function)
{
    static const uint16_t all[] = {715, 764, 765,  767,  952,  953,  954,  955,  956,  957,
                                   958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] == function)
            return true;
    return false;
}

void session_notes_call(struct session_notes *n, uint32_t function)
{
    n->calls = n->calls || !is_of_large_objects(function);
}

void session_notes_fini(struct session_notes *n)
{
    for (size_t i = 0; i < n->custom_count; i++)
        free(n->customs[i]);
    free(n->customs);
    buf_fini(&n->tail);
    *n = (struct session_notes){0};
}

const char *session_notes_unmovable(const struct session_notes *n)
{
    if (n->reads_sequences)
        return "currval or lastval across transactions";
    if (n->seeded)
        return "setseed: what random() gives next";
    if (n->dblink)
        return "a connection of dblink";
    if (n->calls)
        return "a function called by a FunctionCall message, which leat does not look into";
    return n->customs_lost ? "custom settings whose names leat did not see" : NULL;
}
