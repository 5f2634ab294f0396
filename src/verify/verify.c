/* verify/verify.c — see verify.h: the thread beside the engine. */
#include "verify/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/copy.h"
#include "verify/objects.h"
#include "verify/outcome.h"
#include "verify/selftest.h"
#include "verify/verify_internal.h"

#define LOOK_US ((int64_t)300000)

bool verify_stopped(const struct verify *v)
{
    return atomic_load(&v->stop) || atomic_load(v->hand.store->stop);
}

void verify_say(struct verify *v, const char *text)
{
    pthread_mutex_lock(&v->lock);
    snprintf(v->doing, sizeof v->doing, "%.500s", text);
    pthread_mutex_unlock(&v->lock);
}

enum err verify_append(struct run *r, enum event_kind kind, json_t *o, struct fault *f)
{
    struct verify *v = r->v;
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = v->hand.journal->ops->append(v->hand.journal, v->hand.store->name, kind, body, f);

    free(body);
    json_decref(o);
    return err;
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

static enum err end_request(struct verify *v, struct fault *f)
{
    return v->hand.journal->ops->fact_set(v->hand.journal, v->hand.store->name, VERIFY_ASKED, NULL, true, f);
}

static enum err conclude(struct run *r, struct fault *f)
{
    struct verify *v = r->v;
    const struct journal_ops *ops = v->hand.journal->ops;
    bool clean = r->differences == 0 && r->found == SELFTEST_PLANTED && json_array_size(r->unverifiable) == 0 && json_array_size(r->objects) == 0;
    json_t *o = json_pack("{s:s, s:b, s:I, s:I, s:I, s:{s:i, s:i}, s:O, s:O, s:O, s:O}", "id", r->id, "clean", (int)clean, "at_us", (json_int_t)world_wall_us(), "rows", (json_int_t)r->rows,
                          "differences", (json_int_t)r->differences, "self_test", "planted", SELFTEST_PLANTED, "found", r->found, "unverifiable", r->unverifiable, "objects", r->objects, "differing",
                          r->differing, "not_compared", r->left_out);
    json_t *merged = outcome_merge(v->outcome, r->names, o); /* v->outcome is written by this thread alone */
    char *outcome = json_dumps(merged, JSON_COMPACT);
    enum err err = verify_append(r, EVENT_VERIFY_DONE, o, f);

    if (err == ERR_OK)
        err = ops->fact_set(v->hand.journal, v->hand.store->name, VERIFY_OUTCOME, outcome, true, f);
    if (err == ERR_OK)
        err = end_request(v, f);
    free(outcome);
    json_decref(merged);
    return err == ERR_OK ? read_outcome(v, f) : err;
}

static void begin_progress(struct run *r)
{
    struct verify *v = r->v;

    pthread_mutex_lock(&v->lock);
    v->running = true;
    snprintf(v->id, sizeof v->id, "%s", r->id);
    v->tables_done = 0;
    v->tables_total = r->count - verify_own_tables(r);
    v->rows_expected = 0;
    for (size_t i = verify_own_tables(r); i < r->count; i++)
        v->rows_expected += r->tables[i].source->rows > 0 ? r->tables[i].source->rows : 0;
    v->began_us = world_mono_us();
    pthread_mutex_unlock(&v->lock);
    atomic_store(&v->rows, 0);
}

static enum err open_all(struct run *r, struct fault *f)
{
    const struct store_ops *ops = r->v->hand.store->ops;

    TRY(ops->cutter_open(r->v->hand.store, &r->cutter, f));
    TRY(ops->lane_open(r->v->hand.store, "forward", "cut", &r->lane, f));
    return ops->cutter_scratch(r->cutter, f);
}

/* What cannot be told is listed: neither is it equal, nor is it a reason for the engine to end. */
static enum err compare_sequences(struct run *r, struct fault *f)
{
    enum err err = objects_compare_sequences(r->v->hand.store, r->cutter, &r->v->stop, r->v->hand.want_sequences, r->objects, f);

    if (err != ERR_BUSY)
        return err;
    json_array_append_new(r->unverifiable, json_pack("{s:s, s:s}", "object", "sequences", "why", f->why));
    fault_clear(f);
    return ERR_OK;
}

static enum err compare_all(struct run *r, struct fault *f)
{
    TRY(verify_groups(r, f));
    verify_say(r->v, "comparing what stands around the rows");
    if (r->names == NULL) {
        TRY(objects_left_out(r->v->hand.store, r->cutter, r->left_out, f));
        TRY(objects_compare(r->v->hand.store, r->cutter, r->objects, f));
        TRY(compare_sequences(r, f));
    }
    return verify_stopped(r->v) ? fault_set(f, ERR_INTERRUPTED, "stopped") : conclude(r, f);
}

static enum err plan(struct run *r, struct fault *f)
{
    TRY(verify_groups(r, f));
    TRY(repair_plan(r, f));
    return end_request(r->v, f);
}

/* A plan that is gone, or was written into, is no reason for the engine to stop. */
static enum err no_plan(struct run *r, struct fault *f)
{
    json_t *o = json_pack("{s:s, s:[{s:s, s:i, s:i, s:s}]}", "id", r->id, "tables", "table", "-", "mended", 0, "left", 0, "why", f->why);

    fault_clear(f);
    TRY(verify_append(r, EVENT_REPAIR_DONE, o, f));
    return end_request(r->v, f);
}

static enum err carry_out(struct run *r, const json_t *before, struct fault *f)
{
    TRY(open_all(r, f));
    if (r->does == VERIFY_REPAIR) {
        verify_say(r->v, "mending rows");
        TRY(repair_apply(r, json_object_get(before, "mended"), f));
    }
    verify_choose(r, json_object_get(before, "tables"));
    begin_progress(r);
    return r->does == VERIFY_PLAN ? plan(r, f) : compare_all(r, f);
}

/* Which tables it is about. */
static enum err read_names(struct run *r, const char *table, struct fault *f)
{
    const json_t *one;
    size_t i;

    if (r->does == VERIFY_REPAIR)
        return repair_tables(r, &r->names, f);
    if (table == NULL && r->does == VERIFY_COMPARE)
        return ERR_OK;
    r->names = json_array();
    if (table != NULL)
        json_array_append_new(r->names, json_string(table));
    json_array_foreach(table == NULL ? json_object_get(r->v->outcome, "differing") : NULL, i, one)
        json_array_append_new(r->names, json_deep_copy(json_object_get(one, "table")));
    return ERR_OK;
}

static void run_fini(struct run *r)
{
    const struct store_ops *ops = r->v->hand.store->ops;

    ops->cutter_close(r->cutter);
    ops->lane_close(r->lane);
    json_decref(r->names);
    json_decref(r->unverifiable);
    json_decref(r->objects);
    json_decref(r->differing);
    json_decref(r->left_out);
    pthread_mutex_lock(&r->v->lock);
    r->v->running = false;
    pthread_mutex_unlock(&r->v->lock);
}

/* What is touched while all is compared, and after. Without it the comparison is as good, and stays what it is. */
static void note_from_now(struct verify *v)
{
    struct fault why = {0};

    if (!touched_stands(v->hand.touched) && touched_begin(v->hand.touched, &why) != ERR_OK)
        log_fault(LOG_WARN, v->hand.store->name, &why);
}

static enum err begin(struct verify *v, const char *table, struct run *r, struct fault *f)
{
    json_t *before = NULL;
    enum err err;

    TRY(verify_report(v->hand.journal, v->hand.store->name, r->id, &before, f));
    err = read_names(r, table, f);
    if (err == ERR_OK && r->does == VERIFY_COMPARE && r->names == NULL && json_array_size(json_object_get(before, "tables")) == 0)
        note_from_now(v);
    if (err == ERR_OK)
        err = carry_out(r, before, f);
    if (err == ERR_REPAIR_PLAN)
        err = no_plan(r, f);
    json_decref(before);
    return err;
}

/* While a person is waited for over the schema, both sides may differ in shape. */
static bool schema_pending(const struct verify *v)
{
    char pending[16] = "";

    ddl_pending(v->hand.ddl, pending, sizeof pending);
    return pending[0] != '\0';
}

/* The other side serves now: what was found of this one is of before, and a comparison the other way is another engine's. */
static enum err stand_by(struct verify *v, struct fault *f)
{
    stay_rest(v);
    stay_held(v, "the other side serves");
    if (v->outcome == NULL)
        return ERR_OK;
    TRY(touched_end(v->hand.touched, "the other side serves", f));
    TRY(v->hand.journal->ops->fact_set(v->hand.journal, v->hand.store->name, VERIFY_OUTCOME, NULL, false, f));
    return read_outcome(v, f);
}

static enum err look(struct verify *v, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    struct run r = {.v = v, .arena = a};
    const char *table;
    enum err err;

    if (!atomic_load(v->hand.leads))
        return stand_by(v, f);
    TRY(verify_asked(v->hand.journal, v->hand.store->name, a, &r.id, &r.does, &table, f));
    if (schema_pending(v)) {
        stay_held(v, "the schema is waited for");
        return ERR_OK;
    }
    if (r.id == NULL)
        return stay_turn(v, f);
    stay_rest(v);
    stay_held(v, "a comparison that was asked for comes first");
    r.unverifiable = json_array();
    r.objects = json_array();
    r.differing = json_array();
    r.left_out = json_array();
    err = begin(v, table, &r, f);
    run_fini(&r);
    return err;
}

/* --- beside the engine --- */

static void *verify_thread(void *arg)
{
    struct verify *v = arg;
    struct fault f = {0};
    enum err err = read_outcome(v, &f);

    while (err == ERR_OK && !verify_stopped(v)) {
        int64_t until = world_mono_us() + LOOK_US;
        err = look(v, &f);
        while (err == ERR_OK && !verify_stopped(v) && world_mono_us() < until)
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
    static const char *const paces[] = {[COPY_FREE] = "", [COPY_SLOWED] = "slowed by the governor", [COPY_PAUSED] = "paused by the governor"};
    struct verify *v = guest;

    pthread_mutex_lock(&v->lock);
    if (v->outcome != NULL) {
        json_t *verified = json_deep_copy(v->outcome); /* what is written down later shares nothing with this thread */
        stay_status(v, verified);
        json_object_set_new(o, "verified", verified);
    }
    if (v->running)
        json_object_set_new(o, "verifying", json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f}", "id", v->id, "doing", v->doing, "governor", paces[atomic_load(v->hand.pace)], "tables_done", (json_int_t)v->tables_done, "tables_total",
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
    stay_rest(v);
    pthread_mutex_destroy(&v->lock);
    json_decref(v->outcome);
    free(v);
}

const struct engine_guest verify_guest = {.start = start, .check = check, .status = status, .stop = stop};
