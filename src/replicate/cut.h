/* replicate/cut.h — a cut: both sides hold one and the same state in a pair of snapshots, by construction, while the source goes
 * on. No slot is made, and nothing on the source is paused.
 *
 *   hold the dispatcher --> snapshot S of the source (tables locked first) --> mark H committed on the source
 *     --> all before H that S sees: applied, as one transaction --> snapshot of the target --> the rest: applied as ever
 *
 * A snapshot is no prefix of the order of commits: what S does not see may stand before what it sees. What is applied beyond the
 * first such transaction is noted beside its rows ("ahead", leat.progress), and is not applied again: by this engine, nor, if it dies
 * here, by the next.
 *
 * Invariants
 *  1. Nothing is on the target, when its snapshot is taken, that S does not see; and everything S sees is.
 *  2. The position on the target never passes a transaction that is not there. */
#ifndef LEAT_REPLICATE_CUT_H
#define LEAT_REPLICATE_CUT_H

#include "replicate/apply.h"

struct cut_place {
    struct store *store;
    struct apply *apply;
    _Atomic bool *stop;          /* ends it soon, with ERR_INTERRUPTED */
    struct store_cutter *cutter; /* holds the snapshots from then on, until cutter_end */
    /* Called when the cut stands and applying stands still yet: the target is what the source's snapshot is. Not ERR_BUSY; or NULL. */
    enum err (*meanwhile)(void *ctx, struct fault *f);
    void *ctx;
};

struct cut {
    struct lsn at;      /* the mark H */
    int64_t taken_us;   /* wall clock */
    int64_t held_us;    /* how long applying stood still, all tries together */
    int tries;
    size_t ahead;       /* transactions applied before their turn */
};

/* Tables of the source; their locks and both snapshots stand on return. ERR_BUSY: no cut could be made for now (somebody locks
 * the tables, transactions too large, changes of the schema), and nothing is held. Other faults end the engine. */
MUST_USE enum err cut_make(const struct cut_place *place, const struct table *const *source, const struct table *const *target, size_t count, struct cut *ret, struct fault *f);

#endif
