/* replicate/again.h — copying again what was copied before: some tables, or all of them behind a new slot.
 *
 *   a person, or the engine --fact in the journal--> the engine ends (ERR_ANEW) --> the next one, while it prepares:
 *       tables:  their records become those of a next attempt (store->copy_again)                    --> the fact goes
 *       logged:  a record says "copied while unlogged", the source says it is logged now: the record is the fact
 *       arming:  the target forgets every position and copy (store->forget), the spools go, the slot is made anew --> the fact goes
 *
 * Invariants
 *  1. The fact goes only when all of it has happened, durably; until then every engine that starts does all of it again. Doing it
 *     twice costs a number of an attempt, no more.
 *  2. While "arm-again" stands nothing is read from a slot, copied or applied: no old position ever meets the new slot.
 *  3. A fact that asks for tables is written by one side only (AGAIN_ASKED: the command; AGAIN_EMPTIED: the engine), when it does not stand, and
 *     removed by the engine: no request is lost between. */
#ifndef LEAT_REPLICATE_AGAIN_H
#define LEAT_REPLICATE_AGAIN_H

#include "journal/journal.h"
#include "store/store.h"

struct engine;

#define AGAIN_ASKED "copy-again"           /* source oids, as the text of an array: "{16384,16390}" */
#define AGAIN_EMPTIED "copy-again.emptied" /* the same */
#define AGAIN_ARM "arm-again"              /* who asked */

/* For whoever asks. ERR_BUSY: an earlier request has not been carried out yet. */
MUST_USE enum err again_ask(struct journal *j, const char *store, const char *fact, const char *value, struct fault *f);
MUST_USE enum err again_stands(struct journal *j, const char *store, const char *fact, bool *ret, struct fault *f);

/* --- the engine's --- */
/* While it prepares, once the target's lease is ours. `arm` makes the publication and the slot, and records where it stands. */
MUST_USE enum err again_arm(struct engine *e, enum err (*arm)(struct engine *e, bool again, struct fault *f), struct fault *f);
MUST_USE enum err again_tables(struct engine *e, struct fault *f);
/* Says in the journal which tables are copied again, and why. */
MUST_USE enum err again_note(struct engine *e, const struct copied_again *tables, size_t count, const char *why, struct fault *f);
/* A turn of the running engine. ERR_ANEW: there is something to do that the next engine does. */
MUST_USE enum err again_turn(struct engine *e, struct fault *f);

#endif
