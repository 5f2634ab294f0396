/* replicate/reader.h — the thread that reads the stream into the queue, and never leaves the source without an answer.
 *
 *   no backlog:          source --> queue
 *   a backlog:           source --> backlog --> queue, until what stood in it is through: then as above, for good
 *   a backlog, no queue: source --> backlog           (the target is away) */
#ifndef LEAT_REPLICATE_READER_H
#define LEAT_REPLICATE_READER_H

#include "base/queue.h"
#include "replicate/backlog.h"
#include "store/store.h"

struct reader;
/* `from`: the slot's position. With a backlog, what ends at or before `applied` is not taken from it. `out` or `backlog` may be NULL. */
MUST_USE enum err reader_start(struct store *s, struct lsn from, struct queue *out, struct backlog *backlog, struct lsn applied, struct reader **ret, struct fault *f);
enum err reader_check(struct reader *r, struct fault *f);
/* What may be acknowledged from now on. */
void reader_acknowledge(struct reader *r, struct lsn durable);
/* Whether the target keeps up, so that the stream may go past a backlog that has nothing left. */
void reader_may_pass(struct reader *r, bool may);
/* Ends the thread; the queue is closed. The connection stays until reader_free: relations in flight belong to it. */
void reader_stop(struct reader *r);
void reader_free(struct reader *r);

#endif
