/* build/step.h — statements on the target, one step after the other, each with words for people. Some may fail: what a
 * role that is no superuser cannot do, and the copy can live without, becomes a note, with the statement an
 * administrator can run. */
#ifndef LEAT_BUILD_STEP_H
#define LEAT_BUILD_STEP_H

#include "base/fault.h"
#include "base/mem.h"
#include "store/postgres/pg.h"

enum step_if_refused {
    STEP_STOP,       /* an error */
    STEP_NOTE_RIGHT, /* a note when a right (42501) or the role named (42704) is missing */
    STEP_NOTE,       /* a note whatever the server says */
};

struct step {
    const char *what; /* "table public.orders", "setting work_mem of the database" */
    const char *sql;  /* one or more statements */
    const char *show; /* NULL: sql; else what of it people may see (verifiers stay out of messages) */
    enum step_if_refused if_refused;
};

/* Must run inside a transaction of the target. `notes` gets a line for each step refused and forgiven. A stop:
 * TARGET_NOT_EMPTY when the thing exists, SCHEMA with the statement around the place the server names; what pg_fault
 * says for the rest. ret_state, if wanted, is the server's sqlstate, "" when it took the step. */
MUST_USE enum err step_run(struct pg *target, const struct step *s, struct buf *notes, char ret_state[6],
                           struct fault *f);

/* A list of them that grows. */
struct steps {
    struct step *list;
    size_t count;
    size_t size;
};
void steps_add(struct steps *s, struct step step);
void steps_fini(struct steps *s);

#endif
