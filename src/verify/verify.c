/* verify/verify.c — see verify.h: the thread beside the engine. */
#include "verify/verify.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/cut.h"
#include "verify/columns.h"
#include "verify/objects.h"
#include "verify/report.h"
#include "verify/selftest.h"

#define LOOK_US ((int64_t)300000)
#define TABLES_A_CUT 200
#define PATIENCE_US ((int64_t)600000000) /* for a cut, or a lock, before a table is given up */
#define TABLES_WITH_ROWS 50 /* in one event: it is bounded */
#define AGAIN_US ((int64_t)500000)

struct verify {
    struct engine_hand hand;
    pthread_t thread;
    pthread_mutex_t lock;
    struct fault fault;
    _Atomic bool stop;
    bool running;
    char doing[512];
    size_t tables_done;
    size_t tables_total;
    _Atomic uint64_t rows;
    double rows_expected;
    int64_t began_us;
    json_t *outcome;         /* of the last comparison; NULL: none yet */
};

/* One request, being carried out. */
struct run {
    struct verify *v;
    struct arena *arena;
    const char *id;
    bool one_table;
    struct store_cutter *cutter;
    struct store_lane *lane;
    struct compared *tables;  /* the scratch table first */
    size_t count;
    uint64_t rows;
    uint64_t differences;
    int found;
    json_t *unverifiable;
    json_t *objects;          /* around the rows, and not as on the source */
};

static bool stopped(const struct verify *v)
{
    return atomic_load(&v->stop) || atomic_load(v->hand.store->stop);
}

static void say(struct verify *v, const char *text)
{
    pthread_mutex_lock(&v->lock);
    snprintf(v->doing, sizeof v->doing, "%.500s", text);
    pthread_mutex_unlock(&v->lock);
}

static enum err append(struct run *r, enum event_kind kind, json_t *o, struct fault *f)
{
    struct verify *v = r->v;
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = v->hand.journal->ops->append(v->hand.journal, v->hand.store->name, kind, body, f);

    free(body);
    json_decref(o);
    return err;
}

/* --- which tables --- */

static bool is_wanted(const struct table *t, const char *wanted)
{
    AUTO_CHARS *name = report_name(t);

    return wanted == NULL || strcmp(name, wanted) == 0 || strcmp(t->name, wanted) == 0;
}

static bool in_list(const json_t *tables, const struct table *t, const json_t **ret)
{
    AUTO_CHARS *name = report_name(t);
    const json_t *one;
    size_t i;

    json_array_foreach(tables, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "table")), name) == 0) {
            *ret = one;
            return true;
        }
    }
    return false;
}

static int larger_first(const void *left, const void *right)
{
    const struct compared *a = left;
    const struct compared *b = right;

    return a->source->bytes > b->source->bytes ? -1 : a->source->bytes < b->source->bytes;
}

/* What an engine before us compared for this request stands. */
static void choose_tables(struct run *r, const char *wanted, const json_t *before)
{
    const struct registry *registry = r->v->hand.registry;

    r->tables = arena_zalloc(r->arena, (registry->count + 1) * sizeof *r->tables);
    selftest_table(r->arena, &r->tables[r->count++]);
    for (size_t i = 0; i < registry->count; i++) {
        struct compared t = {.source = registry->tables[i].source, .target = registry->tables[i].target};
        const json_t *outcome;
        if (!is_wanted(t.source, wanted))
            continue;
        columns_plan(r->arena, t.source, t.target, &t.plan, &t.remark);
        if (in_list(before, t.source, &outcome)) {
            r->rows += (uint64_t)json_integer_value(json_object_get(outcome, "rows_source"));
            r->differences += (uint64_t)json_integer_value(json_object_get(outcome, "differences"));
            continue;
        }
        r->tables[r->count++] = t;
    }
    qsort(r->tables + 1, r->count - 1, sizeof *r->tables, larger_first);
}

/* --- a cut, and the tables compared at it --- */

static size_t list_tables(const struct compared *tables, size_t count, const struct table **source, const struct table **target)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        if (!tables[i].done) {
            source[n] = tables[i].source;
            target[n++] = tables[i].target;
        }
    return n;
}

static enum err note_tables(struct run *r, const struct compared *tables, size_t count, const struct cut *cut, struct fault *f)
{
    json_t *list = json_array();
    char at[LSN_TEXT_SIZE];
    size_t with_rows = 0;

    for (size_t i = 0; i < count; i++)
        if (tables[i].done && tables[i].us >= 0) {
            if (&tables[i] == r->tables) {
                r->found = selftest_found(&tables[i]);
                continue;
            }
            if (tables[i].failed != NULL) {
                AUTO_CHARS *name = report_name(tables[i].source);
                json_array_append_new(r->unverifiable, json_pack("{s:s, s:s}", "object", name, "why", tables[i].failed));
                continue;
            }
            r->rows += tables[i].rows[0];
            r->differences += tables[i].differences;
            with_rows += tables[i].named_count > 0;
            json_array_append_new(list, report_table(&tables[i], with_rows <= TABLES_WITH_ROWS));
        }
    return append(r, EVENT_VERIFY_TABLES,
                  json_pack("{s:s, s:s, s:I, s:f, s:i, s:I, s:o}", "id", r->id, "cut", lsn_text(cut->at, at), "at_us", (json_int_t)cut->taken_us, "held_ms", (double)cut->held_us / 1e3, "tries",
                            cut->tries, "ahead", (json_int_t)cut->ahead, "tables", list),
                  f);
}

/* Those compared already are marked by us = -1 when they have been noted. */
static void count_done(struct run *r, struct compared *tables, size_t count)
{
    pthread_mutex_lock(&r->v->lock);
    for (size_t i = 0; i < count; i++)
        if (tables[i].done && tables[i].us >= 0) {
            tables[i].us = -1;
            r->v->tables_done += &tables[i] != r->tables;
        }
    pthread_mutex_unlock(&r->v->lock);
}

static enum err one_cut(struct run *r, struct compared *tables, size_t count, const char **ret_why, struct fault *f)
{
    struct verify *v = r->v;
    struct cut_place place = {.store = v->hand.store, .apply = v->hand.apply, .lane = r->lane, .cutter = r->cutter, .stop = &v->stop};
    const struct table *source[TABLES_A_CUT];
    const struct table *target[TABLES_A_CUT];
    struct compare compare = {.store = v->hand.store, .cutter = r->cutter, .arena = r->arena, .tables = tables, .count = count, .pairs = v->hand.config->limits.copy_workers, .rows = &v->rows, .stop = &v->stop};
    struct cut cut;
    size_t n = list_tables(tables, count, source, target);
    enum err err;

    say(v, "making a cut");
    TRY(cut_make(&place, source, target, n, &cut, f));
    say(v, "comparing");
    compare.until_us = world_mono_us() + v->hand.config->limits.snapshot_age_us;
    err = compare_run(&compare, ret_why, f);
    v->hand.store->ops->cutter_end(r->cutter);
    TRY(err);
    TRY(note_tables(r, tables, count, &cut, f));
    count_done(r, tables, count);
    return ERR_OK;
}

static bool all_done(const struct compared *tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!tables[i].done)
            return false;
    return true;
}

static void give_up(struct run *r, struct compared *tables, size_t count, const char *why)
{
    for (size_t i = 0; i < count; i++)
        if (!tables[i].done) {
            AUTO_CHARS *name = report_name(tables[i].source);
            json_array_append_new(r->unverifiable, json_pack("{s:s, s:s}", "object", name, "why", why));
            tables[i].done = true;
            tables[i].us = -1;
        }
}

/* A comparison that cannot be made is no reason for the engine to stop: a table that was dropped meanwhile, a right that was taken. */
static bool is_for_now(enum err err)
{
    return err == ERR_BUSY || err == ERR_SOURCE_SQL || err == ERR_TARGET_SQL || err == ERR_RIGHT_MISSING;
}

/* A group of tables, at as many cuts as it takes; what cannot be had at all is said, not left out. */
static enum err compare_group(struct run *r, struct compared *tables, size_t count, struct fault *f)
{
    int64_t deadline = world_mono_us() + PATIENCE_US;

    while (!all_done(tables, count)) {
        size_t before = r->v->tables_done;
        const char *why = NULL;
        enum err err;

        fault_clear(f);
        err = one_cut(r, tables, count, &why, f);
        if (is_for_now(err)) {
            say(r->v, f->why);
            why = f->why;
        } else if (err != ERR_OK) {
            return err;
        }
        if (r->v->tables_done != before)
            deadline = world_mono_us() + PATIENCE_US;
        else if (world_mono_us() > deadline)
            give_up(r, tables, count, why != NULL ? why : "it could not be compared");
        if (stopped(r->v))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        if (why != NULL)
            world_sleep_us(AGAIN_US);
    }
    return ERR_OK;
}

/* --- a request --- */

static enum err read_outcome(struct verify *v, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *text;

    TRY(v->hand.journal->ops->fact_get(v->hand.journal, v->hand.store->name, VERIFY_OUTCOME, a, &text, f));
    pthread_mutex_lock(&v->lock);
    json_decref(v->outcome);
    v->outcome = text != NULL ? json_loads(text, 0, NULL) : NULL;
    pthread_mutex_unlock(&v->lock);
    return ERR_OK;
}

static enum err conclude(struct run *r, struct fault *f)
{
    struct verify *v = r->v;
    const struct journal_ops *ops = v->hand.journal->ops;
    bool clean = r->differences == 0 && r->found == SELFTEST_PLANTED && json_array_size(r->unverifiable) == 0 && json_array_size(r->objects) == 0;
    json_t *o = json_pack("{s:s, s:b, s:I, s:I, s:I, s:{s:i, s:i}, s:O, s:O}", "id", r->id, "clean", (int)clean, "at_us", (json_int_t)world_wall_us(), "rows", (json_int_t)r->rows, "differences",
                          (json_int_t)r->differences, "self_test", "planted", SELFTEST_PLANTED, "found", r->found, "unverifiable", r->unverifiable, "objects", r->objects);
    char *outcome = json_dumps(o, JSON_COMPACT);
    enum err err = append(r, EVENT_VERIFY_DONE, o, f);

    if (err == ERR_OK)
        err = ops->fact_set(v->hand.journal, v->hand.store->name, VERIFY_OUTCOME, outcome, true, f);
    if (err == ERR_OK)
        err = ops->fact_set(v->hand.journal, v->hand.store->name, VERIFY_ASKED, NULL, true, f);
    free(outcome);
    return err == ERR_OK ? read_outcome(v, f) : err;
}

static void begin_progress(struct run *r)
{
    struct verify *v = r->v;

    pthread_mutex_lock(&v->lock);
    v->running = true;
    v->tables_done = 0;
    v->tables_total = r->count - 1;
    v->rows_expected = 0;
    for (size_t i = 1; i < r->count; i++)
        v->rows_expected += r->tables[i].source->rows > 0 ? r->tables[i].source->rows : 0;
    v->began_us = world_mono_us();
    pthread_mutex_unlock(&v->lock);
    atomic_store(&v->rows, 0);
}

static enum err compare_all(struct run *r, struct fault *f)
{
    const struct store_ops *ops = r->v->hand.store->ops;

    TRY(ops->cutter_open(r->v->hand.store, &r->cutter, f));
    TRY(ops->lane_open(r->v->hand.store, "forward", "cut", &r->lane, f));
    TRY(ops->cutter_scratch(r->cutter, f));
    for (size_t from = 0; from < r->count; from += TABLES_A_CUT)
        TRY(compare_group(r, r->tables + from, r->count - from < TABLES_A_CUT ? r->count - from : TABLES_A_CUT, f));
    say(r->v, "comparing what stands around the rows");
    if (!r->one_table) {
        TRY(objects_compare(r->v->hand.store, r->cutter, r->objects, f));
        TRY(objects_compare_sequences(r->v->hand.store, r->cutter, &r->v->stop, r->v->hand.want_sequences, r->objects, f));
    }
    if (stopped(r->v))
        return fault_set(f, ERR_INTERRUPTED, "stopped");
    return conclude(r, f);
}

static enum err carry_out(struct verify *v, const char *request, struct arena *a, struct fault *f)
{
    const struct store_ops *ops = v->hand.store->ops;
    json_t *asked = json_loads(request, 0, NULL);
    struct run r = {.v = v, .arena = a, .unverifiable = json_array(), .objects = json_array()};
    json_t *before = NULL;
    enum err err;

    r.id = json_string_value(json_object_get(asked, "id"));
    err = r.id != NULL ? verify_report(v->hand.journal, v->hand.store->name, r.id, &before, f) : fault_set(f, ERR_JOURNAL_BROKEN, "fact " VERIFY_ASKED " is %s", request);
    r.one_table = json_string_value(json_object_get(asked, "table")) != NULL;
    if (err == ERR_OK) {
        choose_tables(&r, json_string_value(json_object_get(asked, "table")), json_object_get(before, "tables"));
        begin_progress(&r);
        err = compare_all(&r, f);
    }
    ops->cutter_close(r.cutter);
    ops->lane_close(r.lane);
    json_decref(before);
    json_decref(asked);
    json_decref(r.unverifiable);
    json_decref(r.objects);
    pthread_mutex_lock(&v->lock);
    v->running = false;
    pthread_mutex_unlock(&v->lock);
    return err;
}

/* While a person is waited for over the schema, both sides may differ in shape. */
static bool schema_pending(const struct verify *v)
{
    char pending[16] = "";

    ddl_pending(v->hand.ddl, pending, sizeof pending);
    return pending[0] != '\0';
}

static enum err look(struct verify *v, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    const char *request;

    TRY(v->hand.journal->ops->fact_get(v->hand.journal, v->hand.store->name, VERIFY_ASKED, a, &request, f));
    return request != NULL && !schema_pending(v) ? carry_out(v, request, a, f) : ERR_OK;
}

/* --- beside the engine --- */

static void *verify_thread(void *arg)
{
    struct verify *v = arg;
    struct fault f = {0};
    enum err err = read_outcome(v, &f);

    while (err == ERR_OK && !stopped(v)) {
        int64_t until = world_mono_us() + LOOK_US;
        err = look(v, &f);
        while (err == ERR_OK && !stopped(v) && world_mono_us() < until)
            world_sleep_us(20000);
    }
    if (err != ERR_OK && err != ERR_INTERRUPTED) {
        fault_add(&f, "comparing both sides");
        pthread_mutex_lock(&v->lock);
        v->fault = f;
        pthread_mutex_unlock(&v->lock);
    }
    return NULL;
}

static enum err start(const struct engine_hand *hand, void **ret, struct fault *f)
{
    struct verify *v = mem_alloc(sizeof *v);

    (void)f;
    v->hand = *hand;
    pthread_mutex_init(&v->lock, NULL);
    ENSURE(pthread_create(&v->thread, NULL, verify_thread, v) == 0);
    *ret = v;
    return ERR_OK;
}

static enum err check(void *guest, struct fault *f)
{
    struct verify *v = guest;
    enum err err;

    pthread_mutex_lock(&v->lock);
    err = v->fault.code;
    if (err != ERR_OK)
        *f = v->fault;
    pthread_mutex_unlock(&v->lock);
    return err;
}

static void status(void *guest, json_t *o)
{
    struct verify *v = guest;

    pthread_mutex_lock(&v->lock);
    if (v->outcome != NULL)
        json_object_set(o, "verified", v->outcome);
    if (v->running)
        json_object_set_new(o, "verifying", json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "doing", v->doing, "tables_done", (json_int_t)v->tables_done, "tables_total",
                                                      (json_int_t)v->tables_total, "rows_done", (json_int_t)atomic_load(&v->rows), "rows_expected", v->rows_expected, "seconds",
                                                      (double)(world_mono_us() - v->began_us) / 1e6));
    pthread_mutex_unlock(&v->lock);
}

static void stop(void *guest)
{
    struct verify *v = guest;

    if (v == NULL)
        return;
    atomic_store(&v->stop, true);
    pthread_join(v->thread, NULL);
    pthread_mutex_destroy(&v->lock);
    json_decref(v->outcome);
    free(v);
}

const struct engine_guest verify_guest = {.start = start, .check = check, .status = status, .stop = stop};
