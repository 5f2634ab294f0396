/* cli/lease_keeper.c — see lease_keeper.h. A thread of its own: what the command waits for is not to delay it, nor it
 * the command. */
#include "cli/lease_keeper.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/world.h"

#define RENEWALS 4 /* within its time */
#define AGAIN 16   /* after one that failed */

struct lease_keeper {
    struct journal *journal;
    char *name;
    int64_t token;
    int64_t ttl_us;
    _Atomic bool *stop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool ending;
    bool lost;
    struct fault why;
};

/* False: it is to end. */
static bool wait_us(struct lease_keeper *k, int64_t us)
{
    struct timespec until;
    bool go_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    us += until.tv_nsec / 1000;
    until.tv_sec += us / 1000000;
    until.tv_nsec = us % 1000000 * 1000;
    pthread_mutex_lock(&k->lock);
    while (!k->ending && pthread_cond_timedwait(&k->ended, &k->lock, &until) == 0)
        continue;
    go_on = !k->ending;
    pthread_mutex_unlock(&k->lock);
    return go_on;
}

static void *keep(void *arg)
{
    struct lease_keeper *k = arg;
    int64_t renewed_us = world_mono_us();
    int64_t pause_us = k->ttl_us / RENEWALS;

    while (wait_us(k, pause_us)) {
        int64_t now_us = world_mono_us();
        struct fault why = {0};
        enum err err = k->journal->ops->lease_renew(k->journal, k->name, k->token, &why);

        pause_us = k->ttl_us / (err == ERR_OK ? RENEWALS : AGAIN);
        renewed_us = err == ERR_OK ? now_us : renewed_us;
        if (err == ERR_OK || (err != ERR_FENCED_OUT && now_us - renewed_us < k->ttl_us))
            continue;
        k->why = why;
        k->lost = true;
        atomic_store(k->stop, true);
        return NULL;
    }
    return NULL;
}

static void begin(struct lease_keeper *k)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->ended, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&k->lock, NULL);
}

static void drop(struct lease_keeper *k)
{
    if (!k->lost)
        (void)k->journal->ops->lease_drop(k->journal, k->name, k->token, NULL);
    pthread_cond_destroy(&k->ended);
    pthread_mutex_destroy(&k->lock);
    free(k->name);
    free(k);
}

enum err lease_keeper_start(struct journal *j, const char *name, int64_t ttl_us, _Atomic bool *stop,
                            struct lease_keeper **ret, struct fault *f)
{
    struct lease_keeper *k;
    int64_t token;

    TRY(j->ops->lease_take(j, name, ttl_us, &token, f));
    k = mem_alloc(sizeof *k);
    k->journal = j;
    k->name = mem_dup(name);
    k->token = token;
    k->ttl_us = ttl_us;
    k->stop = stop;
    begin(k);
    if (pthread_create(&k->thread, NULL, keep, k) != 0) {
        drop(k);
        return fault_set(f, ERR_SYSTEM, "cannot start a thread");
    }
    *ret = k;
    return ERR_OK;
}

enum err lease_keeper_check(struct lease_keeper *k, struct fault *f)
{
    return k->journal->ops->lease_renew(k->journal, k->name, k->token, f);
}

void lease_keeper_stop(struct lease_keeper *k, bool *ret_lost, struct fault *f)
{
    pthread_mutex_lock(&k->lock);
    k->ending = true;
    pthread_cond_signal(&k->ended);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    *ret_lost = k->lost;
    if (k->lost)
        *f = k->why;
    drop(k);
}
