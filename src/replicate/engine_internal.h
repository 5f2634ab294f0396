/* replicate/engine_internal.h — the engine's parts, shared by its files. */
#ifndef LEAT_REPLICATE_ENGINE_INTERNAL_H
#define LEAT_REPLICATE_ENGINE_INTERNAL_H

#include "build/build.h"
#include "journal/journal.h"
#include "replicate/apply.h"
#include "replicate/copy.h"
#include "replicate/finish.h"
#include "replicate/join.h"
#include "replicate/progress.h"
#include "replicate/reader.h"

enum engine_phase { ENGINE_BUILD, ENGINE_COPY, ENGINE_JOIN, ENGINE_CONSTRAINTS, ENGINE_FOLLOW };

struct engine {
    const struct config *config;
    const struct config_store *config_store;
    const char *state_dir;
    bool consent;
    struct journal *journal;
    char lease[64];
    int64_t token;
    struct store *store;
    struct catalog *source;
    struct catalog *target;
    struct build_post *post;
    struct registry *registry;
    struct router_state *router;
    struct spool *spool;
    struct queue *queue;
    struct reader *reader;
    struct apply *apply;
    struct copy *copy;
    struct join *join;
    struct finish *finish;
    struct store_watcher *watcher;
    struct watch watch;
    struct progress progress;
    struct lsn acknowledged;   /* recorded in the journal; never behind what the source was told */
    enum engine_phase phase;
    bool following;
    bool copy_paused;
    char doing[256];
    char waits_for[512];
    int64_t ledger;
    int64_t started_us;        /* wall */
    int64_t lag_us;
    int64_t lag_bytes;
};

/* engine_prepare.c: everything before the threads start. */
MUST_USE enum err engine_prepare(struct engine *e, struct fault *f);
/* engine_status.c */
void engine_write_status(struct engine *e);
void engine_write_fault(const char *state_dir, const char *store, const struct fault *f);
void engine_clear_fault(const char *state_dir, const char *store);
/* engine_watch.c: one turn of the engine's own loop. */
MUST_USE enum err engine_turn(struct engine *e, struct fault *f);
/* The last word to the source before a graceful end. */
void engine_last_acknowledge(struct engine *e);

extern _Atomic bool engine_stop; /* set by SIGTERM and SIGINT */

#endif
