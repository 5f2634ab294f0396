/* assess/doctor.h — everything that can be known to go wrong, looked at before anything is touched. */
#ifndef LEAT_ASSESS_DOCTOR_H
#define LEAT_ASSESS_DOCTOR_H

#include "assess/finding.h"
#include "base/fault.h"
#include "config/config.h"

/* Looks at this machine once and at both ends of every store; what is well is found too (SEVERITY_OK), so that the whole is a
 * checklist, in the order looked at: machine, then store by store. Changes nothing. A server that does not answer is a finding.
 * Initialises *ret; findings_fini() is the caller's. state_dir NULL: .leat beside leat.yaml. */
MUST_USE enum err doctor_examine_with(const struct config *c, const char *state_dir, struct findings *ret, struct fault *f);
MUST_USE enum err doctor_examine(const struct config *c, struct findings *ret, struct fault *f);

#endif
