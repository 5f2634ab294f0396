/* verify/outcome.h — what is known of a store after its comparisons: the last one of all tables, and what has been compared again since. Pure. */
#ifndef LEAT_VERIFY_OUTCOME_H
#define LEAT_VERIFY_OUTCOME_H

#include <jansson.h>
#include <stdbool.h>

/* Whether a table is meant by one of these names ("schema.name", or "name"); NULL: all are. */
bool outcome_names(const json_t *names, const char *full);
/* before: the outcome so far, or NULL; names: the tables compared now, NULL for all; now: what was found of them. The caller's own. */
json_t *outcome_merge(const json_t *before, const json_t *names, const json_t *now);

/* What became of it while it stays verified: tables found to differ since ([{"table", "differences"}]), and those that are due to be
 * compared whole (names). The caller's own. */
json_t *outcome_stay(const json_t *before, json_t *differing, const json_t *due);

#endif
