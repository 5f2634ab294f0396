/* cli/gates.h — which gates a store has come through, from its status. */
#ifndef LEAT_CLI_GATES_H
#define LEAT_CLI_GATES_H

#include "cli/cli.h"

/* Appends {"name", "store", "ok", "why"} for each. */
void gates_of(const struct cli *c, const json_t *store, json_t *gates);
/* The command that brings the last gate of a store that follows nearer; NULL: none. */
const char *gates_next(const json_t *store);
/* Adds "at" to what is known of a comparison: as of when both sides are known to be what it says, ISO 8601. */
void gates_date(json_t *verified);

#endif
