/* store/postgres/arm.c — identity, publication, slot: from here on nothing written to the source can be missed.
 *
 * The order is the rule (REPLICATION.md, "Arm"): identity of every table, publications (one made after the slot fails on the
 * first older change), the slot without exporting a snapshot, then a transaction number X; and no table's snapshot
 * before one has xmin > X (a commit in WAL before the slot but not yet visible would be in neither, trap P30). */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#include "base/world.h"
#include "sql_embedded.h"
#include "store/postgres/ddl.h"
#include "store/postgres/door_role.h"
#include "store/postgres/identity.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/prepare.h"

#define LOCK_TIMEOUT_MS 100
#define PATIENCE_US ((int64_t)120000000)
#define SLOT_PATIENCE_US ((int64_t)600000000)
#define TABLES_A_STATEMENT 200

static bool stopped(const struct store *s)
{
    return s->stop != NULL && atomic_load(s->stop);
}

static enum err give_identity(struct pg *pg, const struct catalog *c, struct arena *a, struct fault *f)
{
    struct identity_wanted *given;
    size_t count;

    return pg_identity_give(pg, c, a, &given, &count, f);
}

/* Adds tables to the publication some at a time, so that few locks are held at once and none for long. */
static enum err publish_list(struct pg *pg, const char *publication, const char *const *names, size_t count, struct arena *a, struct fault *f)
{
    for (size_t from = 0; from < count; from += TABLES_A_STATEMENT) {
        AUTO_BUF sql = {0};
        size_t to = from + TABLES_A_STATEMENT < count ? from + TABLES_A_STATEMENT : count;

        buf_addf(&sql, "ALTER PUBLICATION %s ADD TABLE ", pg_quote_ident(a, publication));
        for (size_t i = from; i < to; i++)
            buf_addf(&sql, "%sONLY %s", i > from ? ", " : "", names[i]);
        TRY_WITH(pg_exec_patiently(pg, buf_cstr(&sql), LOCK_TIMEOUT_MS, PATIENCE_US, f), f, "publishing %zu tables", to - from);
    }
    return ERR_OK;
}

/* From 13 on a root can be published, and partitions attached later with it. */
static enum err publish_roots(struct pg *pg, const struct store *s, const char *publication, struct arena *a, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    if (pg->major < 13)
        return ERR_OK;
    TRY(pg_exec(pg, SQL_PARTITIONED_ROOTS, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        if (!config_chooses(s->store, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)))
            continue;
        TRY(pg_exec_patiently(pg, arena_format(a, "ALTER PUBLICATION %s ADD TABLE %s", pg_quote_ident(a, publication),
                                               pg_quote_qualified(a, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1))),
                              LOCK_TIMEOUT_MS, PATIENCE_US, f));
    }
    return ERR_OK;
}

static enum err publish(struct pg *pg, const struct store *s, const struct catalog *c, struct arena *a, struct fault *f)
{
    char publication[NAME_SIZE];
    char marks[NAME_SIZE];
    const char **names = arena_alloc(a, (c->table_count + 1) * sizeof *names);
    size_t count = 0;

    name_publication(s, publication);
    name_marks(s, marks);
    for (size_t i = 0; i < c->table_count; i++)
        if (!c->tables[i].unlogged) /* unlogged tables write no WAL: they are copied, and doctor has said so */
            names[count++] = c->tables[i].qualified;
    TRY(pg_execf(pg, NULL, f, "CREATE PUBLICATION %s FOR TABLE leat.progress, leat.mark, leat.turn WITH (publish = 'insert')", pg_quote_ident(a, marks)));
    TRY(pg_execf(pg, NULL, f, "CREATE PUBLICATION %s FOR TABLE leat.ddl", pg_quote_ident(a, publication)));
    TRY(publish_list(pg, publication, names, count, a, f));
    return publish_roots(pg, s, publication, a, f);
}

static enum err drop_half_done(struct pg *pg, const struct store *s, struct arena *a, struct fault *f)
{
    char name[NAME_SIZE];
    const char *params[] = {name_slot(s, name)};

    TRY(pg_query(pg, "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", 1, params, NULL, f));
    TRY(pg_execf(pg, NULL, f, "DROP PUBLICATION IF EXISTS %s", pg_quote_ident(a, name_publication(s, name))));
    return pg_execf(pg, NULL, f, "DROP PUBLICATION IF EXISTS %s", pg_quote_ident(a, name_marks(s, name)));
}

static enum err tell_blocker(struct pg *pg, struct store_waits *w, const char *what, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, SQL_OLDEST_TRANSACTION, &r, f));
    if (PQntuples(r) > 0) {
        AUTO_CHARS *text = mem_format("%s waits for the transaction of pid %s (%s@%s), open for %s", what, PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1),
                                      PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 3));
        w->tell(w->ctx, text);
    }
    return ERR_OK;
}

/* Making a slot waits for every transaction open at that moment: beside it we look who that is (trap P15). */
static enum err make_slot(struct pg *pg, struct pg *beside, const struct store *s, struct store_waits *w, struct fault *f)
{
    char slot[NAME_SIZE];
    const char *params[] = {name_slot(s, slot)};
    int64_t deadline = world_mono_us() + SLOT_PATIENCE_US;
    AUTO_RESULT *r = NULL;

    if (PQsendQueryParams(pg->conn, "SELECT 1 FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')", 1, NULL, params, NULL, NULL, 0) != 1)
        return fault_set(f, ERR_SOURCE_LOST, "%s", PQerrorMessage(pg->conn));
    while (PQisBusy(pg->conn)) {
        struct pollfd p = {.fd = PQsocket(pg->conn), .events = POLLIN};
        int n = poll(&p, 1, 1000);
        if (n > 0 && PQconsumeInput(pg->conn) != 1)
            return fault_set(f, ERR_SOURCE_LOST, "%s", PQerrorMessage(pg->conn));
        if (n == 0)
            TRY(tell_blocker(beside, w, "the slot", f));
        if (stopped(s))
            return fault_set(f, ERR_INTERRUPTED, "while the slot was being made");
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "the slot still waits for transactions open on the source");
    }
    r = PQgetResult(pg->conn);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        return pg_fault(pg, r, "pg_create_logical_replication_slot", f);
    PQclear(PQgetResult(pg->conn));
    w->tell(w->ctx, "");
    return ERR_OK;
}

/* A number given out now is beyond that of every transaction begun before. S0.xmax is not: it is one more than the largest that has
 * ended, and one that waits for its standby may be larger and still have its commit in WAL before the slot. */
static enum err await_visibility(struct pg *pg, const struct store *s, struct store_waits *w, struct fault *f)
{
    const char *oldest = pg->major >= 13 ? "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text"
                                         : "SELECT pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot())::text";
    AUTO_RESULT *bound = NULL;
    int64_t deadline = world_mono_us() + SLOT_PATIENCE_US;
    int64_t told = world_mono_us() + 1000000;

    TRY(pg_exec(pg, "SELECT pg_catalog.txid_current()::text", &bound, f));
    for (;;) {
        AUTO_RESULT *r = NULL;
        TRY(pg_exec(pg, oldest, &r, f));
        if (pg_get_int(r, 0, 0) > pg_get_int(bound, 0, 0))
            break;
        if (stopped(s))
            return fault_set(f, ERR_INTERRUPTED, "while older transactions were open");
        if (world_mono_us() > told) {
            TRY(tell_blocker(pg, w, "the first snapshot", f));
            told = world_mono_us() + 1000000;
        }
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "transactions older than the slot are still open on the source");
        world_sleep_us(10000);
    }
    w->tell(w->ctx, "");
    return ERR_OK;
}

enum err pg_store_arm(struct store *s, const struct catalog *source, bool fresh, struct store_waits *w, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO(pg) *beside = NULL;
    AUTO(arena) *a = arena_new(65536);
    bool noted;

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "arm", &pg, f));
    TRY(pg_connect(s->store->source, SIDE_SOURCE, "arm", &beside, f));
    if (fresh) {
        TRY(pg_take_lock(pg, name_lock_key(s, "arm", ""), f));
        TRY(drop_half_done(pg, s, a, f));
        TRY(pg_exec(pg, SQL_LEAT_SCHEMA, NULL, f));
        TRY(pg_door_role_grant(pg, s->store, SIDE_SOURCE, f));
        TRY(pg_ddl_arm(pg, &noted, f));
        TRY(give_identity(pg, source, a, f));
        TRY(publish(pg, s, source, a, f));
        TRY_WITH(make_slot(pg, beside, s, w, f), f, "making the replication slot");
    }
    return await_visibility(pg, s, w, f);
}

/* --- tables that came later --- */

/* The row of that name, at or after *row; the rows are in the order of the catalog. */
static bool is_published(const PGresult *r, int *row, const struct table *t)
{
    for (; *row < PQntuples(r); (*row)++) {
        int order = strcmp(PQgetvalue(r, *row, 0), t->schema);
        order = order != 0 ? order : strcmp(PQgetvalue(r, *row, 1), t->name);
        if (order >= 0)
            return order == 0;
    }
    return false;
}

/* Not one that is only to be copied: it may have been published a moment before an engine died. */
static bool is_recorded(const struct copy_records *records, uint32_t oid)
{
    for (size_t i = 0; i < records->count; i++)
        if (records->list[i].table_oid == oid)
            return records->list[i].snapshot[0] != '\0';
    return false;
}

/* *ret_late: a table's copy has not begun. */
static enum err find_new(struct pg *pg, const struct store *s, const struct catalog *source, const struct catalog *target, const struct copy_records *records, struct catalog *ret_new,
                         bool *ret_late, struct fault *f)
{
    char publication[NAME_SIZE];
    const char *params[] = {name_publication(s, publication)};
    AUTO_RESULT *r = NULL;
    int row = 0;

    *ret_late = false;
    TRY(pg_query(pg, "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = $1 ORDER BY schemaname::text COLLATE \"C\", tablename::text COLLATE \"C\"", 1, params, &r, f));
    for (size_t i = 0; i < source->table_count; i++) {
        const struct table *t = &source->tables[i];
        bool published = is_published(r, &row, t);
        if (t->unlogged || catalog_find(target, t->schema, t->name) == NULL)
            continue;
        if (!published)
            ret_new->tables[ret_new->table_count++] = *t;
        *ret_late = *ret_late || !published || (records->count > 0 && !is_recorded(records, t->oid));
    }
    return ERR_OK;
}

/* The source may have kept, for its decoding, that a table is not published, from a transaction begun before it was (fixed in the
 * minor releases of May 2025, never in 10 to 12): what changes the list of publications makes it look again. */
static enum err look_again(struct pg *pg, const struct store *s, struct arena *a, struct fault *f)
{
    char marks[NAME_SIZE];
    const char *name = pg_quote_ident(a, name_marks(s, marks));

    return pg_exec_patiently(pg, arena_format(a, "ALTER PUBLICATION %s DROP TABLE leat.mark; ALTER PUBLICATION %s ADD TABLE leat.mark", name, name), LOCK_TIMEOUT_MS, PATIENCE_US, f);
}

static enum err publish_new(struct pg *pg, const struct store *s, const struct catalog *new, struct arena *a, struct fault *f)
{
    char publication[NAME_SIZE];
    const char **names = arena_alloc(a, (new->table_count + 1) * sizeof *names);

    for (size_t i = 0; i < new->table_count; i++)
        names[i] = new->tables[i].qualified;
    TRY(give_identity(pg, new, a, f));
    return publish_list(pg, name_publication(s, publication), names, new->table_count, a, f);
}

/* A store of which nothing is recorded yet was armed just now: all was published before its slot. */
enum err pg_store_adopt(struct store *s, const struct catalog *source, const struct catalog *target, const struct copy_records *records, struct store_waits *w, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO(arena) *a = arena_new(16384);
    struct catalog new = {.arena = a};
    bool late;

    new.tables = arena_alloc(a, (source->table_count + 1) * sizeof *new.tables);
    TRY(pg_connect(s->store->source, SIDE_SOURCE, "arm", &pg, f));
    TRY(find_new(pg, s, source, target, records, &new, &late, f));
    if (new.table_count > 0)
        TRY(publish_new(pg, s, &new, a, f));
    if (!late)
        return ERR_OK;
    TRY(await_visibility(pg, s, w, f));
    TRY(look_again(pg, s, a, f));
    return await_visibility(pg, s, w, f);
}
