/* store/postgres/prepare.c — what an engine does first: who the servers are, the lease, and the facts the record holds. */
#include "store/postgres/prepare.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/inventory.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"

/* A managed service may refuse pg_control_system(): then nothing is known of the server but its version. Any other error is no answer. */
static enum err identity_of(const char *dsn, enum side side, struct arena *a, const char **ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;
    struct fault refused = {0};
    const char *database;
    enum err err;

    TRY(pg_connect(dsn, side, "identify", &pg, f));
    TRY(pg_value(pg, a, "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()", 0, NULL, &database, f));
    err = pg_exec(pg, SQL_IDENTITY, &r, &refused);
    if (err != ERR_OK && err != ERR_RIGHT_MISSING) {
        *f = refused;
        return err;
    }
    *ret = err == ERR_OK ? arena_format(a, "%s/%s/%d/%s", pg_get(r, 0, 0), pg_get(r, 0, 1), pg->major, database) : arena_format(a, "?/?/%d/%s", pg->major, database);
    return ERR_OK;
}

enum err pg_store_identify(struct store *s, struct arena *a, const char **ret_source, const char **ret_target, struct fault *f)
{
    const char *source;
    const char *target;

    TRY(identity_of(s->store->source, SIDE_SOURCE, a, &source, f));
    if (ret_target != NULL) {
        TRY(identity_of(s->store->target, SIDE_TARGET, a, &target, f));
        *ret_target = target;
    }
    *ret_source = source;
    return ERR_OK;
}

static enum err take_lease(struct store *s, struct pg *pg, struct fault *f)
{
    char token[24];
    const char *params[] = {s->migration, s->name, token};
    AUTO_RESULT *r = NULL;

    snprintf(token, sizeof token, "%" PRId64, s->token);
    TRY(pg_query(pg,
                 "INSERT INTO leat.lease (migration, store, token) VALUES ($1, $2, $3) ON CONFLICT (migration, store) DO UPDATE"
                 " SET token = excluded.token WHERE lease.token < excluded.token RETURNING token",
                 3, params, &r, f));
    if (PQntuples(r) != 1)
        return fault_set(f, ERR_FENCED_OUT, "the target's lease has a token newer than %s", token);
    return ERR_OK;
}

enum err pg_store_prepare(struct store *s, struct store_waits *w, struct fault *f)
{
    AUTO(pg) *pg = NULL;

    TRY(pg_connect(s->store->target, SIDE_TARGET, "prepare", &pg, f));
    TRY(pg_exec(pg, SQL_LEAT_SCHEMA, NULL, f));
    TRY(take_lease(s, pg, f));
    w->tell(w->ctx, "sessions of an earlier leat to end on the target");
    TRY(pg_circle_close(pg, s, f));
    w->tell(w->ctx, "");
    return ERR_OK;
}

/* Operators of types that are not built in: an empty search_path does not find them. */
enum err pg_fill_operators(struct pg *pg, struct catalog *c, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, SQL_TYPE_EQUALS, &r, f));
    for (size_t i = 0; i < c->table_count; i++)
        for (uint16_t k = 0; k < c->tables[i].column_count; k++) {
            struct column *column = &c->tables[i].columns[k];
            column->equals = "OPERATOR(pg_catalog.=)";
            for (int row = 0; row < PQntuples(r); row++)
                if (pg_get_int(r, row, 0) == column->type_oid)
                    column->equals = arena_format(c->arena, "OPERATOR(%s.%s)", pg_quote_ident(c->arena, pg_get(r, row, 1)), pg_get(r, row, 2));
        }
    return ERR_OK;
}

enum err pg_store_load(struct store *s, struct catalog **ret_source, struct catalog **ret_target, struct fault *f)
{
    AUTO(pg) *source = NULL;
    AUTO(pg) *target = NULL;
    AUTO(catalog) *of_source = NULL;
    AUTO(catalog) *of_target = NULL;

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "catalog", &source, f));
    TRY(pg_catalog_load(source, s->store, &of_source, f));
    if (ret_target != NULL) {
        TRY(pg_connect(s->store->target, SIDE_TARGET, "catalog", &target, f));
        TRY(pg_catalog_load(target, NULL, &of_target, f));
        TRY(pg_fill_operators(target, of_target, f));
        *ret_target = TAKE(of_target);
    }
    *ret_source = TAKE(of_source);
    return ERR_OK;
}

enum err pg_store_confirmed(struct store *s, struct lsn *ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    char slot[NAME_SIZE];
    const char *params[] = {name_slot(s, slot)};
    AUTO_RESULT *r = NULL;

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "facts", &pg, f));
    TRY(pg_query(pg, pg->major >= 13 ? "SELECT confirmed_flush_lsn, wal_status FROM pg_catalog.pg_replication_slots WHERE slot_name = $1"
                                     : "SELECT confirmed_flush_lsn, '' FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", 1, params, &r, f));
    *ret = LSN_ZERO;
    if (PQntuples(r) == 0)
        return ERR_OK;
    if (strcmp(PQgetvalue(r, 0, 1), "lost") == 0)
        return fault_set(f, ERR_SLOT_LOST, "slot %s: the source removed WAL it needs (max_slot_wal_keep_size)", slot);
    if (!PQgetisnull(r, 0, 0) && !lsn_parse(PQgetvalue(r, 0, 0), ret))
        return fault_set(f, ERR_BUG, "position of slot %s", slot);
    return ERR_OK;
}

static enum err read_ahead(struct pg *pg, const struct store *s, struct arena *a, struct stream_facts *ret, struct fault *f)
{
    char stream[NAME_SIZE];
    const char *params[] = {s->migration, name_stream(s, STREAM_AHEAD, stream)};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, "SELECT position FROM leat.progress WHERE migration = $1 AND stream = $2", 2, params, &r, f));
    ret->ahead = arena_alloc(a, ((size_t)PQntuples(r) + 1) * sizeof *ret->ahead);
    for (int i = 0; i < PQntuples(r); i++)
        if (!lsn_parse(PQgetvalue(r, i, 0), &ret->ahead[ret->ahead_count++]))
            return fault_set(f, ERR_BUG, "position %s on the target", PQgetvalue(r, i, 0));
    return ERR_OK;
}

/* Whether the stream's source served at that position: the last turn before it says so; without one, whoever has it from the beginning. */
static enum err read_serves(const struct store *s, struct stream_facts *ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *there = NULL;
    AUTO_RESULT *r = NULL;
    char position[LSN_TEXT_SIZE];
    const char *params[] = {s->migration, store_base(s), lsn_text(lsn_max(ret->applied, ret->confirmed), position)};

    ret->serves = !s->store->back;
    TRY(pg_connect(s->store->source, SIDE_SOURCE, "facts", &pg, f));
    TRY(pg_exec(pg, "SELECT 1 WHERE pg_catalog.to_regclass('leat.turn') IS NOT NULL", &there, f));
    if (PQntuples(there) == 0)
        return ERR_OK; /* armed by a leat before the switch */
    TRY(pg_query(pg, "SELECT serves FROM leat.turn WHERE migration = $1 AND store = $2 AND at < $3 ORDER BY epoch DESC LIMIT 1", 3, params, &r, f));
    if (PQntuples(r) == 1)
        ret->serves = pg_get_bool(r, 0, 0);
    return ERR_OK;
}

enum err pg_store_facts(struct store *s, struct arena *a, struct stream_facts *ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    char stream[NAME_SIZE];
    const char *of_stream[] = {s->migration, name_stream(s, STREAM_FORWARD, stream)};
    const char *of_store[] = {s->migration, s->name};
    const char *text;

    memset(ret, 0, sizeof *ret);
    TRY(pg_connect(s->store->target, SIDE_TARGET, "facts", &pg, f));
    TRY(pg_value(pg, a, "SELECT position FROM leat.progress WHERE migration = $1 AND stream = $2 ORDER BY position DESC LIMIT 1", 2, of_stream, &text, f));
    if (text != NULL && !lsn_parse(text, &ret->applied))
        return fault_set(f, ERR_BUG, "position %s on the target", text);
    TRY(read_ahead(pg, s, a, ret, f));
    TRY(pg_value(pg, a, "SELECT spool FROM leat.lease WHERE migration = $1 AND store = $2", 2, of_store, &ret->spool, f));
    TRY(pg_store_confirmed(s, &ret->confirmed, f));
    return read_serves(s, ret, f);
}

enum err pg_store_target_answers(struct store *s, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;

    TRY(pg_connect(s->store->target, SIDE_TARGET, "knock", &pg, f));
    TRY(pg_exec(pg, "SELECT pg_catalog.pg_is_in_recovery()", &r, f));
    if (pg_get_bool(r, 0, 0))
        return fault_set(f, ERR_TARGET_UNREACHABLE, "target %s: it is in recovery and takes no writes", pg->database);
    return ERR_OK;
}

/* --- copy records --- */

static void read_record(PGresult *r, int row, struct arena *a, struct copy_record *ret)
{
    ret->table_oid = (uint32_t)pg_get_int(r, row, 0);
    ret->attempt = (int)pg_get_int(r, row, 1);
    ret->snapshot = arena_strdup(a, pg_get(r, row, 2));
    ret->snapshot_name = arena_strdup(a, pg_get(r, row, 3));
    ret->ranges = (int)pg_get_int(r, row, 4);
    ret->rows = pg_get_int(r, row, 5);
    ret->copied = pg_get_bool(r, row, 6);
    ret->indexed = pg_get_bool(r, row, 7);
    ret->pass = (int)pg_get_int(r, row, 8);
    ret->joined = LSN_ZERO;
    if (!PQgetisnull(r, row, 9))
        (void)lsn_parse(PQgetvalue(r, row, 9), &ret->joined);
    ret->pages = pg_get_int(r, row, 10);
    ret->table_name = arena_strdup(a, pg_get(r, row, 11));
    ret->filenode = PQgetisnull(r, row, 12) ? 0 : pg_get_int(r, row, 12);
    ret->built = pg_get_bool(r, row, 13);
    ret->age_us = pg_get_int(r, row, 14);
    ret->ranges_done = arena_zalloc(a, (size_t)ret->ranges + 1);
}

/* Passes are numbered "p<n>"; a number whose tables were since to be copied again is not given twice: its marks still stand. */
static enum err find_last_pass(struct pg *pg, struct store *s, int *ret, struct fault *f)
{
    char stream[NAME_SIZE];
    const char *params[] = {s->migration, name_stream(s, STREAM_JOIN, stream)};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, "SELECT coalesce(pg_catalog.max(pg_catalog.substr(lane, 2)::int4), 0) FROM leat.progress WHERE migration = $1 AND stream = $2 AND lane ~ '^p[0-9]+$'", 2, params, &r, f));
    *ret = (int)pg_get_int(r, 0, 0);
    return ERR_OK;
}

/* A range's mark: lane "<oid>.<attempt>.<range>". */
static void mark_range(struct copy_records *records, const char *lane)
{
    char *end;
    unsigned long oid = strtoul(lane, &end, 10);
    long attempt = *end == '.' ? strtol(end + 1, &end, 10) : -1;
    long range = *end == '.' && end[1] >= '0' && end[1] <= '9' ? strtol(end + 1, &end, 10) : -1; /* ".open" and ".done" are no ranges */

    if (*end != '\0')
        return;
    for (size_t i = 0; i < records->count; i++)
        if (records->list[i].table_oid == oid && records->list[i].attempt == attempt && range >= 0 && range < records->list[i].ranges)
            records->list[i].ranges_done[range] = 1;
}

enum err pg_store_copy_records(struct store *s, struct copy_records *ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;
    AUTO_RESULT *marks = NULL;
    char stream[NAME_SIZE];
    const char *params[] = {s->migration, s->name};
    const char *of_copy[] = {s->migration, name_stream(s, STREAM_COPY, stream)};

    TRY(pg_connect(s->store->target, SIDE_TARGET, "facts", &pg, f));
    TRY(pg_query(pg, "SELECT table_oid, attempt, snapshot, snapshot_name, ranges, rows, copied, indexed, pass, joined, pages, table_name, filenode, built OR indexed,"
                     " (1000000 * extract(epoch FROM clock_timestamp() - opened))::int8 FROM leat.copy WHERE migration = $1 AND store = $2", 2, params, &r, f));
    TRY(find_last_pass(pg, s, &ret->last_pass, f));
    TRY(pg_query(pg, "SELECT p.lane FROM leat.progress p WHERE p.migration = $1 AND p.stream = $2", 2, of_copy, &marks, f));
    ret->arena = arena_new(65536);
    ret->count = (size_t)PQntuples(r);
    ret->list = arena_zalloc(ret->arena, (ret->count + 1) * sizeof *ret->list);
    for (int i = 0; i < PQntuples(r); i++)
        read_record(r, i, ret->arena, &ret->list[i]);
    for (int i = 0; i < PQntuples(marks); i++)
        mark_range(ret, PQgetvalue(marks, i, 0));
    return ERR_OK;
}
