/* replicate/engine.h — the process that moves one store: builds, copies, follows. Crash-only: whatever ends it, the next one
 * takes everything up from the record. */
#ifndef LEAT_REPLICATE_ENGINE_H
#define LEAT_REPLICATE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "config/config.h"
#include "journal/journal.h"
#include "replicate/apply.h"

/* What works beside the engine once its store is followed: of a later phase, which this layer knows nothing of. */
struct engine_hand {
    const struct config *config;
    struct store *store;
    struct registry *registry; /* every table has joined */
    struct apply *apply;
    struct touched *touched;
    struct journal *journal;
    const _Atomic int *pace;      /* enum copy_pace: what the governor leaves it */
    struct ddl *ddl;
    const _Atomic bool *leads;    /* the stream leads away from the side that serves: what its source holds is what should be on its target */
    _Atomic bool *want_sequences; /* set: the engine puts them ahead at once, and clears it */
};
struct engine_guest {
    enum err (*start)(const struct engine_hand *hand, void **ret, struct fault *f);
    /* Its failure is the engine's. */
    enum err (*check)(void *guest, struct fault *f);
    /* Adds what it says of itself to the store's status. */
    void (*status)(void *guest, json_t *o);
    void (*stop)(void *guest); /* NULL is none */
};

/* The exit status of an engine says why it ended, for whoever finds no STORE.fault: its disk may be full. */
#define ENGINE_STATUS 64
_Static_assert(ENGINE_STATUS + ERR_COUNT < 126, "beyond it are the shell's and the signals'");

/* Runs until it fails or is asked to stop (SIGTERM, SIGINT). Returns ENGINE_STATUS + the error. Writes STATE/run/STORE.json about
 * four times a second, and STATE/run/STORE.fault when it ends with an error. `consent`: it may change the source as planned. */
int engine_main(const struct config *c, const char *state_dir, const char *store, int64_t pilot_token, bool consent, const struct engine_guest *guest);

#endif
