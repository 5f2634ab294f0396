/* verify/objects.h — what stands around the rows: sequences ahead, keys and indexes valid, constraints, triggers, grants, policies,
 * materialized views. None of it comes by the stream; all of it is asked of both sides once, at the end of a comparison. */
#ifndef LEAT_VERIFY_OBJECTS_H
#define LEAT_VERIFY_OBJECTS_H

#include <jansson.h>

#include "store/store.h"

/* Appends {"object", "why"} for everything of the source that no comparison of rows looks at. */
MUST_USE enum err objects_left_out(struct store *s, struct store_cutter *cutter, json_t *list, struct fault *f);
/* Appends {"object", "kind", "why"} for everything the source has that the target lacks or has otherwise. */
MUST_USE enum err objects_compare(struct store *s, struct store_cutter *cutter, json_t *differences, struct fault *f);
/* The same for sequences: the target's must come to be ahead of where the source's were. *want is set when they have to be put ahead. */
MUST_USE enum err objects_compare_sequences(struct store *s, struct store_cutter *cutter, _Atomic bool *stop, _Atomic bool *want, json_t *differences, struct fault *f);

#endif
