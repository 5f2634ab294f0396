/* replicate/finish.c — see finish.h. Each part is a step of the journal: done once, taken up after a crash; every statement may
 * meet what it makes already there. */
#include "replicate/finish.h"

#include <stdlib.h>

struct finish {
    struct store *store;
    struct registry *registry;
    const struct build_post *post;
    struct apply *apply;
    struct journal *journal;
    struct store_copier *copier;
    pthread_t thread;
    pthread_mutex_t lock;
    struct fault fault;
    bool done;
    char doing[256];
    _Atomic bool stop;
};

static void say(struct finish *fi, const char *what)
{
    pthread_mutex_lock(&fi->lock);
    snprintf(fi->doing, sizeof fi->doing, "%s", what);
    pthread_mutex_unlock(&fi->lock);
}

/* A constraint that has to be added valid reads its whole table under a lock that appliers would wait for. */
static enum err run_held(struct finish *fi, const struct build_item *item, bool *ret_existed, struct fault *f)
{
    struct lsn at;
    enum err err;

    if (!apply_hold(fi->apply, &fi->stop, &at))
        return fault_set(f, ERR_INTERRUPTED, "stopped");
    err = fi->store->ops->copier_statement(fi->copier, item->name, item->sql, ret_existed, f);
    apply_release(fi->apply);
    return err;
}

static enum err run_item(struct finish *fi, const struct build_item *item, struct fault *f)
{
    bool existed;

    say(fi, item->name);
    if (item->phase == BUILD_FOREIGN_KEY && item->validate == NULL)
        TRY(run_held(fi, item, &existed, f));
    else
        TRY(fi->store->ops->copier_statement(fi->copier, item->name, item->sql, &existed, f));
    if (item->validate != NULL)
        TRY(fi->store->ops->copier_statement(fi->copier, item->name, item->validate, &existed, f));
    return ERR_OK;
}

static enum err run_phase(struct finish *fi, enum build_phase phase, bool only_tableless, struct fault *f)
{
    for (size_t i = 0; i < fi->post->count; i++) {
        const struct build_item *item = &fi->post->items[i];
        if (item->phase != phase || (only_tableless && item->table_oid != 0 && registry_find(fi->registry, item->table_oid) != NULL))
            continue;
        if (atomic_load(&fi->stop))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        TRY(run_item(fi, item, f));
    }
    return ERR_OK;
}

static enum err constraints(struct finish *fi, struct fault *f)
{
    TRY(run_phase(fi, BUILD_KEY, true, f));
    TRY(run_phase(fi, BUILD_INDEX, true, f));
    TRY(run_phase(fi, BUILD_REST, false, f));
    TRY(run_phase(fi, BUILD_FOREIGN_KEY, false, f));
    return run_phase(fi, BUILD_LAST, false, f);
}

static enum err analyze(struct finish *fi, struct fault *f)
{
    bool existed;

    say(fi, "statistics (ANALYZE)");
    return fi->store->ops->copier_statement(fi->copier, "statistics", "ANALYZE", &existed, f);
}

static enum err step(struct finish *fi, const char *name, enum err (*effect)(struct finish *, struct fault *), struct fault *f)
{
    struct journal *j = fi->journal;
    enum step_state state;

    TRY(j->ops->step_get(j, fi->store->name, name, &state, f));
    if (state == STEP_DONE)
        return ERR_OK;
    TRY(j->ops->step_set(j, fi->store->name, name, STEP_INTENT, NULL, f));
    TRY(effect(fi, f));
    return j->ops->step_set(j, fi->store->name, name, STEP_DONE, NULL, f);
}

static enum err all(struct finish *fi, struct fault *f)
{
    TRY(fi->store->ops->copier_open(fi->store, &fi->copier, f));
    TRY(step(fi, "constraints", constraints, f));
    return step(fi, "analyze", analyze, f);
}

static void *finish_thread(void *arg)
{
    struct finish *fi = arg;
    struct fault f = {0};
    enum err err = all(fi, &f);

    pthread_mutex_lock(&fi->lock);
    if (err != ERR_OK) {
        fault_add(&f, "finishing the schema");
        fi->fault = f;
    }
    fi->done = err == ERR_OK;
    fi->doing[0] = '\0';
    pthread_mutex_unlock(&fi->lock);
    return NULL;
}

enum err finish_start(struct store *s, struct registry *r, const struct build_post *post, struct apply *apply, struct journal *j, struct finish **ret, struct fault *f)
{
    struct finish *fi = mem_alloc(sizeof *fi);

    (void)f;
    fi->store = s;
    fi->registry = r;
    fi->post = post;
    fi->apply = apply;
    fi->journal = j;
    pthread_mutex_init(&fi->lock, NULL);
    ENSURE(pthread_create(&fi->thread, NULL, finish_thread, fi) == 0);
    *ret = fi;
    return ERR_OK;
}

enum err finish_check(struct finish *fi, struct fault *f)
{
    enum err err;

    pthread_mutex_lock(&fi->lock);
    err = fi->fault.code;
    if (err != ERR_OK)
        *f = fi->fault;
    pthread_mutex_unlock(&fi->lock);
    return err;
}

bool finish_done(struct finish *fi)
{
    bool done;

    pthread_mutex_lock(&fi->lock);
    done = fi->done;
    pthread_mutex_unlock(&fi->lock);
    return done;
}

void finish_doing(struct finish *fi, char *text, size_t size)
{
    pthread_mutex_lock(&fi->lock);
    snprintf(text, size, "%s", fi->doing);
    pthread_mutex_unlock(&fi->lock);
}

void finish_stop(struct finish *fi)
{
    if (fi == NULL)
        return;
    atomic_store(&fi->stop, true);
    pthread_join(fi->thread, NULL);
    if (fi->copier != NULL)
        fi->store->ops->copier_close(fi->copier);
    pthread_mutex_destroy(&fi->lock);
    free(fi);
}
