/* cutover/attempt.h — one attempt of a switch, shared by the files that carry it out: gate.c, pause.c, decision.c, and
 * switch.c, which tries. */
#ifndef LEAT_CUTOVER_ATTEMPT_H
#define LEAT_CUTOVER_ATTEMPT_H

#include "cutover/doors.h"
#include "cutover/switch.h"

struct attempt {
    const struct switch_job *job;
    struct switch_report *report;
    struct store *store;
    const struct store_ops *ops;
    struct store_switch *sw;
    struct doors *doors;
    const char *base; /* the store's own name */
    const char *old_side;
    const char *new_side;
    int64_t deadline_us; /* of holding and locking, a length */
    int64_t epoch;
    int64_t attempt;
    int64_t mark;
    int64_t began_us; /* of the step */
    int64_t paused_us; /* 0: nobody was held yet */
    bool looked;       /* the rows were read: it is known who serves */
    bool warmed;       /* doors were told to make ready */
    bool holds;    /* doors were told to hold */
    bool admitted; /* clients were let in again on the new side, which had been denied */
};

/* --- attempt.c --- */

void attempt_say(const struct switch_job *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A step's time is from begins to ends. */
void attempt_begins(struct attempt *a, enum switch_step step);
void attempt_ends(struct attempt *a, enum switch_step step);
int64_t attempt_deadline_ms(const struct attempt *a);
bool attempt_stopped(const struct attempt *a);
MUST_USE enum err attempt_open(const struct switch_job *job, struct attempt *a, struct fault *f);
/* What attempt_open() opened, also where it failed. */
void attempt_close(struct attempt *a);
/* Fresh sessions on both servers; the old ones, and what they hold, are given up. */
MUST_USE enum err attempt_connect_again(struct attempt *a, struct fault *f);
/* For another try: doors that came back are spoken to again. */
MUST_USE enum err attempt_begin_again(struct attempt *a, struct fault *f);
/* Those that are there now; nothing is held. */
MUST_USE enum err attempt_doors_again(struct attempt *a, struct fault *f);
/* Marks only grow: one that comes round late counts for none after it. */
int64_t attempt_new_mark(struct attempt *a);
/* ERR_INTERRUPTED, or `late` with `what` after until_us of the monotonic clock. */
MUST_USE enum err attempt_await_mark(struct attempt *a, enum store_side on, int64_t mark, int64_t until_us,
                                     enum err late, const char *what, struct fault *f);

/* --- gate.c: nothing is held yet --- */

MUST_USE enum err attempt_gate(struct attempt *a, struct fault *f);
/* Right before they are held: doors ask those sessions again that worked since. */
MUST_USE enum err attempt_refresh(struct attempt *a, struct fault *f);

/* --- pause.c: clients wait --- */

/* hold → lock → mark → check, drain ∥ rebuild → prepare. Whatever it answers, nothing is decided. */
MUST_USE enum err attempt_before_decision(struct attempt *a, struct fault *f);
MUST_USE enum err attempt_release(struct attempt *a, const char *side, int64_t epoch, struct fault *f);
/* An error: it is not known who serves, or a door could not be told. */
MUST_USE enum err attempt_go_back(struct attempt *a, struct fault *f);
void attempt_cool(struct attempt *a);

/* --- decision.c --- */

/* ERR_SWITCH_HELD_UP with report->decided false: it was not decided, and never will be. */
MUST_USE enum err attempt_decide_and_open(struct attempt *a, struct fault *f);
/* Who serves, whatever became of the attempt: tried again until it can be told, for so long. */
MUST_USE enum err attempt_settle(struct attempt *a, int64_t patience_us, struct switch_settled *ret, struct fault *f);
/* Whether the new side serves by now; a->epoch is the one before it did, or the old side's. */
bool attempt_is_decided(struct attempt *a, const struct switch_settled *settled);

#endif
