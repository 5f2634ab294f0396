/* replicate/copy.c — see copy.h. Workers take the next piece of work under the registry's lock and do it outside.
 *
 * Rows: first ranges of tables that are open (the sooner their snapshots end the better), then the largest planned table.
 * Tables of more than RANGE_BYTES are opened in the holder and copied in ranges, where the source can read by ranges; others
 * whole, in one transaction. Indexes: a table's keys first, then its other indexes beside each other. */
#include "replicate/copy.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/world.h"

#define RANGE_BYTES ((int64_t)64 << 20)
#define MOST_RANGES 256
#define RETRY_US ((int64_t)2000000)
#define BEAT_TURN_US ((int64_t)50000)
#define MOST_WAITS 60 /* attempts at a table that may be ahead of the target's schema */
#define MOST_WORKERS 64

enum work_kind { WORK_NONE, WORK_WHOLE, WORK_OPEN, WORK_RANGE, WORK_INDEX, WORK_DONE };

struct work {
    enum work_kind kind;
    struct rtable *table;
    int range;
    struct copy_record record; /* RANGE: as it was when the work was taken */
    const struct build_item *item;
};

struct copy {
    struct store *store;
    struct registry *registry;
    struct journal *journal;
    pthread_t threads[MOST_WORKERS];
    size_t thread_count;
    pthread_t beater;    /* brings the heartbeats that an engine before this one may have owed */
    bool beater_started;
    const struct build_item *building[MOST_WORKERS];
    enum copy_pace pace;
    _Atomic bool stop;
    struct fault fault;  /* the first failure; under the registry's lock */
    size_t index_total;
    _Atomic size_t index_done;
};

struct worker {
    struct copy *copy;
    size_t slot;
    bool indexes; /* builds indexes; else copies rows */
    struct store_copier *copier;
};

static const struct store_ops *ops(const struct copy *c)
{
    return c->store->ops;
}

/* --- what to do next: under the lock --- */

static bool in_ranges(const struct table *t)
{
    return t->bytes > RANGE_BYTES && t->pages > 0;
}

static int ranges_of(const struct table *t)
{
    int64_t n = (t->bytes + RANGE_BYTES - 1) / RANGE_BYTES;

    if (n > t->pages)
        n = t->pages;
    return (int)(n > MOST_RANGES ? MOST_RANGES : n < 1 ? 1 : n);
}

static int next_range(struct rtable *t)
{
    while (t->ranges_given < t->record.ranges && t->record.ranges_done[t->ranges_given])
        t->ranges_given++;
    return t->ranges_given < t->record.ranges ? t->ranges_given++ : -1;
}

static struct work next_rows(struct copy *c)
{
    struct registry *r = c->registry;
    struct rtable *best = NULL;
    bool left = false;

    for (size_t i = 0; i < r->count; i++) {
        struct rtable *t = &r->tables[i];
        int range;
        if (rtable_state(t) > TABLE_OPEN)
            continue;
        left = true;
        if (rtable_state(t) == TABLE_OPEN) {
            range = t->has_snapshot && !atomic_load(&t->give_up) && c->pace != COPY_PAUSED ? next_range(t) : -1;
            if (range >= 0)
                return (struct work){.kind = WORK_RANGE, .table = t, .range = range, .record = t->record};
        } else if (t->not_before_us <= world_mono_us() && (best == NULL || t->source->bytes > best->source->bytes)) {
            best = t;
        }
    }
    if (best == NULL || c->pace != COPY_FREE)
        return (struct work){.kind = left ? WORK_NONE : WORK_DONE};
    best->has_snapshot = false;
    best->opened_us = world_mono_us();
    rtable_move(r, best, TABLE_OPEN);
    return (struct work){.kind = in_ranges(best->source) ? WORK_OPEN : WORK_WHOLE, .table = best};
}

static struct work next_index(struct copy *c)
{
    struct registry *r = c->registry;
    bool left = false;

    for (size_t i = 0; i < r->count; i++) {
        struct rtable *t = &r->tables[i];
        if (rtable_state(t) >= TABLE_INDEXED)
            continue;
        left = true;
        if (rtable_state(t) != TABLE_COPIED)
            continue;
        if (t->item_count == 0 && t->items_given == 0) {
            t->items_given = 1;
            return (struct work){.kind = WORK_INDEX, .table = t, .item = NULL};
        }
        if (t->items_given < t->key_count || (t->items_given < t->item_count && t->items_done >= t->key_count))
            return (struct work){.kind = WORK_INDEX, .table = t, .item = t->items[t->items_given++]};
    }
    return (struct work){.kind = left ? WORK_NONE : WORK_DONE};
}

/* Waits for work. WORK_DONE: there is and will be none. */
static struct work take(struct worker *w)
{
    struct copy *c = w->copy;
    struct work work = {.kind = WORK_DONE};

    pthread_mutex_lock(&c->registry->lock);
    c->building[w->slot] = NULL;
    while (!atomic_load(&c->stop) && c->fault.code == ERR_OK) {
        int64_t until = world_mono_us() + 200000;
        struct timespec ts = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};

        work = w->indexes ? next_index(c) : next_rows(c);
        if (work.kind != WORK_NONE)
            break;
        pthread_cond_timedwait(&c->registry->changed, &c->registry->lock, &ts);
    }
    if (atomic_load(&c->stop) || c->fault.code != ERR_OK)
        work.kind = WORK_DONE;
    c->building[w->slot] = work.kind == WORK_INDEX ? work.item : NULL;
    pthread_mutex_unlock(&c->registry->lock);
    return work;
}

/* --- doing it --- */

static enum err note(struct copy *c, enum event_kind kind, const struct rtable *t, struct fault *f)
{
    json_t *o = json_pack("{s:o, s:i, s:I}", "table", json_sprintf("%s.%s", t->source->schema, t->source->name), "attempt", t->attempt, "rows", (json_int_t)atomic_load(&t->rows));
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = c->journal->ops->append(c->journal, c->store->name, kind, body, f);

    json_decref(o);
    free(body);
    return err;
}

static void wait_a_little(const struct copy *c)
{
    int64_t until = world_mono_us() + RETRY_US;

    while (world_mono_us() < until && !atomic_load(&c->stop))
        world_sleep_us(BEAT_TURN_US);
}

/* H(t), which its join waits for. A source that cannot take it now (its disk is full) costs the rows on the target nothing: until it can, or we stop. */
static enum err beat(struct copy *c, struct store_copier *copier, const struct rtable *t, struct fault *f)
{
    char text[64];
    enum err err;

    snprintf(text, sizeof text, "H:%" PRIu32 ".%d", t->source->oid, t->attempt);
    while ((err = ops(c)->copier_heartbeat(copier, text, f)) == ERR_BUSY && !atomic_load(&c->stop)) {
        log_fault(LOG_WARN, c->store->name, f);
        fault_clear(f);
        wait_a_little(c);
    }
    return err;
}

/* The record says it; the heartbeat is owed until it is sent, and the next engine sends it if this one cannot. */
static enum err copied(struct worker *w, struct rtable *t, struct fault *f)
{
    struct copy *c = w->copy;

    pthread_mutex_lock(&c->registry->lock);
    rtable_move(c->registry, t, TABLE_COPIED);
    pthread_mutex_unlock(&c->registry->lock);
    TRY(beat(c, w->copier, t, f));
    return t->source->bytes > RANGE_BYTES ? note(c, EVENT_TABLE_COPIED, t, f) : ERR_OK;
}

static enum err do_whole(struct worker *w, struct rtable *t, struct fault *f)
{
    struct copy *c = w->copy;
    struct copy_record record = {.table_oid = t->source->oid, .attempt = t->attempt, .ranges = 1, .copied = true};
    uint64_t rows;
    enum err err;

    TRY(ops(c)->copier_whole(w->copier, t->source, t->target, t->attempt, &t->bytes, &t->give_up, &record.snapshot, &rows, f));
    pthread_mutex_lock(&c->registry->lock);
    t->ranges_given = record.ranges; /* nobody else takes its one range */
    err = rtable_set_record(c->registry, t, &record, f);
    atomic_store(&t->rows, rows);
    pthread_mutex_unlock(&c->registry->lock);
    TRY(err);
    return copied(w, t, f);
}

static enum err do_open(struct worker *w, struct rtable *t, struct fault *f)
{
    struct copy *c = w->copy;
    AUTO(arena) *a = arena_new(4096);
    struct copy_record record;
    enum err err;

    TRY(ops(c)->copier_open_table(w->copier, a, t->source, t->target, t->attempt, ranges_of(t->source), &record, f));
    TRY(note(c, EVENT_SNAPSHOT, t, f));
    pthread_mutex_lock(&c->registry->lock);
    err = rtable_set_record(c->registry, t, &record, f);
    t->ranges_given = 0;
    t->ranges_left = record.ranges;
    pthread_cond_broadcast(&c->registry->changed);
    pthread_mutex_unlock(&c->registry->lock);
    return err;
}

/* Counts the range in, unless the table has begun another attempt meanwhile. True for the last one. */
static bool range_in(struct copy *c, struct rtable *t, const struct work *work, uint64_t rows)
{
    bool last = false;

    pthread_mutex_lock(&c->registry->lock);
    if (t->attempt == work->record.attempt && rtable_state(t) == TABLE_OPEN && t->has_snapshot) {
        atomic_fetch_add(&t->rows, rows);
        t->record.ranges_done[work->range] = 1;
        last = --t->ranges_left == 0;
    }
    pthread_mutex_unlock(&c->registry->lock);
    return last;
}

static enum err do_range(struct worker *w, const struct work *work, struct fault *f)
{
    struct copy *c = w->copy;
    struct rtable *t = work->table;
    uint64_t rows;

    TRY(ops(c)->copier_range(w->copier, t->source, t->target, &work->record, work->range, &t->bytes, &t->give_up, &rows, f));
    if (!range_in(c, t, work, rows))
        return ERR_OK;
    TRY(ops(c)->copier_close_table(w->copier, t->source, &work->record, f));
    return copied(w, t, f);
}

/* Of the rows as they are now; those of the first copy get theirs all at once, when the schema is finished. Before the record, so
 * that whatever dies, a table that counts as done has them. */
static enum err statistics(struct worker *w, const struct rtable *t, struct fault *f)
{
    AUTO_CHARS *sql = NULL;
    bool existed;

    if (!t->built && !t->late)
        return ERR_OK;
    sql = mem_format("ANALYZE %s", t->target->qualified);
    return ops(w->copy)->copier_statement(w->copier, sql, sql, &existed, f);
}

static enum err do_index(struct worker *w, struct rtable *t, const struct build_item *item, struct fault *f)
{
    struct copy *c = w->copy;
    bool existed;
    bool last;

    if (item != NULL) {
        TRY_WITH(ops(c)->copier_statement(w->copier, item->name, item->sql, &existed, f), f, "building %s", item->name);
        atomic_fetch_add(&c->index_done, 1);
    }
    pthread_mutex_lock(&c->registry->lock);
    t->items_done++;
    last = item == NULL || t->items_done == t->item_count;
    pthread_cond_broadcast(&c->registry->changed);
    pthread_mutex_unlock(&c->registry->lock);
    if (!last)
        return ERR_OK;
    TRY(statistics(w, t, f));
    TRY(ops(c)->copier_indexed(w->copier, t->source->oid, f));
    pthread_mutex_lock(&c->registry->lock);
    rtable_move(c->registry, t, TABLE_INDEXED);
    pthread_mutex_unlock(&c->registry->lock);
    return ERR_OK;
}

static enum err do_work(struct worker *w, const struct work *work, struct fault *f)
{
    switch (work->kind) {
    case WORK_WHOLE:
        return do_whole(w, work->table, f);
    case WORK_OPEN:
        return do_open(w, work->table, f);
    case WORK_RANGE:
        return do_range(w, work, f);
    case WORK_INDEX:
        return do_index(w, work->table, work->item, f);
    case WORK_NONE:
    case WORK_DONE:
        break;
    }
    return ERR_OK;
}

static bool has_column(const struct table *t, const struct column *c)
{
    for (uint16_t i = 0; i < t->column_count; i++)
        if (strcmp(t->columns[i].name, c->name) == 0)
            return strcmp(t->columns[i].type, c->type) == 0;
    return false;
}

/* The copy reads the source as it is now; the target has the schema of where the stream stands. What the target refuses may be in
 * order once a change of the schema has come. */
static bool may_be_ahead(const struct rtable *t)
{
    for (uint16_t i = 0; i < t->source->column_count; i++)
        if (!has_column(t->target, &t->source->columns[i]))
            return true;
    return t->late;
}

/* A table whose copy could not go on now, but can later: its lock was wanted or busy, or its snapshot is gone. */
static bool another_attempt(struct worker *w, const struct work *work, enum err err)
{
    struct copy *c = w->copy;

    if (work->kind == WORK_INDEX || atomic_load(&c->stop))
        return false;
    if (err == ERR_TARGET_SQL)
        return work->table->attempt < MOST_WAITS && may_be_ahead(work->table);
    return err == ERR_BUSY || err == ERR_SNAPSHOT_LOST || err == ERR_INTERRUPTED;
}

static enum err begin_again(struct worker *w, const struct work *work, const struct fault *why, struct fault *f)
{
    struct copy *c = w->copy;
    struct rtable *t = work->table;
    bool first;

    log_fault(LOG_INFO, c->store->name, why);
    pthread_mutex_lock(&c->registry->lock);
    first = rtable_state(t) == TABLE_OPEN && (work->kind != WORK_RANGE || (t->has_snapshot && t->attempt == work->record.attempt));
    if (first)
        rtable_reset(c->registry, t, RETRY_US);
    pthread_mutex_unlock(&c->registry->lock);
    if (first)
        TRY(note(c, EVENT_TABLE_RESET, t, f));
    ops(c)->copier_close(TAKE(w->copier));
    return ops(c)->copier_open(c->store, &w->copier, f);
}

static void fail(struct copy *c, const struct fault *f)
{
    pthread_mutex_lock(&c->registry->lock);
    if (c->fault.code == ERR_OK)
        c->fault = *f;
    pthread_cond_broadcast(&c->registry->changed);
    pthread_mutex_unlock(&c->registry->lock);
}

static void *work_thread(void *arg)
{
    struct worker *w = arg;
    struct fault f = {0};
    enum err err = ops(w->copy)->copier_open(w->copy->store, &w->copier, &f);

    while (err == ERR_OK) {
        struct work work = take(w);
        if (work.kind == WORK_DONE)
            break;
        err = do_work(w, &work, &f);
        if (err == ERR_OK)
            continue;
        fault_add(&f, "copying %s.%s", work.table->source->schema, work.table->source->name);
        if (another_attempt(w, &work, err)) {
            struct fault why = f;
            fault_clear(&f);
            err = begin_again(w, &work, &why, &f);
        }
    }
    if (err != ERR_OK)
        fail(w->copy, &f);
    ops(w->copy)->copier_close(w->copier);
    free(w);
    return NULL;
}

/* Tables that were open when an engine died go on if their holder still lives; others begin again. */
static enum err take_up(struct copy *c, struct fault *f)
{
    struct store_copier *copier = NULL;
    enum err err = ERR_OK;

    for (size_t i = 0; i < c->registry->count && err == ERR_OK; i++) {
        struct rtable *t = &c->registry->tables[i];

        if (rtable_state(t) != TABLE_OPEN)
            continue;
        if (copier == NULL)
            err = ops(c)->copier_open(c->store, &copier, f);
        if (err != ERR_OK)
            break;
        if (!ops(c)->copier_snapshot_alive(copier, t->source, &t->record)) {
            pthread_mutex_lock(&c->registry->lock);
            rtable_reset(c->registry, t, 0);
            pthread_mutex_unlock(&c->registry->lock);
            continue;
        }
        t->opened_us = world_mono_us() - t->record.age_us; /* the holder outlives engines, and so does what it holds back on the source */
        t->ranges_given = 0;
        t->ranges_left = 0;
        for (int k = 0; k < t->record.ranges; k++)
            t->ranges_left += !t->record.ranges_done[k];
        if (t->ranges_left == 0) { /* only its closing was missed: the last range is read as none and closes it */
            err = ops(c)->copier_close_table(copier, t->source, &t->record, f);
            pthread_mutex_lock(&c->registry->lock);
            rtable_move(c->registry, t, TABLE_COPIED);
            pthread_mutex_unlock(&c->registry->lock);
        }
    }
    if (copier != NULL)
        ops(c)->copier_close(copier);
    return err;
}

static bool is_owed(const struct rtable *t)
{
    return rtable_state(t) == TABLE_COPIED || rtable_state(t) == TABLE_INDEXED;
}

/* Twice does no harm: a table that a worker has just finished may get another. */
static void *beat_thread(void *arg)
{
    struct copy *c = arg;
    struct store_copier *copier = NULL;
    struct fault f = {0};
    enum err err = ops(c)->copier_open(c->store, &copier, &f);

    for (size_t i = 0; i < c->registry->count && err == ERR_OK && !atomic_load(&c->stop); i++)
        if (is_owed(&c->registry->tables[i]))
            err = beat(c, copier, &c->registry->tables[i], &f);
    if (err != ERR_OK)
        fail(c, &f);
    ops(c)->copier_close(copier);
    return NULL;
}

static void start_beater(struct copy *c)
{
    for (size_t i = 0; i < c->registry->count && !c->beater_started; i++)
        c->beater_started = is_owed(&c->registry->tables[i]);
    if (c->beater_started)
        ENSURE(pthread_create(&c->beater, NULL, beat_thread, c) == 0);
}

static void start_workers(struct copy *c, int count, bool indexes)
{
    for (int i = 0; i < count && c->thread_count < MOST_WORKERS; i++) {
        struct worker *w = mem_alloc(sizeof *w);
        w->copy = c;
        w->slot = c->thread_count;
        w->indexes = indexes;
        ENSURE(pthread_create(&c->threads[c->thread_count++], NULL, work_thread, w) == 0);
    }
}

enum err copy_start(struct store *s, struct registry *r, struct journal *j, struct copy **ret, struct fault *f)
{
    struct copy *c = mem_alloc(sizeof *c);
    enum err err;

    c->store = s;
    c->registry = r;
    c->journal = j;
    for (size_t i = 0; i < r->count; i++) {
        c->index_total += r->tables[i].item_count;
        if (rtable_state(&r->tables[i]) >= TABLE_INDEXED)
            c->index_done += r->tables[i].item_count;
    }
    err = registry_all(r, TABLE_JOINED) ? ERR_OK : take_up(c, f);
    if (err != ERR_OK) {
        free(c);
        return err;
    }
    start_beater(c);
    if (!registry_all(r, TABLE_COPIED))
        start_workers(c, s->config->limits.copy_workers, false);
    if (!registry_all(r, TABLE_INDEXED))
        start_workers(c, s->config->limits.index_workers, true);
    *ret = c;
    return ERR_OK;
}

enum err copy_check(struct copy *c, struct fault *f)
{
    enum err err;

    pthread_mutex_lock(&c->registry->lock);
    err = c->fault.code;
    if (err != ERR_OK && f != NULL)
        *f = c->fault;
    pthread_mutex_unlock(&c->registry->lock);
    return err;
}

void copy_stop(struct copy *c)
{
    if (c == NULL)
        return;
    atomic_store(&c->stop, true);
    pthread_mutex_lock(&c->registry->lock);
    for (size_t i = 0; i < c->registry->count; i++)
        atomic_store(&c->registry->tables[i].give_up, true);
    pthread_cond_broadcast(&c->registry->changed);
    pthread_mutex_unlock(&c->registry->lock);
    for (size_t i = 0; i < c->thread_count; i++)
        pthread_join(c->threads[i], NULL);
    if (c->beater_started)
        pthread_join(c->beater, NULL);
    free(c);
}

const struct rtable *copy_oldest_snapshot(struct copy *c, int64_t *ret_age_us)
{
    const struct rtable *oldest = NULL;

    pthread_mutex_lock(&c->registry->lock);
    for (size_t i = 0; i < c->registry->count; i++) {
        const struct rtable *t = &c->registry->tables[i];
        if (rtable_state(t) == TABLE_OPEN && !config_exempts(c->store->store, t->source->schema, t->source->name) && (oldest == NULL || t->opened_us < oldest->opened_us))
            oldest = t;
    }
    if (oldest != NULL)
        *ret_age_us = world_mono_us() - oldest->opened_us;
    pthread_mutex_unlock(&c->registry->lock);
    return oldest;
}

void copy_set_pace(struct copy *c, enum copy_pace pace)
{
    pthread_mutex_lock(&c->registry->lock);
    c->pace = pace;
    pthread_cond_broadcast(&c->registry->changed);
    pthread_mutex_unlock(&c->registry->lock);
}

void copy_give_up(struct copy *c, uint32_t oid)
{
    struct rtable *t = registry_find(c->registry, oid);

    if (t != NULL && rtable_state(t) == TABLE_OPEN)
        atomic_store(&t->give_up, true);
}

size_t copy_building(struct copy *c, const struct build_item **items, size_t size)
{
    size_t n = 0;

    pthread_mutex_lock(&c->registry->lock);
    for (size_t i = 0; i < c->thread_count && n < size; i++)
        if (c->building[i] != NULL)
            items[n++] = c->building[i];
    pthread_mutex_unlock(&c->registry->lock);
    return n;
}

void copy_index_counts(struct copy *c, size_t *ret_done, size_t *ret_total)
{
    *ret_done = atomic_load(&c->index_done);
    *ret_total = c->index_total;
}
