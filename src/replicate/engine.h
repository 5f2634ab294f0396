/* replicate/engine.h — the process that moves one store: builds, copies, follows. Crash-only: whatever ends it, the next one
 * takes everything up from the record. */
#ifndef LEAT_REPLICATE_ENGINE_H
#define LEAT_REPLICATE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

/* Runs until it fails or is asked to stop (SIGTERM, SIGINT). Returns the process's exit status. Writes STATE/run/STORE.json about
 * four times a second, and STATE/run/STORE.fault when it ends with an error. `consent`: it may change the source as planned. */
int engine_main(const struct config *c, const char *state_dir, const char *store, int64_t pilot_token, bool consent);

#endif
