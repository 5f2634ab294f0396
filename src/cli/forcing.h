/* cli/forcing.h — leat cutover --force, rollback --force: what is not known is said, and consented to, before a side opens without the other's word. */
#ifndef LEAT_CLI_FORCING_H
#define LEAT_CLI_FORCING_H

#include <jansson.h>

#include "cli/cli.h"
#include "cutover/switch.h"

/* job->stream leads to the side that is opened. *ret: of the answer. */
MUST_USE enum err forcing_store(const struct cli *c, const struct switch_job *job, json_t **ret, struct fault *f);

#endif
