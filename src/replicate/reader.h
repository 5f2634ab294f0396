/* replicate/reader.h — the thread that reads the stream into the queue, and never leaves the source without an answer. */
#ifndef LEAT_REPLICATE_READER_H
#define LEAT_REPLICATE_READER_H

#include "base/queue.h"
#include "store/store.h"

struct reader;
MUST_USE enum err reader_start(struct store *s, struct lsn from, struct queue *out, struct reader **ret, struct fault *f);
enum err reader_check(struct reader *r, struct fault *f);
/* What may be acknowledged from now on. */
void reader_acknowledge(struct reader *r, struct lsn durable);
/* Ends the thread; the queue is closed. The connection stays until reader_free: relations in flight belong to it. */
void reader_stop(struct reader *r);
void reader_free(struct reader *r);

#endif
