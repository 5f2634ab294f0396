/* pilot/plan.h — what is known before the first step: the steps, what they mean for a store, and whether they may begin. */
#ifndef LEAT_PILOT_PLAN_H
#define LEAT_PILOT_PLAN_H

#include "config/config.h"
#include "journal/journal.h"

/* One row of steps.def. */
struct pilot_step {
    const char *name, *phase;
    bool changes_source;
    const char *effect, *undo, *until, *risk;
};
extern const struct pilot_step pilot_steps[];
extern const size_t pilot_step_count;

/* Bytes a second that times are reckoned with; an assumption, and said to be one. */
#define PLAN_COPY_RATE ((int64_t)40 << 20)

struct pilot_plan_store {
    const struct config_store *config;
    bool seen;                /* the source answered; else why_not */
    const char *why_not;
    size_t table_count;
    size_t sequence_count;
    int64_t bytes;
    double rows;              /* the server's estimate */
    const char *largest;      /* "public.orders", NULL: no table */
    int64_t largest_bytes;
    const char **without_key; /* tables that get another REPLICA IDENTITY: "public.t (FULL)" */
    size_t without_key_count;
    const char **long_copies; /* tables whose copy is likely to hold its snapshot beyond limits.snapshot_age, and that are not named as exempt */
    size_t long_copy_count;
    enum step_state *states;  /* one for each of pilot_steps, as the record has it */
};

struct pilot_plan {
    struct arena *arena;
    struct pilot_plan_store *stores; /* as in leat.yaml */
    size_t store_count;
    char digest[65];           /* of what is planned, not of sizes: it stays until the plan is another */
};
/* Looks at each source, and at the record where there is one; changes nothing. A source that does not answer is no error. */
MUST_USE enum err pilot_plan_make(const struct config *c, const char *state_dir, struct pilot_plan **ret, struct fault *f);
void pilot_plan_free(struct pilot_plan *p);
AUTO_DEFINE(pilot_plan)
/* Seconds a step is expected to take; 0: not known or not worth saying. */
int64_t pilot_step_seconds(const struct pilot_plan_store *s, size_t step);
/* A step's effect for this store, with names and numbers where they are known. In the arena. */
const char *pilot_step_effect(const struct pilot_plan *p, const struct pilot_plan_store *s, size_t step);

/* Everything doctor would find: ERR_DOCTOR (or the finding's own error) with the blockers. */
MUST_USE enum err pilot_check(const struct config *c, const char *state_dir, struct fault *f);
/* Whether every store has been armed already: it was checked and consented to then. */
MUST_USE enum err pilot_armed(const struct config *c, const char *state_dir, bool *ret_armed, struct fault *f);

#endif
