/* replicate/engine_watch.c — the engine's own loop: what is durable, who waits for us, which phase it is. */
#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/again.h"
#include "replicate/engine_internal.h"

#define POLL_US ((int64_t)200000)
#define HEARTBEAT_US ((int64_t)10000000)
#define SILENT_US (2 * HEARTBEAT_US)
#define IDENTITY_US ((int64_t)2000000)
#define ACKNOWLEDGE_US ((int64_t)2000000)
#define BLOCKING_LIMIT_US ((int64_t)200000)
#define MOST_BLOCKING 64
#define PASS_BYTES ((int64_t)8 << 20) /* a target nearer than this keeps up */

bool engine_due(int64_t *last, int64_t every)
{
    int64_t now = world_mono_us();

    if (*last != 0 && now - *last < every)
        return false;
    *last = now;
    return true;
}

/* --- progress --- */

static bool spool_in_use(const struct engine *e)
{
    return !registry_all(e->registry, TABLE_JOINED);
}

static int64_t ahead(const struct engine *e, const struct apply_facts *facts)
{
    return lsn_lt(facts->applied, e->watch.source_now) ? (int64_t)(e->watch.source_now.v - facts->applied.v) : 0;
}

/* Nothing queued and nothing in flight: what the source's position is ahead by then is no transaction of ours. But something must come
 * from time to time: a heartbeat, at the latest. */
static void measure_lag(struct engine *e, const struct apply_facts *facts)
{
    int64_t lag = lag_of(&e->lag, facts->applied, facts->applied_us, e->watch.source_clock_us);

    e->lag_us = facts->idle && lag != LAG_UNKNOWN && lag < SILENT_US ? 0 : lag;
    e->lag_bytes = e->lag_us != 0 ? ahead(e, facts) : 0;
}

/* The source has ended the stream, and nothing of that came here: whoever stands in between keeps the connection up. */
static enum err mind_stream(struct engine *e, struct fault *f)
{
    if (e->watch.slot_in_use || e->served_us == 0)
        e->served_us = world_mono_us();
    if (world_mono_us() - e->served_us > e->config->limits.silence_us)
        return fault_set(f, ERR_SOURCE_LOST, "the source streams to nobody, and has not said so here");
    return ERR_OK;
}

static enum err tick(struct engine *e, struct fault *f)
{
    struct apply_facts facts;
    int64_t pending; /* what has come and is not applied yet, at most: what has not come is no burden of the target's */

    apply_facts(e->apply, &facts);
    if (spool_in_use(e)) {
        struct lsn end;
        TRY(e->spool->ops->sync(e->spool, &end, f));
    }
    if (e->backlog != NULL)
        TRY(backlog_sync(e->backlog, f));
    TRY(e->store->ops->watcher_poll(e->watcher, &e->watch, f));
    lag_note(&e->lag, e->watch.source_now, e->watch.source_clock_us);
    progress_tick(&e->progress, facts.applied, facts.mark, e->watch.target_now, e->watch.target_flushed);
    applied_stand(e->told, e->phase == ENGINE_FOLLOW && !spool_in_use(e));
    measure_lag(e, &facts);
    if (e->lag_us != LAG_UNKNOWN)
        e->heard = (struct heard){world_wall_us(), e->lag_us, e->watch.source_now};
    pending = facts.idle ? 0 : ahead(e, &facts);
    reader_may_pass(e->reader, pending < PASS_BYTES && pending < e->config->limits.source_wal / 8);
    TRY(mind_stream(e, f));
    if (strcmp(e->watch.slot_state, "lost") == 0)
        return fault_set(f, ERR_SLOT_LOST, "the source removed WAL the slot needs");
    return ERR_OK;
}

/* Where the target can never be found behind: recorded before the log that could bring it up is let go. */
static enum err record_durable(struct engine *e, struct fault *f)
{
    static struct lsn recorded;
    char text[LSN_TEXT_SIZE];

    if (!lsn_lt(recorded, e->progress.durable_mark))
        return ERR_OK;
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, "durable", lsn_text(e->progress.durable_mark, text), true, f));
    recorded = e->progress.durable_mark;
    return ERR_OK;
}

/* First the record, then the source: the slot is never beyond what was recorded. */
enum err engine_acknowledge(struct engine *e, struct fault *f)
{
    struct lsn may = e->progress.durable;
    char text[LSN_TEXT_SIZE];
    bool over = false;

    if (!e->away)
        TRY(record_durable(e, f));
    if (e->backlog != NULL)
        TRY(backlog_settle(e->backlog, may, &may, &over, f));
    if (over)
        e->backlog_over = TAKE(e->backlog);
    if (!lsn_lt(e->acknowledged, may))
        return ERR_OK;
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, "acknowledged", lsn_text(may, text), true, f));
    e->acknowledged = may;
    reader_acknowledge(e->reader, e->acknowledged);
    return ERR_OK;
}

void engine_last_acknowledge(struct engine *e)
{
    struct fault ignored = {0};

    if (e->watcher == NULL || e->reader == NULL || (e->apply == NULL && !e->away))
        return;
    if ((e->away ? backlog_sync(e->backlog, &ignored) : tick(e, &ignored)) == ERR_OK && engine_acknowledge(e, &ignored) != ERR_OK)
        log_fault(LOG_INFO, e->config_store->name, &ignored); /* the next engine finds the older position */
}

/* --- locks --- */

static enum err mind_locks(struct engine *e, struct fault *f)
{
    uint32_t oids[MOST_BLOCKING];
    size_t count;

    TRY(e->store->ops->watcher_blocking(e->watcher, BLOCKING_LIMIT_US, oids, MOST_BLOCKING, &count, f));
    for (size_t i = 0; i < count; i++)
        copy_give_up(e->copy, oids[i]);
    return ERR_OK;
}

/* --- phases --- */

/* What a statement made from the catalog names may be called otherwise by now. */
static enum err unless_renamed(struct engine *e, enum err err, struct fault *f)
{
    if ((err != ERR_SCHEMA && err != ERR_TARGET_SQL) || !ddl_has_run(e->ddl))
        return err;
    log_fault(LOG_INFO, e->config_store->name, f);
    fault_clear(f);
    return fault_set(f, ERR_ANEW, "the schema changed under a statement");
}

static enum err check_threads(struct engine *e, struct fault *f)
{
    TRY(unless_renamed(e, copy_check(e->copy, f), f));
    TRY(apply_check(e->apply, f));
    TRY(reader_check(e->reader, f));
    TRY(join_check(e->join, f));
    if (e->finish != NULL)
        TRY(unless_renamed(e, finish_check(e->finish, f), f));
    if (e->guest_state != NULL)
        TRY(e->guest->check(e->guest_state, f));
    return ERR_OK;
}

static enum err start_guest(struct engine *e, struct fault *f)
{
    struct engine_hand hand = {.config = e->config, .store = e->store, .registry = e->registry, .apply = e->apply, .touched = e->touched, .journal = e->journal, .pace = &e->guest_pace, .ddl = e->ddl,
                               .leads = &e->leads, .want_sequences = &e->want_sequences};

    return e->guest_state == NULL ? e->guest->start(&hand, &e->guest_state, f) : ERR_OK;
}

static enum err begin_following(struct engine *e, struct fault *f)
{
    if (e->following || e->lag_us == LAG_UNKNOWN || e->lag_us > e->config->gates.lag_us)
        return ERR_OK;
    e->following = true;
    return e->journal->ops->append(e->journal, e->config_store->name, EVENT_FOLLOWING, NULL, f);
}

static enum err advance_phase(struct engine *e, struct fault *f)
{
    switch (e->phase) {
    case ENGINE_BUILD:
        e->phase = ENGINE_COPY;
        return ERR_OK;
    case ENGINE_COPY:
        if (registry_all(e->registry, TABLE_INDEXED))
            e->phase = ENGINE_JOIN;
        return ERR_OK;
    case ENGINE_JOIN:
        if (!registry_all(e->registry, TABLE_JOINED))
            return ERR_OK;
        if (e->config_store->back) { /* what stands around the rows is there */
            e->phase = ENGINE_FOLLOW;
            return ERR_OK;
        }
        e->phase = ENGINE_CONSTRAINTS;
        return finish_start(e->store, e->registry, e->post, e->apply, e->journal, &e->finish, f);
    case ENGINE_CONSTRAINTS:
        if (finish_done(e->finish)) {
            uint64_t moved;
            e->phase = ENGINE_FOLLOW;
            TRY(e->store->ops->watcher_sequences(e->watcher, &moved, f));
        }
        return ERR_OK;
    case ENGINE_FOLLOW:
        TRY(start_guest(e, f));
        return begin_following(e, f);
    }
    return ERR_OK;
}

/* A table's key was dropped: until it has another identity its users' UPDATEs and DELETEs fail. */
enum err engine_mind_identities(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *given;
    json_t *o;
    char *body;
    enum err err;

    TRY(e->store->ops->watcher_identity(e->watcher, e->source, a, &given, f));
    if (given == NULL)
        return ERR_OK;
    log_line(LOG_WARN, e->config_store->name, "a table lost its key; on the source: %s", given);
    o = json_pack("{s:s}", "statements", given);
    body = json_dumps(o, JSON_COMPACT);
    err = e->journal->ops->append(e->journal, e->config_store->name, EVENT_IDENTITY_GIVEN, body, f);
    free(body);
    json_decref(o);
    return err;
}

/* What a server cannot take now (its disk is full, a lock is held) is done in the next round. */
static enum err or_next_time(const struct engine *e, enum err err, const struct fault *why, struct fault *f)
{
    if (err == ERR_BUSY) {
        log_fault(LOG_WARN, e->config_store->name, why);
        return ERR_OK;
    }
    *f = *why;
    return err;
}

enum err engine_heartbeat(struct engine *e, struct fault *f)
{
    struct fault why = {0};

    return or_next_time(e, e->store->ops->watcher_heartbeat(e->watcher, e->acknowledged, &why), &why, f);
}

static enum err trim(struct engine *e, struct fault *f)
{
    struct fault why = {0};

    return or_next_time(e, e->store->ops->watcher_trim(e->watcher, &why), &why, f);
}

/* What came since on the side that serves: its echoes say nothing of it, and the way back has to carry it from the switch on. */
static enum err take_up_new(struct engine *e, struct fault *f)
{
    size_t count = 0;

    if (e->config_store->back && e->phase == ENGINE_FOLLOW)
        TRY(e->store->ops->watcher_unpublished(e->watcher, &count, f));
    return count == 0 ? ERR_OK : fault_set(f, ERR_ANEW, "%zu tables to take up", count);
}

static enum err housekeeping(struct engine *e, struct fault *f)
{
    uint64_t moved;

    TRY(engine_heartbeat(e, f));
    TRY(e->journal->ops->lease_renew(e->journal, e->lease, e->token, f));
    TRY(trim(e, f));
    TRY(e->store->ops->watcher_ledger(e->watcher, &e->ledger, f));
    TRY(take_up_new(e, f));
    if (e->phase == ENGINE_FOLLOW)
        TRY(fingerprint_look(e->fingerprint, e->watcher, f));
    if (e->phase >= ENGINE_COPY)
        TRY(e->store->ops->watcher_sequences(e->watcher, &moved, f));
    return ERR_OK;
}

enum err engine_turn(struct engine *e, struct fault *f)
{
    static int64_t polled;
    static int64_t acknowledged;
    static int64_t kept;
    static int64_t locks;
    static int64_t shown;
    static int64_t identities;

    TRY(check_threads(e, f));
    TRY(again_turn(e, f));
    TRY(advance_phase(e, f));
    if (e->phase == ENGINE_COPY && engine_due(&locks, BLOCKING_LIMIT_US / 2))
        TRY(mind_locks(e, f));
    if (engine_due(&polled, POLL_US)) {
        TRY(tick(e, f));
        TRY(engine_govern(e, f));
    }
    TRY(engine_mind_authority(e, f));
    if (engine_due(&acknowledged, ACKNOWLEDGE_US))
        TRY(engine_acknowledge(e, f));
    if (engine_due(&identities, IDENTITY_US))
        TRY(engine_mind_identities(e, f));
    if (engine_due(&kept, HEARTBEAT_US))
        TRY(housekeeping(e, f));
    if (atomic_load(&e->want_sequences)) {
        uint64_t moved;
        TRY(e->store->ops->watcher_sequences(e->watcher, &moved, f));
        atomic_store(&e->want_sequences, false);
    }
    if (engine_due(&shown, 250000))
        engine_write_status(e);
    return ERR_OK;
}
