/* store/postgres/stream.h — the forward stream's operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_STREAM_H
#define LEAT_STORE_POSTGRES_STREAM_H

#include "store/store.h"

MUST_USE enum err pg_stream_open(struct store *s, struct lsn from, struct store_stream **ret, struct fault *f);
void pg_stream_close(struct store_stream *st);
MUST_USE enum err pg_stream_read(struct store_stream *st, int64_t deadline_us, struct parcel **ret, struct fault *f);
MUST_USE enum err pg_stream_feedback(struct store_stream *st, struct lsn durable, struct fault *f);

#endif
