/* verify/compare.c — see compare.h.
 *
 * Invariants
 *  1. A table is done only when both sides were read to their end, in every phase it went through, under one pair of snapshots.
 *  2. A side is at most AHEAD tables before the other: tallies that wait for their other half are bounded.
 *  3. The shares of a half are pages of one snapshot, none in two of them, the last without an end: their tallies add up to the table's. */
#include "verify/compare.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"
#include "replicate/copy.h"

#define AHEAD 8
#define MOST_PAIRS 16
#define LOOK_MS 100
#define MOST_WANTED 64
#define ROWS_A_LOOK 1024
#define PACE_MOST_US ((int64_t)20000)

enum phase { PHASE_TALLY, PHASE_SIFT, PHASE_FIND, PHASE_DONE };
#define SHARE_BYTES ((int64_t)64 << 20)
#define PAGE_BYTES 8192

struct half { /* of a phase: one side of a table, in shares of its pages */
    int shares;
    int given;
    int done;
};

struct compared_state {
    enum phase phase;
    struct half halves[2];
    int doing; /* workers at it */
    struct tally *tallies[2];
    uint8_t *differs;
    struct sift *sift;
    const struct difference *list;
    int64_t began_us;
};

struct room {
    struct compare *job;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    pthread_mutex_t sifting;
    struct compared_state *states;
    size_t first; /* the first table that is not done */
    bool over;
    bool late;
    _Atomic bool stop;
    struct fault fault;
};

struct worker {
    struct room *room;
    enum store_side side;
    pthread_t thread;
    struct store_rows *rows;
    struct copy_rows into;
    struct compared *table; /* being read */
    int share;
    int shares;
    struct tally *tally;    /* of this share; the half's own if there is but one */
    uint64_t read;
    int64_t paced_us;       /* when the governor was last obeyed */
};

/* --- rows --- */

/* The governor's word: half of the time, or none. Who waits for the rows is the server's own COPY. */
static void mind_pace(struct worker *w)
{
    const struct compare *c = w->room->job;
    int64_t now = world_mono_us();
    int64_t rest = now - w->paced_us < PACE_MOST_US ? now - w->paced_us : PACE_MOST_US;
    enum copy_pace pace = (enum copy_pace)atomic_load_explicit(c->pace, memory_order_relaxed);

    if (pace != COPY_FREE && w->paced_us != 0)
        world_sleep_us(rest);
    if (pace == COPY_PAUSED)
        atomic_store(&w->room->job->paused, true);
    while (pace == COPY_PAUSED && !atomic_load(&w->room->stop)) {
        world_sleep_us(PACE_MOST_US);
        pace = (enum copy_pace)atomic_load_explicit(c->pace, memory_order_relaxed);
    }
    w->paced_us = world_mono_us();
}

static void count_row(struct worker *w)
{
    if (++w->read % ROWS_A_LOOK != 0)
        return;
    if (w->side == STORE_SOURCE)
        atomic_fetch_add_explicit(w->room->job->rows, ROWS_A_LOOK, memory_order_relaxed);
    mind_pace(w);
}

static enum err tally_row(void *ctx, const struct copy_row *row, struct fault *f)
{
    struct worker *w = ctx;
    struct sealed s;

    if (row->count != w->table->plan.count)
        return fault_set(f, ERR_PROTOCOL, "a row of %u columns where %u were asked for", row->count, w->table->plan.count);
    s = seal_row(row, w->table->plan.keys);
    tally_add(w->tally, &s);
    count_row(w);
    return ERR_OK;
}

static enum err sift_row(void *ctx, const struct copy_row *row, struct fault *f)
{
    struct worker *w = ctx;
    struct compared_state *state = w->table->state;
    struct sealed s = seal_row(row, w->table->plan.keys);

    (void)f;
    if (!state->differs[tally_bucket(s.key, tally_size(state->tallies[0]))])
        return ERR_OK;
    pthread_mutex_lock(&w->room->sifting);
    sift_add(state->sift, w->side == STORE_SOURCE ? SIFT_SOURCE : SIFT_TARGET, &s);
    pthread_mutex_unlock(&w->room->sifting);
    return ERR_OK;
}

/* --- a half of a phase --- */

static const struct table *own_table(const struct worker *w)
{
    return w->side == STORE_SOURCE ? w->table->source : w->table->target;
}

/* About as many on either side; the last share takes what there is more. */
static int64_t pages_of(const struct compared *t)
{
    return t->source->pages > 0 ? t->source->pages : t->source->bytes / PAGE_BYTES;
}

static enum err read_all(struct worker *w, enum err (*each)(void *ctx, const struct copy_row *row, struct fault *f), struct fault *f)
{
    struct row_part part = w->table->part;

    if (w->shares > 1) {
        int64_t pages = pages_of(w->table);
        part.from_page = pages * w->share / w->shares;
        part.to_page = w->share + 1 < w->shares ? pages * (w->share + 1) / w->shares : 0;
    }
    w->into.each = each;
    w->into.ctx = w;
    return w->room->job->store->ops->rows_read(w->rows, own_table(w), &w->table->plan, &part, &w->into, &w->room->stop, f);
}

static enum err tally_all(struct worker *w, struct fault *f)
{
    struct tally *whole = w->table->state->tallies[w->side];
    enum err err;

    if (w->shares == 1) {
        w->tally = whole;
        return read_all(w, tally_row, f);
    }
    w->tally = tally_like(whole);
    err = read_all(w, tally_row, f);
    if (err == ERR_OK) {
        pthread_mutex_lock(&w->room->sifting);
        tally_merge(whole, w->tally);
        pthread_mutex_unlock(&w->room->sifting);
    }
    tally_free(w->tally);
    w->tally = NULL;
    return err;
}

static enum err find_rows(struct worker *w, struct fault *f)
{
    struct compared *t = w->table;
    uint16_t fields = t->plan.keys > 0 ? t->plan.keys : t->plan.count;
    AUTO(arena) *own = arena_new(16384);

    for (size_t i = 0; i < t->named_count; i++) {
        const char *const *values;
        const char **kept;
        TRY(w->room->job->store->ops->rows_find(w->rows, own_table(w), &t->plan, fields, t->state->list[i].key, own, &values, f));
        pthread_mutex_lock(&w->room->lock); /* the arena is everybody's */
        kept = values != NULL ? arena_alloc(w->room->job->arena, (t->plan.count + 1u) * sizeof *kept) : NULL;
        for (uint16_t c = 0; values != NULL && c < t->plan.count; c++)
            kept[c] = arena_strdup(w->room->job->arena, values[c]);
        *(w->side == STORE_SOURCE ? &t->named[i].source : &t->named[i].target) = kept;
        pthread_mutex_unlock(&w->room->lock);
    }
    return ERR_OK;
}

static enum err run_half(struct worker *w, enum phase phase, struct fault *f)
{
    if (phase == PHASE_TALLY)
        return tally_all(w, f);
    if (phase == PHASE_SIFT)
        return read_all(w, sift_row, f);
    return find_rows(w, f);
}

/* --- from phase to phase: under the lock, by whoever was last --- */

static void drop_state(struct compared_state *s)
{
    tally_free(s->tallies[0]);
    tally_free(s->tallies[1]);
    sift_free(s->sift);
    free(s->differs);
    memset(s->tallies, 0, sizeof s->tallies);
    s->sift = NULL;
    s->differs = NULL;
}

static enum phase finish(struct compared *t)
{
    t->done = true;
    t->us = world_mono_us() - t->state->began_us;
    drop_state(t->state);
    return PHASE_DONE;
}

static enum phase after_tally(struct compared *t)
{
    struct compared_state *s = t->state;

    t->rows[0] = tally_rows(s->tallies[0]);
    t->rows[1] = tally_rows(s->tallies[1]);
    s->differs = mem_alloc(tally_size(s->tallies[0]));
    if (tally_compare(s->tallies[0], s->tallies[1], s->differs) == 0)
        return finish(t);
    s->sift = sift_new(s->differs, tally_size(s->tallies[0]));
    return PHASE_SIFT;
}

static enum phase after_sift(struct room *room, struct compared *t)
{
    size_t count;

    sift_differences(t->state->sift, &t->state->list, &count);
    t->more = sift_overflowed(t->state->sift);
    for (size_t i = 0; i < count; i++)
        t->differences += t->state->list[i].count;
    t->named_count = count < room->job->named_most ? count : room->job->named_most;
    t->named = arena_zalloc(room->job->arena, (t->named_count + 1) * sizeof *t->named);
    for (size_t i = 0; i < t->named_count; i++) {
        t->named[i].kind = t->state->list[i].kind;
        t->named[i].count = t->state->list[i].count;
    }
    return PHASE_FIND;
}

static int shares_of(const struct room *room, const struct compared *t, enum store_side side)
{
    int64_t n = pages_of(t) * PAGE_BYTES / SHARE_BYTES;

    if (t->part.count > 0 || t->part.ranged || n <= 1 || !room->job->store->ops->cutter_by_pages(room->job->cutter, side))
        return 1;
    return n < room->job->pairs ? (int)n : room->job->pairs;
}

static void set_shares(const struct room *room, struct compared *t)
{
    struct compared_state *s = t->state;

    for (int side = 0; side < 2; side++)
        s->halves[side] = (struct half){.shares = s->phase == PHASE_DONE ? 0 : s->phase == PHASE_FIND ? 1 : shares_of(room, t, side)};
}

static void take_on(struct room *room, struct compared *t)
{
    struct compared_state *s = t->state;

    s->phase = t->failed != NULL ? finish(t) : s->phase == PHASE_TALLY ? after_tally(t) : s->phase == PHASE_SIFT ? after_sift(room, t) : finish(t);
    set_shares(room, t);
    while (room->first < room->job->count && room->job->tables[room->first].done)
        room->first++;
    room->over = room->over || room->first == room->job->count;
}

/* --- workers --- */

/* The next table that wants this side. */
static struct compared *choose(struct worker *w)
{
    struct room *room = w->room;

    for (size_t i = room->first; i < room->job->count && i < room->first + AHEAD; i++) {
        struct compared *t = &room->job->tables[i];
        if (!t->done && t->failed == NULL && t->state->halves[w->side].given < t->state->halves[w->side].shares)
            return t;
    }
    return NULL;
}

static struct compared *await_table(struct worker *w, enum phase *ret_phase)
{
    struct room *room = w->room;
    struct compared *t = NULL;

    pthread_mutex_lock(&room->lock);
    while (!room->over && (t = choose(w)) == NULL)
        pthread_cond_wait(&room->moved, &room->lock);
    if (room->over)
        t = NULL;
    if (t != NULL) {
        struct compared_state *s = t->state;
        w->share = s->halves[w->side].given++;
        w->shares = s->halves[w->side].shares;
        s->doing++;
        if (s->phase == PHASE_TALLY && s->tallies[0] == NULL) {
            s->began_us = world_mono_us();
            double rows = t->part.count > 0 ? (double)t->part.count : t->source->rows;
            s->tallies[0] = tally_new(rows);
            s->tallies[1] = tally_new(rows);
        }
        *ret_phase = s->phase;
    }
    pthread_mutex_unlock(&room->lock);
    return t;
}

static void end_all(struct room *room, const struct fault *why)
{
    atomic_store(&room->stop, true);
    pthread_mutex_lock(&room->lock);
    if (why != NULL && why->code != ERR_INTERRUPTED && room->fault.code == ERR_OK)
        room->fault = *why;
    room->over = true;
    pthread_cond_broadcast(&room->moved);
    pthread_mutex_unlock(&room->lock);
}

static void half_done(struct worker *w)
{
    struct room *room = w->room;
    struct compared_state *s = w->table->state;

    pthread_mutex_lock(&room->lock);
    s->halves[w->side].done++;
    s->doing--;
    if (w->table->failed != NULL ? s->doing == 0 : s->halves[0].done == s->halves[0].shares && s->halves[1].done == s->halves[1].shares)
        take_on(room, w->table);
    pthread_cond_broadcast(&room->moved);
    pthread_mutex_unlock(&room->lock);
}

static bool is_of_the_table(enum err err)
{
    return err == ERR_SOURCE_SQL || err == ERR_TARGET_SQL || err == ERR_RIGHT_MISSING;
}

/* The server refused this table: it is told as such, and the others go on, in a new transaction under the same snapshot. Others
 * may be at it still: whoever comes last ends it. */
static enum err leave_table(struct worker *w, const struct fault *why, struct fault *f)
{
    struct room *room = w->room;
    struct compared_state *s = w->table->state;

    pthread_mutex_lock(&room->lock);
    if (w->table->failed == NULL)
        w->table->failed = arena_strdup(room->job->arena, why->why);
    if (--s->doing == 0)
        take_on(room, w->table);
    pthread_cond_broadcast(&room->moved);
    pthread_mutex_unlock(&room->lock);
    room->job->store->ops->rows_end(w->rows);
    return room->job->store->ops->rows_begin(w->rows, room->job->cutter, f);
}

static enum err work(struct worker *w, struct fault *f)
{
    const struct store_ops *ops = w->room->job->store->ops;
    enum phase phase;

    TRY(ops->rows_open(w->room->job->store, w->side, &w->rows, f));
    TRY(ops->rows_begin(w->rows, w->room->job->cutter, f));
    while ((w->table = await_table(w, &phase)) != NULL) {
        struct fault why = {0};
        enum err err = run_half(w, phase, &why);

        if (is_of_the_table(err)) {
            TRY(leave_table(w, &why, f));
            continue;
        }
        if (err != ERR_OK) {
            *f = why;
            fault_add(f, "comparing %s.%s", w->table->source->schema, w->table->source->name);
            return err;
        }
        half_done(w);
    }
    ops->rows_end(w->rows);
    return ERR_OK;
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    struct fault f = {0};

    if (work(w, &f) != ERR_OK)
        end_all(w->room, &f);
    w->room->job->store->ops->rows_close(w->rows);
    copy_rows_fini(&w->into);
    return NULL;
}

/* --- the whole --- */

static bool is_over(struct room *room)
{
    bool over;

    pthread_mutex_lock(&room->lock);
    over = room->over;
    pthread_mutex_unlock(&room->lock);
    return over;
}

/* Somebody waits for a lock of ours. The tables in question are marked: they need not cost the others their cut again. */
static enum err look_around(struct room *room, bool *ret, struct fault *f)
{
    struct compare *c = room->job;

    for (int side = 0; side < 2; side++) {
        uint32_t oids[MOST_WANTED];
        size_t count;
        TRY(c->store->ops->cutter_in_the_way(c->cutter, side, oids, MOST_WANTED, &count, f));
        *ret = *ret || count > 0;
        for (size_t i = 0; i < count; i++)
            for (size_t t = 0; t < c->count; t++)
                if ((side == STORE_SOURCE ? c->tables[t].source : c->tables[t].target)->oid == oids[i])
                    c->tables[t].wanted = true;
    }
    return ERR_OK;
}

/* Looks after it while the workers read: nobody may wait for our locks, and no snapshot may get old. */
static enum err mind(struct room *room, const char **ret_why, struct fault *f)
{
    struct compare *c = room->job;

    while (!is_over(room)) {
        bool in_the_way = false;
        TRY(look_around(room, &in_the_way, f));
        if (atomic_load(c->store->stop) || atomic_load(c->stop))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        if (in_the_way || world_mono_us() > c->until_us) {
            room->late = !in_the_way && !atomic_load(&c->paused);
            *ret_why = in_the_way ? "somebody waits for a lock on a table" : "the snapshots are as old as limits.snapshot_age allows";
            return ERR_OK;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
    return ERR_OK;
}

static enum err run(struct room *room, const char **ret_why, struct fault *f)
{
    struct worker workers[2 * MOST_PAIRS] = {0};
    int pairs = room->job->pairs < MOST_PAIRS ? room->job->pairs : MOST_PAIRS;
    enum err err;

    for (int i = 0; i < 2 * pairs; i++) {
        workers[i] = (struct worker){.room = room, .side = i % 2 == 0 ? STORE_SOURCE : STORE_TARGET};
        ENSURE(pthread_create(&workers[i].thread, NULL, worker_thread, &workers[i]) == 0);
    }
    err = mind(room, ret_why, f);
    end_all(room, NULL);
    for (int i = 0; i < 2 * pairs; i++)
        pthread_join(workers[i].thread, NULL);
    if (err == ERR_OK && room->fault.code == ERR_BUSY) {
        *ret_why = arena_strdup(room->job->arena, room->fault.why);
    } else if (err == ERR_OK && room->fault.code != ERR_OK) {
        *f = room->fault;
        err = f->code;
    }
    return err;
}

/* What was begun and not brought to its end is as it was before. */
static void forget_undone(struct compared *t, bool late)
{
    t->too_long = late && !t->done && t->state->began_us != 0;
    drop_state(t->state);
    t->state = NULL;
    if (t->done)
        return;
    t->differences = 0;
    t->named_count = 0;
    t->more = false;
}

enum err compare_run(struct compare *c, const char **ret_why, struct fault *f)
{
    struct room room = {.job = c, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .sifting = PTHREAD_MUTEX_INITIALIZER};
    enum err err = ERR_OK;

    *ret_why = NULL;
    room.states = mem_alloc((c->count + 1) * sizeof *room.states);
    for (size_t i = 0; i < c->count; i++) {
        c->tables[i].state = &room.states[i];
        set_shares(&room, &c->tables[i]);
    }
    while (room.first < c->count && c->tables[room.first].done)
        room.first++;
    if (room.first < c->count)
        err = run(&room, ret_why, f);
    for (size_t i = 0; i < c->count; i++)
        forget_undone(&c->tables[i], room.late);
    free(room.states);
    return err;
}
