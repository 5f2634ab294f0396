/* verify/repair.c — differences mended: a plan first, then row by row, at a cut.
 *
 *   compare (rows named) --> plan: STATE/repair/STORE.json for us, .sql for people --a person--> for each table, some rows a cut:
 *     applying stands still, the target is what the source's snapshot S is
 *       --> the row is on the source, in S, still as planned?  --> its statement on the target, which compares what stands there
 *     --> one transaction, durable --> applying goes on --> the tables are compared again
 *
 * Invariants
 *  1. A row is written only as S has it, while nothing S does not see is on the target: what the stream brings next finds the row as
 *     it was on the source at that moment.
 *  2. What is not as it was when the plan was made, on either side, is left, and said: a plan never overwrites what it did not see.
 *  3. Every statement changes one row or none. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/world.h"
#include "verify/columns.h"
#include "verify/report.h"
#include "verify/verify_internal.h"

#define MENDS_A_CUT 200
#define LEFT_SHOWN 20

static char *path_of(const struct run *r, const char *ending)
{
    return mem_format("%s/repair/%s.%s", r->v->hand.store->state_dir, r->v->hand.store->name, ending);
}

/* --- the plan --- */

static json_t *texts_json(const struct compared *t, const char *const *values)
{
    json_t *list;

    if (values == NULL)
        return json_null();
    list = json_array();
    for (uint16_t i = 0; i < t->plan.count; i++)
        if (json_array_append_new(list, values[i] != NULL ? json_string(values[i]) : json_null()) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static const char *const *before_of(const struct named_row *row)
{
    return row->kind == DIFFERENCE_MISSING ? NULL : row->target;
}

static const char *const *after_of(const struct named_row *row)
{
    return row->kind == DIFFERENCE_EXTRA ? NULL : row->source;
}

/* NULL: it can be planned. */
static const char *row_trouble(const struct named_row *row)
{
    bool before = row->kind == DIFFERENCE_MISSING || row->target != NULL;
    bool after = row->kind == DIFFERENCE_EXTRA || row->source != NULL;

    return before && after ? NULL : "a row that differs was not found again by its values";
}

static const char *table_trouble(const struct compared *t)
{
    if (t->failed != NULL)
        return t->failed;
    if (t->more || t->named_count > REPAIR_MOST || t->differences > REPAIR_MOST)
        return "too many rows differ for an accident: `leat repair --recopy` copies the table again";
    for (size_t i = 0; i < t->named_count; i++)
        if (row_trouble(&t->named[i]) != NULL)
            return row_trouble(&t->named[i]);
    return NULL;
}

static json_t *mend_json(const struct compared *t, const struct named_row *row)
{
    return json_pack("{s:s, s:I, s:o, s:o}", "kind", difference_name(row->kind), "count", (json_int_t)row->count, "before", texts_json(t, before_of(row)), "after", texts_json(t, after_of(row)));
}

/* NULL: its values are no text that JSON can hold. */
static json_t *table_json(const struct compared *t)
{
    AUTO_CHARS *name = report_name(t->source);
    json_t *columns = json_array();
    json_t *mends = json_array();

    for (uint16_t i = 0; i < t->plan.count; i++)
        json_array_append_new(columns, json_string(t->plan.columns[i].source->name));
    for (size_t i = 0; i < t->named_count; i++)
        if (json_array_append_new(mends, mend_json(t, &t->named[i])) != 0) {
            json_decref(columns);
            json_decref(mends);
            return NULL;
        }
    return json_pack("{s:s, s:i, s:o, s:o}", "table", name, "keys", (int)t->plan.keys, "columns", columns, "mends", mends);
}

static void add_sql(const struct run *r, struct buf *sql, const struct compared *t)
{
    AUTO(arena) *a = arena_new(16384);

    buf_addf(sql, "\n-- %s.%s\n", t->source->schema, t->source->name);
    for (size_t i = 0; i < t->named_count; i++) {
        const struct named_row *row = &t->named[i];

        arena_reset(a);
        buf_addf(sql, "-- %s\n", difference_name(row->kind));
        for (uint64_t n = 0; n < row->count; n++)
            buf_addf(sql, "%s;\n", r->v->hand.store->ops->mend_sql(a, t->target, &t->plan, before_of(row), after_of(row)));
    }
}

static void begin_sql(const struct run *r, struct buf *sql)
{
    char at[LSN_TEXT_SIZE];

    buf_addf(sql, "-- leat: what makes the target of store %s what its source was at %s (plan %s).\n", r->v->hand.store->name, lsn_text(r->cut.at, at), r->id);
    buf_addf(sql, "-- To be read. `leat repair %s --apply` carries it out, between two transactions of the stream, and leaves what has changed since.\n", r->v->hand.store->name);
    buf_adds(sql, "BEGIN;\nSET LOCAL session_replication_role = replica;\nSET LOCAL search_path = '';\nSET LOCAL DateStyle = ISO;\nSET LOCAL IntervalStyle = postgres;\n"
                  "SET LOCAL extra_float_digits = 3;\nSET LOCAL TimeZone = UTC;\nSET LOCAL bytea_output = hex;\n");
}

static enum err put_file(const char *path, const char *text, size_t len, struct fault *f)
{
    AUTO_CHARS *temporary = mem_format("%s.new", path);
    FILE *file = fopen(temporary, "we");
    bool done = file != NULL && fchmod(fileno(file), 0600) == 0 && fwrite(text, 1, len, file) == len;

    if (file != NULL)
        done = fclose(file) == 0 && done;
    if (done && rename(temporary, path) == 0)
        return ERR_OK;
    return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
}

static enum err put_plan(const struct run *r, json_t *plan, struct buf *sql, struct fault *f)
{
    AUTO_CHARS *folder = mem_format("%s/repair", r->v->hand.store->state_dir);
    AUTO_CHARS *json_path = path_of(r, "json");
    AUTO_CHARS *sql_path = path_of(r, "sql");
    char *text = json_dumps(plan, JSON_INDENT(1));
    enum err err = ERR_OK;

    buf_adds(sql, "\nCOMMIT;\n");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        err = fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", folder, strerror(errno));
    if (err == ERR_OK)
        err = put_file(sql_path, sql->data, sql->len, f);
    if (err == ERR_OK)
        err = put_file(json_path, text, strlen(text), f);
    free(text);
    return err;
}

enum err repair_plan(struct run *r, struct fault *f)
{
    AUTO_CHARS *json_path = path_of(r, "json");
    AUTO_CHARS *sql_path = path_of(r, "sql");
    AUTO_BUF sql = {0};
    json_t *tables = json_array();
    json_t *refused = json_array();
    json_t *plan = json_pack("{s:i, s:s, s:s, s:I, s:o, s:o}", "format_version", 1, "store", r->v->hand.store->name, "id", r->id, "at_us", (json_int_t)world_wall_us(), "tables", tables, "refused",
                             refused);
    json_int_t rows = 0;
    enum err err;

    begin_sql(r, &sql);
    for (size_t i = 0; i < r->count; i++) {
        const struct compared *t = &r->tables[i];
        const char *why = table_trouble(t);
        AUTO_CHARS *name = report_name(t->source);
        json_t *one = why == NULL && t->named_count > 0 ? table_json(t) : NULL;

        if (why == NULL && t->named_count > 0 && one == NULL)
            why = "its rows hold bytes that are no text in any encoding";
        if (why != NULL)
            json_array_append_new(refused, json_pack("{s:s, s:s}", "table", name, "why", why));
        if (one == NULL)
            continue;
        json_array_append_new(tables, one);
        add_sql(r, &sql, t);
        rows += (json_int_t)t->differences;
    }
    err = put_plan(r, plan, &sql, f);
    if (err == ERR_OK)
        err = verify_append(r, EVENT_REPAIR_PLANNED,
                            json_pack("{s:s, s:I, s:i, s:O, s:s, s:s}", "id", r->id, "rows", rows, "tables", (int)json_array_size(tables), "refused", refused, "json", json_path, "sql", sql_path), f);
    json_decref(plan);
    return err;
}

/* --- reading it again --- */

/* The plan file is a person's to read, and to write into: nothing of it is trusted. */
static enum err read_plan(const struct run *r, json_t **ret, struct fault *f)
{
    AUTO_CHARS *path = path_of(r, "json");
    json_error_t why;
    json_t *plan = json_load_file(path, 0, &why);

    if (plan == NULL || !json_is_array(json_object_get(plan, "tables"))) {
        json_decref(plan);
        return fault_todo(f, ERR_REPAIR_PLAN, "leat repair", "%s: %s", path, plan == NULL ? why.text : "it names no tables");
    }
    *ret = plan;
    return ERR_OK;
}

enum err repair_tables(const struct run *r, json_t **ret, struct fault *f)
{
    json_t *plan;
    const json_t *one;
    json_t *names = json_array();
    size_t i;
    enum err err = read_plan(r, &plan, f);

    if (err != ERR_OK) {
        json_decref(names);
        return err;
    }
    json_array_foreach(json_object_get(plan, "tables"), i, one)
        json_array_append(names, json_object_get(one, "table"));
    json_decref(plan);
    *ret = names;
    return ERR_OK;
}

/* --- carrying it out --- */

struct mend {
    enum difference_kind kind;
    uint64_t count;
    const char *const *before;
    const char *const *after;
    const char *why; /* it was left; NULL: it was mended */
};

struct mending { /* a table */
    struct run *run;
    struct arena *arena;
    const struct table *source;
    const struct table *target;
    struct row_plan plan;
    struct mend *mends;
    size_t count;
    size_t from; /* those of this cut */
    size_t until;
    struct store_rows *rows[2];
};

static const char *const *texts_of(struct mending *m, const json_t *list)
{
    const char **values;

    if (!json_is_array(list) || json_array_size(list) != m->plan.count)
        return NULL;
    values = arena_alloc(m->arena, (m->plan.count + 1u) * sizeof *values);
    for (uint16_t i = 0; i < m->plan.count; i++)
        values[i] = arena_strdup(m->arena, json_string_value(json_array_get(list, i)));
    return values;
}

static bool same_columns(const struct mending *m, const json_t *columns)
{
    if (json_array_size(columns) != m->plan.count)
        return false;
    for (uint16_t i = 0; i < m->plan.count; i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        if (name == NULL || strcmp(name, m->plan.columns[i].source->name) != 0)
            return false;
    }
    return true;
}

static bool take_mend(struct mending *m, const json_t *o)
{
    struct mend *one = &m->mends[m->count];
    const char *kind = json_string_value(json_object_get(o, "kind"));

    *one = (struct mend){.count = (uint64_t)json_integer_value(json_object_get(o, "count")), .before = texts_of(m, json_object_get(o, "before")), .after = texts_of(m, json_object_get(o, "after"))};
    one->kind = one->before == NULL ? DIFFERENCE_MISSING : one->after == NULL ? DIFFERENCE_EXTRA : DIFFERENCE_CHANGED;
    m->count++;
    return kind != NULL && strcmp(kind, difference_name(one->kind)) == 0 && (one->before != NULL || one->after != NULL) && one->count >= 1 && one->count <= REPAIR_MOST;
}

/* NULL: it is ready to be carried out. */
static const char *take_table(struct mending *m, const json_t *o)
{
    const struct rtable *table = registry_named(m->run->v->hand.registry, json_string_value(json_object_get(o, "table")));
    const json_t *mends = json_object_get(o, "mends");
    const char *remark;
    const json_t *one;
    size_t i;

    if (table == NULL)
        return "no such table is followed any more";
    m->source = table->source;
    m->target = table->target;
    columns_plan(m->arena, m->source, m->target, false, &m->plan, &remark);
    if (!same_columns(m, json_object_get(o, "columns")) || json_integer_value(json_object_get(o, "keys")) != m->plan.keys)
        return "its columns or its key are not those of the plan: make a new one";
    m->mends = arena_zalloc(m->arena, (json_array_size(mends) + 1) * sizeof *m->mends);
    json_array_foreach(mends, i, one)
    {
        if (!take_mend(m, one))
            return "the plan cannot be understood: make a new one";
    }
    return NULL;
}

/* --- at the cut --- */

static enum err look_keyed(struct mending *m, struct mend *one, struct fault *f)
{
    const struct store_ops *ops = m->run->v->hand.store->ops;
    uint64_t n;

    if (one->after != NULL) {
        TRY(ops->rows_count(m->rows[STORE_SOURCE], m->source, &m->plan, m->plan.count, one->after, &n, f));
        one->why = n == 1 ? NULL : "on the source the row is not as it was when the plan was made";
        return ERR_OK;
    }
    TRY(ops->rows_count(m->rows[STORE_SOURCE], m->source, &m->plan, m->plan.keys, one->before, &n, f));
    one->why = n == 0 ? NULL : "the source has a row of this key again";
    return ERR_OK;
}

static enum err look_keyless(struct mending *m, struct mend *one, struct fault *f)
{
    const struct store_ops *ops = m->run->v->hand.store->ops;
    const char *const *row = one->after != NULL ? one->after : one->before;
    uint64_t source;
    uint64_t target;

    TRY(ops->rows_count(m->rows[STORE_SOURCE], m->source, &m->plan, m->plan.count, row, &source, f));
    TRY(ops->rows_count(m->rows[STORE_TARGET], m->target, &m->plan, m->plan.count, row, &target, f));
    one->why = (one->after != NULL ? source - target : target - source) == one->count ? NULL : "there are not as many of the row as when the plan was made";
    return ERR_OK;
}

static enum err look(struct mending *m, struct fault *f)
{
    for (size_t i = m->from; i < m->until; i++)
        TRY(m->plan.keys > 0 ? look_keyed(m, &m->mends[i], f) : look_keyless(m, &m->mends[i], f));
    return ERR_OK;
}

/* Rows that go make room for those that come. */
static size_t list_statements(struct mending *m, const char **ret_sql, struct mend **ret_of)
{
    static const enum difference_kind order[] = {DIFFERENCE_EXTRA, DIFFERENCE_CHANGED, DIFFERENCE_MISSING};
    size_t n = 0;

    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (size_t i = m->from; i < m->until; i++) {
            struct mend *one = &m->mends[i];
            if (one->kind != order[k] || one->why != NULL)
                continue;
            for (uint64_t c = 0; c < one->count; c++) {
                ret_sql[n] = m->run->v->hand.store->ops->mend_sql(m->arena, m->target, &m->plan, one->before, one->after);
                ret_of[n++] = one;
            }
        }
    return n;
}

static enum err mend_held(struct mending *m, struct fault *f)
{
    size_t most = 1;
    const char **sql;
    const char **why;
    struct mend **of;
    size_t n;

    TRY(look(m, f));
    for (size_t i = m->from; i < m->until; i++)
        most += m->mends[i].count;
    sql = arena_alloc(m->arena, most * sizeof *sql);
    of = arena_alloc(m->arena, most * sizeof *of);
    why = arena_zalloc(m->arena, most * sizeof *why);
    n = list_statements(m, sql, of);
    if (n == 0)
        return ERR_OK;
    TRY(m->run->v->hand.store->ops->lane_mend(m->run->lane, sql, n, m->arena, why, f));
    for (size_t i = 0; i < n; i++)
        if (why[i] != NULL)
            of[i]->why = why[i];
    return ERR_OK;
}

static enum err meanwhile(void *ctx, struct fault *f)
{
    struct mending *m = ctx;
    const struct store_ops *ops = m->run->v->hand.store->ops;
    enum err err = ERR_OK;

    for (int side = 0; side < 2 && err == ERR_OK; side++) {
        err = ops->rows_open(m->run->v->hand.store, side, &m->rows[side], f);
        if (err == ERR_OK)
            err = ops->rows_begin(m->rows[side], m->run->cutter, f);
    }
    if (err == ERR_OK)
        err = mend_held(m, f);
    for (int side = 0; side < 2; side++)
        ops->rows_close(TAKE(m->rows[side]));
    return err;
}

/* As many rows as one cut takes. A cut that cannot be had now is tried again later; what a server refuses is the rows' reason. */
static enum err mend_some(struct mending *m, struct fault *f)
{
    struct verify *v = m->run->v;
    struct cut_place place = {.store = v->hand.store,
                              .apply = v->hand.apply,
                              .cutter = m->run->cutter,
                              .stop = &v->stop,
                              .meanwhile = meanwhile,
                              .ctx = m};
    enum err err;

    do {
        if (verify_stopped(v))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        fault_clear(f);
        err = cut_make(&place, &m->source, &m->target, 1, &m->run->cut, f);
        v->hand.store->ops->cutter_end(m->run->cutter);
    } while (err == ERR_BUSY);
    if (err != ERR_SOURCE_SQL && err != ERR_TARGET_SQL && err != ERR_RIGHT_MISSING)
        return err;
    for (size_t i = m->from; i < m->until; i++)
        m->mends[i].why = arena_strdup(m->arena, f->why);
    fault_clear(f);
    return ERR_OK;
}

static json_t *outcome_json(const struct mending *m, const char *name, const char *trouble)
{
    json_t *left = json_array();
    json_int_t mended = 0;

    for (size_t i = 0; i < m->count; i++) {
        const struct mend *one = &m->mends[i];
        if (one->why == NULL && trouble == NULL)
            mended++;
        else if (trouble == NULL && json_array_size(left) < LEFT_SHOWN)
            json_array_append_new(left, json_pack("{s:s, s:s}", "kind", difference_name(one->kind), "why", one->why));
    }
    return json_pack("{s:s, s:I, s:I, s:o, s:s?}", "table", name != NULL ? name : "?", "mended", mended, "left", trouble == NULL ? (json_int_t)m->count - mended : 0, "rows", left, "why", trouble);
}

static enum err mend_table(struct run *r, const json_t *o, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    struct mending m = {.run = r, .arena = a};
    const char *name = json_string_value(json_object_get(o, "table"));
    const char *trouble = take_table(&m, o);

    for (m.from = 0; trouble == NULL && m.from < m.count; m.from = m.until) {
        m.until = m.from + MENDS_A_CUT < m.count ? m.from + MENDS_A_CUT : m.count;
        TRY(mend_some(&m, f));
    }
    return verify_append(r, EVENT_REPAIR_DONE, json_pack("{s:s, s:[o]}", "id", r->id, "tables", outcome_json(&m, name, trouble)), f);
}

static bool is_done(const json_t *done, const json_t *table)
{
    const json_t *one;
    size_t i;

    json_array_foreach(done, i, one)
    {
        if (json_equal(json_object_get(one, "table"), json_object_get(table, "table")))
            return true;
    }
    return false;
}

enum err repair_apply(struct run *r, const json_t *done, struct fault *f)
{
    json_t *plan;
    const json_t *one;
    size_t i;
    enum err err;

    TRY(read_plan(r, &plan, f));
    err = ERR_OK;
    json_array_foreach(json_object_get(plan, "tables"), i, one)
    {
        if (err == ERR_OK && !is_done(done, one))
            err = mend_table(r, one, f);
    }
    json_decref(plan);
    return err;
}
