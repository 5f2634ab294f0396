/* replicate/registry.h — the tables of a store and how far each one is.
 *
 *   PLANNED --open--> OPEN --last range--> COPIED --indexes--> INDEXED --a pass over the spool--> JOINED
 *      ^                |
 *      +--- gave up, or its snapshot was lost: the target's rows are emptied, the next attempt begins
 *
 * Invariants
 *  1. What a state says is in the target's record (leat.copy) before the state is taken here; a new engine finds the same.
 *  2. A change by transaction X to a table is applied iff X is not visible in the table's snapshot (skipped until joined;
 *     after that nothing visible can come, since the join waits for a heartbeat committed after the snapshot).
 *  3. JOINED is entered only while the dispatcher is held at `joined`: changes after it are the dispatcher's, up to it the pass's.
 * The set of tables is fixed while an engine lives. Fields other than the atomic ones are guarded by registry_lock. */
#ifndef LEAT_REPLICATE_REGISTRY_H
#define LEAT_REPLICATE_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>

#include "build/build.h"
#include "store/store.h"

enum table_state { TABLE_PLANNED, TABLE_OPEN, TABLE_COPIED, TABLE_INDEXED, TABLE_JOINED };
const char *table_state_name(enum table_state state);

struct rtable {
    const struct table *source;
    const struct table *target;
    bool late;                    /* came after the others: its shape may still be on its way in the stream */
    _Atomic int state;
    _Atomic uint64_t bytes;       /* copied in this attempt */
    _Atomic uint64_t rows;
    _Atomic bool give_up;         /* somebody waits for our lock, or the engine stops */
    _Atomic int attempt;
    int64_t opened_us;            /* when its copy began (monotonic), while OPEN */
    int64_t not_before_us;        /* the next attempt waits until then */
    struct copy_record record;    /* of this attempt */
    struct snapshot snapshot;
    bool has_snapshot;
    bool built;                   /* its keys and indexes stand, of an earlier attempt */
    int ranges_given;             /* handed to workers */
    int ranges_left;              /* not yet in */
    _Atomic bool heartbeat_seen;  /* the stream has passed H(t) */
    int pass;
    struct lsn joined;
    const struct build_item **items; /* keys first, then indexes */
    size_t item_count;
    size_t key_count;
    size_t items_given;
    size_t items_done;
};

struct registry {
    struct arena *arena;
    struct rtable *tables;
    size_t count;
    size_t *slots; /* by source oid, open addressing; index + 1 */
    size_t slot_count;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* any state changed, or there is new work */
    _Atomic uint32_t joined_count;
    uint32_t *gone; /* source oids with a record and nothing else */
    size_t gone_count;
    int last_pass;
};

/* The tables both sides have. One that was renamed on the source is still found on the target by the name its record has; one that was
 * dropped there is kept for the changes still to come, while the target has it. What only the source has is left out: its note in the
 * stream, or the comparison of catalogs, tells. */
MUST_USE enum err registry_new(const struct catalog *source, const struct catalog *target, const struct copy_records *records, struct registry **ret, struct fault *f);
/* Whether the table was dropped and nothing on the target is left to apply its changes to. */
bool registry_gone(const struct registry *r, uint32_t source_oid);
void registry_free(struct registry *r);
AUTO_DEFINE(registry)
/* Takes up what the target's records say. */
MUST_USE enum err registry_restore(struct registry *r, const struct copy_records *records, struct fault *f);
/* Gives every table its keys and indexes. */
void registry_items(struct registry *r, const struct build_post *post);
struct rtable *registry_named(const struct registry *r, const char *full); /* "schema.name" of the source; linear */
struct rtable *registry_find(const struct registry *r, uint32_t source_oid);
/* Sets the record with its parsed snapshot. Under the lock. */
MUST_USE enum err rtable_set_record(struct registry *r, struct rtable *t, const struct copy_record *record, struct fault *f);
/* Sets the state and wakes whoever waits. Under the lock. */
void rtable_move(struct registry *r, struct rtable *t, enum table_state state);
/* Back to PLANNED, for another attempt after `pause_us`. Under the lock. */
void rtable_reset(struct registry *r, struct rtable *t, int64_t pause_us);
static inline enum table_state rtable_state(const struct rtable *t)
{
    return (enum table_state)atomic_load_explicit(&t->state, memory_order_acquire);
}
bool registry_all(const struct registry *r, enum table_state at_least);
size_t registry_count(const struct registry *r, enum table_state at_least);

#endif
