/* cutover/switch.h — the switch of one store, its rehearsal, and the way back: one protocol (SWITCH.md), whichever way
 * it goes.
 *
 *   gate → hold → lock → mark → check, drain ∥ rebuild → prepare → [rehearsal: back] → decide → open → release → deny
 *
 * Before the decision every failure goes back; after it everything goes forward. What is true stands in the servers'
 * rows: whoever dies in between, the next one reads them and goes on (switch_settle), and doors that lost us settle by
 * compare-and-set. */
#ifndef LEAT_CUTOVER_SWITCH_H
#define LEAT_CUTOVER_SWITCH_H

#include <jansson.h>

#include "journal/journal.h"
#include "store/store.h"

enum switch_step {
#define X(ID, name, text) SWITCH_##ID,
#include "cutover/steps.def"
#undef X
    SWITCH_STEPS
};
const char *switch_step_name(enum switch_step step);

struct switch_job {
    const struct config *config;
    const struct config_store *stream; /* that leads from the old side to the new one: a store's own, or its way back */
    const char *state_dir;
    struct journal *journal;
    bool rehearsal;
    const char *shapes;                /* of the stream (replicate/touched.h), from before its gate "verify" was asked; NULL: it was not */
    bool no_failover;                  /* said by whoever asks: no standby of either side is promoted while it runs */
    _Atomic bool *stop;                /* asked to stop: before the decision it goes back, after it nothing stops it */
    enum err (*ours)(void *ctx, struct fault *f); /* an error: another command has taken this over; NULL: none can */
    void (*say)(void *ctx, const char *text); /* NULL: nobody listens */
    void *ctx;
};

struct switch_report {
    int64_t step_us[SWITCH_STEPS];
    int64_t pause_us;      /* the longest any client of a door waited; without doors, from the locks to the opening */
    int64_t held;
    int64_t asked; /* of those: had worked since they were asked what they are, and had to be asked again */
    int64_t moved;
    int64_t failed;
    int doors;
    int tries;
    bool decided;
    bool opened;        /* the side that was decided for */
    bool unknown;       /* whether it was decided: its server did not say */
    bool source_serves; /* when it ended, or is to; nothing is meant where that is not known */
    int64_t epoch;
    json_t *unmovable;     /* by client; the caller's own */
    /* {"client", "user", "application", "ms"} of whom the others waited for, or NULL; the caller's own: until held,
     * with "boundary_ms"; until rebuilt on the new side, with "how" */
    json_t *last_held;
    json_t *last_rebuilt;
    json_t *deny; /* {"side", "may_connect", "left", "notes"} of the side that was left, or NULL; the caller's own */
};

/* Fences, rows of authority, and the record that the way back is to be kept. Safe to be done again. */
MUST_USE enum err switch_arm(const struct switch_job *job, struct fault *f);
/* ERR_GATE: it did not begin, and why. ERR_SWITCH_HELD_UP: it went back. ERR_AUTHORITY: it is not known who serves until a server answers again.
 * ERR_DOOR_LEFT: it is done, and a door could not be told.
 * *ret is filled in every case. */
MUST_USE enum err switch_run(const struct switch_job *job, struct switch_report *ret, struct fault *f);
/* The side that was left, where it is not denied yet: a switch whose command died before. job->stream leads to the side
 * that serves, at `epoch`. Only the report's deny is filled in; nothing fails. */
void switch_deny(const struct switch_job *job, int64_t epoch, struct switch_report *ret);
/* The target, where it is denied since it was left: the doors are to send reads there. */
MUST_USE enum err switch_admit_reads(const struct switch_job *job, struct fault *f);
/* A decision that was left half carried out is carried to its end. *ret_source_serves: who serves. */
MUST_USE enum err switch_settle(const struct switch_job *job, bool *ret_source_serves, int64_t *ret_epoch, struct fault *f);

#endif
