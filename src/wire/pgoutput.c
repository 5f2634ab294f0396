/* wire/pgoutput.c — see pgoutput.h. */
#include "wire/pgoutput.h"

#include <stdlib.h>
#include <string.h>

#define PG_EPOCH_US ((int64_t)946684800 * 1000000)

struct slot {
    uint32_t id;
    const struct relation *relation;
};

struct pgoutput {
    struct arena *arena;
    struct slot *slots;
    size_t size;
    size_t count;
    bool in_stream;
};

struct reader {
    const char *data;
    size_t len;
    size_t at;
    bool bad;
};

struct pgoutput *pgoutput_new(void)
{
    struct pgoutput *d = mem_alloc(sizeof *d);

    d->arena = arena_new(16384);
    d->size = 64;
    d->slots = mem_alloc(d->size * sizeof *d->slots);
    return d;
}

void pgoutput_free(struct pgoutput *d)
{
    if (d == NULL)
        return;
    arena_free(d->arena);
    free(d->slots);
    free(d);
}

/* --- reading --- */

static bool need(struct reader *r, size_t n)
{
    if (r->bad || r->len - r->at < n)
        r->bad = true;
    return !r->bad;
}

static uint8_t read8(struct reader *r)
{
    return need(r, 1) ? (uint8_t)r->data[r->at++] : 0;
}

static uint16_t read16(struct reader *r)
{
    uint16_t v;

    if (!need(r, 2))
        return 0;
    memcpy(&v, r->data + r->at, 2);
    r->at += 2;
    return __builtin_bswap16(v);
}

static uint32_t read32(struct reader *r)
{
    uint32_t v;

    if (!need(r, 4))
        return 0;
    memcpy(&v, r->data + r->at, 4);
    r->at += 4;
    return __builtin_bswap32(v);
}

static uint64_t read64(struct reader *r)
{
    uint64_t v;

    if (!need(r, 8))
        return 0;
    memcpy(&v, r->data + r->at, 8);
    r->at += 8;
    return __builtin_bswap64(v);
}

static int64_t read_time(struct reader *r)
{
    return (int64_t)(read64(r) + (uint64_t)PG_EPOCH_US);
}

static const char *read_string(struct reader *r)
{
    const char *s = r->data + r->at;
    size_t n;

    if (r->bad)
        return "";
    n = strnlen(s, r->len - r->at);
    if (n == r->len - r->at) {
        r->bad = true;
        return "";
    }
    r->at += n + 1;
    return s;
}

/* --- relations --- */

static struct slot *find_slot(const struct pgoutput *d, uint32_t id)
{
    size_t at = id * 2654435761u & (d->size - 1);

    while (d->slots[at].relation != NULL && d->slots[at].id != id)
        at = (at + 1) & (d->size - 1);
    return &d->slots[at];
}

const struct relation *pgoutput_relation(const struct pgoutput *d, uint32_t id)
{
    return find_slot(d, id)->relation;
}

static void grow(struct pgoutput *d)
{
    struct slot *old = d->slots;
    size_t old_size = d->size;

    d->size *= 2;
    d->slots = mem_alloc(d->size * sizeof *d->slots);
    for (size_t i = 0; i < old_size; i++)
        if (old[i].relation != NULL)
            *find_slot(d, old[i].id) = old[i];
    free(old);
}

static bool same_columns(const struct relation *a, const struct relation *b)
{
    if (a->column_count != b->column_count)
        return false;
    for (uint16_t i = 0; i < a->column_count; i++)
        if (strcmp(a->columns[i].name, b->columns[i].name) != 0 || a->columns[i].key != b->columns[i].key || a->columns[i].type != b->columns[i].type ||
            a->columns[i].typmod != b->columns[i].typmod)
            return false;
    return true;
}

static bool same_relation(const struct relation *a, const struct relation *b)
{
    return strcmp(a->schema, b->schema) == 0 && strcmp(a->name, b->name) == 0 && a->identity == b->identity && same_columns(a, b);
}

static struct relation *read_relation(struct pgoutput *d, struct reader *r)
{
    struct relation *rel = arena_zalloc(d->arena, sizeof *rel);

    rel->id = read32(r);
    rel->schema = arena_strdup(d->arena, read_string(r));
    rel->name = arena_strdup(d->arena, read_string(r));
    if (rel->schema[0] == '\0' && !r->bad)
        rel->schema = "pg_catalog"; /* the protocol's abbreviation */
    rel->identity = (enum identity)read8(r);
    rel->column_count = read16(r);
    if (!need(r, (size_t)rel->column_count * 10))
        return NULL;
    rel->columns = arena_zalloc(d->arena, (rel->column_count + 1u) * sizeof *rel->columns);
    for (uint16_t i = 0; i < rel->column_count; i++) {
        rel->columns[i].key = (read8(r) & 1) != 0;
        rel->columns[i].name = arena_strdup(d->arena, read_string(r));
        rel->columns[i].type = read32(r);
        rel->columns[i].typmod = (int32_t)read32(r);
    }
    return r->bad || r->at != r->len || strchr("dnfi", (int)rel->identity) == NULL ? NULL : rel;
}

static enum err on_relation(struct pgoutput *d, struct reader *r, const char *raw, size_t raw_len, struct pgoutput_msg *m, struct fault *f)
{
    struct relation *rel = read_relation(d, r);
    struct slot *slot;

    if (rel == NULL)
        return fault_set(f, ERR_PROTOCOL, "a table's description is malformed at byte %zu", r->at);
    if (2 * (d->count + 1) > d->size)
        grow(d);
    slot = find_slot(d, rel->id);
    m->changed = slot->relation == NULL || !same_relation(slot->relation, rel);
    if (m->changed) {
        rel->raw = arena_copy(d->arena, raw, raw_len);
        rel->raw_len = (uint32_t)raw_len;
        d->count += slot->relation == NULL;
        slot->id = rel->id;
        slot->relation = rel;
    }
    m->relation = slot->relation;
    return ERR_OK;
}

/* --- rows --- */

static const struct row *read_row(struct reader *r, struct arena *arena, const struct relation *rel)
{
    uint16_t count = read16(r);
    struct row *row;

    if (r->bad || count != rel->column_count) {
        r->bad = true;
        return NULL;
    }
    row = arena_alloc(arena, sizeof *row + count * sizeof *row->values);
    row->count = count;
    for (uint16_t i = 0; i < count; i++) {
        struct value *v = &row->values[i];
        uint8_t kind = read8(r);
        v->data = NULL;
        if (kind == 'n') {
            v->len = VALUE_NULL;
        } else if (kind == 'u') {
            v->len = VALUE_UNCHANGED;
        } else if (kind == 't') {
            uint32_t n = read32(r);
            if (n > INT32_MAX || !need(r, n)) {
                r->bad = true;
                return NULL;
            }
            v->data = r->data + r->at;
            v->len = (int32_t)n;
            r->at += n;
        } else {
            r->bad = true;
            return NULL;
        }
    }
    return row;
}

static void read_tuples(struct reader *r, struct arena *arena, struct change *c)
{
    uint8_t kind = read8(r);

    if (c->kind == CHANGE_INSERT) {
        r->bad = r->bad || kind != 'N';
    } else if (kind == 'K' || kind == 'O') {
        c->old_is_key = kind == 'K';
        c->old = r->bad ? NULL : read_row(r, arena, c->relation);
        if (c->kind == CHANGE_DELETE)
            return;
        kind = read8(r);
        r->bad = r->bad || kind != 'N';
    } else {
        r->bad = r->bad || kind != 'N' || c->kind == CHANGE_DELETE;
    }
    if (!r->bad)
        c->new = read_row(r, arena, c->relation);
}

static void read_truncate(const struct pgoutput *d, struct reader *r, struct arena *arena, struct change *c)
{
    uint32_t count = read32(r);

    c->truncate_flags = read8(r);
    if (!need(r, (size_t)count * 4))
        return;
    c->truncated = arena_alloc(arena, (count + 1u) * sizeof *c->truncated);
    c->truncate_count = count;
    for (uint32_t i = 0; i < count; i++) {
        c->truncated[i] = pgoutput_relation(d, read32(r));
        r->bad = r->bad || c->truncated[i] == NULL;
    }
}

static enum err on_change(struct pgoutput *d, struct arena *arena, struct reader *r, enum change_kind kind, const char *raw, size_t raw_len, struct pgoutput_msg *m,
                          struct fault *f)
{
    struct change *c = arena_zalloc(arena, sizeof *c);

    c->kind = kind;
    c->raw = raw;
    c->raw_len = (uint32_t)raw_len;
    if (kind == CHANGE_TRUNCATE) {
        read_truncate(d, r, arena, c);
    } else {
        uint32_t id = read32(r);
        c->relation = pgoutput_relation(d, id);
        if (c->relation == NULL)
            return fault_set(f, ERR_PROTOCOL, "a change names table %u, which was not described", id);
        read_tuples(r, arena, c);
    }
    if (r->bad || r->at != r->len)
        return fault_set(f, ERR_PROTOCOL, "message '%c' is malformed at byte %zu of %zu", (char)kind, r->at, r->len);
    m->change = c;
    return ERR_OK;
}

/* --- messages --- */

static void on_transaction(struct pgoutput *d, struct reader *r, struct pgoutput_msg *m)
{
    switch (m->kind) {
    case PGOUTPUT_BEGIN:
        m->lsn.v = read64(r);
        m->commit_us = read_time(r);
        m->xid = read32(r);
        return;
    case PGOUTPUT_STREAM_COMMIT:
        m->xid = read32(r);
        /* fall through */
    case PGOUTPUT_COMMIT:
        (void)read8(r);
        m->lsn.v = read64(r);
        m->end.v = read64(r);
        m->commit_us = read_time(r);
        return;
    case PGOUTPUT_STREAM_START:
        m->xid = read32(r);
        m->first_segment = read8(r) != 0;
        d->in_stream = true;
        return;
    case PGOUTPUT_STREAM_STOP:
        d->in_stream = false;
        return;
    case PGOUTPUT_STREAM_ABORT:
        m->xid = read32(r);
        m->subxid = read32(r);
        return;
    case PGOUTPUT_ORIGIN:
        (void)read64(r);
        m->origin = read_string(r);
        return;
    default:
        r->bad = true;
    }
}

/* Inside a streamed segment these carry the transaction's id behind the kind. */
static bool carries_xid(char kind)
{
    return strchr("RYIUDTM", kind) != NULL;
}

static const char *without_xid(struct arena *arena, const char *data, size_t len)
{
    char *copy = arena_alloc(arena, len - 4);

    copy[0] = data[0];
    memcpy(copy + 1, data + 5, len - 5);
    return copy;
}

enum err pgoutput_decode(struct pgoutput *d, struct arena *arena, const char *data, size_t len, struct pgoutput_msg *ret, struct fault *f)
{
    struct pgoutput_msg m = {0};
    struct reader r = {data, len, 1, false};

    if (len == 0)
        return fault_set(f, ERR_PROTOCOL, "an empty message");
    if (d->in_stream && carries_xid(data[0])) {
        m.xid = read32(&r);
        if (r.bad)
            return fault_set(f, ERR_PROTOCOL, "message '%c' ends in its transaction id", data[0]);
        data = without_xid(arena, data, len);
        len -= 4;
        r = (struct reader){data, len, 1, false};
    }
    m.kind = (enum pgoutput_kind)data[0];
    switch (m.kind) {
    case PGOUTPUT_RELATION:
        TRY(on_relation(d, &r, data, len, &m, f));
        break;
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
        TRY(on_change(d, arena, &r, (enum change_kind)m.kind, data, len, &m, f));
        break;
    case PGOUTPUT_TYPE:
    case PGOUTPUT_MESSAGE:
        break;
    default:
        on_transaction(d, &r, &m);
        if (r.bad || r.at != r.len)
            return fault_set(f, ERR_PROTOCOL, "message 0x%02x is malformed at byte %zu of %zu", (unsigned char)data[0], r.at, len);
    }
    *ret = m;
    return ERR_OK;
}

enum err pgoutput_frame_decode(const char *data, size_t len, struct pgoutput_frame *ret, struct fault *f)
{
    struct reader r = {data, len, 1, false};
    struct pgoutput_frame frame = {0};

    if (len > 0)
        frame.kind = data[0];
    if (frame.kind == 'w') {
        frame.start.v = read64(&r);
        frame.wal_end.v = read64(&r);
        frame.sent_us = read_time(&r);
        frame.data = data + r.at;
        frame.len = len - r.at;
    } else if (frame.kind == 'k') {
        frame.wal_end.v = read64(&r);
        frame.sent_us = read_time(&r);
        frame.reply_wanted = read8(&r) != 0;
        r.bad = r.bad || r.at != len;
    } else {
        r.bad = true;
    }
    if (r.bad)
        return fault_set(f, ERR_PROTOCOL, "a replication frame is malformed");
    *ret = frame;
    return ERR_OK;
}

static void put64(char *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof v);
}

void pgoutput_feedback_encode(char out[PGOUTPUT_FEEDBACK_SIZE], struct lsn received, struct lsn durable, int64_t now_us, bool reply_wanted)
{
    out[0] = 'r';
    put64(out + 1, received.v);
    put64(out + 9, durable.v);
    put64(out + 17, durable.v);
    put64(out + 25, (uint64_t)(now_us - PG_EPOCH_US));
    out[33] = reply_wanted;
}
