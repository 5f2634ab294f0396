/* pilot/status.h — what engines say of themselves (STATE/run/STORE.json, STORE.fault), and what the record says of stores. */
#ifndef LEAT_PILOT_STATUS_H
#define LEAT_PILOT_STATUS_H

#include <jansson.h>

#include "config/config.h"

/* What a store's engine last said, or NULL. *ret_alive: it runs now. The caller's own. */
json_t *pilot_store_status(const char *state_dir, const char *store, bool *ret_alive);
/* The stream that leads away from the side that serves, as its engine said last: the store's own, or its way back. */
const struct config_store *pilot_leading(const char *state_dir, const struct config_store *store);
/* When that was written, by the file system's clock, in nanoseconds; 0: never. */
int64_t pilot_store_written(const char *state_dir, const char *store);
/* Why a store's engine ended; ret->code is ERR_OK when it said nothing. */
void pilot_store_fault(const char *state_dir, const char *store, struct fault *ret);
/* Writes it down for a process that could not itself. */
void pilot_store_note(const char *state_dir, const char *store, const struct fault *why);
/* Forgets why it ended. */
void pilot_store_forget(const char *state_dir, const char *store);
/* Whether every store follows, each by an engine that runs now. */
bool pilot_all_follow(const struct config *c, const char *state_dir);
/* A store that stopped stays so until a person acts: there is nothing to wait for. Its fault, the first one's. */
MUST_USE enum err pilot_stopped_store(const struct config *c, const char *state_dir, struct fault *f);

#endif
