/* pilot/pilot.h — the pilot: holds the migration's lease, runs an engine per store, and starts it again when it dies.
 * What is known before the first step stands in pilot/plan.h, what engines say of themselves in pilot/status.h. */
#ifndef LEAT_PILOT_PILOT_H
#define LEAT_PILOT_PILOT_H

#include "config/config.h"

struct pilot_view {
    void (*show)(void *ctx, const struct config *c, const char *state_dir); /* about four times a second */
    void (*event)(void *ctx, const char *store, const char *text); /* "engine restarted: ..."; store "" for the whole */
    void *ctx;
};

struct pilot_job {
    const struct config *config;
    const char *state_dir;   /* absolute */
    bool consent;
    bool until_replicate;    /* ends when every store follows; else only when asked to, or when every store has failed */
    bool (*reached)(void *ctx); /* another end to come to; NULL: none */
    void *reached_ctx;
    bool daemon;             /* others find it by pilot_pid() */
    struct pilot_view view;
};

/* Takes the lease "pilot" (ERR_LEASE_HELD), works, and leaves no engine behind. ERR_OK: reached. ERR_INTERRUPTED: SIGTERM, SIGINT
 * or SIGHUP came. Else the failure of the first store that stopped; the others were let go on until they were done, too. */
MUST_USE enum err pilot_run(const struct pilot_job *job, struct fault *f);
/* The pilot daemon's pid; 0: none runs here. A pid used again by another process is not taken for it. */
int pilot_pid(const char *state_dir);
/* Asks the daemon to start stores that have stopped again; false: none runs. */
bool pilot_wake(const char *state_dir, const char *store);
/* Whether it heard that. A pilot that was ending just then never does. */
bool pilot_heard(const char *state_dir, const char *store);
/* STATE and the folders in it. */
MUST_USE enum err pilot_folders(const char *state_dir, struct fault *f);

#endif
