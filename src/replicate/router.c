/* replicate/router.c — see router.h. Descriptions are few (one a table, one more after each DDL) and never change: a table of
 * pointers, read under a lock that is hardly ever contended, with the last answers kept by each caller's own hash line. */
#include "replicate/router.h"

#include <stdlib.h>

struct slot {
    const struct relation *relation;
    const struct binding *binding;
    struct rtable *table;
};

struct router_state {
    struct store *store;
    struct registry *registry;
    struct arena *arena;
    pthread_rwlock_t lock;
    struct slot *slots;
    size_t size;
    size_t count;
    uint32_t serial;
};

struct router_state *router_new(struct store *s, struct registry *r)
{
    struct router_state *rs = mem_alloc(sizeof *rs);

    rs->store = s;
    rs->registry = r;
    rs->arena = arena_new(65536);
    rs->size = 1024;
    rs->slots = mem_alloc(rs->size * sizeof *rs->slots);
    pthread_rwlock_init(&rs->lock, NULL);
    return rs;
}

void router_free(struct router_state *rs)
{
    if (rs == NULL)
        return;
    pthread_rwlock_destroy(&rs->lock);
    arena_free(rs->arena);
    free(rs->slots);
    free(rs);
}

static struct slot *find(struct router_state *rs, const struct relation *rel)
{
    size_t at = ((uintptr_t)rel >> 4) * 0x9e3779b97f4a7c15u >> 20 & (rs->size - 1);

    while (rs->slots[at].relation != NULL && rs->slots[at].relation != rel)
        at = (at + 1) & (rs->size - 1);
    return &rs->slots[at];
}

static void grow(struct router_state *rs)
{
    struct slot *old = rs->slots;
    size_t old_size = rs->size;

    rs->size *= 2;
    rs->slots = mem_alloc(rs->size * sizeof *rs->slots);
    for (size_t i = 0; i < old_size; i++)
        if (old[i].relation != NULL)
            *find(rs, old[i].relation) = old[i];
    free(old);
}

static enum err make(struct router_state *rs, const struct relation *rel, struct slot *ret, struct fault *f)
{
    struct slot made = {.relation = rel};
    struct binding *b;

    if (strcmp(rel->schema, "leat") != 0) {
        made.table = registry_find(rs->registry, rel->id);
        if (made.table == NULL)
            return fault_set(f, ERR_DDL, "table %s.%s appeared on the source after the migration began", rel->schema, rel->name);
        TRY(rs->store->ops->bind(rs->store, rs->arena, rel, made.table->source, made.table->target, ++rs->serial, &b, f));
        made.binding = b;
    }
    *ret = made;
    return ERR_OK;
}

enum err router_bind(struct router_state *rs, const struct relation *rel, const struct binding **ret, struct rtable **ret_table, struct fault *f)
{
    struct slot slot;
    enum err err = ERR_OK;

    pthread_rwlock_rdlock(&rs->lock);
    slot = *find(rs, rel);
    pthread_rwlock_unlock(&rs->lock);
    if (slot.relation == NULL) {
        pthread_rwlock_wrlock(&rs->lock);
        slot = *find(rs, rel);
        if (slot.relation == NULL) {
            err = make(rs, rel, &slot, f);
            if (err == ERR_OK) {
                if (2 * (rs->count + 1) > rs->size)
                    grow(rs);
                *find(rs, rel) = slot;
                rs->count++;
            }
        }
        pthread_rwlock_unlock(&rs->lock);
    }
    if (err == ERR_OK) {
        *ret = slot.binding;
        *ret_table = slot.table;
    }
    return err;
}
