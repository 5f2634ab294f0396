/* replicate/engine.c — see engine.h. */
#include "replicate/engine.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/again.h"
#include "replicate/engine_internal.h"

#define LEASE_TTL_US ((int64_t)60000000)
#define LEASE_PAUSE_US ((int64_t)100000)

_Atomic bool engine_stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&engine_stop, true);
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* The engine before this one may be on its way out still, if its pilot was killed and another started at once: it has heard of it,
 * or hangs and renews nothing. An engine that goes on renewing for so long has a pilot, and that is to be said. */
static enum err take_lease(struct engine *e, struct fault *f)
{
    int64_t deadline = world_mono_us() + LEASE_TTL_US + LEASE_TTL_US / 4;

    for (;;) {
        struct fault held = {0};
        enum err err = e->journal->ops->lease_take(e->journal, e->lease, LEASE_TTL_US, &e->token, &held);

        if (err == ERR_OK)
            return ERR_OK;
        if (atomic_load(&engine_stop))
            return fault_set(f, ERR_INTERRUPTED, "asked to stop");
        if (err != ERR_LEASE_HELD || world_mono_us() > deadline) {
            *f = held;
            return err;
        }
        world_sleep_us(LEASE_PAUSE_US);
    }
}

static enum err open_record(struct engine *e, struct fault *f)
{
    AUTO_CHARS *run = mem_format("%s/run", e->state_dir);

    if ((mkdir(e->state_dir, 0700) != 0 && errno != EEXIST) || (mkdir(run, 0700) != 0 && errno != EEXIST))
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", run, strerror(errno));
    TRY(journal_sqlite_open(e->state_dir, e->config->migration, &e->journal, f));
    snprintf(e->lease, sizeof e->lease, "engine:%s", e->config_store->name);
    TRY(take_lease(e, f));
    engine_take_fault(e);
    return e->journal->ops->append(e->journal, e->config_store->name, EVENT_ENGINE_STARTED, NULL, f);
}

static enum err work(struct engine *e, struct fault *f)
{
    struct fault why = {0};
    bool arming;

    TRY(open_record(e, f));
    TRY(store_new(e->config, e->config_store, e->state_dir, e->token, &engine_stop, &e->store, f));
    TRY(again_stands(e->journal, e->config_store->name, AGAIN_ARM, &arming, f));
    if (!arming)
        TRY(engine_check_dropped(e, f));
    if (!arming && engine_target_is_away(e, &why)) {
        log_fault(LOG_WARN, e->config_store->name, &why);
        return engine_away(e, f);
    }
    TRY(engine_prepare(e, f));
    while (!atomic_load(&engine_stop)) {
        TRY(engine_turn(e, f));
        (void)poll(NULL, 0, 20); /* a signal ends it early */
    }
    return fault_set(f, ERR_INTERRUPTED, "asked to stop");
}

/* Everything that stands, down, in the order of who needs whom. */
static void take_down(struct engine *e)
{
    e->guest->stop(e->guest_state);
    finish_stop(e->finish);
    join_stop(e->join);
    copy_stop(e->copy);
    reader_stop(e->reader);
    apply_stop(e->apply);
    applied_close(e->told);
    touched_free(e->touched);
    fingerprint_free(e->fingerprint);
    ddl_free(e->ddl);
    router_free(e->router);
    reader_free(e->reader); /* relations in flight were its decoder's, or the backlog's */
    backlog_free(e->backlog);
    backlog_free(e->backlog_over);
    queue_free(e->queue);
    if (e->watcher != NULL)
        e->store->ops->watcher_close(e->watcher);
    if (e->spool != NULL)
        e->spool->ops->free(e->spool);
    registry_free(e->registry);
    build_post_free(e->post);
    catalog_free(e->source);
    catalog_free(e->target);
}

static void note_end(struct engine *e, const struct fault *f)
{
    json_t *o = json_pack("{s:s, s:s}", "code", err_info(f->code)->code, "why", f->why);
    char *body = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

    if (e->journal != NULL && e->token != 0) {
        (void)e->journal->ops->append(e->journal, e->config_store->name, EVENT_ENGINE_STOPPED, body, NULL);
        (void)e->journal->ops->lease_drop(e->journal, e->lease, e->token, NULL);
    }
    free(body);
    json_decref(o);
}

/* The change that stops us may have been the dropping of a key: the source's users are not to wait until a person comes. */
static void leave_identities(struct engine *e)
{
    struct fault f = {0};

    if (e->source != NULL && e->watcher != NULL && engine_mind_identities(e, &f) != ERR_OK)
        log_fault(LOG_WARN, e->config_store->name, &f);
}

int engine_main(const struct config *c, const char *state_dir, const char *store, int64_t pilot_token, bool consent, const struct engine_guest *guest)
{
    struct engine e = {.config = c, .config_store = config_stream_find(c, store), .state_dir = state_dir, .consent = consent, .guest = guest, .lag_us = LAG_UNKNOWN};
    AUTO_CHARS *log_path = mem_format("%s/log/%s.log", state_dir, store);
    struct fault f = {0};
    enum err err;

    (void)pilot_token;
    if (e.config_store == NULL)
        return ENGINE_STATUS + ERR_UNKNOWN_NAME;
    watch_signals();
    log_level_set(LOG_INFO);
    log_bound(log_path, LOG_MOST);
    e.started_us = world_wall_us();
    err = work(&e, &f);
    ENSURE(err != ERR_OK);
    if (err == ERR_INTERRUPTED)
        engine_last_acknowledge(&e);
    else
        log_fault(LOG_ERROR, store, &f);
    if (e.store != NULL && !err_is_transient(err))
        e.store->ops->quit(e.store);
    if (err == ERR_DDL)
        leave_identities(&e);
    if (e.ddl != NULL && err == ERR_DDL)
        ddl_show(e.ddl, f.todo);
    if (e.ddl != NULL)
        engine_write_status(&e); /* what a person is waited for */
    engine_write_fault(state_dir, store, &f);
    take_down(&e);
    note_end(&e, &f);
    if (e.journal != NULL)
        journal_free(e.journal);
    store_free(e.store);
    return ENGINE_STATUS + (int)err;
}
