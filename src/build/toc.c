/* build/toc.c — see toc.h.
 *
 * One pass cuts the text at the headers that stand outside quotes; each piece is then read alone. */
#include "build/toc.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#define HEADER "--\n-- TOC entry "
#define TABLESPACE "SET default_tablespace = "
#define ACCESS_METHOD "SET default_table_access_method = "
#define ID_MOST 100000000

/* --- SQL, as far as quotes go --- */

static bool starts(const char *p, const char *end, const char *with)
{
    size_t n = strlen(with);

    return (size_t)(end - p) >= n && memcmp(p, with, n) == 0;
}

static bool in_identifier(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *line_end(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));

    return newline != NULL ? newline : end;
}

/* Past the closing quote; a doubled one is no end, as two quoted pieces are read one after the other. */
static const char *skip_quoted(const char *p, const char *end, char quote, bool backslashes)
{
    for (p++; p < end; p++) {
        if (backslashes && *p == '\\')
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return end;
}

static const char *skip_dollars(const char *p, const char *end)
{
    const char *tag_end = p + 1;
    size_t n;

    while (tag_end < end && *tag_end != '$' && in_identifier(*tag_end))
        tag_end++;
    if (tag_end >= end || *tag_end != '$' || isdigit((unsigned char)p[1]))
        return p + 1; /* a parameter, or nothing */
    n = (size_t)(tag_end + 1 - p);
    for (const char *q = tag_end + 1; (size_t)(end - q) >= n; q++)
        if (*q == '$' && memcmp(q, p, n) == 0)
            return q + n;
    return end;
}

static const char *skip_comment(const char *p, const char *end)
{
    int depth = 0;

    while (p < end) {
        if (starts(p, end, "/*"))
            depth++;
        else if (starts(p, end, "*/"))
            depth--;
        p += starts(p, end, "/*") || starts(p, end, "*/") ? 2 : 1;
        if (depth == 0)
            return p;
    }
    return end;
}

/* Past one token, as far as that matters: a quoted thing, a comment, or one character. */
static const char *skip_token(const char *begin, const char *p, const char *end)
{
    char before = p > begin ? p[-1] : '\n';

    switch (*p) {
    case '\'':
        return skip_quoted(p, end, '\'', (before == 'E' || before == 'e') && (p - begin < 2 || !in_identifier(p[-2])));
    case '"':
        return skip_quoted(p, end, '"', false);
    case '$':
        return in_identifier(before) ? p + 1 : skip_dollars(p, end);
    case '-':
        return starts(p, end, "--") ? line_end(p, end) : p + 1;
    case '/':
        return starts(p, end, "/*") ? skip_comment(p, end) : p + 1;
    default:
        return p + 1;
    }
}

/* --- cutting --- */

struct piece {
    const char *header;   /* NULL: what stands before the first */
    const char *settings; /* where the settings for the next piece begin, or its end */
    const char *end;
};

static bool is_setting(const char *p, const char *end)
{
    return starts(p, end, TABLESPACE) || starts(p, end, ACCESS_METHOD);
}

static bool is_trailer(const char *p, const char *end)
{
    return starts(p, end, "-- Completed on ") || starts(p, end, "--\n-- PostgreSQL database dump complete");
}

/* Finds the end of the piece that begins at p (at its header, if it has one). */
static void cut(const char *begin, const char *p, const char *end, struct piece *ret)
{
    const char *settings = NULL;

    ret->header = starts(p, end, HEADER) ? p : NULL;
    if (ret->header != NULL)
        p += strlen("--\n");
    while (p < end) {
        bool at_line = p == begin || p[-1] == '\n';
        if (at_line && (starts(p, end, HEADER) || is_trailer(p, end)))
            break;
        if (at_line && is_setting(p, end))
            settings = settings != NULL ? settings : p;
        else if (at_line && *p != '\n')
            settings = NULL;
        p = skip_token(begin, p, end);
    }
    ret->settings = settings != NULL ? settings : p;
    ret->end = p;
}

/* --- one header --- */

static const char *copy_range(struct arena *a, const char *p, const char *end)
{
    char *copy = arena_alloc(a, (size_t)(end - p) + 1);

    memcpy(copy, p, (size_t)(end - p));
    copy[end - p] = '\0';
    return copy;
}

/* The last place of `what` in [p, end). */
static const char *find_last(const char *p, const char *end, const char *what)
{
    size_t n = strlen(what);

    for (const char *q = end - n; q >= p; q--)
        if (memcmp(q, what, n) == 0)
            return q;
    return NULL;
}

static bool is_type(const char *p, const char *end)
{
    for (const char *q = p; q < end; q++)
        if (!isupper((unsigned char)*q) && *q != ' ')
            return false;
    return p < end;
}

/* "Name: N; Type: T; Schema: S; Owner: O[; Tablespace: P]": read from its end, since the name may hold anything. */
static bool read_names(struct arena *a, const char *p, const char *end, struct toc_entry *e)
{
    const char *owner = find_last(p, end, "; Owner: ");
    const char *schema = owner != NULL ? find_last(p, owner, "; Schema: ") : NULL;
    const char *type = schema != NULL ? find_last(p, schema, "; Type: ") : NULL;
    const char *space;

    while (type != NULL && !is_type(type + strlen("; Type: "), schema))
        type = find_last(p, type, "; Type: ");
    if (type == NULL)
        return false;
    space = find_last(owner, end, "; Tablespace: ");
    e->name = copy_range(a, p, type);
    e->type = copy_range(a, type + strlen("; Type: "), schema);
    e->schema = copy_range(a, schema + strlen("; Schema: "), owner);
    e->owner = copy_range(a, owner + strlen("; Owner: "), space != NULL ? space : end);
    e->tablespace = space != NULL ? copy_range(a, space + strlen("; Tablespace: "), end) : NULL;
    return true;
}

static void read_depends(struct arena *a, const char *p, const char *end, struct toc_entry *e)
{
    int *ids = arena_alloc(a, ((size_t)(end - p) / 2 + 1) * sizeof *ids);

    e->depends = ids;
    while (p < end) {
        char *after;
        long id = strtol(p, &after, 10);
        if (after == p || after > end)
            return;
        ids[e->depend_count++] = (int)id;
        p = after;
    }
}

static bool read_numbers(const char *p, const char *end, struct toc_entry *e)
{
    char line[80];

    snprintf(line, sizeof line, "%.*s", (int)(end - p < 80 ? end - p : 79),
             p); /* sscanf would look for the end of it all */
    return sscanf(line, "-- TOC entry %d (class %" SCNu32 " OID %" SCNu32 ")", &e->id, &e->class_oid, &e->oid) == 3 &&
           e->id > 0 && e->id < ID_MOST;
}

/* Reads the header; *ret is where the statements begin. */
static bool read_header(struct arena *a, const struct piece *piece, struct toc_entry *e, const char **ret)
{
    const char *p = piece->header + strlen("--\n");
    bool named = false;

    if (!read_numbers(p, line_end(p, piece->end), e))
        return false;
    for (p = line_end(p, piece->end) + 1; p < piece->end; p = line_end(p, piece->end) + 1) {
        const char *end = line_end(p, piece->end);
        if (starts(p, end, "-- Name: "))
            named = read_names(a, p + strlen("-- Name: "), end, e);
        else if (starts(p, end, "-- Dependencies: "))
            read_depends(a, p + strlen("-- Dependencies: "), end, e);
        else if (end - p == 2)
            break;
    }
    *ret = p < piece->end ? line_end(p, piece->end) : piece->end;
    return named;
}

static const char *trimmed(struct arena *a, const char *p, const char *end)
{
    while (p < end && isspace((unsigned char)*p))
        p++;
    while (end > p && isspace((unsigned char)end[-1]))
        end--;
    return copy_range(a, p, end);
}

/* --- settings --- */

static const char *local(struct arena *a, const char *p, const char *end)
{
    return arena_format(a, "SET LOCAL %s\n", copy_range(a, p + strlen("SET "), end));
}

static void take_settings(struct arena *a, const struct piece *piece, struct toc_entry *next)
{
    for (const char *p = piece->settings; p < piece->end; p = line_end(p, piece->end) + 1) {
        const char *end = line_end(p, piece->end);
        if (starts(p, end, TABLESPACE))
            next->in_space = local(a, p, end);
        else if (starts(p, end, ACCESS_METHOD))
            next->in_method = local(a, p, end);
    }
}

/* --- all --- */

static size_t count_headers(const char *text, const char *end)
{
    size_t n = 0;

    for (const char *p = text; (p = memmem(p, (size_t)(end - p), HEADER, strlen(HEADER))) != NULL; p++)
        n++;
    return n; /* at most; those inside quotes too */
}

static void index_by_id(struct arena *a, struct toc *t)
{
    int most = 0;

    for (size_t i = 0; i < t->count; i++)
        most = t->entries[i].id > most ? t->entries[i].id : most;
    t->by_id_size = (size_t)most + 1;
    t->by_id = arena_zalloc(a, t->by_id_size * sizeof *t->by_id);
    for (size_t i = 0; i < t->count; i++)
        t->by_id[t->entries[i].id] = &t->entries[i];
}

enum err toc_parse(struct arena *a, const char *text, size_t len, struct toc *ret, struct fault *f)
{
    const char *end = text + len;
    struct toc_entry settings = {.in_space = "", .in_method = ""}; /* in force */
    struct toc toc = {0};
    struct piece piece;

    toc.entries = arena_zalloc(a, (count_headers(text, end) + 1) * sizeof *toc.entries);
    for (const char *p = text; p < end; p = piece.end) {
        cut(text, p, end, &piece);
        if (piece.header == NULL && p != text)
            break; /* the trailer */
        if (piece.header != NULL) {
            struct toc_entry *e = &toc.entries[toc.count++];
            const char *body;
            if (!read_header(a, &piece, e, &body))
                return fault_set(f, ERR_PG_DUMP, "pg_restore printed an entry that is not understood: %.200s",
                                 piece.header);
            e->in_space = settings.in_space;
            e->in_method = settings.in_method;
            e->sql = body < piece.settings ? trimmed(a, body, piece.settings) : "";
        }
        if (piece.settings < piece.end)
            take_settings(a, &piece, &settings);
    }
    index_by_id(a, &toc);
    *ret = toc;
    return ERR_OK;
}

void toc_parse_list(struct arena *a, const char *text, int **ret_ids, size_t *ret_count)
{
    const char *end = text + strlen(text);
    int *ids;
    size_t lines = 1;
    size_t n = 0;

    for (const char *p = text; p < end; p = line_end(p, end) + 1)
        lines++;
    ids = arena_alloc(a, lines * sizeof *ids);
    for (const char *p = text; p < end; p = line_end(p, end) + 1) {
        char *after;
        long id = isdigit((unsigned char)*p) ? strtol(p, &after, 10) : 0;
        if (id > 0 && id < ID_MOST && *after == ';')
            ids[n++] = (int)id;
    }
    *ret_ids = ids;
    *ret_count = n;
}

struct toc_entry *toc_find(const struct toc *t, int id)
{
    return id > 0 && (size_t)id < t->by_id_size ? t->by_id[id] : NULL;
}
