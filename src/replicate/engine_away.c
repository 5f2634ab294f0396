/* replicate/engine_away.c — the engine while its target does not answer: the stream goes on, into the backlog.
 *
 *   the target does not answer --> AWAY: source --> backlog, acknowledged as far as it is synced
 *                                   |
 *                                   +-- it answers again: this engine ends (transient), the next one begins as ever, and finds the
 *                                       backlog by the journal's fact
 *
 * Nothing of the target is known here, and nothing is needed: the slot, the record and the backlog say what may be acknowledged. */
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/engine_internal.h"

#define SYNC_US ((int64_t)200000)
#define ACKNOWLEDGE_US ((int64_t)1000000)
#define HEARTBEAT_US ((int64_t)10000000)
#define KNOCK_US ((int64_t)1000000)

bool engine_target_is_away(struct engine *e, struct fault *ret_why)
{
    const char *name = e->config_store->name;
    enum step_state arm = STEP_NONE;
    enum step_state schema = STEP_NONE;
    struct fault ignored = {0};

    if (e->journal->ops->step_get(e->journal, name, "arm", &arm, &ignored) != ERR_OK || e->journal->ops->step_get(e->journal, name, "schema", &schema, &ignored) != ERR_OK)
        return false;
    if (arm != STEP_DONE || schema != STEP_DONE)
        return false; /* there is no stream yet, or no table to bring its changes to: the way back is to begin again */
    return err_is_transient(e->store->ops->target_answers(e->store, ret_why));
}

/* --- knocking: a connection that hangs must not hold up the stream's acknowledgement --- */

struct knocker {
    struct store *store;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic bool answered;
};

static void *knock(void *arg)
{
    struct knocker *k = arg;

    while (!atomic_load(&k->stop) && !atomic_load(&k->answered)) {
        struct fault f = {0};
        int64_t until = world_mono_us() + KNOCK_US;

        while (world_mono_us() < until && !atomic_load(&k->stop))
            world_sleep_us(50000);
        if (!atomic_load(&k->stop) && !err_is_transient(k->store->ops->target_answers(k->store, &f)))
            atomic_store(&k->answered, true); /* or it refuses: the next engine says so */
    }
    return NULL;
}

/* --- one turn --- */

static enum err look(struct engine *e, struct fault *f)
{
    TRY(backlog_sync(e->backlog, f));
    TRY(e->store->ops->watcher_poll(e->watcher, &e->watch, f));
    e->lag_bytes = lsn_lt(backlog_from(e->backlog), e->watch.source_now) ? (int64_t)(e->watch.source_now.v - backlog_from(e->backlog).v) : 0;
    if (strcmp(e->watch.slot_state, "lost") == 0)
        return fault_set(f, ERR_SLOT_LOST, "the source removed WAL the slot needs");
    snprintf(e->doing, sizeof e->doing, "%s", backlog_has_room(e->backlog) ? "keeping the source's changes on this machine" : "limits.spool or the disk is used up: the source keeps its log");
    return ERR_OK;
}

static enum err turn(struct engine *e, struct fault *f)
{
    static int64_t looked;
    static int64_t acknowledged;
    static int64_t beat;
    static int64_t shown;

    TRY(reader_check(e->reader, f));
    if (engine_due(&looked, SYNC_US)) {
        TRY(look(e, f));
        TRY(engine_govern(e, f));
    }
    if (engine_due(&acknowledged, ACKNOWLEDGE_US))
        TRY(engine_acknowledge(e, f));
    if (engine_due(&beat, HEARTBEAT_US)) {
        TRY(engine_heartbeat(e, f));
        TRY(e->journal->ops->lease_renew(e->journal, e->lease, e->token, f));
    }
    if (engine_due(&shown, 250000))
        engine_write_status(e);
    return ERR_OK;
}

static enum err keep_until_answered(struct engine *e, struct knocker *k, struct fault *f)
{
    while (!atomic_load(&engine_stop) && !atomic_load(&k->answered)) {
        TRY(turn(e, f));
        world_sleep_us(20000);
    }
    if (atomic_load(&engine_stop))
        return fault_set(f, ERR_INTERRUPTED, "asked to stop");
    TRY(e->journal->ops->append(e->journal, e->config_store->name, EVENT_TARGET_BACK, NULL, f));
    return fault_set(f, ERR_ANEW, "the target answers again");
}

enum err engine_away(struct engine *e, struct fault *f)
{
    struct knocker k = {.store = e->store};
    enum err err;

    e->away = true;
    snprintf(e->waits_for, sizeof e->waits_for, "the target: it does not answer");
    engine_write_status(e);
    TRY_WITH(engine_prepare_source(e, f), f, "keeping the stream while the target is away");
    TRY(e->journal->ops->append(e->journal, e->config_store->name, EVENT_TARGET_AWAY, NULL, f));
    ENSURE(pthread_create(&k.thread, NULL, knock, &k) == 0);
    err = keep_until_answered(e, &k, f);
    atomic_store(&k.stop, true);
    pthread_join(k.thread, NULL);
    return err;
}
