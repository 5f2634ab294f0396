/* replicate/apply.h — the dispatcher and its lanes: transactions of the stream into transactions of the target. */
#ifndef LEAT_REPLICATE_APPLY_H
#define LEAT_REPLICATE_APPLY_H

#include "base/queue.h"
#include "replicate/ddl.h"
#include "replicate/registry.h"
#include "replicate/router.h"
#include "replicate/spool.h"

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

/* Starts the dispatcher (reading parcels from `in`) and limits.apply_lanes lanes. `applied`: what ends at or
 * before it is not applied again; `mark`: the newest mark found on the target. */
MUST_USE enum err apply_start(struct store *s, struct registry *r, struct router_state *router, struct spool *spool, struct ddl *ddl, struct queue *in, struct lsn applied,
                              struct lsn mark, struct apply **ret, struct fault *f);
enum err apply_check(struct apply *a, struct fault *f);
void apply_facts(struct apply *a, struct apply_facts *ret);
/* Holds the dispatcher at a transaction's boundary with nothing in flight; *ret_at: that position, up to which everything
 * has been applied or spooled. False: it stopped instead. */
bool apply_hold(struct apply *a, struct lsn *ret_at);
void apply_release(struct apply *a);
/* Ends the threads. What is queued stays undone. */
void apply_stop(struct apply *a);

#endif
