/* verify/ranges.h — a table that takes longer than its snapshots may get old: compared in ranges of its key, each at a cut of its own.
 *
 *   whole --too long--> RANGE 1 of n --done--> RANGE 2 --too long--> divided again --> ... --> the last one done: the table is
 *
 * From nothing before the first bound to nothing behind the last, each range begins where the one before it ends: no key is in none of
 * them, whatever the bounds are.
 *
 * A row whose key moves from a range still to come to one that is done is in neither; it was touched, and is compared again for that
 * (replicate/touched.h). */
#ifndef LEAT_VERIFY_RANGES_H
#define LEAT_VERIFY_RANGES_H

#include "verify/compare.h"

/* Divides what is to be compared of t next, of which all at once took too long. False: it cannot be divided. */
MUST_USE enum err ranges_divide(struct compare *c, struct compared *t, bool *ret, struct fault *f);
/* After a cut: takes in what was found of t's range, if that is done; t is to go on with the next, or is done as a whole. */
void ranges_take(const struct compare *c, struct compared *t);

#endif
