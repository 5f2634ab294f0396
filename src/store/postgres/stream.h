/* store/postgres/stream.h — the forward stream's operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_STREAM_H
#define LEAT_STORE_POSTGRES_STREAM_H

#include "store/store.h"

MUST_USE enum err pg_stream_open(struct store *s, struct lsn from, struct store_stream **ret, struct fault *f);
void pg_stream_close(struct store_stream *st);
MUST_USE enum err pg_stream_read(struct store_stream *st, int64_t deadline_us, struct parcel **ret, struct fault *f);
MUST_USE enum err pg_stream_feedback(struct store_stream *st, struct lsn durable, struct fault *f);

/* Raw messages of the spool, decoded as store.h says. */
void *pg_decoder_make(void);
void pg_decoder_drop(void *decoder);
MUST_USE enum err pg_decode(void *decoder, struct arena *arena, const char *data, size_t len, struct change **ret, struct fault *f);

#endif
