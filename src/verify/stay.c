/* verify/stay.c — stay verified: once all was compared, what was touched since is compared again, every few seconds.
 *
 *   read the note (replicate/touched.h) --> a cut of those tables --> the rows with those keys, or small tables whole
 *     --> differences into the outcome, as a person's comparison would put them --> the note's place moves on
 *
 * A table touched as a whole (TRUNCATE, joined anew, no key) that is not small is due: it is in the outcome before the note is passed, and is
 * compared when its turn comes, in a round of its own, at most a part of the time. One that is known to differ is left alone until a person has it mended.
 *
 * Invariants
 *  1. The place moves on only past what was compared whole at one cut or several, or is written down as due or as differing.
 *  2. Nothing here stops the engine that a person's comparison would not. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/copy.h"
#include "verify/columns.h"
#include "verify/outcome.h"
#include "verify/report.h"
#include "verify/verify_internal.h"

#define EVERY_US ((int64_t)5000000)
#define MOST_EVERY_US ((int64_t)60000000) /* while nothing comes of it */
#define REST_US ((int64_t)30000000)       /* quiet for so long: no connection stays open */
#define PART_OF_TIME 10                   /* a large table: one in so many seconds */
#define KEYS_A_ROUND 50000u
#define SMALL_BYTES ((int64_t)32 << 20)

struct round {
    struct run run;
    struct touched_list list;
    json_t *due;         /* names: as it will be when this round is over */
    json_t *differing;   /* [{"table", "differences"}]: found in it, */
    json_t *reports;     /* and in full */
    int64_t taken_us;    /* of the first cut: what it says is of then */
    size_t keys;
    bool large;          /* a table that was due is in it */
};

/* --- which tables, and which of their rows --- */

static bool in_names(const json_t *names, const char *full)
{
    const json_t *one;
    size_t i;

    json_array_foreach(names, i, one)
        if (strcmp(json_string_value(one), full) == 0)
            return true;
    return false;
}

static bool is_differing(const struct verify *v, const struct table *t)
{
    return report_in(json_object_get(v->outcome, "differing"), t) != NULL;
}

static struct compared *add_table(struct round *round, const struct rtable *t)
{
    struct run *r = &round->run;
    struct compared *c = &r->tables[r->count++];

    *c = (struct compared){.source = t->source, .target = t->target};
    columns_plan(r->arena, t->source, t->target, false, &c->plan, &c->remark);
    return c;
}

static void add_touched(struct round *round, const struct touched_rows *rows)
{
    const struct table *source = rows->table->source;
    AUTO_CHARS *name = report_name(source);
    struct compared *c;

    if (source->unlogged || is_differing(round->run.v, source) || in_names(round->due, name))
        return;
    c = add_table(round, rows->table);
    if (!rows->whole && c->plan.keys > 0 && c->plan.keys == table_key_columns(source)) {
        c->part = (struct row_part){.keys = rows->keys, .count = rows->count};
        round->keys += rows->count;
    } else if (source->bytes > SMALL_BYTES) {
        json_array_append_new(round->due, json_string(name));
        round->run.count--;
    }
}

static void remove_name(json_t *names, const char *full)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)), full) == 0)
            json_array_remove(names, i--);
}

/* One of those that are due, if the time has come for a large one. Those that are gone, or differ by now, are not. */
static void add_due(struct round *round)
{
    struct verify *v = round->run.v;
    const json_t *before = json_object_get(v->outcome, "due");
    const json_t *one;
    size_t i;

    json_array_foreach(before, i, one)
    {
        const char *name = json_string_value(one);
        const struct rtable *t = registry_named(v->hand.registry, name);
        if (t == NULL || is_differing(v, t->source)) {
            remove_name(round->due, name);
        } else if (!round->large && world_mono_us() >= v->stay.large_us) {
            (void)add_table(round, t);
            round->large = true;
        }
    }
}

static enum err choose(struct round *round, struct fault *f)
{
    struct verify *v = round->run.v;
    size_t most = v->hand.registry->count + 1;

    round->due = json_object_get(v->outcome, "due") != NULL ? json_deep_copy(json_object_get(v->outcome, "due")) : json_array();
    round->run.tables = arena_zalloc(round->run.arena, most * sizeof *round->run.tables);
    add_due(round);
    if (round->large)
        return ERR_OK;
    TRY(touched_read(v->hand.touched, KEYS_A_ROUND, round->run.arena, &round->list, f));
    for (size_t i = 0; i < round->list.count; i++)
        add_touched(round, &round->list.rows[i]);
    return ERR_OK;
}

/* --- comparing --- */

static enum err open_cutter(struct verify *v, struct fault *f)
{
    return v->stay.cutter == NULL ? v->hand.store->ops->cutter_open(v->hand.store, &v->stay.cutter, f) : ERR_OK;
}

void stay_rest(struct verify *v)
{
    v->hand.store->ops->cutter_close(v->stay.cutter);
    v->stay.cutter = NULL;
}

/* ERR_BUSY: somebody was in the way, or it took too long; another time. */
static enum err compare_some(struct round *round, struct compared *tables, size_t count, struct fault *f)
{
    struct verify *v = round->run.v;
    _Atomic uint64_t rows = 0;
    struct compare compare = {.cutter = v->stay.cutter, .arena = round->run.arena, .tables = tables, .count = count, .named_most = COMPARE_NAMED, .pairs = 1, .rows = &rows};
    const char *why = NULL;
    struct cut cut;

    TRY(verify_at_cut(v, &compare, &cut, NULL, &why, f));
    if (why != NULL)
        return fault_set(f, ERR_BUSY, "%s%s", why, round->large ? " (a table that was touched as a whole: `leat verify --table` can compare it in parts)" : "");
    round->run.cut = cut;
    if (round->taken_us == 0)
        round->taken_us = cut.taken_us;
    return ERR_OK;
}

static void take_note(struct round *round, const struct compared *c)
{
    AUTO_CHARS *name = report_name(c->source);

    remove_name(round->due, name);
    if (c->failed != NULL) {
        json_array_append_new(round->due, json_string(name));
        log_line(LOG_INFO, round->run.v->hand.store->name, "%s could not be compared again: %s", name, c->failed);
    } else if (c->differences > 0) {
        json_array_append_new(round->differing, json_pack("{s:s, s:I}", "table", name, "differences", (json_int_t)c->differences));
        json_array_append_new(round->reports, report_table(c, true));
    }
}

static enum err compare_all(struct round *round, struct fault *f)
{
    struct run *r = &round->run;

    for (size_t from = 0; from < r->count; from += TABLES_A_CUT)
        TRY(compare_some(round, r->tables + from, r->count - from < TABLES_A_CUT ? r->count - from : TABLES_A_CUT, f));
    for (size_t i = 0; i < r->count; i++)
        take_note(round, &r->tables[i]);
    return ERR_OK;
}

/* --- what came of it --- */

static enum err write_outcome(struct round *round, struct fault *f)
{
    struct verify *v = round->run.v;
    json_t *now = outcome_stay(v->outcome, round->differing, round->due);
    char *text = json_dumps(now, JSON_COMPACT);
    bool same = json_equal(now, v->outcome);
    enum err err = same ? ERR_OK : v->hand.journal->ops->fact_set(v->hand.journal, v->hand.store->name, VERIFY_OUTCOME, text, true, f);

    free(text);
    if (err != ERR_OK || same) {
        json_decref(now);
        return err;
    }
    pthread_mutex_lock(&v->lock);
    json_decref(v->outcome);
    v->outcome = now;
    pthread_mutex_unlock(&v->lock);
    return ERR_OK;
}

static enum err conclude(struct round *round, struct fault *f)
{
    struct verify *v = round->run.v;
    char at[LSN_TEXT_SIZE];

    if (json_array_size(round->reports) > 0) {
        log_line(LOG_WARN, v->hand.store->name, "what was changed since the comparison is not equal on both sides: `leat status`, `leat repair`");
        TRY(verify_append(&round->run, EVENT_VERIFY_STAY, json_pack("{s:s, s:O}", "cut", lsn_text(round->run.cut.at, at), "tables", round->reports), f));
    }
    TRY(write_outcome(round, f));
    if (!round->large)
        TRY(touched_passed(v->hand.touched, round->list.upto, f));
    pthread_mutex_lock(&v->lock);
    v->stay.keys += round->keys;
    v->stay.rounds++;
    if (round->list.all)
        v->stay.at_us = round->taken_us != 0 ? round->taken_us : world_wall_us();
    v->stay.why[0] = '\0';
    pthread_mutex_unlock(&v->lock);
    return ERR_OK;
}

static enum err run_round(struct round *round, struct fault *f)
{
    TRY(open_cutter(round->run.v, f));
    TRY(choose(round, f));
    TRY(compare_all(round, f));
    return conclude(round, f);
}

/* --- when --- */

void stay_held(struct verify *v, const char *why)
{
    pthread_mutex_lock(&v->lock);
    snprintf(v->stay.why, sizeof v->stay.why, "%.250s", why);
    pthread_mutex_unlock(&v->lock);
}

static void pace(struct verify *v, const struct round *round, int64_t took_us, bool done)
{
    int64_t now = world_mono_us();
    int64_t rest = took_us > EVERY_US ? took_us : EVERY_US;

    v->stay.patience_us = done ? 0 : v->stay.patience_us > 0 ? 2 * v->stay.patience_us : EVERY_US;
    if (v->stay.patience_us > MOST_EVERY_US)
        v->stay.patience_us = MOST_EVERY_US;
    v->stay.next_us = now + (!done ? v->stay.patience_us : round->list.all ? rest : took_us); /* behind: every other moment */
    if (round->large)
        v->stay.large_us = now + took_us * PART_OF_TIME;
}

static enum err round_of(struct verify *v, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    struct round round = {.run = {.v = v, .arena = a}};
    int64_t began = world_mono_us();
    enum err err;

    round.differing = json_array();
    round.reports = json_array();
    err = run_round(&round, f);
    pace(v, &round, world_mono_us() - began, err == ERR_OK);
    json_decref(round.differing);
    json_decref(round.reports);
    json_decref(round.due);
    if (verify_is_for_now(err)) {
        stay_rest(v);
        stay_held(v, f->why);
        fault_clear(f);
        err = ERR_OK;
    }
    return err;
}

enum err stay_turn(struct verify *v, struct fault *f)
{
    int64_t at;

    if (!json_is_true(json_object_get(v->outcome, "whole")))
        return ERR_OK;
    if (!touched_stands(v->hand.touched)) {
        stay_rest(v);
        stay_held(v, "what was touched since is not known");
        return ERR_OK;
    }
    if (world_mono_us() < v->stay.next_us)
        return ERR_OK;
    if (atomic_load(v->hand.pace) != COPY_FREE) {
        stay_held(v, "the governor leaves it no time");
        return ERR_OK;
    }
    at = world_wall_us();
    if (touched_none(v->hand.touched) && (json_array_size(json_object_get(v->outcome, "due")) == 0 || world_mono_us() < v->stay.large_us)) {
        pthread_mutex_lock(&v->lock);
        v->stay.at_us = at;
        v->stay.why[0] = '\0';
        pthread_mutex_unlock(&v->lock);
        if (world_mono_us() > v->stay.next_us + REST_US)
            stay_rest(v);
        return ERR_OK;
    }
    return round_of(v, f);
}

void stay_status(const struct verify *v, json_t *verified)
{
    if (!json_is_true(json_object_get(v->outcome, "whole")))
        return;
    json_object_set_new(verified, "stay", json_pack("{s:I, s:I, s:I, s:s}", "at_us", (json_int_t)v->stay.at_us, "keys", (json_int_t)v->stay.keys, "rounds", (json_int_t)v->stay.rounds, "why", v->stay.why));
}
