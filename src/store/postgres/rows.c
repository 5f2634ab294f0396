/* store/postgres/rows.c — rows of one side under a cut's snapshot: all of a table by COPY, or one by its key. See cutter.h.
 *
 * A reader never waits long for a lock: who stands before it in the queue may itself wait for the lock that holds the cut (ERR_BUSY). */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres/cutter.h"
#include "store/postgres/pg.h"

#define STOP_EVERY 1024 /* messages */
#define TURN_MS 200

struct store_rows {
    struct pg *pg;
    enum store_side side;
    bool in_full;        /* floating-point numbers, in this transaction */
    bool by_index;       /* the planner was told to go by it, in this transaction */
    struct arena *arena; /* one call's life */
};

enum err pg_rows_open(struct store *s, enum store_side side, struct store_rows **ret, struct fault *f)
{
    struct store_rows *r = mem_alloc(sizeof *r);
    enum err err;

    r->side = side;
    r->arena = arena_new(16384);
    err = pg_connect(side == STORE_SOURCE ? s->store->source : s->store->target, side == STORE_SOURCE ? SIDE_SOURCE : SIDE_TARGET, "verify", &r->pg, f);
    if (err == ERR_OK && side == STORE_TARGET)
        err = pg_circle_enter(r->pg, s, f);
    if (err != ERR_OK) {
        pg_rows_close(r);
        return err;
    }
    *ret = r;
    return ERR_OK;
}

void pg_rows_close(struct store_rows *r)
{
    if (r == NULL)
        return;
    pg_free(r->pg);
    arena_free(r->arena);
    free(r);
}

enum err pg_rows_begin(struct store_rows *r, struct store_cutter *c, struct fault *f)
{
    arena_reset(r->arena);
    r->in_full = false;
    r->by_index = false;
    return pg_execf(r->pg, NULL, f, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT %s; SET LOCAL lock_timeout = %d; SET LOCAL extra_float_digits = %d",
                    pg_quote_literal(r->arena, pg_cutter_snapshot(c, r->side)), CUT_LOCK_TIMEOUT_MS, pg_cutter_float_digits(c));
}

void pg_rows_end(struct store_rows *r)
{
    if (r->pg->conn != NULL && PQtransactionStatus(r->pg->conn) != PQTRANS_IDLE)
        PQclear(PQexec(r->pg->conn, "ROLLBACK"));
}

static const struct column *of_side(const struct store_rows *r, const struct row_column *c)
{
    return r->side == STORE_SOURCE ? c->source : c->target;
}

/* --- all of them --- */

/* The first line gives the types. */
static void add_keys(struct store_rows *r, struct buf *b, const struct row_plan *plan, const struct row_part *part)
{
    buf_adds(b, " AND EXISTS (SELECT FROM (VALUES ");
    for (size_t i = 0; i < part->count; i++) {
        buf_adds(b, i > 0 ? ", (" : "(");
        for (uint16_t k = 0; k < plan->keys; k++) {
            buf_addf(b, "%s%s", k > 0 ? ", " : "", pg_quote_literal(r->arena, part->keys[i * plan->keys + k]));
            if (i == 0)
                buf_addf(b, "::%s", of_side(r, &plan->columns[k])->type);
        }
        buf_addc(b, ')');
    }
    buf_adds(b, ") leat_keys (");
    for (uint16_t k = 0; k < plan->keys; k++)
        buf_addf(b, "%sk%u", k > 0 ? ", " : "", k);
    buf_adds(b, ") WHERE ");
    for (uint16_t k = 0; k < plan->keys; k++)
        buf_addf(b, "%sleat_rows.%s %s leat_keys.k%u", k > 0 ? " AND " : "", pg_quote_ident(r->arena, of_side(r, &plan->columns[k])->name), plan->columns[k].target->equals, k);
    buf_addc(b, ')');
}

/* Built-in types whose order every major and every platform agrees on; text by its bytes, in one encoding. Their oids are the same everywhere. */
static bool has_order(const struct store_rows *r, const struct row_column *c, const char **ret_collate)
{
    const char *encoding = PQparameterStatus(r->pg->conn, "server_encoding");
    static const uint32_t plain[] = {16, 17, 20, 21, 23, 26, 1082, 1083, 1114, 1184, 1700, 2950};
    static const uint32_t texts[] = {25, 1043};

    *ret_collate = "";
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (c->source->type_oid == plain[i])
            return !c->as_text;
    *ret_collate = " COLLATE \"C\"";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (c->source->type_oid == texts[i])
            return !c->as_text && encoding != NULL && strcmp(encoding, "UTF8") == 0;
    return false;
}

static void add_bound(struct store_rows *r, struct buf *b, const struct row_column *c, const char *operator, const char *bound)
{
    const char *collate;

    (void)has_order(r, c, &collate); /* pg_rows_read has asked */
    if (bound != NULL)
        buf_addf(b, " AND %s%s OPERATOR(pg_catalog.%s) %s::%s", pg_quote_ident(r->arena, of_side(r, c)->name), collate, operator, pg_quote_literal(r->arena, bound), of_side(r, c)->type);
}

static void add_part(struct store_rows *r, struct buf *b, const struct row_plan *plan, const struct row_part *part)
{
    buf_adds(b, " WHERE true");
    if (part->count > 0)
        add_keys(r, b, plan, part);
    if (part->ranged) {
        add_bound(r, b, &plan->columns[0], ">=", part->from);
        add_bound(r, b, &plan->columns[0], "<", part->to);
    }
    if (part->from_page > 0)
        buf_addf(b, " AND ctid >= '(%" PRId64 ",0)'", part->from_page);
    if (part->to_page > 0)
        buf_addf(b, " AND ctid < '(%" PRId64 ",0)'", part->to_page);
}

static const char *copy_sql(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part)
{
    AUTO_BUF b = {0};

    buf_adds(&b, "COPY (SELECT ");
    for (uint16_t i = 0; i < plan->count; i++)
        buf_addf(&b, "%s%s%s", i > 0 ? ", " : "", pg_quote_ident(r->arena, of_side(r, &plan->columns[i])->name), plan->columns[i].as_text ? "::pg_catalog.text" : "");
    buf_addf(&b, " FROM ONLY %s leat_rows", t->qualified);
    add_part(r, &b, plan, part);
    buf_adds(&b, ") TO STDOUT WITH (FORMAT binary)");
    return arena_strdup(r->arena, buf_cstr(&b));
}

/* Few rows of a table that may be large: the planner, which has never seen such a list, is not to read all of it. */
static enum err by_index(struct store_rows *r, bool yes, struct fault *f)
{
    if (r->by_index == yes)
        return ERR_OK;
    r->by_index = yes;
    return pg_exec(r->pg, yes ? "SET LOCAL enable_seqscan = off; SET LOCAL enable_mergejoin = off; SET LOCAL random_page_cost = 1"
                              : "SET LOCAL enable_seqscan = on; SET LOCAL enable_mergejoin = on; SET LOCAL random_page_cost TO DEFAULT", NULL, f);
}

/* Until more of it is here. A server that says nothing is no reason not to stop. */
static enum err await_more(struct store_rows *r, const _Atomic bool *stop, struct fault *f)
{
    struct pollfd p = {.fd = PQsocket(r->pg->conn), .events = POLLIN};

    (void)poll(&p, 1, TURN_MS);
    if (PQconsumeInput(r->pg->conn) != 1)
        return pg_fault(r->pg, NULL, "COPY", f);
    return atomic_load(stop) ? fault_set(f, ERR_INTERRUPTED, "asked to stop") : ERR_OK;
}

static enum err pour(struct store_rows *r, struct copy_rows *into, _Atomic bool *stop, struct fault *f)
{
    for (unsigned n = 0;; n++) {
        char *data = NULL;
        int len = PQgetCopyData(r->pg->conn, &data, 1);
        enum err err;

        if (len == -1)
            return ERR_OK;
        if (len < 0)
            return pg_fault(r->pg, NULL, "COPY", f);
        if (len == 0) {
            TRY(await_more(r, stop, f));
            continue;
        }
        err = copy_rows_feed(into, data, (size_t)len, f);
        PQfreemem(data);
        TRY(err);
        if (n % STOP_EVERY == 0 && atomic_load_explicit(stop, memory_order_relaxed))
            return fault_set(f, ERR_INTERRUPTED, "asked to stop");
    }
}

enum err pg_rows_read(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part, struct copy_rows *into, _Atomic bool *stop,
                      struct fault *f)
{
    AUTO_RESULT *end = NULL;
    const char *sql;

    const char *collate;

    if (part->ranged && !has_order(r, &plan->columns[0], &collate))
        return fault_set(f, r->side == STORE_SOURCE ? ERR_SOURCE_SQL : ERR_TARGET_SQL, "it takes longer than limits.snapshot_age, and its key has not the same order on both sides");
    arena_reset(r->arena);
    copy_rows_reset(into);
    sql = copy_sql(r, t, plan, part);
    TRY(by_index(r, part->count > 0, f));
    TRY(pg_exec(r->pg, sql, NULL, f));
    TRY(pour(r, into, stop, f));
    end = PQgetResult(r->pg->conn);
    if (PQresultStatus(end) != PGRES_COMMAND_OK)
        return pg_fault(r->pg, end, sql, f);
    PQclear(PQgetResult(r->pg->conn));
    return copy_rows_end(into, f);
}

/* --- where to divide --- */

#define SAMPLE_BYTES 16e6
#define BOUNDS_TIMEOUT_MS 60000

enum err pg_rows_bounds(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part, size_t most, struct arena *a, const char ***ret,
                        size_t *ret_count, struct fault *f)
{
    AUTO_BUF b = {0};
    AUTO_RESULT *res = NULL;
    double percent = t->bytes > 0 ? 100 * SAMPLE_BYTES / (double)t->bytes : 100;
    const char *collate;

    arena_reset(r->arena);
    *ret_count = 0;
    if (plan->keys == 0 || !has_order(r, &plan->columns[0], &collate))
        return ERR_OK;
    TRY(pg_execf(r->pg, NULL, f, "SET lock_timeout = %d; SET statement_timeout = %d", CUT_LOCK_TIMEOUT_MS, BOUNDS_TIMEOUT_MS)); /* of a session of its own */
    buf_addf(&b, "SELECT leat_bounds.k::pg_catalog.text AS bound FROM (SELECT DISTINCT pg_catalog.unnest(pg_catalog.percentile_disc(ARRAY[");
    for (size_t i = 1; i <= most; i++)
        buf_addf(&b, "%s%.6f", i > 1 ? ", " : "", (double)i / (double)(most + 1));
    buf_addf(&b, "]::pg_catalog.float8[]) WITHIN GROUP (ORDER BY %s%s)) AS k FROM ONLY %s leat_rows TABLESAMPLE SYSTEM (%.4f)", pg_quote_ident(r->arena, of_side(r, &plan->columns[0])->name), collate,
             t->qualified, percent < 100 ? percent : 100.0);
    add_part(r, &b, plan, part);
    buf_addf(&b, ") leat_bounds WHERE leat_bounds.k IS NOT NULL ORDER BY leat_bounds.k%s", collate);
    TRY(pg_exec(r->pg, buf_cstr(&b), &res, f));
    *ret = arena_alloc(a, ((size_t)PQntuples(res) + 1) * sizeof **ret);
    for (int i = 0; i < PQntuples(res); i++)
        (*ret)[(*ret_count)++] = arena_strdup(a, PQgetvalue(res, i, 0));
    return ERR_OK;
}

/* --- one of them --- */

struct wanted {
    const char **values;
    int *lengths;
    int *formats;
    Oid *types;
    int count;
};

static void wanted_init(struct wanted *w, struct arena *a, uint16_t fields)
{
    *w = (struct wanted){.values = arena_alloc(a, (fields + 1u) * sizeof *w->values), .lengths = arena_alloc(a, (fields + 1u) * sizeof *w->lengths),
                         .formats = arena_alloc(a, (fields + 1u) * sizeof *w->formats), .types = arena_alloc(a, (fields + 1u) * sizeof *w->types)};
}

/* A key by its operator, for the index's sake; and all by their text: 0 equals -0, 'a' may equal 'A', and some types have no operator. */
static void condition(struct store_rows *r, struct buf *b, const struct row_column *c, bool key, const char *data, int len, bool binary, struct wanted *w)
{
    const struct column *own = of_side(r, c);
    const char *name = pg_quote_ident(r->arena, own->name);

    if (len < 0) {
        buf_addf(b, " AND %s IS NULL", name);
        return;
    }
    w->values[w->count] = data;
    w->lengths[w->count] = len;
    w->formats[w->count] = binary; /* text, too, has a binary form: its own */
    w->types[w->count++] = c->as_text ? 25 : own->type_oid;
    if (key && !c->as_text)
        buf_addf(b, " AND %s %s $%d", name, c->target->equals, w->count);
    buf_addf(b, " AND %s::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.=) $%d::pg_catalog.text COLLATE \"C\"", name, w->count);
}

/* A server before 12 shows a floating-point number in full only if asked to. */
static enum err show_in_full(struct store_rows *r, struct fault *f)
{
    if (r->in_full)
        return ERR_OK;
    TRY(pg_exec(r->pg, "SET LOCAL extra_float_digits = 3", NULL, f));
    r->in_full = true;
    return ERR_OK;
}

static enum err ask(struct store_rows *r, const char *sql, const struct wanted *w, PGresult **ret, struct fault *f)
{
    TRY(show_in_full(r, f));
    *ret = PQexecParams(r->pg->conn, sql, w->count, w->types, w->values, w->lengths, w->formats, 0);
    return PQresultStatus(*ret) == PGRES_TUPLES_OK ? ERR_OK : pg_fault(r->pg, *ret, sql, f);
}

static const char *find_sql(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *values, struct wanted *w)
{
    AUTO_BUF b = {0};

    buf_adds(&b, "SELECT ");
    for (uint16_t i = 0; i < plan->count; i++)
        buf_addf(&b, "%s%s::pg_catalog.text", i > 0 ? ", " : "", pg_quote_ident(r->arena, of_side(r, &plan->columns[i])->name));
    buf_addf(&b, " FROM ONLY %s WHERE true", t->qualified);
    for (uint16_t i = 0; i < fields; i++) {
        struct copy_field field = copy_field_next(&values);
        condition(r, &b, &plan->columns[i], i < plan->keys, field.data, field.len, true, w);
    }
    buf_adds(&b, " LIMIT 1");
    return arena_strdup(r->arena, buf_cstr(&b));
}

enum err pg_rows_find(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *values, struct arena *a, const char *const **ret,
                      struct fault *f)
{
    struct wanted w;
    AUTO_RESULT *res = NULL;
    const char **list;

    arena_reset(r->arena);
    wanted_init(&w, r->arena, fields);
    TRY(ask(r, find_sql(r, t, plan, fields, values, &w), &w, &res, f));
    *ret = NULL;
    if (PQntuples(res) == 0)
        return ERR_OK;
    list = arena_alloc(a, (plan->count + 1u) * sizeof *list);
    for (uint16_t i = 0; i < plan->count; i++)
        list[i] = PQgetisnull(res, 0, i) ? NULL : arena_strdup(a, PQgetvalue(res, 0, i));
    *ret = list;
    return ERR_OK;
}

enum err pg_rows_count(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *const *values, uint64_t *ret, struct fault *f)
{
    struct wanted w;
    AUTO_RESULT *res = NULL;
    AUTO_BUF b = {0};

    arena_reset(r->arena);
    wanted_init(&w, r->arena, fields);
    buf_addf(&b, "SELECT pg_catalog.count(*) FROM ONLY %s WHERE true", t->qualified);
    for (uint16_t i = 0; i < fields; i++)
        condition(r, &b, &plan->columns[i], i < plan->keys, values[i], values[i] != NULL ? (int)strlen(values[i]) : -1, false, &w);
    TRY(ask(r, buf_cstr(&b), &w, &res, f));
    *ret = (uint64_t)pg_get_int(res, 0, 0);
    return ERR_OK;
}
