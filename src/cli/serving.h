/* cli/serving.h — of a store's status: who serves, what its way back does, and its doors. */
#ifndef LEAT_CLI_SERVING_H
#define LEAT_CLI_SERVING_H

#include <jansson.h>

#include "base/mem.h"
#include "cli/cli.h"

/* Adds "way_back" (null: never armed), "doors" and "sessions"; "authority" and "epoch" as whichever engine knows the later epoch says. */
void serving_add(const struct cli *c, const struct config_store *store, json_t *o);
/* For people; nothing of a store that was never armed and has no door. */
void serving_lines(const json_t *stores, struct buf *out);
/* Why an engine ended, while none runs; JSON null: it did not, or was asked to. */
json_t *serving_fault(const char *state_dir, const char *store, bool alive);

#endif
