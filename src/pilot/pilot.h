/* pilot/pilot.h — the pilot: holds the migration's lease, starts an engine per store, and starts it again when it dies. */
#ifndef LEAT_PILOT_PILOT_H
#define LEAT_PILOT_PILOT_H

#include <jansson.h>

#include "config/config.h"

struct pilot_view { /* called about four times a second, and at changes */
    void (*show)(void *ctx, const struct config *c, const char *state_dir);
    void (*event)(void *ctx, const char *store, const char *text); /* "engine restarted: ..." */
    void *ctx;
};

struct pilot_job {
    const struct config *config;
    const char *state_dir;   /* absolute */
    bool consent;
    bool until_replicate;    /* ends when every store follows; else only when asked to (SIGTERM, SIGINT) */
    struct pilot_view view;
};

/* ERR_OK: reached. ERR_INTERRUPTED: asked to stop. Else the first store's failure that is not transient. */
MUST_USE enum err pilot_run(const struct pilot_job *job, struct fault *f);
/* Where the pilot daemon is; 0: none runs. */
int pilot_pid(const char *state_dir);
/* What a store's engine last said (STATE/run/STORE.json), or NULL. *ret_alive: it runs now. */
json_t *pilot_store_status(const char *state_dir, const char *store, bool *ret_alive);
/* Everything doctor would find, before a store is armed: ERR_DOCTOR with the blockers. */
MUST_USE enum err pilot_check(const struct config *c, const char *state_dir, struct fault *f);
/* Whether every store has been armed already: consent was given then. */
MUST_USE enum err pilot_armed(const struct config *c, const char *state_dir, bool *ret_armed, struct fault *f);
/* STATE and the folders in it. */
MUST_USE enum err pilot_folders(const char *state_dir, struct fault *f);

struct pilot_step {
    const char *name, *phase, *effect, *undo, *risk;
    bool changes_source;
};
extern const struct pilot_step pilot_steps[];
extern const size_t pilot_step_count;

#endif
