/* store/postgres/copier.c — one worker's pair of connections: rows of one table, under that table's snapshot.
 *
 * What is copied and under which snapshot is recorded in leat.copy in the very transaction that brings the rows (a whole
 * table), or before any of them (a table in ranges, each range's mark in its rows' transaction): the record cannot say
 * anything that is not so, whatever is killed.
 *
 * Invariants
 *  1. The lock on the source's table is taken before its snapshot (trap P29).
 *  2. Rows of attempt n are on the target only beside a record of attempt n: a new attempt empties the table first. */
#include "store/postgres/copier.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/holder.h"
#include "store/postgres/authority.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/raw_copy.h"

#define FREEZE_BYTES ((int64_t)1 << 20) /* smaller tables are not worth a new file for FREEZE */

struct store_copier {
    struct store *store;
    struct pg *source;
    struct pg *target;
    struct holder *holder;
    struct arena *arena; /* one call's life */
};

static enum err open_source(struct store_copier *c, struct fault *f)
{
    TRY(pg_connect(c->store->store->source, SIDE_SOURCE, "copy", &c->source, f));
    return pg_exec(c->source, "SET lock_timeout = '1s'", NULL, f);
}

static enum err open_target(struct store_copier *c, struct fault *f)
{
    TRY(pg_connect(c->store->store->target, SIDE_TARGET, "copy", &c->target, f));
    TRY(pg_circle_enter(c->target, c->store, f));
    return pg_exec(c->target, "SET synchronous_commit = off; SET session_replication_role = replica; SET maintenance_work_mem = '1GB'", NULL, f);
}

enum err pg_copier_open(struct store *s, struct store_copier **ret, struct fault *f)
{
    struct store_copier *c = mem_alloc(sizeof *c);
    enum err err;

    c->store = s;
    c->arena = arena_new(16384);
    err = open_source(c, f);
    if (err == ERR_OK)
        err = open_target(c, f);
    if (err != ERR_OK) {
        pg_copier_close(c);
        return err;
    }
    *ret = c;
    return ERR_OK;
}

void pg_copier_close(struct store_copier *c)
{
    if (c == NULL)
        return;
    holder_free(c->holder);
    pg_free(c->source);
    pg_free(c->target);
    arena_free(c->arena);
    free(c);
}

/* --- text --- */

static const char *column_list(struct arena *a, const struct table *t)
{
    AUTO_BUF b = {0};
    const char *comma = "";

    for (uint16_t i = 0; i < t->column_count; i++)
        if (!t->columns[i].generated) {
            buf_addf(&b, "%s%s", comma, pg_quote_ident(a, t->columns[i].name));
            comma = ", ";
        }
    return arena_strdup(a, buf_cstr(&b));
}

static const struct column *same_column(const struct table *target, const char *name)
{
    for (uint16_t i = 0; i < target->column_count; i++)
        if (strcmp(target->columns[i].name, name) == 0)
            return &target->columns[i];
    return NULL;
}

/* Binary only where every column's form is the same on both sides, whatever their majors. */
static bool is_binary(const struct table *source, const struct table *target)
{
    bool any = false;

    for (uint16_t i = 0; i < source->column_count; i++) {
        const struct column *s = &source->columns[i];
        const struct column *t;
        if (s->generated)
            continue;
        t = same_column(target, s->name);
        if (t == NULL || !s->binary_stable || !t->binary_stable || strcmp(s->type, t->type) != 0)
            return false;
        any = true;
    }
    return any;
}

static const char *copy_in_sql(struct arena *a, const struct table *source, const struct table *target, bool freeze)
{
    const char *columns = column_list(a, source);
    const char *list = columns[0] != '\0' ? arena_format(a, " (%s)", columns) : "";

    return arena_format(a, "COPY %s%s FROM STDIN WITH (FORMAT %s%s)", target->qualified, list, is_binary(source, target) ? "binary" : "text", freeze ? ", FREEZE" : "");
}

static const char *copy_out_sql(struct arena *a, const struct table *source, const struct table *target)
{
    const char *columns = column_list(a, source);
    const char *list = columns[0] != '\0' ? arena_format(a, " (%s)", columns) : "";

    return arena_format(a, "COPY %s%s TO STDOUT WITH (FORMAT %s)", source->qualified, list, is_binary(source, target) ? "binary" : "text");
}

/* Range i of n by physical place; the last one is open-ended: the table may have grown since its size was read. */
static const char *copy_range_sql(struct arena *a, const struct table *source, const struct table *target, int range, const struct copy_record *r)
{
    int64_t from = r->pages * range / r->ranges;
    int64_t to = r->pages * (range + 1) / r->ranges;
    const char *upper = range + 1 < r->ranges ? arena_format(a, " AND ctid < '(%" PRId64 ",0)'::pg_catalog.tid", to) : "";

    return arena_format(a, "COPY (SELECT %s FROM ONLY %s WHERE ctid >= '(%" PRId64 ",0)'::pg_catalog.tid%s) TO STDOUT WITH (FORMAT %s)", column_list(a, source),
                        source->qualified, from, upper, is_binary(source, target) ? "binary" : "text");
}

/* The table as the snapshot sees it must be the one this engine knows: a column that came since would be left out of the copy, and
 * what was written to it before the snapshot would never come. Under the table's lock, so that it stays so. */
static enum err check_shape(struct store_copier *c, const struct table *source, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    bool same;

    TRY(pg_execf(c->source, &r, f, "SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute WHERE attrelid = %u AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                 source->oid));
    same = PQntuples(r) == source->column_count;
    for (int i = 0; same && i < PQntuples(r); i++)
        same = strcmp(PQgetvalue(r, i, 0), source->columns[i].name) == 0 && strcmp(PQgetvalue(r, i, 1), source->columns[i].type) == 0;
    return same ? ERR_OK : fault_set(f, ERR_ANEW, "%s.%s has other columns by now", source->schema, source->name);
}

/* A name the source does not know: the table was renamed or dropped since this engine began. */
static enum err unless_gone(enum err err, struct fault *f)
{
    if (err != ERR_SOURCE_SQL || strstr(f->why, "(42P01)") == NULL)
        return err;
    f->code = ERR_ANEW;
    return ERR_ANEW;
}

/* --- the target's transaction --- */

static enum err begin_marked(struct store_copier *c, const char *lane, struct fault *f)
{
    struct arena *a = c->arena;
    char stream[NAME_SIZE];
    AUTO_RESULT *r = NULL;

    name_stream(c->store, STREAM_COPY, stream);
    TRY(pg_execf(c->target, &r, f,
                 "BEGIN; INSERT INTO leat.progress (migration, stream, lane, position, token) SELECT migration, %s, %s, '0/0', token FROM leat.lease"
                 " WHERE migration = %s AND store = %s AND token = %" PRId64,
                 pg_quote_literal(a, stream), pg_quote_literal(a, lane), pg_quote_literal(a, c->store->migration), pg_quote_literal(a, c->store->name), c->store->token));
    if (strcmp(PQcmdTuples(r), "1") != 0)
        return fault_set(f, ERR_FENCED_OUT, "token %" PRId64 " is no longer the target's", c->store->token);
    return pg_authority_spare(c->target, c->store, f);
}

static enum err write_record(struct store_copier *c, const struct table *t, const struct table *target, const struct copy_record *r, struct fault *f)
{
    struct arena *a = c->arena;
    AUTO_CHARS *full = mem_format("%s.%s", t->schema, t->name);

    return pg_execf(c->target, NULL, f,
                    "INSERT INTO leat.copy (migration, store, table_oid, table_name, attempt, snapshot, snapshot_name, ranges, pages, filenode, unlogged, target_oid)"
                    " VALUES (%s, %s, %u, %s, %d, %s, %s, %d, %" PRId64 ", nullif(%" PRId64 ", 0), %s, %u)"
                    " ON CONFLICT (migration, store, table_oid) DO UPDATE SET table_name = excluded.table_name, attempt = excluded.attempt, snapshot = excluded.snapshot,"
                    " snapshot_name = excluded.snapshot_name, ranges = excluded.ranges, pages = excluded.pages, filenode = excluded.filenode, unlogged = excluded.unlogged, target_oid = excluded.target_oid, opened = excluded.opened, rows = 0, copied = false, indexed = false, pass = NULL, joined = NULL",
                    pg_quote_literal(a, c->store->migration), pg_quote_literal(a, c->store->name), t->oid, pg_quote_literal(a, full), r->attempt, pg_quote_literal(a, r->snapshot),
                    r->snapshot_name != NULL ? pg_quote_literal(a, r->snapshot_name) : "NULL", r->ranges, r->pages, r->filenode, t->unlogged ? "true" : "false", target->oid);
}

static enum err finish_record(struct store_copier *c, uint32_t oid, uint64_t rows, const char *more, struct fault *f)
{
    struct arena *a = c->arena;

    return pg_execf(c->target, NULL, f, "UPDATE leat.copy SET rows = rows + %" PRIu64 "%s WHERE migration = %s AND store = %s AND table_oid = %u; COMMIT", rows, more,
                    pg_quote_literal(a, c->store->migration), pg_quote_literal(a, c->store->name), oid);
}

static void roll_back(struct pg *pg)
{
    if (pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK)
        PQclear(PQexec(pg->conn, "ROLLBACK"));
}

/* Both connections idle again, whatever happened; a connection that libpq no longer understands is made anew. */
static enum err settle(struct store_copier *c, enum err outcome, struct fault *f)
{
    if (outcome == ERR_OK)
        return ERR_OK;
    roll_back(c->source);
    roll_back(c->target);
    (void)f;
    return outcome;
}

/* Nothing of an older attempt is left, or will come: its ranges hold ROW EXCLUSIVE from before they look at the record until they
 * commit. TRUNCATE where it is allowed; where another table's foreign key stands on this one, DELETE: no trigger and no action of a
 * foreign key fires (session_replication_role). *ret_fresh: the rows will be in a new file. */
static enum err empty(struct store_copier *c, const struct table *target, bool *ret_fresh, struct fault *f)
{
    const char *params[] = {target->qualified};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(c->target, SQL_TARGET_REFERENCED, 1, params, &r, f));
    *ret_fresh = PQntuples(r) == 0;
    if (*ret_fresh)
        return pg_execf(c->target, NULL, f, "TRUNCATE ONLY %s", target->qualified);
    return pg_execf(c->target, NULL, f, "LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE; DELETE FROM ONLY %s", target->qualified, target->qualified);
}

/* --- a whole table --- */

/* The lock stands before the file is asked for, and with it no TRUNCATE can come between that and the snapshot. */
static enum err begin_source(struct store_copier *c, const struct table *source, struct copy_record *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_execf(c->source, &r, f, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ONLY %s IN ACCESS SHARE MODE; SELECT pg_catalog.%s(), pg_catalog.pg_relation_filenode(%u)", source->qualified,
                 c->source->major >= 13 ? "pg_current_snapshot" : "txid_current_snapshot", source->oid));
    ret->snapshot = arena_strdup(c->arena, PQgetvalue(r, 0, 0));
    ret->filenode = pg_get_int(r, 0, 1);
    return ERR_OK;
}

static enum err whole(struct store_copier *c, const struct table *source, const struct table *target, int attempt, _Atomic uint64_t *bytes, _Atomic bool *stop, const char **ret_snapshot,
                      uint64_t *ret_rows, struct fault *f)
{
    struct arena *a = c->arena;
    bool fresh;
    struct copy_record record = {.table_oid = source->oid, .attempt = attempt, .ranges = 1};
    struct raw_copy copy = {.source = c->source, .target = c->target, .progress_bytes = bytes, .stop = stop};

    TRY(unless_gone(begin_source(c, source, &record, f), f));
    TRY(check_shape(c, source, f));
    TRY(begin_marked(c, arena_format(a, "%u.%d.0", source->oid, attempt), f));
    TRY(write_record(c, source, target, &record, f));
    TRY(empty(c, target, &fresh, f));
    copy.source_sql = copy_out_sql(a, source, target);
    copy.target_sql = copy_in_sql(a, source, target, fresh && source->bytes >= FREEZE_BYTES);
    TRY(raw_copy_run(&copy, ret_rows, f));
    TRY(finish_record(c, source->oid, *ret_rows, ", copied = true", f));
    *ret_snapshot = record.snapshot;
    return pg_exec(c->source, "COMMIT", NULL, f);
}

enum err pg_copier_whole(struct store_copier *c, const struct table *source, const struct table *target, int attempt, _Atomic uint64_t *bytes, _Atomic bool *stop, const char **ret_snapshot,
                         uint64_t *ret_rows, struct fault *f)
{
    arena_reset(c->arena);
    return settle(c, whole(c, source, target, attempt, bytes, stop, ret_snapshot, ret_rows, f), f);
}

/* --- a table in ranges --- */

static const char *key_of(struct arena *a, uint32_t oid, int attempt)
{
    return arena_format(a, "%u.%d", oid, attempt);
}

static enum err read_filenode(struct store_copier *c, const struct table *source, struct copy_record *record, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_execf(c->source, &r, f, "SELECT pg_catalog.pg_relation_filenode(%u)", source->oid));
    record->filenode = pg_get_int(r, 0, 0);
    return ERR_OK;
}

static enum err open_table(struct store_copier *c, struct arena *a, const struct table *source, const struct table *target, struct copy_record *record, struct fault *f)
{
    enum err err;
    bool fresh;

    if (c->holder == NULL)
        TRY(holder_open(c->store, &c->holder, f));
    TRY(unless_gone(holder_take(c->holder, a, key_of(c->arena, source->oid, record->attempt), source->qualified, &record->snapshot_name, &record->snapshot, f), f));
    err = check_shape(c, source, f);
    if (err != ERR_OK) {
        holder_give_back(c->holder, key_of(c->arena, source->oid, record->attempt));
        return err;
    }
    TRY(read_filenode(c, source, record, f)); /* under the holder's lock; if that is gone, so is its snapshot */
    TRY(begin_marked(c, arena_format(c->arena, "%u.%d.open", source->oid, record->attempt), f));
    TRY(empty(c, target, &fresh, f));
    TRY(write_record(c, source, target, record, f));
    return pg_exec(c->target, "COMMIT", NULL, f);
}

enum err pg_copier_open_table(struct store_copier *c, struct arena *a, const struct table *source, const struct table *target, int attempt, int ranges, struct copy_record *ret_record,
                              struct fault *f)
{
    struct copy_record record = {.table_oid = source->oid, .attempt = attempt, .ranges = ranges, .pages = source->pages};

    arena_reset(c->arena);
    TRY(settle(c, open_table(c, a, source, target, &record, f), f));
    record.ranges_done = arena_zalloc(a, (size_t)ranges + 1);
    *ret_record = record;
    return ERR_OK;
}

/* Under the target table's lock, which the emptying by a next attempt cannot pass: this attempt is still the one. */
static enum err check_attempt(struct store_copier *c, const struct table *source, const struct table *target, const struct copy_record *r, struct fault *f)
{
    struct arena *a = c->arena;
    AUTO_RESULT *result = NULL;

    TRY(pg_execf(c->target, NULL, f, "LOCK TABLE ONLY %s IN ROW EXCLUSIVE MODE", target->qualified));
    TRY(pg_execf(c->target, &result, f, "SELECT 1 FROM leat.copy WHERE migration = %s AND store = %s AND table_oid = %u AND attempt = %d", pg_quote_literal(a, c->store->migration),
                 pg_quote_literal(a, c->store->name), source->oid, r->attempt));
    if (PQntuples(result) != 1)
        return fault_set(f, ERR_SNAPSHOT_LOST, "attempt %d at %s.%s was given up", r->attempt, source->schema, source->name);
    return ERR_OK;
}

static enum err range_of(struct store_copier *c, const struct table *source, const struct table *target, const struct copy_record *r, int range, _Atomic uint64_t *bytes, _Atomic bool *stop, uint64_t *ret_rows,
                         struct fault *f)
{
    struct arena *a = c->arena;
    struct raw_copy copy = {.source = c->source, .target = c->target, .progress_bytes = bytes, .stop = stop};
    enum err err;

    err = pg_execf(c->source, NULL, f, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT %s; SET LOCAL enable_seqscan = off", pg_quote_literal(a, r->snapshot_name));
    if (err == ERR_SOURCE_SQL) { /* its holder died */
        fault_clear(f);
        return fault_set(f, ERR_SNAPSHOT_LOST, "snapshot %s of %s.%s is gone", r->snapshot_name, source->schema, source->name);
    }
    TRY(err);
    TRY(begin_marked(c, arena_format(a, "%u.%d.%d", source->oid, r->attempt, range), f));
    TRY(check_attempt(c, source, target, r, f));
    copy.source_sql = copy_range_sql(a, source, target, range, r);
    copy.target_sql = copy_in_sql(a, source, target, false);
    TRY(raw_copy_run(&copy, ret_rows, f));
    TRY(finish_record(c, source->oid, *ret_rows, "", f));
    return pg_exec(c->source, "COMMIT", NULL, f);
}

enum err pg_copier_range(struct store_copier *c, const struct table *source, const struct table *target, const struct copy_record *r, int range, _Atomic uint64_t *bytes, _Atomic bool *stop, uint64_t *ret_rows,
                         struct fault *f)
{
    arena_reset(c->arena);
    return settle(c, range_of(c, source, target, r, range, bytes, stop, ret_rows, f), f);
}

enum err pg_copier_close_table(struct store_copier *c, const struct table *source, const struct copy_record *r, struct fault *f)
{
    arena_reset(c->arena);
    TRY(begin_marked(c, arena_format(c->arena, "%u.%d.done", source->oid, r->attempt), f));
    TRY(finish_record(c, source->oid, 0, ", copied = true", f));
    if (c->holder == NULL && holder_open(c->store, &c->holder, NULL) != ERR_OK)
        return ERR_OK; /* no holder, nothing held */
    holder_give_back(c->holder, key_of(c->arena, source->oid, r->attempt));
    return ERR_OK;
}

bool pg_copier_snapshot_alive(struct store_copier *c, const struct table *source, const struct copy_record *r)
{
    arena_reset(c->arena);
    if (r->snapshot_name == NULL)
        return false;
    if (c->holder == NULL && holder_open(c->store, &c->holder, NULL) != ERR_OK)
        return false;
    return holder_alive(c->holder, key_of(c->arena, source->oid, r->attempt), r->snapshot_name);
}

/* --- the rest --- */

enum err pg_copier_indexed(struct store_copier *c, uint32_t oid, struct fault *f)
{
    arena_reset(c->arena);
    TRY(begin_marked(c, arena_format(c->arena, "%u.indexed", oid), f));
    return finish_record(c, oid, 0, ", indexed = true", f);
}

enum err pg_copier_statement(struct store_copier *c, const char *what, const char *sql, bool *ret_existed, struct fault *f)
{
    struct fault why = {0};
    AUTO_RESULT *r = NULL;
    const char *state;

    *ret_existed = false;
    r = PQexec(c->target->conn, sql);
    if (PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_EMPTY_QUERY)
        return ERR_OK;
    state = pg_sqlstate(r);
    /* duplicate table/index, duplicate object, multiple primary keys: a crash came between the statement and its record */
    if (strcmp(state, "42P07") == 0 || strcmp(state, "42710") == 0 || strcmp(state, "42P16") == 0) {
        *ret_existed = true;
        return ERR_OK;
    }
    if (pg_fault(c->target, r, sql, &why) == ERR_TARGET_SQL)
        return fault_set(f, ERR_SCHEMA, "%s: %.1500s", what, why.why);
    *f = why;
    return why.code;
}

enum err pg_copier_heartbeat(struct store_copier *c, const char *note, struct fault *f)
{
    char stream[NAME_SIZE];
    char token[24];
    const char *params[] = {c->store->migration, name_stream(c->store, STREAM_HEARTBEAT, stream), token, note};

    snprintf(token, sizeof token, "%" PRId64, c->store->token);
    return pg_query(c->source, "INSERT INTO leat.progress (migration, stream, lane, position, token, note) VALUES ($1, $2, '', '0/0', $3, $4)", 4, params, NULL, f);
}
