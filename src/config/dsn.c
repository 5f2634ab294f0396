/* config/dsn.c — connection strings: ${NAME} replaced, checked, compared, and made fit to be shown.
 *
 * A DSN is a URI (scheme://user:password@host:port/database?key=value&...) or words (key=value key='a value'), read
 * here by libpq's own rules (PostgreSQL documentation, "Connection Strings").
 *
 * Invariants
 *  1. No message made here, and nothing config_dsn_public() gives, holds a password, also when the DSN is not
 * well-formed: what may be a piece of one is left out. libpq's messages repeat what they complain about; only their
 * fixed words are taken.
 *  2. What comes out of a variable stands where the variable stood and nowhere else: in a user's name, a password or a
 * value it is escaped, so that an @ or a blank in a password cannot change the rest.
 */
#include "config/internal.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DEFAULT "5432"

/* One key=value of a DSN in words. */
struct word {
    const char *key;
    size_t key_len;
    const char *end;
    bool has_value; /* else a word without "=" */
    bool open;      /* the text ends within the value, or before it began */
};

static bool is_blank(char c)
{
    return isspace((unsigned char)c) != 0;
}

static const char *skip_blanks(const char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}

/* The end of the value that begins at p; *ret_open: only the end of the text ended it. */
static const char *skip_value(const char *p, bool *ret_open)
{
    bool quoted = *p == '\'';

    for (p += quoted; *p != '\0' && (quoted ? *p != '\'' : !is_blank(*p)); p++)
        if (*p == '\\' && p[1] != '\0')
            p++;
    *ret_open = *p == '\0';
    return p + (quoted && *p == '\'');
}

/* The next word from *p on, which moves behind it. False: there is none. */
static bool word_next(const char **p, struct word *ret)
{
    struct word w = {.key = skip_blanks(*p)};
    const char *q = w.key;

    if (*q == '\0')
        return false;
    while (*q != '\0' && *q != '=' && !is_blank(*q))
        q++;
    w.key_len = (size_t)(q - w.key);
    w.end = q;
    q = skip_blanks(q);
    if (*q == '=') {
        w.has_value = true;
        w.end = skip_value(skip_blanks(q + 1), &w.open);
    }
    *p = w.end;
    *ret = w;
    return true;
}

/* What follows "scheme://", or NULL if it is not a URI. */
static const char *uri_rest(const char *dsn)
{
    size_t n = strspn(dsn, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-:");
    const char *mark = strstr(dsn, "://");

    return mark != NULL && mark > dsn && (size_t)(mark - dsn) < n ? mark + 3 : NULL;
}

/* --- ${NAME} --- */

enum escape { ESCAPE_NOT, ESCAPE_URI, ESCAPE_WORD };

/* How a variable has to be escaped that stands between `before` (already replaced) and `after` (as written). */
static enum escape escape_for(const char *before, const char *after)
{
    const char *rest = uri_rest(before);
    const char *query = rest != NULL ? strchr(rest, '?') : NULL;
    struct word w = {0};

    if (query != NULL) {
        const char *last = strrchr(query, '&');
        return strchr(last != NULL ? last : query, '=') != NULL ? ESCAPE_URI : ESCAPE_NOT;
    }
    if (rest != NULL)
        return strpbrk(rest, "/@") == NULL && after[strcspn(after, "@/?")] == '@' ? ESCAPE_URI : ESCAPE_NOT;
    while (word_next(&before, &w))
        ;
    return w.has_value && w.open ? ESCAPE_WORD : ESCAPE_NOT;
}

static void add_escaped(struct buf *out, const char *value, enum escape escape)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (escape == ESCAPE_URI && !isalnum((unsigned char)*p) && strchr("-._~", *p) == NULL) {
            buf_addf(out, "%%%02X", (unsigned char)*p);
            continue;
        }
        if (escape == ESCAPE_WORD && (*p == '\\' || *p == '\'' || is_blank(*p)))
            buf_addc(out, '\\');
        buf_addc(out, *p);
    }
}

/* At "${": adds what it stands for and moves *p behind it. NULL, or what is wrong. */
static const char *expand_one(struct arena *a, const char **p, struct buf *out)
{
    const char *name = *p + 2;
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    const char *copy = arena_format(a, "%.*s", (int)n, name);
    const char *value;

    if (n == 0 || name[n] != '}' || isdigit((unsigned char)*name))
        return "expected ${NAME}, the name of an environment variable (A-Z, a-z, 0-9, _)";
    value = getenv(copy);
    if (value == NULL)
        return arena_format(a, "the environment variable %s is not set", config_shown(a, copy));
    add_escaped(out, value, escape_for(buf_cstr(out), name + n + 1));
    *p = name + n + 1;
    return NULL;
}

const char *config_dsn_expand(struct arena *a, const char *text, const char **ret)
{
    AUTO_BUF out = {0};

    while (*text != '\0') {
        if (text[0] == '$' && text[1] == '{') {
            const char *wrong = expand_one(a, &text, &out);

            if (wrong != NULL)
                return wrong;
        } else {
            buf_addc(&out, *text++);
        }
    }
    *ret = arena_strdup(a, buf_cstr(&out));
    return NULL;
}

/* --- checks --- */

/* libpq's words without what they quote (invariant 1). */
static const char *masked(struct arena *a, const char *message)
{
    const char *first = strchr(message, '"'), *last = strrchr(message, '"');

    if (strncmp(message, "missing \"=\"", 11) == 0)
        return "a word without \"=\"; a value with blanks is written 'in quotes'";
    if (first == NULL)
        return arena_format(a, "%.*s", (int)strcspn(message, "\n"), message);
    return arena_format(a, "%.*s…%.*s", (int)(first - message), message, (int)strcspn(last + 1, "\n"), last + 1);
}

static const char *option(const PQconninfoOption *options, const char *name)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, name) == 0)
            return options->val != NULL && options->val[0] != '\0' ? options->val : NULL;
    return NULL;
}

/* "5432", or several for several hosts: "5432,,6000". */
static bool ports_ok(const char *ports)
{
    for (;;) {
        size_t n = strspn(ports, "0123456789");

        if (n > 5 || (ports[n] != '\0' && ports[n] != ',') ||
            (n > 0 && (strtol(ports, NULL, 10) < 1 || strtol(ports, NULL, 10) > 65535)))
            return false;
        if (ports[n] == '\0')
            return true;
        ports += n + 1;
    }
}

static const char *check_options(const PQconninfoOption *options)
{
    const char *host = option(options, "host"), *port = option(options, "port");

    if (host != NULL && strchr(host, '@') != NULL && *host != '@' && *host != '/')
        return "there is an @ in the host; in a user's name or password, @ is written %40, : %3A and / %2F";
    if (port != NULL && !ports_ok(port))
        return "the port is not a number from 1 to 65535; in a password, : is written %3A and / %2F";
    if (option(options, "dbname") == NULL && option(options, "service") == NULL)
        return "it names no database";
    if (option(options, "replication") != NULL)
        return "\"replication\" is leat's to set; leave it out";
    return NULL;
}

const char *config_dsn_check(struct arena *a, const char *dsn)
{
    const char *rest = uri_rest(dsn);
    PQconninfoOption *options;
    char *message = NULL;
    const char *wrong;

    if (*dsn == '\0')
        return "the connection string is empty";
    if (rest != NULL && strncmp(dsn, "postgresql://", 13) != 0 && strncmp(dsn, "postgres://", 11) != 0)
        return "expected a connection string of PostgreSQL: postgresql://user@host:5432/database";
    if (rest == NULL && strchr(dsn, '=') == NULL)
        return "expected a connection string: postgresql://user@host:5432/database, or host=... dbname=...";
    options = PQconninfoParse(dsn, &message);
    wrong = options != NULL ? check_options(options) : masked(a, message != NULL ? message : "libpq cannot read it");
    PQconninfoFree(options);
    PQfreemem(message);
    return wrong != NULL ? arena_format(a, "not a connection string that can be used: %s", wrong) : NULL;
}

static bool equal_or_null(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcasecmp(a, b) == 0);
}

static const char *database_of(const PQconninfoOption *options)
{
    return option(options, "dbname") != NULL ? option(options, "dbname") : "";
}

static bool same_options(const PQconninfoOption *a, const PQconninfoOption *b)
{
    const char *port_a = option(a, "port"), *port_b = option(b, "port");

    return equal_or_null(option(a, "service"), option(b, "service")) &&
           equal_or_null(option(a, "host"), option(b, "host")) &&
           equal_or_null(option(a, "hostaddr"), option(b, "hostaddr")) && strcmp(database_of(a), database_of(b)) == 0 &&
           strcmp(port_a != NULL ? port_a : PORT_DEFAULT, port_b != NULL ? port_b : PORT_DEFAULT) == 0;
}

bool config_dsn_same(const char *a, const char *b)
{
    PQconninfoOption *options_a = PQconninfoParse(a, NULL), *options_b = PQconninfoParse(b, NULL);
    bool same = options_a != NULL && options_b != NULL && same_options(options_a, options_b);

    PQconninfoFree(options_a);
    PQconninfoFree(options_b);
    return same;
}

bool config_dsn_names_user(const char *dsn)
{
    PQconninfoOption *options = PQconninfoParse(dsn, NULL);
    bool named = options != NULL && option(options, "user") != NULL;

    PQconninfoFree(options);
    return named;
}

bool config_dsn_other_database(const char *a, const char *b)
{
    PQconninfoOption *options_a = PQconninfoParse(a, NULL), *options_b = PQconninfoParse(b, NULL);
    const char *name_a = options_a != NULL ? option(options_a, "dbname") : NULL;
    const char *name_b = options_b != NULL ? option(options_b, "dbname") : NULL;
    bool other = name_a != NULL && name_b != NULL && strcmp(name_a, name_b) != 0; /* a service names it elsewhere */

    PQconninfoFree(options_a);
    PQconninfoFree(options_b);
    return other;
}

/* --- for output --- */

/* Whether the word is one of libpq's, and not for a secret. Whatever else there is may be a piece of a password. */
static bool is_public(const char *key, size_t n)
{
    PQconninfoOption *all = PQconninfoParse("", NULL);
    bool found = false;

    for (const PQconninfoOption *o = all; o != NULL && o->keyword != NULL && !found; o++)
        found = strlen(o->keyword) == n && strncmp(o->keyword, key, n) == 0 && o->dispchar[0] != '*' &&
                strstr(o->keyword, "secret") == NULL && strncmp(o->keyword, "scram_", 6) != 0;
    PQconninfoFree(all);
    return found;
}

static const char *public_words(struct arena *a, const char *dsn)
{
    AUTO_BUF out = {0};
    struct word w;

    if (strchr(dsn, '=') == NULL)
        return arena_strdup(a, dsn);
    while (word_next(&dsn, &w))
        if (w.has_value && is_public(w.key, w.key_len) && memmem(w.key, (size_t)(w.end - w.key), "://", 3) == NULL)
            buf_addf(&out, "%s%.*s", out.len > 0 ? " " : "", (int)(w.end - w.key), w.key);
    return arena_strdup(a, buf_cstr(&out));
}

/* Whether a port in host:port,host:port is none, so that it is rather the beginning of a password. */
static bool port_strange(const char *hosts, const char *end)
{
    for (const char *p = hosts; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;
        const char *bracket = memrchr(p, ']', (size_t)(stop - p));
        const char *colon =
            memchr(bracket != NULL ? bracket : p, ':', (size_t)(stop - (bracket != NULL ? bracket : p)));

        if (colon != NULL && colon + 1 + strspn(colon + 1, "0123456789") < stop)
            return true;
        p = stop + 1;
    }
    return false;
}

/* Where user and password end (at the @), or NULL if there are none. A password with an @, a / or a ? in it that should
 * have been written %40 must not be taken for a host: what looks strange is rather given up as a whole. */
static const char *userinfo_end(const char *rest)
{
    const char *authority = rest + strcspn(rest, "/?");
    const char *at = memrchr(rest, '@', (size_t)(authority - rest));
    const char *query = authority + strcspn(authority, "?");
    const char *later = memrchr(authority, '@', (size_t)(query - authority));
    const char *host = at != NULL ? at + 1 : rest;

    if (port_strange(host, authority))
        later = strrchr(authority, '@') != NULL ? strrchr(authority, '@') : at;
    else if (at != NULL)
        later = at;
    return later;
}

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* Keys of a query may be written with %XX as well. */
static bool is_public_parameter(struct arena *a, const char *key, size_t n)
{
    char *plain = arena_alloc(a, n + 1);
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        bool coded = key[i] == '%' && i + 2 < n && hex(key[i + 1]) >= 0 && hex(key[i + 2]) >= 0;

        plain[len++] = coded ? (char)(hex(key[i + 1]) * 16 + hex(key[i + 2])) : key[i];
        i += coded ? 2 : 0;
    }
    return is_public(plain, len);
}

static void add_query(struct arena *a, struct buf *out, const char *query)
{
    char join = '?';

    for (const char *p = query; *p != '\0';) {
        size_t n = strcspn(p, "&"), key = strcspn(p, "=&");

        if (key < n && is_public_parameter(a, p, key)) {
            buf_addc(out, join);
            buf_add(out, p, n);
            join = '&';
        }
        p += n + (p[n] == '&');
    }
}

static const char *public_uri(struct arena *a, const char *dsn, const char *rest)
{
    AUTO_BUF out = {0};
    const char *at = userinfo_end(rest);
    const char *host = at != NULL ? at + 1 : rest;
    const char *path = host + strcspn(host, "/?");
    const char *query = path + strcspn(path, "?");

    buf_add(&out, dsn, (size_t)(rest - dsn));
    if (at != NULL) {
        const char *colon = memchr(rest, ':', (size_t)(at - rest));

        buf_add(&out, rest, (size_t)((colon != NULL ? colon : at) - rest));
        buf_addc(&out, '@');
    }
    buf_add(&out, host, port_strange(host, path) ? strcspn(host, ":") : (size_t)(path - host));
    buf_add(&out, path, (size_t)(query - path));
    if (*query == '?')
        add_query(a, &out, query + 1);
    return arena_strdup(a, buf_cstr(&out));
}

const char *config_dsn_public(struct arena *a, const char *dsn)
{
    const char *rest = uri_rest(dsn);

    return rest != NULL ? public_uri(a, dsn, rest) : public_words(a, dsn);
}
