/* verify/verify_internal.h — what the files of the thread beside the engine share: verify.c (its life, requests), groups.c (comparing), repair.c. */
#ifndef LEAT_VERIFY_VERIFY_INTERNAL_H
#define LEAT_VERIFY_VERIFY_INTERNAL_H

#include <jansson.h>
#include <pthread.h>

#include "replicate/cut.h"
#include "verify/compare.h"
#include "verify/verify.h"

struct stay { /* of stay.c */
    struct store_cutter *cutter; /* NULL: at rest */
    int64_t next_us;             /* monotonic: the next round, */
    int64_t large_us;            /* and the next one with a large table */
    int64_t patience_us;         /* until the next try, while nothing comes of it */
    /* under the lock */
    int64_t at_us;               /* wall clock: all that was touched up to then is compared, but for what is due; 0: not yet */
    uint64_t keys;               /* compared by this engine */
    uint64_t rounds;
    char why[256];               /* it does not go on; "" if it does */
};

struct verify {
    struct engine_hand hand;
    pthread_t thread;
    pthread_mutex_t lock;
    struct fault fault;
    _Atomic bool stop;
    bool running;
    char doing[512];
    char id[32];             /* of the request that is carried out */
    size_t tables_done;
    size_t tables_total;
    _Atomic uint64_t rows;
    double rows_expected;
    int64_t began_us;
    json_t *outcome;         /* of the last comparison; NULL: none yet. Written by the thread alone */
    struct stay stay;
};

/* One request, being carried out. */
struct run {
    struct verify *v;
    struct arena *arena;
    const char *id;
    enum verify_does does;
    json_t *names;            /* of the tables it is about; NULL: all of them */
    struct store_cutter *cutter;
    struct store_lane *lane;
    struct compared *tables;  /* the scratch table first */
    size_t count;
    uint64_t rows;
    uint64_t differences;
    int found;
    json_t *unverifiable;
    json_t *objects;          /* around the rows, and not as on the source */
    json_t *differing;        /* [{"table", "differences"}] */
    json_t *left_out;         /* [{"object", "why"}]: no comparison of rows looks at it */
    struct cut cut;           /* the last one made */
};

bool verify_stopped(const struct verify *v);
void verify_say(struct verify *v, const char *text);
/* Takes o. */
MUST_USE enum err verify_append(struct run *r, enum event_kind kind, json_t *o, struct fault *f);

/* stay.c; by the thread, while nothing is asked for. */
MUST_USE enum err stay_turn(struct verify *v, struct fault *f);
/* It does not go on for now, and why. */
void stay_held(struct verify *v, const char *why);
/* Gives up what it holds between two rounds. */
void stay_rest(struct verify *v);
/* Under the lock. */
void stay_status(const struct verify *v, json_t *verified);

/* groups.c */
#define TABLES_A_CUT 200
/* A cut of those of c's tables that are not done, at most TABLES_A_CUT of them, and what can be compared of them as long as it may stand.
 * Of c the caller sets cutter, arena, tables, count, named_most, pairs and rows. ret_ledger: the last entry there was at the cut, or NULL.
 * *ret_why: as compare_run says. */
MUST_USE enum err verify_at_cut(struct verify *v, struct compare *c, struct cut *ret, int64_t *ret_ledger,
                                const char **ret_why, struct fault *f);
/* A comparison that cannot be made is no reason for the engine to stop: a table that was dropped meanwhile, a right that was taken. */
bool verify_is_for_now(enum err err);
/* How many of the run's tables are our own, at the beginning of the list: the scratch table of the self-test. */
size_t verify_own_tables(const struct run *r);
/* Those the run is about, the largest first; what an engine before us compared for it (before) stands. */
void verify_choose(struct run *r, const json_t *before);
MUST_USE enum err verify_groups(struct run *r, struct fault *f);

/* repair.c; both about r->names, and safe to be done again. */
/* What was compared, with its rows named, is written down: STATE/repair/STORE.json and .sql. */
MUST_USE enum err repair_plan(struct run *r, struct fault *f);
/* The tables of the plan that stands, as names; the caller's own. */
MUST_USE enum err repair_tables(const struct run *r, json_t **ret, struct fault *f);
/* done: what an engine before us mended for this request. */
MUST_USE enum err repair_apply(struct run *r, const json_t *done, struct fault *f);

#define REPAIR_MOST 1000 /* rows of a table; more are no accident, and the table is better copied again */

#endif
