/* store/postgres/streamed.h — transactions the source streams before they commit, kept in files until they do.
 *
 * Unsynced: after any interruption the source sends them again from their beginning, so the folder is emptied on opening. */
#ifndef LEAT_STORE_POSTGRES_STREAMED_H
#define LEAT_STORE_POSTGRES_STREAMED_H

#include "base/fault.h"
#include "base/mem.h"

struct streamed;
struct streamed_reader;
MUST_USE enum err streamed_open(const char *state_dir, const char *store, struct streamed **ret, struct fault *f);
void streamed_free(struct streamed *s);
/* One change (raw, protocol 1 form) of subtransaction `subxid` (xid itself for the top level). */
MUST_USE enum err streamed_add(struct streamed *s, uint32_t xid, uint32_t subxid, const char *raw, size_t len, struct fault *f);
/* subxid == xid: all of it is gone; else exactly the changes of that subtransaction are. */
MUST_USE enum err streamed_abort(struct streamed *s, uint32_t xid, uint32_t subxid, struct fault *f);
/* It committed: its changes, in order, without those of aborted subtransactions. */
MUST_USE enum err streamed_commit(struct streamed *s, uint32_t xid, struct streamed_reader **ret, struct fault *f);
/* The next raw message, in the arena; *ret_raw = NULL at the end. */
MUST_USE enum err streamed_next(struct streamed_reader *r, struct arena *a, const char **ret_raw, size_t *ret_len, struct fault *f);
void streamed_reader_free(struct streamed_reader *r);

#endif
