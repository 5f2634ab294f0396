/* model/change.c — filling parcels.
 *
 * A parcel is made about every millisecond, most of them small: it lives in its own arena, so that making one costs two
 * allocations and freeing it frees everything. */
#include "model/change.h"

#define PARCEL_CHUNK_BYTES ((size_t)64 << 10)

struct parcel *parcel_new(void)
{
    struct arena *arena = arena_new(PARCEL_CHUNK_BYTES);
    struct parcel *p = arena_zalloc(arena, sizeof *p);

    p->arena = arena;
    p->tail = &p->txns;
    return p;
}

void parcel_free(struct parcel *p)
{
    if (p != NULL)
        arena_free(p->arena);
}

struct txn *parcel_add_txn(struct parcel *p, uint32_t xid, bool first)
{
    struct txn *t = arena_zalloc(p->arena, sizeof *t);

    t->xid = xid;
    t->first = first;
    t->tail = &t->changes;
    *p->tail = t;
    p->tail = &t->next;
    p->txn_count++;
    return t;
}

void txn_add_change(struct parcel *p, struct txn *t, struct change *c)
{
    c->next = NULL;
    *t->tail = c;
    t->tail = &c->next;
    t->change_count++;
    t->bytes += c->raw_len;
    t->schema_change = t->schema_change || (c->kind == CHANGE_INSERT && c->relation != NULL && c->relation->notes_schema);
    t->switch_note = t->switch_note || (c->kind == CHANGE_INSERT && c->relation != NULL && c->relation->notes_switch);
    p->change_count++;
    p->bytes += c->raw_len;
}

static void parcel_count(struct parcel *p)
{
    p->txn_count = 0;
    p->change_count = 0;
    p->bytes = 0;
    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        p->txn_count++;
        p->change_count += t->change_count;
        p->bytes += t->bytes;
    }
}

struct parcel *parcel_split(struct parcel *p, struct txn *t)
{
    struct parcel *before = parcel_new();
    struct txn *last = p->txns;

    ENSURE(t != p->txns);
    while (last->next != t)
        last = last->next;
    last->next = NULL;
    before->txns = p->txns;
    before->tail = &last->next;
    before->received_us = p->received_us;
    p->txns = t;
    parcel_count(before);
    parcel_count(p);
    return before;
}

size_t parcel_drop_passed(struct parcel *p, struct lsn *passed)
{
    size_t dropped = 0;

    p->tail = &p->txns;
    for (struct txn *t = p->txns, *next; t != NULL; t = next) {
        next = t->next;
        if (lsn_lt(t->commit, *passed)) {
            dropped++;
            continue;
        }
        if (t->last)
            *passed = lsn_max(*passed, t->end);
        *p->tail = t;
        p->tail = &t->next;
    }
    *p->tail = NULL;
    if (dropped > 0)
        parcel_count(p);
    return dropped;
}
