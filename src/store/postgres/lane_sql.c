/* store/postgres/lane_sql.c — see lane_sql.h.
 *
 * Rows are found by their identity's columns with the operator of the identity's index (an empty search_path finds no
 * operator of an extension), or, without a key, by the whole row's image: exactly one row by ctid (trap P5). */
#include "store/postgres/lane_sql.h"

#include <stdlib.h>

#include "store/postgres/pg.h"

static const struct column *target_column(const struct binding *b, uint16_t column)
{
    return &b->table->columns[b->column[column]];
}

static void params_init(struct lane_params *p, struct arena *a, const struct binding *b)
{
    size_t most = 2 * (size_t)b->relation->column_count + 1;

    p->count = 0;
    p->column = arena_alloc(a, most * sizeof *p->column);
    p->of_key = arena_alloc(a, most * sizeof *p->of_key);
    p->type = arena_alloc(a, most * sizeof *p->type);
}

static int param(struct lane_params *p, const struct binding *b, uint16_t column, bool of_key)
{
    p->column[p->count] = column;
    p->of_key[p->count] = of_key;
    p->type[p->count] = target_column(b, column)->type_oid;
    return ++p->count;
}

static const char *ident(struct arena *a, const struct binding *b, uint16_t column)
{
    return pg_quote_ident(a, target_column(b, column)->name);
}

static bool sent(const struct binding *b, uint16_t column)
{
    return b->column[column] != BINDING_SKIP;
}

bool lane_settable(const struct binding *b, uint16_t column)
{
    return sent(b, column) && !target_column(b, column)->identity_always;
}

static void column_list(struct buf *sql, struct arena *a, const struct binding *b)
{
    const char *comma = "";

    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (sent(b, i)) {
            buf_addf(sql, "%s%s", comma, ident(a, b, i));
            comma = ", ";
        }
}

static bool nothing_sent(const struct binding *b)
{
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (sent(b, i))
            return false;
    return true;
}

void lane_sql_insert(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret)
{
    const char *comma = "";

    params_init(ret, a, b);
    if (nothing_sent(b)) {
        buf_addf(sql, "INSERT INTO %s DEFAULT VALUES", b->table->qualified);
        return;
    }
    buf_addf(sql, "INSERT INTO %s (", b->table->qualified);
    column_list(sql, a, b);
    buf_adds(sql, ") OVERRIDING SYSTEM VALUE VALUES (");
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (sent(b, i)) {
            buf_addf(sql, "%s$%d", comma, param(ret, b, i, false));
            comma = ", ";
        }
    buf_addc(sql, ')');
}

/* The whole row as an image: bytes compare, so that NULLs match and types without equality do (json, xml, point). */
static void where_image(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *p)
{
    const char *comma = "";

    buf_addf(sql, "WHERE t.ctid = (SELECT x.ctid FROM ONLY %s x WHERE ", b->table->qualified);
    if (b->probe_column != NULL)
        buf_addf(sql, "(x.%s = $%d OR x.%s IS NULL) AND ", b->probe_column, param(p, b, b->probe_index, true), b->probe_column);
    buf_adds(sql, "ROW(");
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (sent(b, i)) {
            buf_addf(sql, "%sx.%s", comma, ident(a, b, i));
            comma = ", ";
        }
    buf_adds(sql, ")::record OPERATOR(pg_catalog.*=) ROW(");
    comma = "";
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (sent(b, i)) {
            int n = param(p, b, i, true);
            buf_addf(sql, "%s$%d::%s", comma, n, target_column(b, i)->type);
            comma = ", ";
        }
    buf_adds(sql, ")::record LIMIT 1)");
}

static void where_row(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *p)
{
    const char *and = "WHERE ";

    if (!b->keyed) {
        where_image(sql, a, b, p);
        return;
    }
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL) {
            buf_addf(sql, "%st.%s %s $%d", and, ident(a, b, i), b->key_operator[i], param(p, b, i, true));
            and = " AND ";
        }
}

void lane_sql_update(struct buf *sql, struct arena *a, const struct binding *b, const uint8_t *shape, struct lane_params *ret)
{
    const char *comma = "";

    params_init(ret, a, b);
    buf_addf(sql, "UPDATE %s%s t SET ", b->keyed ? "" : "ONLY ", b->table->qualified);
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (shape[i] && lane_settable(b, i)) {
            int n = param(ret, b, i, false);
            buf_addf(sql, "%s%s = $%d", comma, ident(a, b, i), n);
            comma = ", ";
        }
    if (*comma == '\0') { /* nothing but the key came along and it did not change: touch the row, so that it is counted */
        for (uint16_t i = 0; i < b->relation->column_count && *comma == '\0'; i++)
            if (lane_settable(b, i)) {
                buf_addf(sql, "%s = t.%s", ident(a, b, i), ident(a, b, i));
                comma = ", ";
            }
    }
    buf_addc(sql, ' ');
    where_row(sql, a, b, ret);
    for (uint16_t i = 0; i < b->relation->column_count; i++) /* an identity that always generates cannot be set: it must be what it is */
        if (shape[i] && sent(b, i) && target_column(b, i)->identity_always && b->keyed) {
            int n = param(ret, b, i, false);
            buf_addf(sql, " AND t.%s = $%d", ident(a, b, i), n);
        }
}

void lane_sql_move(struct buf *sql, struct arena *a, const struct binding *b, const uint8_t *shape, struct lane_params *ret)
{
    const char *comma = "";

    params_init(ret, a, b);
    buf_addf(sql, "WITH d AS (DELETE FROM %s t ", b->table->qualified);
    where_row(sql, a, b, ret);
    buf_addf(sql, " RETURNING *) INSERT INTO %s (", b->table->qualified);
    column_list(sql, a, b);
    buf_adds(sql, ") OVERRIDING SYSTEM VALUE SELECT ");
    for (uint16_t i = 0; i < b->relation->column_count; i++) {
        if (!sent(b, i))
            continue;
        if (shape[i])
            buf_addf(sql, "%s$%d", comma, param(ret, b, i, false));
        else
            buf_addf(sql, "%sd.%s", comma, ident(a, b, i));
        comma = ", ";
    }
    buf_adds(sql, " FROM d");
}

void lane_sql_delete(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret)
{
    params_init(ret, a, b);
    buf_addf(sql, "DELETE FROM %s%s t ", b->keyed ? "" : "ONLY ", b->table->qualified);
    where_row(sql, a, b, ret);
}

/* v(k0, k1, ..., c3, c4, ...) from arrays; names by relation column. */
static void bulk_source(struct buf *sql, const struct binding *b, const uint8_t *shape, struct lane_params *p)
{
    AUTO_BUF names = {0};
    const char *comma = "";

    buf_adds(sql, "unnest(");
    for (int of_key = 1; of_key >= 0; of_key--)
        for (uint16_t i = 0; i < b->relation->column_count; i++) {
            if (of_key ? b->key_operator[i] == NULL : shape == NULL || !shape[i] || !lane_settable(b, i))
                continue;
            buf_addf(sql, "%s$%d::pg_catalog.text[]", comma, param(p, b, i, of_key));
            buf_addf(&names, "%s%c%d", comma, of_key ? 'k' : 'c', i);
            comma = ", ";
        }
    buf_addf(sql, ") AS v(%s) WHERE ", buf_cstr(&names));
}

static void bulk_where(struct buf *sql, struct arena *a, const struct binding *b)
{
    const char *and = "";

    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL) {
            buf_addf(sql, "%st.%s %s v.k%d::%s", and, ident(a, b, i), b->key_operator[i], i, target_column(b, i)->type);
            and = " AND ";
        }
}

void lane_sql_bulk_update(struct buf *sql, struct arena *a, const struct binding *b, const uint8_t *shape, struct lane_params *ret)
{
    const char *comma = "";

    params_init(ret, a, b);
    buf_addf(sql, "UPDATE %s t SET ", b->table->qualified);
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (shape[i] && lane_settable(b, i)) {
            buf_addf(sql, "%s%s = v.c%d::%s", comma, ident(a, b, i), i, target_column(b, i)->type);
            comma = ", ";
        }
    buf_adds(sql, " FROM ");
    bulk_source(sql, b, shape, ret);
    bulk_where(sql, a, b);
}

void lane_sql_bulk_delete(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret)
{
    params_init(ret, a, b);
    buf_addf(sql, "DELETE FROM %s t USING ", b->table->qualified);
    bulk_source(sql, b, NULL, ret);
    bulk_where(sql, a, b);
}

void lane_sql_copy(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret)
{
    params_init(ret, a, b);
    buf_addf(sql, "COPY %s (", b->table->qualified);
    column_list(sql, a, b);
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (sent(b, i))
            (void)param(ret, b, i, false);
    buf_adds(sql, ") FROM STDIN");
}

void lane_sql_truncate(struct buf *sql, const struct binding *const *tables, size_t count, uint8_t flags)
{
    buf_adds(sql, "TRUNCATE ");
    for (size_t i = 0; i < count; i++)
        buf_addf(sql, "%sONLY %s", i > 0 ? ", " : "", tables[i]->table->qualified);
    buf_adds(sql, flags & 2 ? " RESTART IDENTITY" : "");
    buf_adds(sql, flags & 1 ? " CASCADE" : "");
}
