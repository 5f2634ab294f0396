/* replicate/reader.c — see reader.h. */
#include "replicate/reader.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/world.h"

#define TURN_US ((int64_t)100000)

struct reader {
    struct store *store;
    struct store_stream *stream;
    struct queue *out;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    struct fault fault;
    _Atomic uint64_t durable;
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

static void *reader_thread(void *arg)
{
    struct reader *r = arg;
    struct fault f = {0};
    uint64_t told = 0;
    enum err err = ERR_OK;

    while (err == ERR_OK && !atomic_load(&r->stop)) {
        struct parcel *p = NULL;
        err = tell(r, &told, &f);
        if (err == ERR_OK)
            err = r->store->ops->stream_read(r->stream, world_mono_us() + TURN_US, &p, &f);
        if (err == ERR_OK && p != NULL)
            err = put(r, p, &f);
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

enum err reader_start(struct store *s, struct lsn from, struct queue *out, struct reader **ret, struct fault *f)
{
    struct reader *r = mem_alloc(sizeof *r);
    enum err err;

    r->store = s;
    r->out = out;
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
    if (r->stream != NULL)
        r->store->ops->stream_close(r->stream);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
