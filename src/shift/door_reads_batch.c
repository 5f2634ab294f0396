/* shift/door_reads_batch.c — what a client sent up to its Sync: whether all of it is a read.
 *
 * A Query alone; or Parse, Bind, Describe, Execute for all rows and Sync, with the unnamed portal. What prepares a statement by name, closes one, uses
 * portals by name or asks for some rows only belongs to the source: there the session's state is. Texts are read once and remembered. */
#include "shift/door_reads.h"

#include <xxhash.h>

#include "wire/bytes.h"

#define CACHED 1024       /* texts, by their hash */
#define CACHED_MOST 4096  /* bytes of one */

struct cached {
    uint64_t hash;
    size_t len;
    char *text;
    struct reading reading;
};

struct reading_cache {
    const struct reading_names *names; /* what they were read by */
    struct cached list[CACHED];
};

/* --- remembered --- */

static void forget(struct reading_cache *c)
{
    for (size_t i = 0; i < CACHED; i++)
        free(c->list[i].text);
    memset(c->list, 0, sizeof c->list);
}

void reading_cache_free(struct reading_cache *c)
{
    if (c == NULL)
        return;
    forget(c);
    free(c);
}

static struct cached *slot(struct worker *w, const char *text, size_t len, bool *ret_found)
{
    uint64_t hash = XXH3_64bits(text, len);
    struct cached *one;

    if (w->readings == NULL)
        w->readings = mem_alloc(sizeof *w->readings);
    if (w->readings->names != names_of(w->names)) {
        forget(w->readings);
        w->readings->names = names_of(w->names);
    }
    one = &w->readings->list[hash % CACHED];
    *ret_found = one->text != NULL && one->hash == hash && one->len == len && memcmp(one->text, text, len) == 0;
    if (*ret_found)
        return one;
    free(one->text);
    *one = (struct cached){.hash = hash, .len = len, .text = mem_format("%.*s", (int)len, text)};
    return one;
}

static struct reading look_up(struct worker *w, const char *text, size_t len)
{
    struct reading r;
    struct cached *one;
    bool found;

    if (len > CACHED_MOST) {
        reading_of(names_of(w->names), text, len, &r);
        return r;
    }
    one = slot(w, text, len, &found);
    if (!found)
        reading_of(names_of(w->names), text, len, &one->reading);
    return one->reading;
}

/* --- one statement of it --- */

struct taking {
    struct session *s;
    struct batch *batch;
    bool in_transaction;
    const char *unnamed;   /* its text as it stands now; NULL: there is none */
    const char *bound;     /* the text behind the unnamed portal; NULL: none */
    int executed;
    bool ended;
    bool looked; /* something but Parse and Describe of the unnamed statement was there */
};

/* What a transaction is that begins with it; false: not one for the target. Where it says itself that it only reads, or may, the session is worth
 * asking for the rest; what is decided then is decided again (still_a_read() in door_reads.c). */
static bool begins_read(const struct reads *r, const struct reading *one)
{
    bool read_only = one->mode == MODE_READ_ONLY || (one->mode == MODE_UNSAID && r->read_only);
    enum reading_isolation isolation = one->isolation != ISOLATION_UNSAID ? one->isolation : r->isolation;

    if (!r->known && one->isolation != ISOLATION_HIGHER && (one->mode == MODE_READ_ONLY || (one->mode == MODE_UNSAID && r->asks_begin)))
        return true;
    return read_only && isolation == ISOLATION_READ_COMMITTED;
}

/* Takes the next statement that is carried out. False: it is not for the target. */
static bool add_statement(struct taking *t, const char *text, size_t len)
{
    struct reading one = look_up(t->s->worker, text, len);
    bool first = t->executed++ == 0;

    if (t->ended)
        return false;
    switch (one.kind) {
    case READING_SELECT:
        if (first)
            t->batch->kind = BATCH_READ;
        return !one.clock || (!t->in_transaction && t->batch->kind == BATCH_READ);
    case READING_BEGIN:
        if (!first || t->in_transaction || !begins_read(t->s->reads, &one))
            return false;
        t->batch->kind = BATCH_READ_BEGIN;
        return true;
    case READING_END:
        if (!t->in_transaction && t->batch->kind != BATCH_READ_BEGIN)
            return false;
        if (first)
            t->batch->kind = BATCH_READ_END;
        t->ended = true;
        return true;
    default:
        return false;
    }
}

/* --- messages --- */

static bool take_query(struct taking *t, const char *body, size_t n)
{
    t->looked = true;
    return t->executed == 0 && n > 0 && body[n - 1] == '\0' && add_statement(t, body, n - 1);
}

/* Numbers of types that the map has not would end the session. */
static bool types_known(const struct session *s, struct bytes *b)
{
    struct type_way up = door_types_way_between(s->worker, SIDE_SOURCE, SIDE_TARGET);
    uint16_t count = bytes_u16(b);
    struct fault f = {0};
    uint32_t ignored;

    for (uint16_t i = 0; i < count && b->wrong == NULL; i++)
        if (type_map_oid(up, bytes_u32(b), &ignored, &f) != ERR_OK)
            return false;
    return b->wrong == NULL;
}

static bool take_parse(struct taking *t, const char *body, size_t n)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    const char *name = bytes_string(&b);
    const char *text = bytes_string(&b);

    if (b.wrong != NULL || *name != '\0' || !types_known(t->s, &b))
        return false;
    t->unnamed = text;
    t->batch->makes_unnamed = true;
    return true;
}

/* The text of the unnamed statement that was there before. */
static const char *unnamed_before(const struct session *s)
{
    const struct buf *b = &s->unnamed.text;
    const char *text = b->len > PGWIRE_HEADER + 1 ? b->data + PGWIRE_HEADER + 1 : NULL;

    return text != NULL && memchr(text, '\0', b->len - PGWIRE_HEADER - 1) != NULL ? text : NULL;
}

/* A name that came since the session was asked: taken for a read, so that it is asked again, and then looked at again. */
static const char not_known_yet[] = "SELECT 1";

static const char *statement_text(struct taking *t, const char *name)
{
    const struct session_statement *known = *name != '\0' ? twin_statement(t->s->reads, name) : NULL;

    if (*name != '\0' && known == NULL && !t->s->reads->known)
        return not_known_yet;
    if (*name != '\0')
        return known != NULL && !known->from_sql ? known->text : NULL;
    if (!t->batch->makes_unnamed) {
        t->batch->unnamed_before = true;
        t->unnamed = t->s->unnamed.unknown || t->s->unnamed.unsure ? NULL : unnamed_before(t->s);
    }
    return t->unnamed;
}

static bool take_bind(struct taking *t, const char *body, size_t n)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    const char *portal = bytes_string(&b);
    const char *statement = bytes_string(&b);

    t->looked = true;
    t->bound = b.wrong == NULL && *portal == '\0' ? statement_text(t, statement) : NULL;
    return t->bound != NULL;
}

static bool take_execute(struct taking *t, const char *body, size_t n)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    const char *portal = bytes_string(&b);
    uint32_t rows = bytes_u32(&b);

    return b.wrong == NULL && *portal == '\0' && rows == 0 && t->bound != NULL && add_statement(t, t->bound, strlen(t->bound));
}

static bool take_describe(struct taking *t, const char *body, size_t n)
{
    bool whole = n > 1 && memchr(body, '\0', n) != NULL;

    if (whole && body[0] == 'S')
        return statement_text(t, body + 1) != NULL;
    return whole && body[0] == 'P' && body[1] == '\0' && t->bound != NULL;
}

static bool take(struct taking *t, char type, const char *body, size_t n)
{
    switch (type) {
    case 'Q':
        return take_query(t, body, n);
    case 'P':
        return take_parse(t, body, n);
    case 'B':
        return take_bind(t, body, n);
    case 'D':
        return take_describe(t, body, n);
    case 'E':
        return take_execute(t, body, n);
    case 'S':
        return true;
    default:
        return false;
    }
}

/* Nothing is carried out: a statement without a name was prepared, say, or nothing at all asked for. It leaves the session what it is. */
static enum batch_kind of_nothing(const struct taking *t)
{
    return t->looked ? BATCH_OTHER : BATCH_NEUTRAL;
}

void batch_of(struct session *s, const char *p, size_t n, bool in_transaction, struct batch *ret)
{
    struct taking t = {.s = s, .batch = ret, .in_transaction = in_transaction};
    uint32_t total = 0;
    char type = 0;

    *ret = (struct batch){.kind = BATCH_OTHER};
    for (size_t at = 0;; at += total) {
        enum pgwire_seen seen = pgwire_frame(PGWIRE_CLIENT, p + at, n - at, &type, &total);
        bool fits = at + (seen == PGWIRE_FRAME ? total : PGWIRE_HEADER) <= READS_BATCH;

        if (seen == PGWIRE_WRONG || !fits) {
            ret->kind = BATCH_OTHER;
            return;
        }
        if (seen == PGWIRE_MORE || n - at < total) {
            ret->kind = BATCH_MORE;
            return;
        }
        if ((type == 'Q' && at > 0) || !take(&t, type, p + at + PGWIRE_HEADER, total - PGWIRE_HEADER)) {
            ret->kind = BATCH_OTHER;
            return;
        }
        ret->len = at + total;
        if (type == 'Q' || type == 'S')
            break;
    }
    if (t.executed == 0)
        ret->kind = of_nothing(&t);
    else if (ret->unnamed_before && ret->makes_unnamed) /* sent once more to the source it would need both */
        ret->kind = BATCH_OTHER;
}

static void refuse(struct worker *w, const char *text, size_t len)
{
    bool found;
    struct cached *one = len <= CACHED_MOST && w->names != NULL ? slot(w, text, len, &found) : NULL;

    if (one != NULL && one->reading.kind == READING_SELECT)
        one->reading.kind = READING_OTHER;
}

void batch_refuse(struct session *s, const char *p, size_t n)
{
    uint32_t total = 0;
    char type = 0;

    for (size_t at = 0; at < n && pgwire_frame(PGWIRE_CLIENT, p + at, n - at, &type, &total) == PGWIRE_FRAME && total <= n - at; at += total) {
        const char *body = p + at + PGWIRE_HEADER;
        size_t len = total - PGWIRE_HEADER;
        const char *text = type == 'P' ? memchr(body, '\0', len) : NULL;
        const struct session_statement *known = NULL;

        if (type == 'Q' && len > 0)
            refuse(s->worker, body, len - 1);
        else if (text != NULL && memchr(text + 1, '\0', len - (size_t)(text + 1 - body)) != NULL)
            refuse(s->worker, text + 1, strlen(text + 1));
        else if (type == 'B' && memchr(body, '\0', len) == body)
            known = twin_statement(s->reads, body + 1);
        if (known != NULL)
            refuse(s->worker, known->text, strlen(known->text));
    }
}
