/* store/postgres/ddl_text.c — see ddl_text.h. Comments, strings of every kind and quoted names are single tokens, so that a semicolon
 * in them ends nothing. standard_conforming_strings is taken as on; where it is not, a text may be misread as longer, never as shorter
 * statements than it holds, and what then fits no command is left to a person. */
#include "store/postgres/ddl_text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_SIGN };

struct token {
    enum token_kind kind;
    const char *at;
    size_t len;
};

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *skip_comment(const char *p)
{
    int depth = 1;

    for (p += 2; *p != '\0' && depth > 0; p++) {
        if (p[0] == '/' && p[1] == '*') {
            depth++;
            p++;
        } else if (p[0] == '*' && p[1] == '/') {
            depth--;
            p++;
        }
    }
    return p;
}

static const char *skip_blank(const char *p)
{
    for (;;) {
        if (isspace((unsigned char)*p))
            p++;
        else if (p[0] == '-' && p[1] == '-')
            p += strcspn(p, "\n");
        else if (p[0] == '/' && p[1] == '*')
            p = skip_comment(p);
        else
            return p;
    }
}

static const char *skip_quoted(const char *p, bool escapes)
{
    char quote = *p++;

    for (; *p != '\0'; p++) {
        if (escapes && *p == '\\' && p[1] != '\0')
            p++;
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return p;
}

/* $tag$ ... $tag$; NULL: it begins none. */
static const char *skip_dollar(const char *p)
{
    const char *end = p + 1;
    size_t len;

    while (isalnum((unsigned char)*end) || *end == '_' || (unsigned char)*end >= 0x80)
        end++;
    if (*end != '$' || isdigit((unsigned char)p[1]))
        return NULL;
    len = (size_t)(end - p) + 1;
    for (const char *q = end + 1; *q != '\0'; q++)
        if (strncmp(q, p, len) == 0)
            return q + len;
    return p + strlen(p);
}

static struct token made(enum token_kind kind, const char *at, const char *end)
{
    return (struct token){kind, at, (size_t)(end - at)};
}

/* The token at or after *p; *p is moved behind it. */
static struct token next_token(const char **p)
{
    const char *at = skip_blank(*p);
    const char *end = at + 1;
    enum token_kind kind = TOKEN_SIGN;

    if (*at == '\0') {
        *p = at;
        return made(TOKEN_END, at, at);
    }
    if (*at == '\'') {
        kind = TOKEN_STRING;
        end = skip_quoted(at, false);
    } else if ((*at == 'e' || *at == 'E') && at[1] == '\'') {
        kind = TOKEN_STRING;
        end = skip_quoted(at + 1, true);
    } else if (*at == '"') {
        kind = TOKEN_NAME;
        end = skip_quoted(at, false);
    } else if (*at == '$' && skip_dollar(at) != NULL) {
        kind = TOKEN_STRING;
        end = skip_dollar(at);
    } else if (isdigit((unsigned char)*at)) {
        kind = TOKEN_NUMBER;
        while (word_char(*end) || *end == '.')
            end++;
    } else if (word_char(*at)) {
        kind = TOKEN_WORD;
        while (word_char(*end))
            end++;
    }
    *p = end;
    return made(kind, at, end);
}

static bool token_is(const struct token *t, const char *word)
{
    return (t->kind == TOKEN_WORD || t->kind == TOKEN_SIGN) && strlen(word) == t->len && strncasecmp(t->at, word, t->len) == 0;
}

/* --- statements --- */

/* The next statement of the text that is not empty: from its first token to its last. False: none. */
static bool next_statement(const char **p, const char **ret_at, const char **ret_end)
{
    const char *first = NULL;
    const char *last = NULL;

    for (;;) {
        struct token t = next_token(p);
        bool ends = t.kind == TOKEN_END || token_is(&t, ";");

        if (ends && first != NULL) {
            *ret_at = first;
            *ret_end = last;
            return true;
        }
        if (t.kind == TOKEN_END)
            return false;
        if (ends)
            continue;
        first = first != NULL ? first : t.at;
        last = t.at + t.len;
    }
}

static bool between(const struct token *t)
{
    static const char *const words[] = {"or", "replace", "unique", "unlogged", "temp", "temporary", "global", "local", "recursive", "materialized", "trusted", "procedural", "constraint", "foreign"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

/* The tag's first two words, with what may stand between them. */
static bool gives(const char *statement, const char *tag)
{
    const char *of_tag = tag;
    const char *p = statement;
    struct token one = next_token(&of_tag);
    struct token two = next_token(&of_tag);
    struct token t = next_token(&p);

    if (one.len != t.len || strncasecmp(one.at, t.at, one.len) != 0)
        return false;
    if (two.kind == TOKEN_END || token_is(&two, "into")) /* SELECT INTO: the word stands anywhere */
        return true;
    for (t = next_token(&p); t.kind == TOKEN_WORD; t = next_token(&p)) {
        if (two.len == t.len && strncasecmp(two.at, t.at, two.len) == 0)
            return true;
        if (!between(&t))
            return false;
    }
    return false;
}

const char *ddl_text_pick(struct arena *a, const char *text, const char *tag, int nth, int of)
{
    const char *found = NULL;
    const char *p = text;
    const char *at;
    const char *end;
    int n = 0;

    while (next_statement(&p, &at, &end)) {
        if (!gives(at, tag))
            continue;
        if (n++ == nth)
            found = arena_format(a, "%.*s", (int)(end - at), at);
    }
    return n == of ? found : NULL;
}

bool ddl_text_has(const char *statement, const char *word)
{
    const char *p = statement;
    struct token t;

    do {
        t = next_token(&p);
        if (token_is(&t, word))
            return true;
    } while (t.kind != TOKEN_END);
    return false;
}

const char *ddl_text_without(struct arena *a, const char *statement, const char *word)
{
    const char *p = statement;
    struct token t;

    do {
        t = next_token(&p);
        if (token_is(&t, word))
            return arena_format(a, "%.*s%s", (int)(t.at - statement), statement, t.at + t.len);
    } while (t.kind != TOKEN_END);
    return statement;
}

/* --- values --- */

static bool counts(const struct token *t)
{
    static const char *const words[] = {"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8", "identity", "current_timestamp", "current_date", "current_time",
                                        "localtime", "localtimestamp", "current_user", "session_user", "current_role", "user", "current_schema", "current_catalog"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

/* 'now'::timestamp is worked out when it is read. */
static bool says_when(const struct token *t)
{
    static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

    for (size_t i = 0; t->kind == TOKEN_STRING && i < sizeof words / sizeof *words; i++)
        for (size_t k = 0; k + strlen(words[i]) <= t->len; k++)
            if (strncasecmp(t->at + k, words[i], strlen(words[i])) == 0)
                return true;
    return false;
}

/* The expression that begins at *p, up to a comma or the end: whether a call stands in it. A parenthesis behind a word calls
 * something, unless the word is the type of a cast. */
static bool calls(const char *p)
{
    struct token before = {0};
    struct token before_that = {0};
    int depth = 0;

    for (;;) {
        struct token t = next_token(&p);
        if (t.kind == TOKEN_END || token_is(&t, ";") || (depth == 0 && token_is(&t, ",")))
            return false;
        if (says_when(&t))
            return true;
        if (token_is(&t, "(") && (before.kind == TOKEN_WORD || before.kind == TOKEN_NAME) && !token_is(&before_that, ":") && !token_is(&before, "check") &&
            !token_is(&before, "using") && !token_is(&before, "default"))
            return true;
        depth += token_is(&t, "(") - token_is(&t, ")");
        before_that = before;
        before = t;
    }
}

bool ddl_text_computes(const char *statement)
{
    const char *p = statement;
    struct token before = {0};
    struct token t = next_token(&p);

    for (; t.kind != TOKEN_END; before = t, t = next_token(&p)) {
        if (counts(&t))
            return true;
        if ((token_is(&t, "default") && !token_is(&before, "set") && !token_is(&before, "drop")) || token_is(&t, "using"))
            if (calls(p))
                return true;
    }
    return false;
}
