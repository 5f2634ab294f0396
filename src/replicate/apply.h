/* replicate/apply.h — the dispatcher and its lanes: transactions of the stream into transactions of the target. */
#ifndef LEAT_REPLICATE_APPLY_H
#define LEAT_REPLICATE_APPLY_H

#include "base/queue.h"
#include "replicate/applied.h"
#include "replicate/ddl.h"
#include "replicate/registry.h"
#include "replicate/router.h"
#include "replicate/spool.h"
#include "replicate/touched.h"

struct apply;

struct apply_facts {
    struct lsn delivered;   /* everything up to here has left the stream for the lanes or the spool */
    struct lsn applied;     /* everything up to here has committed on the target, or is in the spool, or was nothing */
    struct lsn mark;        /* the newest mark committed on the target by this engine, or what it found there */
    int64_t applied_us;     /* the source's commit time of the last transaction applied; 0: none yet */
    bool idle;              /* nothing queued, nothing in flight */
    uint64_t txns;
    uint64_t changes;
    uint64_t replays;
    uint64_t divergences;
};

struct apply_place { /* where the target stands when an engine starts */
    struct lsn applied;      /* what ends at or before it is not applied again */
    struct lsn mark;         /* the newest mark found there */
    struct touched *touched; /* what is given to the lanes is noted there before */
    bool serves;             /* the stream's source had the authority there */
    const struct lsn *ahead; /* commits beyond it that are there already (cut.h) */
    size_t ahead_count;
    struct applied *told;    /* other processes hear there how far the target is; NULL: nobody does */
};

/* Starts the dispatcher (reading parcels from `in`) and limits.apply_lanes lanes. */
MUST_USE enum err apply_start(struct store *s, struct registry *r, struct router_state *router, struct spool *spool, struct ddl *ddl, struct queue *in,
                              const struct apply_place *at, struct apply **ret, struct fault *f);
enum err apply_check(struct apply *a, struct fault *f);
void apply_facts(struct apply *a, struct apply_facts *ret);
/* Holds the dispatcher at a transaction's boundary with nothing in flight; *ret_at: that position, up to which everything
 * has been applied or spooled. False: it stopped instead, or *stop became true (a large transaction may take its time to come to its end). */
bool apply_hold(struct apply *a, _Atomic bool *stop, struct lsn *ret_at);
void apply_release(struct apply *a);

/* --- while it is held, for a cut (cut.h); by one thread --- */
/* Whether a transaction that was applied is not visible in the snapshot yet: the snapshot is older than the target. */
bool apply_unseen(const struct apply *a, const struct snapshot *s);
/* What the stream brings next; NULL: nothing until the deadline (monotonic), or it is over. */
struct parcel *apply_take(struct apply *a, int64_t deadline_us);
/* All that was taken, in its order: dispatched before anything else once the hold is over. The array is the caller's. */
void apply_give_back(struct apply *a, struct parcel *const *list, size_t count);
/* What a cut is about to apply goes into the note of touched rows first, as it does before any lane has it (invariant 35). */
MUST_USE enum err apply_note_touched(struct apply *a, const struct batch *b, struct fault *f);
/* The session of a lane, which has nothing in flight meanwhile: its statements are prepared, its plans and caches warm.
 * To be left with no transaction open. */
struct store_lane *apply_held_lane(struct apply *a);
/* These commits (in any order) are on the target although they lie beyond its position, and are not applied again. */
void apply_skip(struct apply *a, const struct lsn *commits, size_t count);
/* How a relation of a transaction lands on the target; *ret NULL: not at all, by this stream. */
MUST_USE enum err apply_route(struct apply *a, const struct txn *t, const struct relation *rel, const struct binding **ret, struct fault *f);

/* Ends the threads. What is queued stays undone. */
void apply_stop(struct apply *a);

#endif
