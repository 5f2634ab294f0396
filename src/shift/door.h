/* shift/door.h — the SQL door of a store: applications connect to it, and it to the side that serves.
 *
 * A process of its own, so that the death of pilot or engine drops no client. It holds, rebuilds and releases sessions when it
 * is told to over its control socket (door_control.c has the words), and settles by itself when nobody tells it any more. */
#ifndef LEAT_SHIFT_DOOR_H
#define LEAT_SHIFT_DOOR_H

#include "config/config.h"

/* `leat door STORE --nth N`: serves the N-th of the store's addresses until it has drained. Returns the exit status. */
int door_main(const struct config *c, const char *state_dir, const char *store, int64_t nth, struct fault *f);

#endif
