/* pilot/engine_process.h — one store's engine as a child process: started, ended, started again, or given up. */
#ifndef LEAT_PILOT_ENGINE_PROCESS_H
#define LEAT_PILOT_ENGINE_PROCESS_H

#include <sys/types.h>

#include "pilot/pilot.h"

struct engine_process {
    const char *store;
    bool wanted;         /* it is to run */
    pid_t pid;           /* 0: none runs */
    int64_t started_us;
    int64_t again_us;    /* not to be started before */
    int64_t backoff_us;
    int64_t minute_us;   /* when the minute began in which ... */
    int deaths;          /* ... it was ended by a signal so many times */
    int64_t said_ns;     /* when its status was written, by the file system, ... */
    int64_t heard_us;    /* ... and since when (monotonic) it was not again */
    int64_t looked_us;
    int64_t asked_us;    /* monotonic: a person asked for it to go on; 0: nobody did */
    int crashes;         /* by its own fault, without health between */
    struct fault fault;  /* code not ERR_OK: it has stopped for good */
};

/* One look: reaps it, decides what its end means, starts it when it is time. Failures go to e->fault. */
void engine_process_turn(struct engine_process *e, const struct pilot_job *job, int64_t token);
/* A store that had stopped may be started again. */
void engine_process_revive(struct engine_process *e);
/* Asks it to stop. */
void engine_process_ask(const struct engine_process *e);
/* Whether none runs any more; `force` ends it at once. */
bool engine_process_gone(struct engine_process *e, bool force);

#endif
