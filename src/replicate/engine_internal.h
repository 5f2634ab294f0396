/* replicate/engine_internal.h — the engine's parts, shared by its files. */
#ifndef LEAT_REPLICATE_ENGINE_INTERNAL_H
#define LEAT_REPLICATE_ENGINE_INTERNAL_H

#include "build/build.h"
#include "journal/journal.h"
#include "replicate/apply.h"
#include "replicate/backlog.h"
#include "replicate/copy.h"
#include "replicate/engine.h"
#include "replicate/fingerprint.h"
#include "replicate/finish.h"
#include "replicate/join.h"
#include "replicate/lag.h"
#include "replicate/progress.h"
#include "replicate/reader.h"

enum engine_phase { ENGINE_BUILD, ENGINE_COPY, ENGINE_JOIN, ENGINE_CONSTRAINTS, ENGINE_FOLLOW };

struct engine {
    const struct config *config;
    const struct config_store *config_store;
    const char *state_dir;
    bool consent;
    const struct engine_guest *guest;
    _Atomic bool want_sequences;
    void *guest_state;         /* of the guest, once it was started */
    struct journal *journal;
    char lease[64];
    int64_t token;
    struct store *store;
    struct catalog *source;
    struct catalog *target;
    struct build_post *post;
    struct registry *registry;
    struct router_state *router;
    struct spool_decoder decoder;
    struct spool *spool;     /* of tables still copying */
    struct backlog *backlog; /* of the whole stream: while it is not all on the target; NULL: none */
    struct backlog *backlog_over; /* its parcels may live on */
    struct queue *queue;
    struct reader *reader;
    struct ddl *ddl;
    struct fingerprint *fingerprint;
    struct touched *touched;
    struct apply *apply;
    struct copy *copy;
    struct join *join;
    struct finish *finish;
    struct store_watcher *watcher;
    struct watch watch;
    struct progress progress;
    struct applied *told;      /* how far the target is, for doors; NULL: of a way back */
    struct lsn acknowledged;   /* recorded in the journal; never behind what the source was told */
    enum engine_phase phase;
    bool away;                 /* the target does not answer */
    bool following;
    enum copy_pace pace;       /* the governor's */
    _Atomic int guest_pace;    /* of what reads both sides while the store is followed */
    struct lsn stuck_at;       /* the acknowledged position, and since when it has not moved (monotonic) */
    int64_t stuck_us;
    char doing[256];
    char waits_for[512];
    int64_t ledger;
    _Atomic bool leads;          /* as engine_hand says */
    struct switch_row authority; /* what the stream's source says */
    int64_t decided_us;        /* monotonic: since when it has said that the other side is to serve; 0: it does not */
    int64_t opened;            /* the epoch the target is known to serve from */
    int64_t started_us;        /* wall */
    struct fault before;       /* what the engine before this one ended with, and when (wall) */
    int64_t before_us;
    struct lag lag;
    int64_t served_us;         /* when the source was last seen to stream to us (monotonic) */
    int64_t lag_us;            /* or LAG_UNKNOWN */
    int64_t lag_bytes;
    struct heard {             /* when the source last said where it stands (wall), though it was to an engine before this one; 0: never */
        int64_t at_us;
        int64_t lag_us;        /* then */
        struct lsn source;
    } heard;
};

/* engine_prepare.c: everything before the threads start. */
MUST_USE enum err engine_prepare(struct engine *e, struct fault *f);
/* The same of the source alone, as far as the stream needs it. */
MUST_USE enum err engine_prepare_source(struct engine *e, struct fault *f);
/* engine_away.c: whether the target does not answer although the store has come so far that its changes can be kept; then, until
 * the target answers again or we are to stop. */
bool engine_target_is_away(struct engine *e, struct fault *ret_why);
MUST_USE enum err engine_away(struct engine *e, struct fault *f);
/* engine_govern.c: one look at what the source bears because of us. */
MUST_USE enum err engine_govern(struct engine *e, struct fault *f);
/* Whether the slot was given up; the act is brought to its end if it was not. ERR_SLOT_DROPPED. */
MUST_USE enum err engine_check_dropped(struct engine *e, struct fault *f);
/* engine_status.c */
void engine_write_status(struct engine *e);
void engine_write_fault(const char *state_dir, const char *store, const struct fault *f);
/* What the engine before this one ended with; it is not to be taken for this one's. */
void engine_take_fault(struct engine *e);
/* engine_authority.c: who serves, as the source says; a decision that nobody carries to its end is carried to it. */
MUST_USE enum err engine_mind_authority(struct engine *e, struct fault *f);
/* engine_watch.c: one turn of the engine's own loop. */
MUST_USE enum err engine_turn(struct engine *e, struct fault *f);
/* Tables that lost their key are given another identity on the source. */
MUST_USE enum err engine_mind_identities(struct engine *e, struct fault *f);
/* Whether `every` has passed since *last; then *last is now. */
bool engine_due(int64_t *last, int64_t every);
/* A source whose disk is full takes none: the stream is all the more to be read and acknowledged, its log has to go. */
MUST_USE enum err engine_heartbeat(struct engine *e, struct fault *f);
/* First the record, then the source. */
MUST_USE enum err engine_acknowledge(struct engine *e, struct fault *f);
/* The last word to the source before a graceful end. */
void engine_last_acknowledge(struct engine *e);

extern _Atomic bool engine_stop; /* set by SIGTERM and SIGINT */

#endif
