/* store/postgres/mend.c — rows of the target made what they are on the source. See lane_mend in store.h.
 *
 * What is shown to people before is what is run: a statement compares every column's text with what was seen (compare-and-set), and
 * must change one row. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres/authority.h"
#include "store/postgres/lane_internal.h"

static void add_value(struct buf *b, struct arena *a, const char *text)
{
    buf_adds(b, text != NULL ? pg_quote_literal(a, text) : "NULL");
}

/* The key by its own operator too, for the index's sake. */
static void add_where(struct buf *b, struct arena *a, const struct row_plan *plan, const char *const *before)
{
    for (uint16_t i = 0; i < plan->count; i++) {
        const char *name = pg_quote_ident(a, plan->columns[i].target->name);

        buf_adds(b, i > 0 ? " AND " : " WHERE ");
        if (before[i] == NULL) {
            buf_addf(b, "%s IS NULL", name);
            continue;
        }
        if (i < plan->keys)
            buf_addf(b, "%s %s %s AND ", name, plan->columns[i].target->equals, pg_quote_literal(a, before[i]));
        buf_addf(b, "%s::pg_catalog.text COLLATE \"C\" = %s", name, pg_quote_literal(a, before[i]));
    }
}

/* A table without a key may hold the row several times: one of them. */
static void add_delete(struct buf *b, struct arena *a, const struct table *t, const struct row_plan *plan, const char *const *before)
{
    buf_addf(b, "DELETE FROM ONLY %s", t->qualified);
    if (plan->keys > 0) {
        add_where(b, a, plan, before);
        return;
    }
    buf_addf(b, " WHERE ctid = (SELECT ctid FROM ONLY %s", t->qualified);
    add_where(b, a, plan, before);
    buf_adds(b, " LIMIT 1)");
}

static bool is_given(const struct row_plan *plan, uint16_t i)
{
    return !plan->columns[i].target->generated;
}

static void add_columns(struct buf *b, struct arena *a, const struct row_plan *plan)
{
    bool first = true;

    for (uint16_t i = 0; i < plan->count; i++)
        if (is_given(plan, i)) {
            buf_addf(b, "%s%s", first ? "" : ", ", pg_quote_ident(a, plan->columns[i].target->name));
            first = false;
        }
}

static void add_values(struct buf *b, struct arena *a, const struct row_plan *plan, const char *const *after)
{
    bool first = true;

    for (uint16_t i = 0; i < plan->count; i++)
        if (is_given(plan, i)) {
            buf_adds(b, first ? "" : ", ");
            add_value(b, a, after[i]);
            first = false;
        }
}

static bool gives_any(const struct row_plan *plan)
{
    for (uint16_t i = 0; i < plan->count; i++)
        if (is_given(plan, i))
            return true;
    return false;
}

static void add_insert(struct buf *b, struct arena *a, const struct table *t, const struct row_plan *plan, const char *const *after)
{
    buf_addf(b, "INSERT INTO %s", t->qualified);
    if (!gives_any(plan)) {
        buf_adds(b, " DEFAULT VALUES");
        return;
    }
    buf_adds(b, " (");
    add_columns(b, a, plan);
    buf_adds(b, ") OVERRIDING SYSTEM VALUE VALUES (");
    add_values(b, a, plan, after);
    buf_adds(b, ")");
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* An identity that always generates cannot be set: the row goes, and comes again. */
static bool must_move(const struct row_plan *plan, const char *const *before, const char *const *after)
{
    for (uint16_t i = 0; i < plan->count; i++)
        if (plan->columns[i].target->identity_always && !same_text(before[i], after[i]))
            return true;
    return false;
}

static void add_update(struct buf *b, struct arena *a, const struct table *t, const struct row_plan *plan, const char *const *before, const char *const *after)
{
    bool first = true;

    buf_addf(b, "UPDATE ONLY %s SET ", t->qualified);
    for (uint16_t i = 0; i < plan->count; i++)
        if (is_given(plan, i) && !same_text(before[i], after[i])) {
            buf_addf(b, "%s%s = ", first ? "" : ", ", pg_quote_ident(a, plan->columns[i].target->name));
            add_value(b, a, after[i]);
            first = false;
        }
    for (uint16_t i = 0; first && i < plan->count; i++) /* only what is generated differs: writing the row generates it anew */
        if (is_given(plan, i) && !plan->columns[i].target->identity_always) {
            buf_addf(b, "%s = ", pg_quote_ident(a, plan->columns[i].target->name));
            add_value(b, a, after[i]);
            first = false;
        }
    add_where(b, a, plan, before);
}

/* The row goes and comes again in one statement; nothing comes if nothing went. */
static void add_move(struct buf *b, struct arena *a, const struct table *t, const struct row_plan *plan, const char *const *before, const char *const *after)
{
    bool first = true;

    buf_adds(b, "WITH gone AS (");
    add_delete(b, a, t, plan, before);
    buf_addf(b, " RETURNING 1) INSERT INTO %s (", t->qualified);
    add_columns(b, a, plan);
    buf_adds(b, ") OVERRIDING SYSTEM VALUE SELECT ");
    for (uint16_t i = 0; i < plan->count; i++)
        if (is_given(plan, i)) {
            buf_adds(b, first ? "" : ", ");
            add_value(b, a, after[i]);
            buf_addf(b, "::%s", plan->columns[i].target->type);
            first = false;
        }
    buf_adds(b, " FROM gone");
}

const char *pg_mend_sql(struct arena *a, const struct table *target, const struct row_plan *plan, const char *const *before, const char *const *after)
{
    AUTO_BUF b = {0};

    ENSURE(before != NULL || after != NULL);
    if (before == NULL)
        add_insert(&b, a, target, plan, after);
    else if (after == NULL)
        add_delete(&b, a, target, plan, before);
    else if (must_move(plan, before, after))
        add_move(&b, a, target, plan, before, after);
    else
        add_update(&b, a, target, plan, before, after);
    return arena_strdup(a, buf_cstr(&b));
}

/* --- carried out --- */

/* A row that is refused is no reason to leave the others. */
static bool is_of_the_row(enum err err)
{
    return err == ERR_TARGET_SQL || err == ERR_BUSY || err == ERR_RIGHT_MISSING;
}

static enum err mend_one(struct store_lane *l, const char *sql, struct arena *a, const char **ret_why, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    struct fault why = {0};
    enum err err;

    TRY(pg_exec(l->pg, "SAVEPOINT leat_mend", NULL, f));
    err = pg_exec(l->pg, sql, &r, &why);
    if (err == ERR_OK && strcmp(PQcmdTuples(r), "1") == 0) {
        *ret_why = NULL;
        return pg_exec(l->pg, "RELEASE SAVEPOINT leat_mend", NULL, f);
    }
    if (err != ERR_OK && !is_of_the_row(err)) {
        *f = why;
        return err;
    }
    *ret_why = err != ERR_OK ? arena_strdup(a, why.why) : "on the target the row is not as it was when the plan was made";
    return pg_exec(l->pg, "ROLLBACK TO SAVEPOINT leat_mend; RELEASE SAVEPOINT leat_mend", NULL, f);
}

static enum err mend_all(struct store_lane *l, const char *const *statements, size_t count, struct arena *a, const char **ret_why, struct fault *f)
{
    TRY(lane_send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(lane_send_mark(l, LSN_ZERO, f));
    TRY(lane_land(l, f));
    TRY(pg_authority_spare(l->pg, l->store, f));
    for (size_t i = 0; i < count; i++)
        TRY(mend_one(l, statements[i], a, &ret_why[i], f));
    return lane_commit_at(l, LSN_ZERO, true, f);
}

enum err pg_lane_mend(struct store_lane *l, const char *const *statements, size_t count, struct arena *a, const char **ret_why, struct fault *f)
{
    enum err err = mend_all(l, statements, count, a, ret_why, f);

    if (err != ERR_OK)
        pg_lane_rollback(l);
    return err;
}

static enum err settle(struct store_lane *l, const char *by, int64_t last, const char *tables_json, struct fault *f)
{
    AUTO_CHARS *number = mem_format("%" PRId64, last);
    const char *params[] = {l->store->migration, l->store->name, by, number, tables_json};

    TRY(lane_send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(lane_send_mark(l, LSN_ZERO, f));
    TRY(lane_land(l, f));
    TRY(pg_query(l->pg, "UPDATE leat.ledger SET settled = $3 WHERE migration = $1 AND store = $2 AND settled IS NULL AND id <= $4"
                        " AND table_name IN (SELECT pg_catalog.jsonb_array_elements_text($5::pg_catalog.jsonb))", 5, params, NULL, f));
    return lane_commit_at(l, LSN_ZERO, false, f);
}

enum err pg_lane_settle(struct store_lane *l, const char *by, int64_t last, const char *tables_json, struct fault *f)
{
    enum err err = settle(l, by, last, tables_json, f);

    if (err != ERR_OK)
        pg_lane_rollback(l);
    return err;
}
