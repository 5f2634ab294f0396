/* wire/pgoutput.c — one message in, one decoded message out.
 *
 *   data: | kind | [xid, inside a streamed segment] | body |        raw = kind + body
 *
 * A message is read once, from left to right. Values are never copied: they point into `data`. What a message changes
 * in the decoder (a relation, being inside a segment) is done by settle(), after all of it was read.
 *
 * Invariant: a message that fails leaves the decoder as it was. */
#include "wire/pgoutput.h"

#include <stdlib.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/relations.h"

#define PG_EPOCH_US ((int64_t)946684800 * 1000000) /* 2000-01-01, in microseconds since 1970 */
#define TRUNCATE_KNOWN_FLAGS 3                     /* CASCADE, RESTART IDENTITY */

struct pgoutput {
    struct relations *relations;
    bool in_segment; /* between STREAM START and STREAM STOP */
};

struct pgoutput *pgoutput_new(void)
{
    struct pgoutput *d = mem_alloc(sizeof *d);

    d->relations = relations_new();
    return d;
}

void pgoutput_free(struct pgoutput *d)
{
    if (d == NULL)
        return;
    relations_free(d->relations);
    free(d);
}

const struct relation *pgoutput_relation(const struct pgoutput *d, uint32_t id)
{
    return relations_find(d->relations, id);
}

/* --- reading --- */

static int64_t read_time(struct bytes *r)
{
    return (int64_t)(bytes_u64(r) + (uint64_t)PG_EPOCH_US);
}

static uint32_t read_xid(struct bytes *r)
{
    uint32_t xid = bytes_u32(r);

    if (xid == 0)
        bytes_fail(r, "there is no transaction 0");
    return xid;
}

/* --- rows --- */

static inline void read_value(struct bytes *r, struct value *ret)
{
    *ret = (struct value){NULL, VALUE_NULL};
    switch (bytes_u8(r)) {
    case 't':
        ret->len = (int32_t)bytes_u32(r); /* beyond 2^31 it is beyond the message too */
        if (bytes_has(r, (uint32_t)ret->len)) {
            ret->data = r->at;
            r->at += ret->len;
        }
        return;
    case 'n':
        return;
    case 'u':
        ret->len = VALUE_UNCHANGED;
        return;
    case 'b':
        bytes_fail(r, "a value is binary, which was not asked for");
        return;
    default:
        bytes_fail(r, "a value is of no known kind");
    }
}

static const struct row *read_row(struct bytes *r, struct arena *arena, const struct relation *relation)
{
    uint16_t count = bytes_u16(r);
    struct row *row;

    if (count != relation->column_count)
        bytes_fail(r, "the row has not as many columns as its table");
    if (r->wrong != NULL)
        return NULL;
    row = arena_alloc(arena, sizeof *row + count * sizeof *row->values);
    row->count = count;
    for (uint16_t i = 0; i < count && r->wrong == NULL; i++)
        read_value(r, &row->values[i]);
    return row;
}

/* --- changes --- */

static void read_old(struct bytes *r, struct arena *arena, struct change *c, uint8_t tag)
{
    if (tag != 'K' && tag != 'O')
        bytes_fail(r, "a row is of no known kind");
    c->old_is_key = tag == 'K';
    c->old = read_row(r, arena, c->relation);
}

static void read_new(struct bytes *r, struct arena *arena, struct change *c, uint8_t tag)
{
    if (tag != 'N')
        bytes_fail(r, "a new row is missing");
    c->new = read_row(r, arena, c->relation);
}

static void read_rows(struct bytes *r, struct arena *arena, struct change *c)
{
    uint8_t tag = bytes_u8(r);

    if (c->kind == CHANGE_INSERT) {
        read_new(r, arena, c, tag);
    } else if (c->kind == CHANGE_DELETE) {
        read_old(r, arena, c, tag);
    } else {
        if (tag != 'N') {
            read_old(r, arena, c, tag);
            tag = bytes_u8(r);
        }
        read_new(r, arena, c, tag);
    }
}

static const struct relation *read_relation_id(const struct pgoutput *d, struct bytes *r)
{
    uint32_t id = bytes_u32(r);
    const struct relation *relation = r->wrong == NULL ? relations_find(d->relations, id) : NULL;

    if (relation == NULL)
        bytes_fail(r, "it names a table that was not described");
    return relation;
}

static void read_truncate(const struct pgoutput *d, struct bytes *r, struct arena *arena, struct change *c)
{
    uint32_t count = bytes_u32(r);

    c->truncate_flags = bytes_u8(r);
    if ((c->truncate_flags & ~TRUNCATE_KNOWN_FLAGS) != 0)
        bytes_fail(r, "TRUNCATE has flags that are not known");
    if (count == 0)
        bytes_fail(r, "TRUNCATE names no table");
    if (!bytes_has(r, (size_t)count * sizeof(uint32_t)))
        return;
    c->truncated = arena_alloc(arena, count * sizeof *c->truncated);
    c->truncate_count = count;
    for (uint32_t i = 0; i < count && r->wrong == NULL; i++)
        c->truncated[i] = read_relation_id(d, r);
}

static struct change *read_change(const struct pgoutput *d, struct bytes *r, struct arena *arena, enum change_kind kind)
{
    struct change *c = arena_zalloc(arena, sizeof *c);

    c->kind = kind;
    if (kind == CHANGE_TRUNCATE) {
        read_truncate(d, r, arena, c);
    } else {
        c->relation = read_relation_id(d, r);
        if (r->wrong == NULL)
            read_rows(r, arena, c);
    }
    return c;
}

/* --- the other messages --- */

static void read_begin(struct bytes *r, struct pgoutput_msg *m)
{
    m->lsn.v = bytes_u64(r);
    m->commit_us = read_time(r);
    m->xid = read_xid(r);
    if (m->lsn.v == 0)
        bytes_fail(r, "the transaction has no position");
}

static void read_commit(struct bytes *r, struct pgoutput_msg *m)
{
    if (bytes_u8(r) != 0)
        bytes_fail(r, "COMMIT has flags that are not known");
    m->lsn.v = bytes_u64(r);
    m->end.v = bytes_u64(r);
    m->commit_us = read_time(r);
    if (!lsn_lt(m->lsn, m->end))
        bytes_fail(r, "the commit record ends before it begins");
}

static void read_stream_start(struct bytes *r, struct pgoutput_msg *m)
{
    m->xid = read_xid(r);
    m->first_segment = bytes_u8(r) != 0;
}

static void check_type(struct bytes *r)
{
    (void)bytes_u32(r);
    (void)bytes_string(r);
    (void)bytes_string(r);
}

static void check_logical_message(struct bytes *r)
{
    (void)bytes_u8(r);  /* whether it belongs to a transaction */
    (void)bytes_u64(r); /* its position */
    (void)bytes_string(r);
    bytes_skip(r, bytes_u32(r));
}

/* --- one message --- */

static void read_body(const struct pgoutput *d, struct bytes *r, struct arena *arena, struct pgoutput_msg *m)
{
    switch (m->kind) {
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
        m->change = read_change(d, r, arena, (enum change_kind)m->kind);
        return;
    case PGOUTPUT_BEGIN:
        read_begin(r, m);
        return;
    case PGOUTPUT_COMMIT:
        read_commit(r, m);
        return;
    case PGOUTPUT_RELATION:
        relations_check(r);
        return;
    case PGOUTPUT_ORIGIN:
        m->lsn.v = bytes_u64(r);
        m->origin = bytes_string(r);
        return;
    case PGOUTPUT_TYPE:
        check_type(r);
        return;
    case PGOUTPUT_MESSAGE:
        check_logical_message(r);
        return;
    case PGOUTPUT_STREAM_START:
        read_stream_start(r, m);
        return;
    case PGOUTPUT_STREAM_STOP:
        return;
    case PGOUTPUT_STREAM_COMMIT:
        m->xid = read_xid(r);
        read_commit(r, m);
        return;
    case PGOUTPUT_STREAM_ABORT:
        m->xid = read_xid(r);
        m->subxid = read_xid(r);
        return;
    }
    bytes_fail(r, "it is of no known kind");
}

/* Inside a streamed segment the transaction's id stands between the kind and the body. */
static bool carries_xid(enum pgoutput_kind kind)
{
    switch (kind) {
    case PGOUTPUT_RELATION:
    case PGOUTPUT_TYPE:
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
    case PGOUTPUT_MESSAGE:
        return true;
    default:
        return false;
    }
}

/* A segment holds changes, what they need, and where they came from, until its STREAM STOP. */
static bool in_place(const struct pgoutput *d, enum pgoutput_kind kind)
{
    if (!d->in_segment)
        return kind != PGOUTPUT_STREAM_STOP;
    return carries_xid(kind) || kind == PGOUTPUT_ORIGIN || kind == PGOUTPUT_STREAM_STOP;
}

static const char *raw_copy(struct arena *arena, enum pgoutput_kind kind, const char *body, size_t body_len)
{
    char *raw = arena_alloc(arena, 1 + body_len);

    raw[0] = (char)kind;
    memcpy(raw + 1, body, body_len);
    return raw;
}

/* The message is good: what follows from it, for the decoder and for what is handed out. */
static void settle(struct pgoutput *d, struct arena *arena, const char *data, const char *body, size_t body_len,
                   struct pgoutput_msg *m)
{
    if (m->change != NULL) {
        m->change->raw = d->in_segment ? raw_copy(arena, m->kind, body, body_len) : data;
        m->change->raw_len = (uint32_t)(1 + body_len);
    } else if (m->kind == PGOUTPUT_RELATION) {
        m->relation = relations_learn(d->relations, body, body_len, &m->changed);
    } else if (m->kind == PGOUTPUT_STREAM_START) {
        d->in_segment = true;
    } else if (m->kind == PGOUTPUT_STREAM_STOP) {
        d->in_segment = false;
    }
}

static enum err malformed(const struct bytes *r, struct fault *f)
{
    unsigned char kind = (unsigned char)r->start[0];

    return fault_set(f, ERR_PROTOCOL, "message '%c' (0x%02x) of %zu bytes, at byte %zu: %s",
                     kind > ' ' && kind < 0x7f ? kind : '?', kind, (size_t)(r->end - r->start),
                     (size_t)(r->at - r->start), r->wrong);
}

enum err pgoutput_decode(struct pgoutput *d, struct arena *arena, const char *data, size_t len,
                         struct pgoutput_msg *ret, struct fault *f)
{
    struct pgoutput_msg m = {0};
    struct bytes r;
    const char *body;

    if (len == 0 || len > INT32_MAX)
        return fault_set(f, ERR_PROTOCOL, "a message of %zu bytes", len);
    r = (struct bytes){data, data + 1, data + len, NULL};
    m.kind = (enum pgoutput_kind)(unsigned char)data[0];
    if (!in_place(d, m.kind))
        bytes_fail(&r, d->in_segment ? "it has no place in a streamed segment" : "it stands outside of any segment");
    if (d->in_segment && carries_xid(m.kind))
        m.xid = read_xid(&r);
    body = r.at;
    if (r.wrong == NULL)
        read_body(d, &r, arena, &m);
    if (r.at != r.end)
        bytes_fail(&r, "it goes on behind its end");
    if (r.wrong != NULL)
        return malformed(&r, f);
    settle(d, arena, data, body, (size_t)(r.end - body), &m);
    *ret = m;
    return ERR_OK;
}

/* --- frames --- */

enum err pgoutput_frame_decode(const char *data, size_t len, struct pgoutput_frame *ret, struct fault *f)
{
    struct pgoutput_frame frame = {0};
    struct bytes r;

    if (len == 0)
        return fault_set(f, ERR_PROTOCOL, "a replication frame of no bytes");
    r = (struct bytes){data, data, data + len, NULL};
    frame.kind = (char)bytes_u8(&r);
    if (frame.kind == 'w') {
        frame.start.v = bytes_u64(&r);
        frame.wal_end.v = bytes_u64(&r);
        frame.sent_us = read_time(&r);
        frame.data = r.at;
        frame.len = (size_t)(r.end - r.at);
    } else if (frame.kind == 'k') {
        frame.wal_end.v = bytes_u64(&r);
        frame.sent_us = read_time(&r);
        frame.reply_wanted = bytes_u8(&r) != 0;
        if (r.at != r.end)
            bytes_fail(&r, "it goes on behind its end");
    } else {
        bytes_fail(&r, "a replication frame is of no known kind");
    }
    if (r.wrong != NULL)
        return malformed(&r, f);
    *ret = frame;
    return ERR_OK;
}

static void put64(char *at, uint64_t v)
{
    v = htobe64(v);
    memcpy(at, &v, sizeof v);
}

void pgoutput_feedback_encode(char out[PGOUTPUT_FEEDBACK_SIZE], struct lsn received, struct lsn durable, int64_t now_us,
                              bool reply_wanted)
{
    out[0] = 'r';
    put64(out + 1, received.v);
    put64(out + 9, durable.v);  /* flushed: what the slot may forget */
    put64(out + 17, durable.v); /* applied */
    put64(out + 25, (uint64_t)now_us - (uint64_t)PG_EPOCH_US);
    out[33] = (char)reply_wanted;
}
