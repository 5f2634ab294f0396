/* replicate/join.c — see join.h.
 *
 * A pass takes every table that is INDEXED and whose heartbeat the stream has passed (the spool then holds all that the
 * table's snapshot did not see), reads the spool from where the pass stands, and applies what is theirs and not visible in their
 * snapshots. When it has caught up it holds the dispatcher at a boundary P, takes the rest, and commits "joined at P" durably;
 * from P on the dispatcher applies their changes itself.
 *
 * Invariants
 *  1. The tables of a pass are recorded on the target before it applies anything: a pass taken up again has the same tables.
 *  2. The pass's position is committed with its rows (its lane's mark); "joined at P" is one durable transaction.
 *  3. A transaction after the heartbeat is visible in no snapshot of the pass, so the test may go on harmlessly. */
#include "replicate/join.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/world.h"

#define PASS_BYTES ((uint64_t)4 << 20)
#define BUSY_TRIES 100
#define GATHER_US ((int64_t)2000000) /* how long a pass waits for more tables to become ready */

struct join {
    struct store *store;
    struct registry *registry;
    struct router_state *router;
    struct spool *spool;
    struct apply *apply;
    struct touched *touched;
    struct journal *journal;
    pthread_t thread;
    pthread_mutex_t lock;
    _Atomic bool stop;
    struct fault fault;
    int pass;                 /* under way; 0: none. The thread's own */
    _Atomic uint64_t changes;
};

static bool in_pass(const struct join *j, const struct rtable *t)
{
    return t->pass == j->pass && rtable_state(t) == TABLE_INDEXED;
}

/* --- what applies --- */

static enum err route_to(struct join *j, const struct txn *t, const struct relation *rel, const struct binding **ret, struct fault *f)
{
    struct rtable *table = registry_find(j->registry, rel->id);

    *ret = NULL; /* what the snapshot saw may have had another shape: it is not even bound */
    if (table == NULL || !in_pass(j, table) || snapshot_sees(&table->snapshot, t->xid))
        return ERR_OK;
    return router_bind(j->router, rel, ret, &table, f);
}

static enum err route(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel, const struct binding **ret, struct fault *f)
{
    (void)c;
    return route_to(ctx, t, rel, ret, f);
}

static const struct binding *find_binding(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel)
{
    const struct binding *b = NULL;

    (void)c;
    (void)route_to(ctx, t, rel, &b, NULL);
    return b;
}

static enum err run_batch(const struct store_ops *ops, struct store_lane *lane, const struct batch *b, struct fault *f)
{
    TRY(ops->lane_begin(lane, b, f));
    TRY(ops->lane_steps(lane, b, false, f));
    TRY(ops->lane_steps(lane, b, true, f));
    return ops->lane_commit(lane, b, false, f);
}

static enum err apply_batch(struct join *j, struct store_lane *lane, struct batch *b, struct fault *f)
{
    const struct store_ops *ops = j->store->ops;
    struct router router = {route, j};
    struct batch_rivals none = {.count = 0};
    enum err err;

    TRY(batch_finish(b, &router, &none, f));
    if (b->steps == NULL && b->begins && b->completes)
        return ERR_OK;
    for (int tries = 0;; tries++) {
        err = run_batch(ops, lane, b, f);
        if (err != ERR_BUSY || !b->begins || tries == BUSY_TRIES)
            break;
        ops->lane_rollback(lane);
        fault_clear(f);
    }
    if (err == ERR_DIVERGED || err == ERR_TARGET_SQL) {
        log_fault(LOG_INFO, j->store->name, f);
        fault_clear(f);
        err = ops->lane_replay(lane, b, find_binding, j, false, f);
    }
    return err;
}

/* Applies one parcel; several small transactions of it become their net effect. */
static enum err apply_parcel(struct join *j, struct store_lane *lane, struct parcel *p, uint64_t seq, struct fault *f)
{
    struct batch *b = batch_new(seq);
    enum err err;

    batch_add(b, p);
    err = apply_batch(j, lane, b, f);
    if (err == ERR_OK)
        atomic_fetch_add(&j->changes, b->change_count);
    batch_free(b);
    return err;
}

static enum err drain(struct join *j, struct store_lane *lane, struct spool_cursor *cursor, uint64_t *seq, struct fault *f)
{
    while (!atomic_load(&j->stop)) {
        struct parcel *p;
        TRY(j->spool->ops->next(cursor, PASS_BYTES, &p, f));
        if (p == NULL)
            return ERR_OK;
        TRY(apply_parcel(j, lane, p, ++*seq, f));
    }
    return fault_set(f, ERR_INTERRUPTED, "stopped");
}

/* --- a pass --- */

static size_t list_oids(struct join *j, uint32_t *oids)
{
    size_t n = 0;

    for (size_t i = 0; i < j->registry->count; i++)
        if (in_pass(j, &j->registry->tables[i]))
            oids[n++] = j->registry->tables[i].source->oid;
    return n;
}

static void set_joined(struct join *j, struct lsn at)
{
    pthread_mutex_lock(&j->registry->lock);
    for (size_t i = 0; i < j->registry->count; i++) {
        struct rtable *t = &j->registry->tables[i];
        if (!in_pass(j, t))
            continue;
        t->joined = at;
        rtable_move(j->registry, t, TABLE_JOINED);
    }
    pthread_mutex_unlock(&j->registry->lock);
}

static enum err note(struct join *j, enum event_kind kind, size_t tables, struct lsn at, struct fault *f)
{
    char text[LSN_TEXT_SIZE];
    json_t *o = json_pack("{s:i, s:I, s:s}", "pass", j->pass, "tables", (json_int_t)tables, "position", lsn_text(at, text));
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = j->journal->ops->append(j->journal, j->store->name, kind, body, f);

    json_decref(o);
    free(body);
    return err;
}

/* A comparison made before knows nothing of their rows. */
static enum err touch_tables(struct join *j, struct fault *f)
{
    for (size_t i = 0; i < j->registry->count; i++)
        if (in_pass(j, &j->registry->tables[i]))
            TRY(touched_table(j->touched, &j->registry->tables[i], f));
    return ERR_OK;
}

/* The end: the dispatcher stands at P; what is left of the spool is little. */
static enum err finish(struct join *j, struct store_lane *lane, struct spool_cursor *cursor, const uint32_t *oids, size_t count, uint64_t *seq, struct lsn *ret_at, struct fault *f)
{
    struct lsn at;
    enum err err;

    if (!apply_hold(j->apply, &j->stop, &at))
        return fault_set(f, ERR_INTERRUPTED, "stopped");
    err = drain(j, lane, cursor, seq, f);
    at = lsn_max(at, j->spool->ops->end(j->spool));
    if (err == ERR_OK)
        err = touch_tables(j, f);
    if (err == ERR_OK)
        err = j->store->ops->lane_join(lane, oids, count, at, f);
    if (err == ERR_OK)
        set_joined(j, at);
    apply_release(j->apply);
    TRY(err);
    *ret_at = at;
    return note(j, EVENT_TABLE_JOINED, count, at, f);
}

/* Nothing will be read from the spool any more; the pass's cursor is closed, so that its segment can go too. */
static enum err after_last(struct join *j, struct lsn at, struct fault *f)
{
    if (!registry_all(j->registry, TABLE_JOINED))
        return ERR_OK;
    TRY(j->spool->ops->trim(j->spool, at, f));
    return note(j, EVENT_STORE_JOINED, j->registry->count, at, f);
}

static enum err run_pass(struct join *j, struct store_lane *lane, struct fault *f)
{
    uint32_t *oids = mem_alloc((j->registry->count + 1) * sizeof *oids);
    size_t count = list_oids(j, oids);
    struct spool_cursor *cursor = NULL;
    struct lsn from = LSN_ZERO;
    struct lsn at = LSN_ZERO;
    uint64_t seq = 0;
    enum err err;

    err = j->store->ops->lane_position(lane, &from, f);
    if (err == ERR_OK && from.v == 0)
        err = j->store->ops->lane_pass(lane, oids, count, j->pass, f);
    if (err == ERR_OK)
        err = note(j, EVENT_JOIN_PASS, count, from, f);
    if (err == ERR_OK)
        err = j->spool->ops->open_cursor(j->spool, from, &cursor, f);
    if (err == ERR_OK)
        err = drain(j, lane, cursor, &seq, f);
    if (err == ERR_OK)
        err = finish(j, lane, cursor, oids, count, &seq, &at, f);
    if (cursor != NULL)
        j->spool->ops->close_cursor(cursor);
    free(oids);
    return err == ERR_OK ? after_last(j, at, f) : err;
}

static enum err begin_pass(struct join *j, struct fault *f)
{
    struct store_lane *lane;
    char name[24];
    enum err err;

    snprintf(name, sizeof name, "p%d", j->pass);
    TRY(j->store->ops->lane_open(j->store, "join", name, &lane, f));
    err = run_pass(j, lane, f);
    j->store->ops->lane_close(lane);
    j->pass = 0;
    return err;
}

/* --- which tables next: under the registry's lock --- */

static bool is_ready(const struct rtable *t)
{
    return rtable_state(t) == TABLE_INDEXED && atomic_load(&t->heartbeat_seen);
}

/* A pass that an engine before us began goes first, whole. 0: none. */
static int unfinished_pass(const struct registry *r, bool *ret_ready)
{
    int pass = 0;

    *ret_ready = true;
    for (size_t i = 0; i < r->count; i++)
        if (r->tables[i].pass != 0 && rtable_state(&r->tables[i]) == TABLE_INDEXED && (pass == 0 || r->tables[i].pass == pass)) {
            pass = r->tables[i].pass;
            *ret_ready = *ret_ready && is_ready(&r->tables[i]);
        }
    return pass;
}

static size_t count_ready(const struct registry *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->count; i++)
        n += is_ready(&r->tables[i]);
    return n;
}

static int choose(struct registry *r, int64_t *first_ready_us)
{
    bool ready;
    int pass = unfinished_pass(r, &ready);
    size_t n = count_ready(r);

    if (pass != 0)
        return ready ? pass : 0;
    if (n == 0) {
        *first_ready_us = 0;
        return 0;
    }
    if (*first_ready_us == 0)
        *first_ready_us = world_mono_us();
    if (n + registry_count(r, TABLE_JOINED) < r->count && world_mono_us() < *first_ready_us + GATHER_US)
        return 0;
    *first_ready_us = 0;
    pass = ++r->last_pass;
    for (size_t i = 0; i < r->count; i++)
        if (is_ready(&r->tables[i]))
            r->tables[i].pass = pass;
    return pass;
}

/* Waits for the next pass. 0: every table has joined, or we are to stop. */
static int await_pass(struct join *j)
{
    struct registry *r = j->registry;
    int64_t first_ready = 0;
    int pass = 0;

    pthread_mutex_lock(&r->lock);
    while (!atomic_load(&j->stop) && !registry_all(r, TABLE_JOINED) && (pass = choose(r, &first_ready)) == 0) {
        int64_t until = world_mono_us() + 100000;
        struct timespec ts = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
        pthread_cond_timedwait(&r->changed, &r->lock, &ts);
    }
    pthread_mutex_unlock(&r->lock);
    return pass;
}

static void *join_thread(void *arg)
{
    struct join *j = arg;
    struct fault f = {0};
    enum err err = ERR_OK;

    while (err == ERR_OK) {
        j->pass = await_pass(j);
        if (j->pass == 0)
            break;
        err = begin_pass(j, &f);
    }
    if (err != ERR_OK) {
        fault_add(&f, "joining");
        pthread_mutex_lock(&j->lock);
        j->fault = f;
        pthread_mutex_unlock(&j->lock);
    }
    return NULL;
}

enum err join_start(struct store *s, struct registry *r, struct router_state *router, struct spool *spool, struct apply *apply, struct touched *touched, struct journal *journal, struct join **ret, struct fault *f)
{
    struct join *j = mem_alloc(sizeof *j);

    (void)f;
    j->store = s;
    j->registry = r;
    j->router = router;
    j->spool = spool;
    j->apply = apply;
    j->touched = touched;
    j->journal = journal;
    pthread_mutex_init(&j->lock, NULL);
    ENSURE(pthread_create(&j->thread, NULL, join_thread, j) == 0);
    *ret = j;
    return ERR_OK;
}

enum err join_check(struct join *j, struct fault *f)
{
    enum err err;

    pthread_mutex_lock(&j->lock);
    err = j->fault.code;
    if (err != ERR_OK && f != NULL)
        *f = j->fault;
    pthread_mutex_unlock(&j->lock);
    return err;
}

uint64_t join_changes(const struct join *j)
{
    return atomic_load(&j->changes);
}

void join_stop(struct join *j)
{
    if (j == NULL)
        return;
    atomic_store(&j->stop, true);
    pthread_mutex_lock(&j->registry->lock);
    pthread_cond_broadcast(&j->registry->changed);
    pthread_mutex_unlock(&j->registry->lock);
    pthread_join(j->thread, NULL);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
