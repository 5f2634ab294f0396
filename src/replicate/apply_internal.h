/* replicate/apply_internal.h — the dispatcher's and the lanes' common state: apply.c, apply_lanes.c, apply_cut.c. */
#ifndef LEAT_REPLICATE_APPLY_INTERNAL_H
#define LEAT_REPLICATE_APPLY_INTERNAL_H

#include "replicate/apply.h"

#define MOST_LANES 32
#define SEEN_MOST 65536u

struct apply_lane {
    struct apply *apply;
    pthread_t thread;
    bool started;
    struct store_lane *lane;
    struct batch *batch; /* given, being run; NULL: free */
    bool waits;          /* its early steps are done, it waits for the batch before */
    size_t index;
};

struct apply {
    struct store *store;
    struct registry *registry;
    struct router_state *router;
    struct spool *spool;
    struct ddl *ddl;
    struct touched *touched;
    struct queue *in;
    struct lsn start;
    struct lsn passed;       /* the end of the last whole transaction taken from the queue */
    pthread_t dispatcher;
    bool dispatcher_started;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct apply_lane lanes[MOST_LANES];
    size_t lane_count;
    uint64_t last_seq;       /* given out */
    uint64_t committed_seq;
    uint64_t yield_before;   /* lanes whose batch is later give up what they hold: an earlier one is blocked */
    bool serves;             /* the stream's source has the authority at the place the dispatcher stands; its own */
    bool chain;              /* a transaction larger than a part is under way, on lane chain_lane */
    size_t chain_lane;
    bool stop;
    bool hold;               /* asked for */
    bool held;               /* granted */
    struct fault fault;
    struct apply_facts facts;
    struct applied *told;
    struct parcel *kept;     /* of a schema change that ended the work */
    uint32_t *seen;          /* xids of the last transactions taken for the lanes: a ring of SEEN_MOST */
    uint64_t seen_count;
    struct lsn *ahead;       /* commits beyond the position that are on the target already, sorted (cut.h) */
    size_t ahead_count;
    struct parcel **returned; /* taken for a cut, and to be dispatched before what is queued */
    _Atomic size_t returned_count;
    _Atomic size_t returned_next;
    _Atomic bool in_hand; /* the dispatcher has a parcel, or is about to take one */
    _Atomic size_t taken; /* parcels in the hands of a cut */
    struct batch *done;      /* committed, for the dispatcher to free: it may still be looking at their keys */
};

/* apply.c */
void apply_fail(struct apply *a, const struct fault *f);
bool apply_is_over(struct apply *a);
/* Under the lock, when facts have moved: tells it to other processes. */
void apply_tell(struct apply *a);
/* apply_lanes.c */
void *apply_lane_thread(void *lane);
/* apply_cut.c: the next parcel, of those given back or of the queue; NULL: none until the deadline (0: at once). */
struct parcel *apply_next(struct apply *a, int64_t deadline_us, bool *ret_end);
/* For the dispatcher: waits, and counts as having it in hand before it is gone from where it was. */
struct parcel *apply_take_in_hand(struct apply *a, int64_t deadline_us, bool *ret_end);
/* Whether nothing has come that is not with the lanes yet. */
bool apply_all_given(struct apply *a);
bool apply_is_ahead(const struct apply *a, const struct txn *t);
void apply_note_seen(struct apply *a, const struct parcel *p);

#endif
