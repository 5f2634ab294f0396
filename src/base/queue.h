/* base/queue.h — a bounded queue between threads. Bounded by weight (bytes), not by count; one item always fits, so that
 * an item heavier than the bound passes alone. Closing wakes everybody; what is queued can still be taken. */
#ifndef LEAT_BASE_QUEUE_H
#define LEAT_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct queue;
struct queue *queue_new(size_t max_weight);
void queue_free(struct queue *q); /* must be empty */
AUTO_DEFINE(queue)
/* Waits for room until deadline (monotonic us; 0 = try once; INT64_MAX = for ever). False: closed, or no room by then. */
bool queue_put(struct queue *q, void *item, size_t weight, int64_t deadline_us);
/* Waits for an item. NULL: closed and empty, or none by the deadline. ret_weight may be NULL. */
void *queue_take(struct queue *q, int64_t deadline_us, size_t *ret_weight);
/* Waits until there is something to take, and leaves it. False: closed and empty, or nothing by the deadline. */
bool queue_await(struct queue *q, int64_t deadline_us);
void queue_close(struct queue *q);
bool queue_closed(struct queue *q);
size_t queue_weight(struct queue *q);
size_t queue_count(struct queue *q);

#endif
