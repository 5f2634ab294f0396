/* replicate/router.c — see router.h. Descriptions are few (one a table, one more after each DDL and each reading of the spool) and
 * never change: a table by their serial, read under a lock that is hardly ever contended. A description may be gone before its
 * slot (the spool's readers end): its address can come again with another table's description, its serial cannot. */
#include "replicate/router.h"

#include <stdlib.h>

struct slot {
    uint64_t serial; /* of the relation; 0: free */
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

static struct slot *find(struct router_state *rs, uint64_t serial)
{
    size_t at = serial * 0x9e3779b97f4a7c15u >> 20 & (rs->size - 1);

    while (rs->slots[at].serial != 0 && rs->slots[at].serial != serial)
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
        if (old[i].serial != 0)
            *find(rs, old[i].serial) = old[i];
    free(old);
}

static enum err make(struct router_state *rs, const struct relation *rel, struct slot *ret, struct fault *f)
{
    struct slot made = {.serial = rel->serial};

    ENSURE(rel->serial != 0);
    struct binding *b;

    if (strcmp(rel->schema, "leat") != 0 && !registry_gone(rs->registry, rel->id)) {
        made.table = registry_find(rs->registry, rel->id);
        if (made.table == NULL)
            return fault_todo(f, ERR_DDL, "create it on the target as it is on the source, then `leat resume STORE`", "table %s.%s of the source is not on the target: it came after the migration began, or was dropped there", rel->schema, rel->name);
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
    slot = *find(rs, rel->serial);
    pthread_rwlock_unlock(&rs->lock);
    if (slot.serial == 0) {
        pthread_rwlock_wrlock(&rs->lock);
        slot = *find(rs, rel->serial);
        if (slot.serial == 0) {
            err = make(rs, rel, &slot, f);
            if (err == ERR_OK) {
                if (2 * (rs->count + 1) > rs->size)
                    grow(rs);
                *find(rs, rel->serial) = slot;
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
