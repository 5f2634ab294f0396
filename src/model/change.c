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
    p->change_count++;
    p->bytes += c->raw_len;
}
