/* replicate/touched.h — which rows were touched since both sides were compared: a note of their keys, so that comparing again costs
 * what changed, not what there is.
 *
 *   begin --> batches: their keys written down, then applied --> read from the place that is compared so far, to the end
 *     --> a cut, those rows compared --> passed: the place moves on
 *
 * Invariants
 *  1. While it stands, the key of every row that was touched on the target since `begin`, and is not compared since, is in the note from its
 *     place on, or its table is named there as a whole: written before the batch is given to a lane. Killed processes lose nothing of it.
 *  2. What could not be written (the disk, too much of it), or may not be there (the machine was down), ends it: it never stands
 *     with a gap. A whole comparison begins it anew.
 * Of the source's rows nothing is noted that the stream did not bring; of the target's, nothing that others wrote there. */
#ifndef LEAT_REPLICATE_TOUCHED_H
#define LEAT_REPLICATE_TOUCHED_H

#include "journal/journal.h"
#include "model/batch.h"
#include "replicate/registry.h"
#include "replicate/touched_log.h"

struct touched;

/* Goes on where the engine before it was, if all is there. The dispatcher does not run yet. */
MUST_USE enum err touched_new(const char *state_dir, struct store *s, struct journal *j, const struct registry *r, struct touched **ret, struct fault *f);
void touched_free(struct touched *t);
AUTO_DEFINE(touched)

/* --- writing: the dispatcher, and whoever works while it is held --- */
/* They fail only if neither the note nor the word that there is none any more can be written. Before b is given to a lane. Transactions that commit before `start` are not applied. Does nothing unless it stands. */
MUST_USE enum err touched_batch(struct touched *t, const struct batch *b, struct lsn start, struct fault *f);
MUST_USE enum err touched_txn(struct touched *t, const struct txn *x, struct fault *f);
MUST_USE enum err touched_table(struct touched *t, const struct rtable *table, struct fault *f);

/* --- what tables look like --- */
/* Another text where the table has other columns, or is known by others; to be freed. */
char *touched_shape(const struct table *t);
/* What the engine that follows read of its source's tables: in the arena, NULL: none did. What is compared, is compared by it. */
MUST_USE enum err touched_shapes(struct journal *j, const char *stream, struct arena *a, const char **ret, struct fault *f);
/* The first table that looks otherwise than it says; NULL: none. */
const struct table *touched_other_shape(const char *shapes, const struct catalog *source);

/* --- reading: one thread --- */
/* From now on; what was noted before is forgotten. */
MUST_USE enum err touched_begin(struct touched *t, struct fault *f);
bool touched_stands(struct touched *t);
/* What was noted says nothing any more. */
MUST_USE enum err touched_end(struct touched *t, const char *why, struct fault *f);
/* Nothing was touched since the last `passed`. */
bool touched_none(struct touched *t);

struct touched_rows {
    const struct rtable *table;
    bool whole;         /* the table as a whole; then there are no keys */
    size_t count;       /* of keys; one may come more than once */
    const char **keys;  /* count times as many texts as the key has columns, in the source table's order */
};
struct touched_list {
    struct touched_rows *rows;
    size_t count;
    struct touched_place upto;
    bool all;           /* it is the end of what was noted */
};
/* What stands in the note from its place on, at most about `most` keys of it; in the arena. All of it was applied, or is by any later cut.
 * ERR_BUSY: it cannot be read, and does not stand any more. */
MUST_USE enum err touched_read(struct touched *t, size_t most, struct arena *a, struct touched_list *ret, struct fault *f);
/* Up to there all is compared, or written down elsewhere. */
MUST_USE enum err touched_passed(struct touched *t, struct touched_place upto, struct fault *f);

#endif
