/* replicate/engine_govern.c — the governor: the source comes first.
 *
 *   what the slot holds back, of limits.source_wal       then
 *   more than half                                       no further table begins to be copied
 *   more than 3/5 is what the target has not got         the stream goes through the spool: the source need not wait for the target
 *   more than 4/5                                        no further range either
 *   all of it, the spool full, nothing acknowledged      the slot is dropped: the store must be armed and copied again
 *     for limits.drop_slot_after
 *
 * The source's own standbys (limits.source_lag) slow and pause the copy alike. A comparison is slowed and paused by all of these, and by
 * the lag: at half and at four fifths of its gate. A snapshot older than limits.snapshot_age ends the
 * store, unless the table is named in long_snapshots; its age counts on over engines, as the holder keeps it over them. Each step is an event, and stands in the status.
 *
 * Invariants
 *  1. What is let go of again has less than four fifths of what made us slow down: no flutter.
 *  2. The fact "slot_dropped" is durable before the slot is dropped; while it stands no engine works on the store. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/engine_internal.h"

#define DROPPED "slot_dropped"
#define DROP_TRIES 100
#define LEAST_GATE_US ((int64_t)200000) /* a lag below it is no reason to hold up a comparison */

static enum err says(struct engine *e, const char *what, const char *why, bool waits, struct fault *f)
{
    json_t *o = json_pack("{s:s, s:s, s:I}", "does", what, "why", why, "slot_retained_bytes", (json_int_t)e->watch.slot_retained_bytes);
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = e->journal->ops->append(e->journal, e->config_store->name, EVENT_GOVERNOR, body, f);

    log_line(LOG_WARN, e->config_store->name, "governor: %s: %s", what, why);
    snprintf(e->waits_for, sizeof e->waits_for, "%s", waits ? why : "");
    json_decref(o);
    free(body);
    return err;
}

/* --- the copy --- */

/* In thousandths of what is allowed, the worse of the two. */
static int64_t load(const struct engine *e, bool *ret_lagging)
{
    const struct config_limits *limits = &e->config->limits;
    int64_t wal = e->watch.slot_retained_bytes / (limits->source_wal / 1000 + 1);
    int64_t lag = limits->source_lag_us > 0 ? e->watch.replica_lag_us * 800 / limits->source_lag_us : 0;

    *ret_lagging = lag > wal;
    return lag > wal ? lag : wal;
}

static enum copy_pace pace_at(enum copy_pace now, int64_t thousandths)
{
    if (thousandths > 800 || (now == COPY_PAUSED && thousandths > 640))
        return COPY_PAUSED;
    if (thousandths > 500 || (now != COPY_FREE && thousandths > 400))
        return COPY_SLOWED;
    return COPY_FREE;
}

static enum err govern_copy(struct engine *e, struct fault *f)
{
    static const char *const acts[] = {"resume the copy", "slow the copy", "pause the copy"};
    bool lagging;
    enum copy_pace pace = pace_at(e->pace, load(e, &lagging));
    const char *why = lagging ? "the source's standbys lag (limits.source_lag)" : "the slot holds back the source's log (limits.source_wal)";

    if (e->phase != ENGINE_COPY || pace == e->pace)
        return ERR_OK;
    e->pace = pace;
    copy_set_pace(e->copy, pace);
    return says(e, acts[pace], pace == COPY_FREE ? "the source has recovered" : why, pace != COPY_FREE, f);
}

/* Reading both sides again is never worth being late for: the lag counts, too. It may come and go by the second, and is no event. */
static void govern_guest(struct engine *e)
{
    static const char *const acts[] = {"goes on", "is slowed", "is paused"};
    bool lagging;
    int64_t thousandths = load(e, &lagging);
    int64_t gate = e->config->gates.lag_us > LEAST_GATE_US ? e->config->gates.lag_us : LEAST_GATE_US;
    int64_t lag = e->lag_us == LAG_UNKNOWN ? 1000 : e->lag_us / 1000 * 1000 / (gate / 1000);
    enum copy_pace before = (enum copy_pace)atomic_load(&e->guest_pace);
    enum copy_pace pace = pace_at(before, lag > thousandths ? lag : thousandths);

    if (pace == before)
        return;
    atomic_store(&e->guest_pace, (int)pace);
    log_line(LOG_INFO, e->config_store->name, "governor: what compares both sides %s (lag %" PRId64 " ms)", acts[pace], e->lag_us / 1000);
}

static enum err govern_snapshots(struct engine *e, struct fault *f)
{
    int64_t age = 0;
    const struct rtable *t = e->phase == ENGINE_COPY ? copy_oldest_snapshot(e->copy, &age) : NULL;

    if (t == NULL || age <= e->config->limits.snapshot_age_us)
        return ERR_OK;
    TRY(says(e, "give up a copy", "its snapshot is older than limits.snapshot_age", false, f));
    return fault_set(f, ERR_SNAPSHOT_AGE, "the copy of %s.%s has held its snapshot for %" PRId64 " s", t->source->schema, t->source->name, age / 1000000);
}

/* --- the stream --- */

/* The target is too slow: from the next engine on the stream goes through the backlog. Nothing is acknowledged in between. One that
 * was left too early is still what the fact speaks of: the next engine goes on in it. One that is over but open cannot be begun
 * again here: the next engine comes by here once more. */
static enum err into_backlog(struct engine *e, struct fault *f)
{
    struct backlog_place at = {e->store, e->journal, &e->decoder};
    int64_t behind = lsn_lt(e->acknowledged, e->watch.source_now) ? (int64_t)(e->watch.source_now.v - e->acknowledged.v) : 0;

    if ((e->backlog != NULL && !backlog_left(e->backlog)) || behind / 3 < e->config->limits.source_wal / 5)
        return ERR_OK;
    TRY(says(e, "through the spool", "the target is behind by most of limits.source_wal", false, f));
    if (e->backlog == NULL && e->backlog_over == NULL)
        TRY(backlog_begin(&at, e->acknowledged, &e->backlog, f));
    return fault_set(f, ERR_ANEW, "the stream goes through the spool from here on");
}

/* --- the last resort --- */

static enum err drop(struct engine *e, struct fault *f)
{
    enum err err = ERR_BUSY;

    reader_stop(e->reader);
    reader_free(TAKE(e->reader)); /* the slot is free only when its connection is gone */
    for (int i = 0; i < DROP_TRIES && err == ERR_BUSY; i++) {
        fault_clear(f);
        err = e->store->ops->watcher_drop_slot(e->watcher, f);
        if (err == ERR_BUSY)
            world_sleep_us(50000);
    }
    TRY(err);
    return fault_set(f, ERR_SLOT_DROPPED, "the source held back more than limits.source_wal, limits.spool was used up, and nothing could be taken for limits.drop_slot_after");
}

/* Only when we can take nothing any more, and have long said so. */
static enum err govern_slot(struct engine *e, struct fault *f)
{
    const struct config_limits *limits = &e->config->limits;
    bool stuck = e->watch.slot_retained_bytes > limits->source_wal && e->backlog != NULL && !backlog_has_room(e->backlog);

    if (!stuck || e->stuck_us == 0 || lsn_lt(e->stuck_at, e->acknowledged)) {
        e->stuck_at = e->acknowledged;
        e->stuck_us = stuck ? world_mono_us() : 0;
        return stuck ? says(e, "wait", "limits.spool is used up, and the source holds back more than limits.source_wal: after limits.drop_slot_after the slot is dropped", true, f) : ERR_OK;
    }
    if (limits->drop_slot_after_us == 0 || world_mono_us() - e->stuck_us < limits->drop_slot_after_us)
        return ERR_OK;
    TRY(says(e, "drop the slot", "the source held back more than limits.source_wal for limits.drop_slot_after", false, f));
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, DROPPED, "limits.source_wal", false, f));
    return drop(e, f);
}

enum err engine_check_dropped(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    enum step_state armed;
    const char *why;

    TRY(e->journal->ops->fact_get(e->journal, e->config_store->name, DROPPED, a, &why, f));
    TRY(e->journal->ops->step_get(e->journal, e->config_store->name, "arm", &armed, f));
    if (why == NULL || armed != STEP_DONE)
        return ERR_OK; /* it is to be armed again, which forgets the word */
    TRY(e->store->ops->watcher_open(e->store, true, &e->watcher, f));
    TRY(e->store->ops->watcher_drop_slot(e->watcher, f)); /* an engine may have died between the word and the act */
    return fault_set(f, ERR_SLOT_DROPPED, "it was dropped for %s", why);
}

enum err engine_govern(struct engine *e, struct fault *f)
{
    TRY(govern_slot(e, f));
    if (e->away)
        return ERR_OK;
    TRY(govern_copy(e, f));
    govern_guest(e);
    TRY(govern_snapshots(e, f));
    return into_backlog(e, f);
}
