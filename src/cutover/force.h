/* cutover/force.h — --force: the side a stream leads to is opened without the word of the one it comes from, because
 * that one is lost for good. */
#ifndef LEAT_CUTOVER_FORCE_H
#define LEAT_CUTOVER_FORCE_H

#include "cutover/switch.h"

/* What is known, and so what is not. Texts in the arena. */
struct switch_force {
    struct force_view view;
    const char *why; /* who serves cannot be settled without it */
};

/* ERR_GATE: it need not be forced: who serves can be settled, or the side serves already; or the other one is not lost.
 */
MUST_USE enum err switch_force_look(const struct switch_job *job, struct arena *a, struct switch_force *ret,
                                    struct fault *f);
/* Once a person has consented to what is not known: the record first (`body` of its event), then the side. */
MUST_USE enum err switch_force_open(const struct switch_job *job, const struct switch_force *v, const char *body,
                                    struct fault *f);

#endif
