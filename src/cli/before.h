/* cli/before.h — what stands before the first step of run and start. */
#ifndef LEAT_CLI_BEFORE_H
#define LEAT_CLI_BEFORE_H

#include "cli/cli.h"

/* ERR_OK: every store has been armed already, or nothing doctor finds blocks and each change of the source was consented to (--yes,
 * or a person at the terminal); c->yes is then true. Else the blockers, or ERR_CONSENT with what would be changed. */
MUST_USE enum err before_first(struct cli *c, struct fault *f);

#endif
