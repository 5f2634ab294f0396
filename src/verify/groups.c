/* verify/groups.c — the tables of a request, compared in groups, each at as many cuts as it takes. See verify.h. */
#include <stdlib.h>
#include <string.h>

#include "base/world.h"
#include "verify/columns.h"
#include "verify/outcome.h"
#include "verify/ranges.h"
#include "verify/report.h"
#include "verify/selftest.h"
#include "verify/verify_internal.h"

#define PATIENCE_US ((int64_t)600000000) /* for a cut, or a lock, before a table is given up */
#define TABLES_WITH_ROWS 50              /* in one event: it is bounded */
#define REFUSED_MOST 5                   /* times a table alone is refused before it is given up */
#define LATE_MOST 3                      /* cuts that were too short for a table that cannot be divided */
#define AGAIN_US ((int64_t)500000)

/* --- which tables --- */

static bool is_wanted(const struct table *t, const json_t *names)
{
    AUTO_CHARS *full = report_name(t);

    return outcome_names(names, full);
}

static int larger_first(const void *left, const void *right)
{
    const struct compared *a = left;
    const struct compared *b = right;

    return a->source->bytes > b->source->bytes ? -1 : a->source->bytes < b->source->bytes;
}

static void count_differences(struct run *r, const struct table *t, uint64_t count)
{
    AUTO_CHARS *name = report_name(t);

    r->differences += count;
    if (count > 0)
        json_array_append_new(r->differing, json_pack("{s:s, s:I}", "table", name, "differences", (json_int_t)count));
}

size_t verify_own_tables(const struct run *r)
{
    return r->does != VERIFY_PLAN;
}

static bool is_own(const struct run *r, const struct compared *t)
{
    return verify_own_tables(r) > 0 && t == r->tables;
}

/* What an engine before us compared for this request stands. */
void verify_choose(struct run *r, const json_t *before)
{
    const struct registry *registry = r->v->hand.registry;
    bool coarse = r->v->hand.store->ops->cutter_coarse(r->cutter);

    r->tables = arena_zalloc(r->arena, (registry->count + 1) * sizeof *r->tables);
    if (verify_own_tables(r) > 0)
        selftest_table(r->arena, &r->tables[r->count++]);
    for (size_t i = 0; i < registry->count; i++) {
        struct compared t = {.source = registry->tables[i].source, .target = registry->tables[i].target};
        const json_t *outcome = report_in(before, t.source);
        if (t.source->unlogged || !is_wanted(t.source, r->names))
            continue;
        columns_plan(r->arena, t.source, t.target, coarse, &t.plan, &t.remark);
        if (outcome != NULL) {
            r->rows += (uint64_t)json_integer_value(json_object_get(outcome, "rows_source"));
            count_differences(r, t.source, (uint64_t)json_integer_value(json_object_get(outcome, "differences")));
            continue;
        }
        r->tables[r->count++] = t;
    }
    if (r->count > 1)
        qsort(r->tables + verify_own_tables(r), r->count - verify_own_tables(r), sizeof *r->tables, larger_first);
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
            if (is_own(r, &tables[i])) {
                r->found = selftest_found(&tables[i]);
                continue;
            }
            if (tables[i].failed != NULL) {
                AUTO_CHARS *name = report_name(tables[i].source);
                json_array_append_new(r->unverifiable, json_pack("{s:s, s:s}", "object", name, "why", tables[i].failed));
                continue;
            }
            r->rows += tables[i].rows[0];
            count_differences(r, tables[i].source, tables[i].differences);
            with_rows += tables[i].named_count > 0;
            json_array_append_new(list, report_table(&tables[i], with_rows <= TABLES_WITH_ROWS));
        }
    return verify_append(r, EVENT_VERIFY_TABLES,
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
            r->v->tables_done += !is_own(r, &tables[i]);
        }
    pthread_mutex_unlock(&r->v->lock);
}

/* Tables found equal: what the ledger says of them from before the cut is over. */
static enum err settle(struct run *r, const struct compared *tables, size_t count, int64_t last, struct fault *f)
{
    json_t *names = json_array();
    char *text;
    enum err err = ERR_OK;

    for (size_t i = 0; i < count; i++)
        if (!is_own(r, &tables[i]) && tables[i].done && tables[i].us >= 0 && tables[i].failed == NULL && tables[i].differences == 0 && tables[i].ranges == NULL) {
            AUTO_CHARS *name = report_name(tables[i].source);
            json_array_append_new(names, json_string(name));
        }
    text = json_dumps(names, JSON_COMPACT);
    if (last > 0 && json_array_size(names) > 0)
        err = r->v->hand.store->ops->lane_settle(r->lane, r->id, last, text, f);
    free(text);
    json_decref(names);
    return err;
}

/* This cut came to nothing: what it compared is compared again at the next. */
static void forget_cut(struct compared *tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (tables[i].done && tables[i].us >= 0) {
            tables[i].done = false;
            tables[i].failed = NULL;
            tables[i].differences = 0;
            tables[i].named_count = 0;
            tables[i].more = false;
        }
}

/* What was compared in ranges goes on with the next; what took too long is divided. True: something came of it. */
static enum err mind_ranges(struct compare *c, bool noted, bool *ret_moved, struct fault *f)
{
    for (size_t i = 0; i < c->count; i++) {
        bool divided = false;
        if (c->tables[i].too_long)
            TRY(ranges_divide(c, &c->tables[i], &divided, f));
        if (c->tables[i].late >= LATE_MOST) {
            c->tables[i].failed = "it takes longer than limits.snapshot_age, and has no key in whose order it could be compared in parts";
            c->tables[i].done = true;
        }
        *ret_moved = *ret_moved || divided;
    }
    for (size_t i = 0; i < c->count; i++) /* from here on nothing fails: what is taken in stays */
        if (c->tables[i].ranges != NULL && c->tables[i].us >= 0) {
            *ret_moved = *ret_moved || c->tables[i].done;
            ranges_take(c, &c->tables[i]);
            if (c->tables[i].done && c->tables[i].failed == NULL && !noted)
                c->tables[i].failed = "it takes longer than limits.snapshot_age; compared in parts, rows may have moved from one to another, and what was touched meanwhile is not known: `leat verify` of all tables notes it";
        }
    return ERR_OK;
}

enum err verify_at_cut(struct verify *v, struct compare *c, struct cut *ret, int64_t *ret_ledger, const char **ret_why,
                       struct fault *f)
{
    const struct store_ops *ops = v->hand.store->ops;
    struct cut_place place = {.store = v->hand.store, .apply = v->hand.apply, .cutter = c->cutter, .stop = &v->stop};
    const struct table *source[TABLES_A_CUT];
    const struct table *target[TABLES_A_CUT];
    size_t n = list_tables(c->tables, c->count, source, target);
    enum err err = ERR_OK;

    verify_say(v, "making a cut");
    TRY(cut_make(&place, source, target, n, ret, f));
    verify_say(v, "comparing");
    c->store = v->hand.store;
    c->pace = v->hand.pace;
    c->stop = &v->stop;
    c->until_us = world_mono_us() + v->hand.config->limits.snapshot_age_us;
    if (ret_ledger != NULL)
        err = ops->cutter_ledger(c->cutter, ret_ledger, f);
    if (err == ERR_OK)
        err = compare_run(c, ret_why, f);
    ops->cutter_end(c->cutter);
    return err;
}

static enum err one_cut(struct run *r, struct compared *tables, size_t count, const char **ret_why, bool *ret_moved, struct fault *f)
{
    struct verify *v = r->v;
    struct compare compare = {.cutter = r->cutter,
                              .arena = r->arena,
                              .tables = tables,
                              .count = count,
                              .named_most = r->does == VERIFY_PLAN ? REPAIR_MOST + 1 : COMPARE_NAMED,
                              .pairs = v->hand.config->limits.verify_workers,
                              .rows = &v->rows};
    struct cut cut;
    int64_t ledger = 0;
    enum err err = verify_at_cut(v, &compare, &cut, &ledger, ret_why, f);

    *ret_moved = err == ERR_OK && compare.paused;
    if (err == ERR_OK)
        err = mind_ranges(&compare, touched_stands(v->hand.touched), ret_moved, f);
    if (err != ERR_OK)
        forget_cut(tables, count);
    TRY(err);
    r->cut = cut;
    if (r->does != VERIFY_PLAN) {
        TRY(note_tables(r, tables, count, &cut, f));
        err = settle(r, tables, count, ledger, f);
    }
    count_done(r, tables, count);
    return err;
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

bool verify_is_for_now(enum err err)
{
    return err == ERR_BUSY || err == ERR_SOURCE_SQL || err == ERR_TARGET_SQL || err == ERR_RIGHT_MISSING;
}

/* Tables that others wanted to lock go to the end, where they cost nobody else their cut. How many are to be compared now: the ones
 * before them, or, if there is none, all. Our own stays the first. */
static size_t wanted_last(struct compared *tables, size_t count)
{
    size_t n = 0;
    size_t todo = 0;

    for (size_t i = 0; i < count; i++)
        if (tables[i].done || !tables[i].wanted) {
            struct compared t = tables[i];
            memmove(&tables[n + 1], &tables[n], (i - n) * sizeof *tables);
            tables[n++] = t;
            todo += !t.done;
        }
    if (todo > 0)
        return n;
    for (size_t i = n; i < count; i++)
        tables[i].wanted = false;
    return count;
}

/* What a server refuses, one table of several can be the reason of: from then on each has a cut of its own, and the one that is refused
 * again and again is given up, not those beside it. */
struct refusals {
    bool alone;
    int count;
};

static void mind_refusal(struct run *r, struct refusals *refused, struct compared *tables, size_t count, const char *why)
{
    if (!refused->alone && count > 1) {
        refused->alone = true;
    } else if (++refused->count == REFUSED_MOST) {
        give_up(r, tables, count, why);
        refused->count = 0;
    }
}

/* A group of tables, at as many cuts as it takes; what cannot be had at all is said, not left out. */
static enum err compare_group(struct run *r, struct compared *tables, size_t count, struct fault *f)
{
    int64_t deadline = world_mono_us() + PATIENCE_US;
    struct refusals refused = {0};

    while (!all_done(tables, count)) {
        size_t before = r->v->tables_done;
        size_t n = wanted_last(tables, count);
        struct compared *first = tables;
        const char *why = NULL;
        bool moved = false;
        enum err err;

        if (refused.alone)
            n = 1;
        while (refused.alone && first->done)
            first++;
        fault_clear(f);
        err = one_cut(r, first, n, &why, &moved, f);
        atomic_store(&r->v->rows, r->rows); /* of what was read in vain nobody is told */
        if (verify_is_for_now(err)) {
            verify_say(r->v, f->why);
            why = f->why;
        } else if (err != ERR_OK) {
            return err;
        }
        if (verify_is_for_now(err) && err != ERR_BUSY)
            mind_refusal(r, &refused, first, n, f->why);
        if (r->v->tables_done != before)
            refused.count = 0;
        if (r->v->tables_done != before || moved)
            deadline = world_mono_us() + PATIENCE_US;
        else if (world_mono_us() > deadline)
            give_up(r, tables, count, why != NULL ? why : "it could not be compared");
        if (verify_stopped(r->v))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        if (why != NULL)
            world_sleep_us(AGAIN_US);
    }
    return ERR_OK;
}

enum err verify_groups(struct run *r, struct fault *f)
{
    for (size_t from = 0; from < r->count; from += TABLES_A_CUT)
        TRY(compare_group(r, r->tables + from, r->count - from < TABLES_A_CUT ? r->count - from : TABLES_A_CUT, f));
    return verify_stopped(r->v) ? fault_set(f, ERR_INTERRUPTED, "stopped") : ERR_OK;
}
