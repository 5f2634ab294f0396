/* shift/find_prepare.c — pg_prepared_statements gives the whole query string in which a PREPARE stood; sending all of
 * it again would carry out the rest of it once more. Here its one statement is found.
 *
 * The string is split at semicolons as psql does, past strings, quoted names, dollar quotes and comments. A backslash
 * before a quote that may end a plain string is understood in two ways, by standard_conforming_strings, which nobody
 * here knows: then nothing is certain. */
#include "shift/rebuild.h"

#include <string.h>
#include <strings.h>

#define NAME_MOST 63 /* bytes: the server cuts longer ones */

struct scan {
    const char *at; /* the text ends in a NUL */
    bool unsure;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 128;
}

static bool is_wordy(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '$';
}

/* --- what semicolons do not count in --- */

static void skip_to(struct scan *s, const char *stop)
{
    const char *found = strstr(s->at, stop);

    s->unsure = s->unsure || found == NULL;
    s->at = found != NULL ? found + strlen(stop) : s->at + strlen(s->at);
}

static void skip_block_comment(struct scan *s)
{
    int depth = 0;

    do {
        if (s->at[0] == '/' && s->at[1] == '*') {
            depth++;
            s->at += 2;
        } else if (s->at[0] == '*' && s->at[1] == '/') {
            depth--;
            s->at += 2;
        } else {
            s->at++;
        }
    } while (depth > 0 && *s->at != '\0');
    s->unsure = s->unsure || depth > 0;
}

/* From the quote on. A doubled quote is read as two strings, which comes to the same. */
static void skip_quoted(struct scan *s, char quote, bool escapes)
{
    for (s->at++; *s->at != quote; s->at++) {
        if (*s->at == '\0') {
            s->unsure = true;
            return;
        }
        if (*s->at != '\\' || quote == '"')
            continue;
        if (escapes && s->at[1] != '\0')
            s->at++;
        else if (s->at[1] == quote || s->at[1] == '\\')
            s->unsure = true;
    }
    s->at++;
}

/* $tag$ … $tag$; or a lone '$', as of a parameter. */
static void skip_dollar(struct scan *s)
{
    const char *end = s->at + 1;
    char tag[NAME_MOST + 3] = {0};

    while (is_letter(*end) || (end > s->at + 1 && *end >= '0' && *end <= '9'))
        end++;
    if (*end != '$') {
        s->at++;
        return;
    }
    if ((size_t)(end + 1 - s->at) >= sizeof tag) {
        s->unsure = true;
        s->at = end + 1;
        return;
    }
    memcpy(tag, s->at, (size_t)(end + 1 - s->at));
    s->at = end + 1;
    skip_to(s, tag);
}

static void skip_word(struct scan *s)
{
    const char *from = s->at;

    while (is_wordy(*s->at))
        s->at++;
    if (*s->at == '\'' && s->at == from + 1 && (*from == 'e' || *from == 'E'))
        skip_quoted(s, '\'', true);
}

static void skip_line_comment(struct scan *s)
{
    s->at += strcspn(s->at, "\r\n");
}

/* One thing, whatever it is. */
static void skip_thing(struct scan *s)
{
    if (s->at[0] == '-' && s->at[1] == '-')
        skip_line_comment(s);
    else if (s->at[0] == '/' && s->at[1] == '*')
        skip_block_comment(s);
    else if (*s->at == '\'' || *s->at == '"')
        skip_quoted(s, *s->at, false);
    else if (*s->at == '$')
        skip_dollar(s);
    else if (is_wordy(*s->at))
        skip_word(s);
    else
        s->at++;
}

static void skip_space(struct scan *s)
{
    while (is_blank(*s->at) || (s->at[0] == '-' && s->at[1] == '-') || (s->at[0] == '/' && s->at[1] == '*'))
        skip_thing(s);
}

/* --- PREPARE name --- */

/* The name that stands here, as the server understands it. */
static void read_name(struct scan *s, struct buf *ret)
{
    if (*s->at == '"') {
        for (s->at++; *s->at != '\0' && (*s->at != '"' || s->at[1] == '"'); s->at++) {
            s->at += *s->at == '"';
            buf_addc(ret, *s->at);
        }
        s->at += *s->at == '"';
        return;
    }
    for (; is_wordy(*s->at); s->at++)
        buf_addc(ret, (char)(*s->at >= 'A' && *s->at <= 'Z' ? *s->at + ('a' - 'A') : *s->at));
}

/* By as much as is certain: letters beyond ASCII may be folded or cut in ways of the server's own. */
static bool is_prepare_of(struct scan s, const char *name)
{
    AUTO_BUF found = {0};

    if (strncasecmp(s.at, "prepare", 7) != 0 || is_wordy(s.at[7]))
        return false;
    s.at += 7;
    skip_space(&s);
    read_name(&s, &found);
    return found.len > 0 &&
           (strcmp(found.data, name) == 0 || (found.len > NAME_MOST && strncmp(found.data, name, strlen(name)) == 0));
}

const char *rebuild_find_prepare(const char *text, const char *name, size_t *ret_len)
{
    struct scan s = {.at = text};
    const char *found = NULL;

    while (*s.at != '\0') {
        const char *from;
        bool here;

        skip_space(&s);
        from = s.at;
        here = is_prepare_of(s, name);
        while (*s.at != '\0' && *s.at != ';')
            skip_thing(&s);
        if (here && found != NULL)
            return NULL; /* which of the two it is, nobody can say */
        if (here) {
            found = from;
            *ret_len = (size_t)(s.at - from);
        }
        s.at += *s.at == ';';
    }
    return s.unsure ? NULL : found;
}
