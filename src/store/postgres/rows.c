/* store/postgres/rows.c — rows of one side under a cut's snapshot: all of a table by COPY, or one by its key. See cutter.h.
 *
 * A reader never waits long for a lock: who stands before it in the queue may itself wait for the lock that holds the cut (ERR_BUSY). */
#include <poll.h>
#include <stdlib.h>

#include "store/postgres/cutter.h"
#include "store/postgres/pg.h"

#define STOP_EVERY 1024 /* messages */
#define TURN_MS 200

struct store_rows {
    struct pg *pg;
    enum store_side side;
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

static const char *copy_sql(struct store_rows *r, const struct table *t, const struct row_plan *plan)
{
    AUTO_BUF b = {0};

    buf_adds(&b, "COPY (SELECT ");
    for (uint16_t i = 0; i < plan->count; i++)
        buf_addf(&b, "%s%s%s", i > 0 ? ", " : "", pg_quote_ident(r->arena, of_side(r, &plan->columns[i])->name), plan->columns[i].as_text ? "::pg_catalog.text" : "");
    buf_addf(&b, " FROM ONLY %s) TO STDOUT WITH (FORMAT binary)", t->qualified);
    return arena_strdup(r->arena, buf_cstr(&b));
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

enum err pg_rows_read(struct store_rows *r, const struct table *t, const struct row_plan *plan, struct copy_rows *into, _Atomic bool *stop, struct fault *f)
{
    AUTO_RESULT *end = NULL;
    const char *sql;

    arena_reset(r->arena);
    copy_rows_reset(into);
    sql = copy_sql(r, t, plan);
    TRY(pg_exec(r->pg, sql, NULL, f));
    TRY(pour(r, into, stop, f));
    end = PQgetResult(r->pg->conn);
    if (PQresultStatus(end) != PGRES_COMMAND_OK)
        return pg_fault(r->pg, end, sql, f);
    PQclear(PQgetResult(r->pg->conn));
    return copy_rows_end(into, f);
}

/* --- one of them --- */

struct wanted {
    const char **values;
    int *lengths;
    int *formats;
    Oid *types;
    int count;
};

static void want(struct wanted *w, struct copy_field field, const struct row_column *c, Oid type)
{
    w->values[w->count] = field.data;
    w->lengths[w->count] = field.len;
    w->formats[w->count] = 1; /* text, too, in its own binary form */
    w->types[w->count++] = c->as_text ? 25 : type;
}

/* Types found by their text where there is no operator, or none that is known on both sides. */
static void condition(struct store_rows *r, struct buf *b, const struct row_column *c, struct copy_field field, struct wanted *w)
{
    const struct column *own = of_side(r, c);
    const char *name = pg_quote_ident(r->arena, own->name);

    if (field.len < 0) {
        buf_addf(b, "%s IS NULL", name);
        return;
    }
    if (!c->as_text && c->target->equals == NULL) {
        buf_adds(b, "true"); /* no equality, and its binary form is not its text: the other columns have to do */
        return;
    }
    want(w, field, c, own->type_oid);
    buf_addf(b, c->as_text ? "%s::pg_catalog.text = $%d" : "%s OPERATOR(pg_catalog.=) $%d", name, w->count);
}

static const char *find_sql(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *values, struct wanted *w)
{
    AUTO_BUF b = {0};

    buf_adds(&b, "SELECT ");
    for (uint16_t i = 0; i < plan->count; i++)
        buf_addf(&b, "%s%s::pg_catalog.text", i > 0 ? ", " : "", pg_quote_ident(r->arena, of_side(r, &plan->columns[i])->name));
    buf_addf(&b, " FROM ONLY %s WHERE true", t->qualified);
    for (uint16_t i = 0; i < fields; i++) {
        buf_adds(&b, " AND ");
        condition(r, &b, &plan->columns[i], copy_field_next(&values), w);
    }
    buf_adds(&b, " LIMIT 1");
    return arena_strdup(r->arena, buf_cstr(&b));
}

enum err pg_rows_find(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *values, struct arena *a, const char *const **ret,
                      struct fault *f)
{
    struct wanted w = {0};
    AUTO_RESULT *res = NULL;
    const char **list;
    const char *sql;

    arena_reset(r->arena);
    w.values = arena_alloc(r->arena, (fields + 1u) * sizeof *w.values);
    w.lengths = arena_alloc(r->arena, (fields + 1u) * sizeof *w.lengths);
    w.formats = arena_alloc(r->arena, (fields + 1u) * sizeof *w.formats);
    w.types = arena_alloc(r->arena, (fields + 1u) * sizeof *w.types);
    sql = find_sql(r, t, plan, fields, values, &w);
    res = PQexecParams(r->pg->conn, sql, w.count, w.types, w.values, w.lengths, w.formats, 0);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return pg_fault(r->pg, res, sql, f);
    *ret = NULL;
    if (PQntuples(res) == 0)
        return ERR_OK;
    list = arena_alloc(a, (plan->count + 1u) * sizeof *list);
    for (uint16_t i = 0; i < plan->count; i++)
        list[i] = PQgetisnull(res, 0, i) ? NULL : arena_strdup(a, PQgetvalue(res, 0, i));
    *ret = list;
    return ERR_OK;
}
