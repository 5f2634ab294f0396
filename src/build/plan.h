/* build/plan.h — everything that makes the empty schema on the target, as steps in their order. */
#ifndef LEAT_BUILD_PLAN_H
#define LEAT_BUILD_PLAN_H

#include "build/schema.h"
#include "build/step.h"

struct plan {
    struct schema *schema; /* the steps' texts live in it */
    struct steps steps;
    char digest[33]; /* of the statements, in their order: the same schema gives the same */
    struct buf notes;
};

/* Pre-data, owners where they come apart, default privileges, then the database's own settings, comment and grants. */
MUST_USE enum err plan_make(const char *dir, struct pg *source, struct pg *target, struct plan **ret, struct fault *f);
void plan_free(struct plan *p);
AUTO_DEFINE(plan)

#endif
