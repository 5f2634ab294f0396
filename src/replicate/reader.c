/* replicate/reader.c — see reader.h.
 *
 * One thread both fills the backlog and takes from it, so that "through" needs no agreement: nothing was read that is not in it,
 * and it has nothing left. (A slot that fell back, its server having crashed, may send again what is in it after that: the
 * dispatcher takes nothing twice.) It goes past the backlog only when it has been drained in every turn for a while and is drained
 * now, with the queue nearly empty and the target keeping up: a target that is merely slow would fill the queue at once, and the
 * source would wait for it again. While there is a backlog nothing here waits for the queue, that is for the target. */
#include "replicate/reader.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/world.h"

#define TURN_US ((int64_t)100000)
#define THROUGH_US ((int64_t)2000000)
#define FED_AT_ONCE 16 /* parcels, before the source is listened to again */
#define QUEUE_LOW ((size_t)8 << 20)

struct reader {
    struct store *store;
    struct store_stream *stream;
    struct queue *out;       /* NULL: the target is away */
    struct backlog *backlog; /* NULL: none, or it is left behind */
    struct parcel *held;     /* of the backlog: the queue had no room for it yet */
    struct lsn applied;
    int64_t through_us;      /* since when every turn has drained the backlog; 0: the last one has not */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    struct fault fault;
    _Atomic uint64_t durable;
    _Atomic bool may_pass;
    _Atomic bool stop;
};

static enum err tell(struct reader *r, uint64_t *told, struct fault *f)
{
    uint64_t durable = atomic_load(&r->durable);

    if (durable == *told)
        return ERR_OK;
    *told = durable;
    return r->store->ops->stream_feedback(r->stream, (struct lsn){durable}, f);
}

/* Waits for room in the queue while the target is slow; the source keeps hearing from us (trap P2). */
static enum err put(struct reader *r, struct parcel *p, struct fault *f)
{
    while (!queue_put(r->out, p, arena_bytes(p->arena), world_mono_us() + TURN_US * 10)) {
        if (atomic_load(&r->stop) || queue_closed(r->out)) {
            parcel_free(p);
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        }
        enum err err = r->store->ops->stream_feedback(r->stream, (struct lsn){atomic_load(&r->durable)}, f);
        if (err != ERR_OK) {
            parcel_free(p);
            return err;
        }
    }
    return ERR_OK;
}

/* --- with a backlog --- */

/* Gives the queue what it has room for. *ret_drained: the backlog has nothing left. */
static enum err feed(struct reader *r, bool *ret_drained, struct fault *f)
{
    *ret_drained = false;
    for (int i = 0; r->out != NULL && i < FED_AT_ONCE; i++) {
        if (r->held == NULL)
            TRY(backlog_next(r->backlog, r->applied, &r->held, f));
        *ret_drained = r->held == NULL;
        if (*ret_drained || !queue_put(r->out, r->held, arena_bytes(r->held->arena), 0))
            return ERR_OK;
        r->held = NULL;
    }
    return ERR_OK;
}

static bool is_through(const struct reader *r)
{
    return atomic_load(&r->may_pass) && r->through_us != 0 && world_mono_us() - r->through_us > THROUGH_US && queue_weight(r->out) < QUEUE_LOW && backlog_at_boundary(r->backlog);
}

static enum err keep(struct reader *r, int64_t deadline_us, struct fault *f)
{
    struct parcel *p = NULL;
    enum err err;

    TRY(r->store->ops->stream_read(r->stream, deadline_us, &p, f));
    if (p == NULL)
        return ERR_OK;
    err = backlog_append(r->backlog, p, f);
    parcel_free(p);
    return err;
}

/* Without room the source keeps its log for a while; it still hears from us. */
static enum err turn_with_backlog(struct reader *r, struct fault *f)
{
    bool drained;

    TRY(feed(r, &drained, f));
    if (!drained)
        r->through_us = 0;
    else if (r->through_us == 0)
        r->through_us = world_mono_us();
    if (is_through(r)) {
        backlog_leave(r->backlog);
        r->backlog = NULL;
        return ERR_OK;
    }
    if (backlog_has_room(r->backlog) || !backlog_at_boundary(r->backlog))
        return keep(r, world_mono_us() + (drained || r->out == NULL ? TURN_US : r->held != NULL ? TURN_US / 10 : 1000), f);
    world_sleep_us(TURN_US / 10);
    return r->store->ops->stream_feedback(r->stream, (struct lsn){atomic_load(&r->durable)}, f);
}

static enum err turn(struct reader *r, struct fault *f)
{
    struct parcel *p = NULL;

    if (r->backlog != NULL)
        return turn_with_backlog(r, f);
    TRY(r->store->ops->stream_read(r->stream, world_mono_us() + TURN_US, &p, f));
    return p != NULL ? put(r, p, f) : ERR_OK;
}

static void *reader_thread(void *arg)
{
    struct reader *r = arg;
    struct fault f = {0};
    uint64_t told = 0;
    enum err err = ERR_OK;

    while (err == ERR_OK && !atomic_load(&r->stop)) {
        err = tell(r, &told, &f);
        if (err == ERR_OK)
            err = turn(r, &f);
    }
    if (err == ERR_OK)
        (void)tell(r, &told, &f);
    if (err != ERR_OK && !atomic_load(&r->stop)) {
        fault_add(&f, "reading the stream");
        pthread_mutex_lock(&r->lock);
        r->fault = f;
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

enum err reader_start(struct store *s, struct lsn from, struct queue *out, struct backlog *backlog, struct lsn applied, struct reader **ret, struct fault *f)
{
    struct reader *r = mem_alloc(sizeof *r);
    enum err err;

    r->store = s;
    r->out = out;
    r->backlog = backlog;
    r->applied = applied;
    pthread_mutex_init(&r->lock, NULL);
    err = s->ops->stream_open(s, from, &r->stream, f);
    if (err != ERR_OK) {
        reader_free(r);
        return err;
    }
    atomic_store(&r->durable, from.v);
    ENSURE(pthread_create(&r->thread, NULL, reader_thread, r) == 0);
    r->started = true;
    *ret = r;
    return ERR_OK;
}

enum err reader_check(struct reader *r, struct fault *f)
{
    enum err err;

    pthread_mutex_lock(&r->lock);
    err = r->fault.code;
    if (err != ERR_OK)
        *f = r->fault;
    pthread_mutex_unlock(&r->lock);
    return err;
}

void reader_acknowledge(struct reader *r, struct lsn durable)
{
    atomic_store(&r->durable, durable.v);
}

void reader_may_pass(struct reader *r, bool may)
{
    atomic_store(&r->may_pass, may);
}

void reader_stop(struct reader *r)
{
    if (r == NULL || !r->started)
        return;
    atomic_store(&r->stop, true);
    pthread_join(r->thread, NULL);
    r->started = false;
}

void reader_free(struct reader *r)
{
    if (r == NULL)
        return;
    reader_stop(r);
    parcel_free(r->held);
    if (r->stream != NULL)
        r->store->ops->stream_close(r->stream);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
