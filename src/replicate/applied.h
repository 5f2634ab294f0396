/* replicate/applied.h — how far the target is, told to other processes of this machine as it happens: STATE/run/STORE.applied.
 *
 * The engine writes, doors read (reads first). It says two things of the stream's history, true for ever once they were: everything that the
 * source committed up to `applied`, keepalives counted, is on the target if the target has the mark `mark`. So whoever reads it asks the target
 * for that mark: what a crash took from there (lanes commit without waiting for the disk) is not believed to be there.
 *
 * A file of two cache lines, mapped; made anew by every engine, and what the one before it said is taken back. Both numbers only grow in one file,
 * and `mark` is written first: read in the other order, `mark` is never older than `applied`. While a table has not joined, nothing is said. */
#ifndef LEAT_REPLICATE_APPLIED_H
#define LEAT_REPLICATE_APPLIED_H

#include "model/position.h"

#define APPLIED_ALIVE_US ((int64_t)2000000) /* an engine that has said nothing for so long says nothing */

struct applied; /* the writer */
/* A file that cannot be made is no reason not to replicate: NULL, and every other call takes that. */
struct applied *applied_open(const char *state_dir, const char *store);
/* What was said is no longer: before tables are emptied. */
void applied_close(struct applied *a);
/* By whoever holds the applier's lock. */
void applied_put(struct applied *a, struct lsn applied, struct lsn mark);
/* At least every half second: whether every table follows. */
void applied_stand(struct applied *a, bool follows);

/* Of a store, as its engine says now. False: nothing can be said. */
bool applied_read(const char *state_dir, const char *store, struct lsn *ret_applied, struct lsn *ret_mark);

#endif
