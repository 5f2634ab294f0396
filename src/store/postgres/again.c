/* store/postgres/again.c — see again.h.
 *
 * A record made one of "to be copied" has no snapshot, and the number of an attempt that nothing was ever done under: heartbeats,
 * held snapshots and marks of ranges of older attempts do not fit it. The rows on the target stay until that attempt empties them, in
 * the transaction that writes its snapshot.
 *
 * Invariants
 *  1. Each of these is one transaction, synced when it returns: what is done next (a request removed from the journal, a slot made)
 *     never finds the target without it.
 *  2. Called while an engine prepares: it holds the newest token and no session of an older one is left, so nothing writes beside. */
#include "store/postgres/again.h"

#include "sql_embedded.h"
#include "store/postgres/authority.h"
#include "store/postgres/names.h"

#define LOGGED_LOCK_MS 1000
#define LOGGED_PATIENCE_US ((int64_t)30000000)

static enum err begin(struct store *s, struct pg **ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;

    TRY(pg_connect(s->store->target, SIDE_TARGET, "again", &pg, f));
    TRY(pg_circle_enter(pg, s, f));
    TRY(pg_exec(pg, "BEGIN; SET LOCAL synchronous_commit = on", NULL, f));
    *ret = TAKE(pg);
    return ERR_OK;
}

static void list(const PGresult *r, struct arena *a, struct copied_again **ret, size_t *ret_count)
{
    struct copied_again *found = arena_zalloc(a, ((size_t)PQntuples(r) + 1) * sizeof *found);

    for (int i = 0; i < PQntuples(r); i++)
        found[i] = (struct copied_again){arena_strdup(a, PQgetvalue(r, i, 0)), (int)pg_get_int(r, i, 1)};
    *ret = found;
    *ret_count = (size_t)PQntuples(r);
}

/* The ledger says how the rows that go now did not behave: it is answered by copying them again. */
static enum err settle_ledger(struct pg *pg, const struct store *s, const char *oids, struct fault *f)
{
    const char *params[] = {s->migration, s->name, oids};

    return pg_query(pg, "DELETE FROM leat.ledger l USING leat.copy c WHERE l.migration = $1 AND l.store = $2 AND c.migration = $1 AND c.store = $2"
                        " AND c.table_oid = ANY ($3::pg_catalog.oid[]) AND c.table_name = l.table_name", 3, params, NULL, f);
}

enum err pg_store_copy_again(struct store *s, const char *oids, struct arena *a, struct copied_again **ret, size_t *ret_count, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;
    const char *params[] = {s->migration, s->name, oids};

    TRY(begin(s, &pg, f));
    TRY(pg_authority_spare(pg, s, f));
    TRY(settle_ledger(pg, s, oids, f));
    TRY(pg_query(pg, SQL_COPY_AGAIN, 3, params, &r, f));
    TRY(pg_exec(pg, "COMMIT", NULL, f));
    list(r, a, ret, ret_count);
    return ERR_OK;
}

/* The source oids of the store's records, as the text of an array. */
static enum err recorded(struct pg *pg, const struct store *s, bool joined_too, struct arena *a, const char **ret, struct fault *f)
{
    const char *params[] = {s->migration, s->name, joined_too ? "t" : "f"};

    return pg_value(pg, a, "SELECT coalesce(pg_catalog.array_agg(table_oid), '{}')::text FROM leat.copy WHERE migration = $1 AND store = $2 AND ($3::bool OR joined IS NULL)",
                    3, params, ret, f);
}

static enum err forget_stream(struct pg *pg, const struct store *s, const char *stream, struct fault *f)
{
    char name[NAME_SIZE];
    const char *params[] = {s->migration, name_stream(s, stream, name)};

    return pg_query(pg, "DELETE FROM leat.progress WHERE migration = $1 AND stream = $2", 2, params, NULL, f);
}

static enum err forget_positions(struct pg *pg, const struct store *s, struct fault *f)
{
    const char *params[] = {s->migration, s->name};

    TRY(forget_stream(pg, s, STREAM_FORWARD, f));
    TRY(forget_stream(pg, s, STREAM_AHEAD, f));
    TRY(forget_stream(pg, s, STREAM_JOIN, f));
    TRY(forget_stream(pg, s, STREAM_COPY, f));
    return pg_query(pg, "UPDATE leat.lease SET spool = NULL, barred = false WHERE migration = $1 AND store = $2", 2,
                    params, NULL, f);
}

static enum err forget_copies(struct pg *pg, const struct store *s, struct arena *a, struct fault *f)
{
    const char *params[] = {s->migration, s->name, NULL};

    TRY(recorded(pg, s, true, a, &params[2], f));
    TRY(pg_query(pg, SQL_COPY_AGAIN, 3, params, NULL, f));
    return pg_query(pg, "DELETE FROM leat.ledger WHERE migration = $1 AND store = $2", 2, params, NULL, f);
}

/* What its source took in since is not on this side, and no stream will bring it: each table is to be compared before
 * this side may serve. */
static enum err note_gap(struct pg *pg, const struct store *s, struct fault *f)
{
    const char *params[] = {s->migration, s->name,
                            "the slot was made anew while the other side served: what was written there between the "
                            "old one and the new one is not here"};

    return pg_query(pg,
                    "INSERT INTO leat.ledger (migration, store, position, table_name, kind, why) SELECT $1, $2, "
                    "pg_catalog.pg_current_wal_lsn(), c.table_name, 'gap', $3"
                    " FROM leat.copy c WHERE c.migration = $1 AND c.store = $2 ORDER BY c.table_name",
                    3, params, NULL, f);
}

/* A side that serves is not emptied, and what its mirror brings is there already; a way back is never copied. */
enum err pg_store_forget(struct store *s, bool *ret_gap, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO(arena) *a = arena_new(4096);
    struct fault serves = {0};
    enum err err;

    TRY(pg_connect(s->store->target, SIDE_TARGET, "again", &pg, f));
    TRY(pg_circle_enter_barred(pg, s, f));
    TRY(pg_exec(pg, "BEGIN; SET LOCAL synchronous_commit = on", NULL, f));
    err = pg_authority_spare(pg, s, &serves);
    if (err != ERR_OK && err != ERR_AUTHORITY) {
        *f = serves;
        return err;
    }
    *ret_gap = err == ERR_OK && s->store->back;
    if (*ret_gap)
        TRY(note_gap(pg, s, f));
    else if (err == ERR_OK)
        TRY(forget_copies(pg, s, a, f));
    TRY(forget_positions(pg, s, f));
    return pg_exec(pg, "COMMIT", NULL, f);
}

enum err pg_store_spool_record(struct store *s, const char *identity, struct arena *a, struct copied_again **ret, size_t *ret_count, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;
    const char *oids;
    const char *params[] = {s->migration, s->name, NULL};
    const char *of_spool[] = {s->migration, s->name, identity};

    TRY(begin(s, &pg, f));
    TRY(recorded(pg, s, false, a, &oids, f));
    params[2] = oids;
    TRY(pg_query(pg, SQL_COPY_AGAIN, 3, params, &r, f));
    TRY(forget_stream(pg, s, STREAM_COPY, f));
    TRY(pg_query(pg, "UPDATE leat.lease SET spool = $3 WHERE migration = $1 AND store = $2", 3, of_spool, NULL, f));
    TRY(pg_exec(pg, "COMMIT", NULL, f));
    list(r, a, ret, ret_count);
    return ERR_OK;
}

/* --- tables that are there already --- */

static enum err take_as_joined(struct pg *pg, const struct store *s, const struct catalog *source, const struct catalog *target, struct fault *f)
{
    for (size_t i = 0; i < source->table_count; i++) {
        const struct table *t = &source->tables[i];
        AUTO_CHARS *full = mem_format("%s.%s", t->schema, t->name);
        AUTO_CHARS *oid = mem_format("%u", t->oid);
        const struct table *there = catalog_find(target, t->schema, t->name);
        AUTO_CHARS *target_oid = mem_format("%u", there != NULL ? there->oid : 0);
        const char *params[] = {s->migration, s->name, oid, full, target_oid};
        if (there != NULL)
            TRY(pg_query(pg, "INSERT INTO leat.copy (migration, store, table_oid, table_name, attempt, snapshot, ranges, pages, copied, indexed, built, joined, target_oid)"
                             " VALUES ($1, $2, $3, $4, 1, '3:3:', 1, 0, true, true, true, '0/1', $5) ON CONFLICT (migration, store, table_oid) DO NOTHING", 5, params, NULL, f));
    }
    return ERR_OK;
}

enum err pg_store_adopt_serving(struct store *s, const struct catalog *source, const struct catalog *target, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    struct fault serves = {0};
    enum err err;

    TRY(begin(s, &pg, f));
    err = pg_authority_spare(pg, s, &serves);
    if (err == ERR_AUTHORITY)
        TRY(take_as_joined(pg, s, source, target, f));
    else if (err != ERR_OK)
        *f = serves;
    if (err != ERR_OK && err != ERR_AUTHORITY)
        return err;
    return pg_exec(pg, "COMMIT", NULL, f);
}

/* --- rows gone without a word (trap P28) --- */

/* Both lists are by oid. A table that is no longer there was dropped. */
static void compare_files(const PGresult *then, const PGresult *now, struct buf *ret)
{
    int row = 0;

    for (int i = 0; i < PQntuples(then); i++) {
        int64_t oid = pg_get_int(then, i, 0);
        while (row < PQntuples(now) && pg_get_int(now, row, 0) < oid)
            row++;
        if (row < PQntuples(now) && pg_get_int(now, row, 0) == oid && pg_get_int(now, row, 1) != pg_get_int(then, i, 1))
            buf_addf(ret, "%s%lld", ret->len > 0 ? "," : "", (long long)oid);
    }
}

enum err pg_emptied(struct store *s, struct pg *source, struct pg *target, struct arena *a, const char **ret, struct fault *f)
{
    AUTO_RESULT *then = NULL;
    AUTO_RESULT *now = NULL;
    AUTO_BUF oids = {0};
    AUTO_BUF changed = {0};
    const char *params[] = {s->migration, s->name};
    const char *list_param[1];

    *ret = NULL;
    if (source->major >= 11)
        return ERR_OK;
    TRY(pg_query(target, SQL_COPY_FILENODES, 2, params, &then, f));
    for (int i = 0; i < PQntuples(then); i++)
        buf_addf(&oids, "%c%s", i > 0 ? ',' : '{', PQgetvalue(then, i, 0));
    if (oids.len == 0)
        return ERR_OK;
    buf_addc(&oids, '}');
    list_param[0] = buf_cstr(&oids);
    TRY(pg_query(source, SQL_SOURCE_FILENODES, 1, list_param, &now, f));
    compare_files(then, now, &changed);
    if (changed.len > 0)
        *ret = arena_format(a, "{%s}", buf_cstr(&changed));
    return ERR_OK;
}

/* --- unlogged tables that are logged by now (trap P21) --- */

enum err pg_logged_since(struct store *s, struct pg *source, struct pg *target, struct arena *a, const char **ret, struct fault *f)
{
    const char *params[] = {s->migration, s->name};
    const char *copied;

    *ret = NULL;
    TRY(pg_value(target, a, "SELECT pg_catalog.array_agg(table_oid)::text FROM leat.copy WHERE migration = $1 AND store = $2 AND unlogged", 2, params, &copied, f));
    return copied != NULL ? pg_value(source, a, SQL_LOGGED_SINCE, 1, &copied, ret, f) : ERR_OK;
}

/* Those that can be now: not one that refers to a table still unlogged. */
static enum err log_some(struct pg *target, const PGresult *unlogged, bool *ret_any, struct fault *ret_refused, struct fault *f)
{
    bool any = false;

    for (int i = 0; i < PQntuples(unlogged); i++) {
        struct fault why = {0};
        AUTO_CHARS *sql = mem_format("ALTER TABLE %s SET LOGGED", PQgetvalue(unlogged, i, 0));
        enum err err = pg_exec_patiently(target, sql, LOGGED_LOCK_MS, LOGGED_PATIENCE_US, &why);
        if (err == ERR_TARGET_SQL)
            *ret_refused = why;
        else if (err != ERR_OK)
            return fault_set(f, err, "making %s logged on the target, as it is on the source: %s", PQgetvalue(unlogged, i, 0), why.why);
        any = any || err == ERR_OK;
    }
    *ret_any = any;
    return ERR_OK;
}

/* Foreign keys give an order, which is found by trying: each round logs at least one. */
static enum err log_on_target(struct store *s, struct pg *target, const char *oids, struct fault *f)
{
    const char *params[] = {s->migration, s->name, oids};

    for (;;) {
        AUTO_RESULT *unlogged = NULL;
        struct fault refused = {0};
        bool any = false;
        TRY(pg_query(target, SQL_COPY_UNLOGGED, 3, params, &unlogged, f));
        if (PQntuples(unlogged) == 0)
            return ERR_OK;
        TRY(log_some(target, unlogged, &any, &refused, f));
        if (!any) {
            *f = refused;
            return f->code;
        }
    }
}

enum err pg_store_logged_since(struct store *s, struct arena *a, const char **ret, struct fault *f)
{
    AUTO(pg) *source = NULL;
    AUTO(pg) *target = NULL;
    const char *oids;

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "again", &source, f));
    TRY(pg_connect(s->store->target, SIDE_TARGET, "again", &target, f));
    TRY(pg_circle_enter(target, s, f));
    TRY(pg_logged_since(s, source, target, a, &oids, f));
    if (oids != NULL)
        TRY_WITH(log_on_target(s, target, oids, f), f, "making tables logged on the target, as they are on the source");
    *ret = oids;
    return ERR_OK;
}
