/* journal/body.h — the JSON of an event: checked when it comes in, compact when it is kept. */
#ifndef LEAT_JOURNAL_BODY_H
#define LEAT_JOURNAL_BODY_H

#include "base/fault.h"
#include "base/mem.h"

#define BODY_BYTES_MAX ((size_t)16 << 20)

/* Adds `text` (NULL: {}) to `out` without its blanks. ERR_BUG if it is not one JSON object, repeats a key, holds
 * \u0000 or an integer beyond 64 bits, or is larger than BODY_BYTES_MAX. Numbers keep their spelling. */
MUST_USE enum err body_add(struct buf *out, const char *text, struct fault *f);
/* Adds `text` as a JSON string, NULL as null. ERR_BUG if it is not UTF-8. */
MUST_USE enum err body_add_string(struct buf *out, const char *text, struct fault *f);

#endif
