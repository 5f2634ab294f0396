/* base/queue.c — see queue.h. */
#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct item {
    struct item *next;
    void *value;
    size_t weight;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* something was put, taken or closed */
    struct item *head;
    struct item **tail;
    size_t weight;
    size_t count;
    size_t max_weight;
    bool closed;
};

struct queue *queue_new(size_t max_weight)
{
    struct queue *q = mem_alloc(sizeof *q);
    pthread_condattr_t attr;

    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->moved, &attr);
    pthread_condattr_destroy(&attr);
    q->tail = &q->head;
    q->max_weight = max_weight;
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    ENSURE(q->head == NULL);
    pthread_cond_destroy(&q->moved);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* Waits for a move; false once the deadline has passed. Holds the lock before and after. */
static bool wait_moved(struct queue *q, int64_t deadline_us)
{
    struct timespec ts = {.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000};

    if (deadline_us == 0)
        return false;
    if (deadline_us == INT64_MAX)
        return pthread_cond_wait(&q->moved, &q->lock) == 0;
    return pthread_cond_timedwait(&q->moved, &q->lock, &ts) == 0;
}

bool queue_put(struct queue *q, void *value, size_t weight, int64_t deadline_us)
{
    bool done = false;

    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->count > 0 && q->weight + weight > q->max_weight)
        if (!wait_moved(q, deadline_us))
            break;
    if (!q->closed && (q->count == 0 || q->weight + weight <= q->max_weight)) {
        struct item *item = mem_alloc(sizeof *item);
        item->value = value;
        item->weight = weight;
        *q->tail = item;
        q->tail = &item->next;
        q->weight += weight;
        q->count++;
        done = true;
        pthread_cond_broadcast(&q->moved);
    }
    pthread_mutex_unlock(&q->lock);
    return done;
}

void *queue_take(struct queue *q, int64_t deadline_us, size_t *ret_weight)
{
    struct item *item;
    void *value = NULL;

    pthread_mutex_lock(&q->lock);
    while (q->head == NULL && !q->closed)
        if (!wait_moved(q, deadline_us))
            break;
    item = q->head;
    if (item != NULL) {
        q->head = item->next;
        if (q->head == NULL)
            q->tail = &q->head;
        q->weight -= item->weight;
        q->count--;
        value = item->value;
        if (ret_weight != NULL)
            *ret_weight = item->weight;
        pthread_cond_broadcast(&q->moved);
    }
    pthread_mutex_unlock(&q->lock);
    free(item);
    return value;
}

bool queue_await(struct queue *q, int64_t deadline_us)
{
    bool there;

    pthread_mutex_lock(&q->lock);
    while (q->head == NULL && !q->closed)
        if (!wait_moved(q, deadline_us))
            break;
    there = q->head != NULL;
    pthread_mutex_unlock(&q->lock);
    return there;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->moved);
    pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
    bool closed;

    pthread_mutex_lock(&q->lock);
    closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

size_t queue_weight(struct queue *q)
{
    size_t weight;

    pthread_mutex_lock(&q->lock);
    weight = q->weight;
    pthread_mutex_unlock(&q->lock);
    return weight;
}

size_t queue_count(struct queue *q)
{
    size_t count;

    pthread_mutex_lock(&q->lock);
    count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}
