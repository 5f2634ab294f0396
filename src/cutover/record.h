/* cutover/record.h — what the journal keeps of switching a store: that it was armed, and how rehearsals went. What is true of authority
 * stands in the servers' own rows, not here. */
#ifndef LEAT_CUTOVER_RECORD_H
#define LEAT_CUTOVER_RECORD_H

#include <jansson.h>

#include "journal/journal.h"

/* Fences stand, and the way back is to be kept. */
MUST_USE enum err record_armed(struct journal *j, const char *store, bool *ret, struct fault *f);
MUST_USE enum err record_arm(struct journal *j, const char *store, struct fault *f);

struct record_rehearsals {
    int in_a_row;        /* that went well, up to now */
    int64_t pause_us;    /* the longest of the last gates.rehearsals of them */
};
MUST_USE enum err record_rehearsed(struct journal *j, const char *store, bool well, int64_t pause_us, struct fault *f);
MUST_USE enum err record_rehearsals(struct journal *j, const char *store, struct record_rehearsals *ret, struct fault *f);

#endif
