/* replicate/touched_log.h — the file behind touched.h: records appended to segments, read back from a place. Inner to touched.c.
 *
 * What is written stands against a killed process, not against a machine that went down: nothing is synced. Whoever owns it knows
 * whether the machine is the same since (touched.c). A record cut off at the end of a segment was never finished, and is not there. */
#ifndef LEAT_REPLICATE_TOUCHED_LOG_H
#define LEAT_REPLICATE_TOUCHED_LOG_H

#include "base/fault.h"
#include "base/mem.h"

struct touched_place {
    uint64_t segment; /* 1, 2, ...; 0: nowhere */
    uint64_t at;      /* bytes */
};

struct touched_log;
/* Opens DIR (made if absent), where a new segment follows those there are. */
MUST_USE enum err touched_log_open(const char *dir, struct touched_log **ret, struct fault *f);
void touched_log_free(struct touched_log *l);
AUTO_DEFINE(touched_log)
/* One write(2); a record is any bytes. Appending: one thread at a time. ERR_SPOOL_FULL: beyond most_bytes, or the disk is. */
MUST_USE enum err touched_log_append(struct touched_log *l, const struct buf *framed, uint64_t most_bytes, struct fault *f);
/* Puts one record into `framed`, as touched_log_append wants it. */
void touched_log_frame(struct buf *framed, const void *record, uint32_t size);
struct touched_place touched_log_end(const struct touched_log *l);
/* Whether everything from there on can be read. */
bool touched_log_has(const struct touched_log *l, struct touched_place from);
/* Calls each for the records in [from, upto), until it returns false: *ret is behind the last one it took. */
MUST_USE enum err touched_log_read(const struct touched_log *l, struct touched_place from, struct touched_place upto, bool (*each)(void *ctx, const char *record, uint32_t size), void *ctx,
                                   struct touched_place *ret, struct fault *f);
/* The segments before that place are not needed any more. */
void touched_log_drop(struct touched_log *l, struct touched_place before);
/* None is, as far as they can be removed; what is appended from now on is in a new one. */
MUST_USE enum err touched_log_clear(struct touched_log *l, struct fault *f);

#endif
