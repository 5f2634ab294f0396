/* store/postgres/examine.c — the list of all checks, and how one is carried out.
 *
 * A check is one row: what it needs (a server that answers, the chosen tables), on which majors of the source it is asked, and either
 * a function or a query whose rows are the findings. Adding one is adding a row (and its id to assess/findings.def).
 *
 * Invariants
 *  1. Nothing is changed on either side; what has to be tried is rolled back.
 *  2. A check that cannot be carried out is told, and hides no other.
 *  3. No lock and no statement is waited for longer than PATIENCE_MS. */
#include "store/postgres/examine.h"

#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/examine_internal.h"
#include "store/postgres/inventory.h"

#define PATIENCE_MS 15000

static const struct examine_check checks[] = {
    /* what both servers are */
    {"version", NEED_BOTH, 0, 0, examine_version, NULL, NULL},
    {"same-server", NEED_BOTH, 0, 0, examine_same_server, NULL, NULL},
    {"standby", NEED_BOTH, 0, 0, examine_standby, NULL, NULL},
    {"pg-dump", NEED_BOTH, 0, 0, examine_pg_dump, NULL, NULL},
    {"encoding", NEED_BOTH, 0, 0, examine_encoding, NULL, NULL},
    {"collation", NEED_BOTH, 0, 0, examine_default_collation, NULL, NULL},
    {"collation", NEED_BOTH | NEED_CATALOG, 0, 0, examine_collations, NULL, NULL},
    {"setting", NEED_BOTH, 0, 0, examine_settings, NULL, NULL},
    /* logical decoding, and what holds it up */
    {"wal-level", NEED_SOURCE, 0, 0, examine_wal_level, NULL, NULL},
    {"slots", NEED_SOURCE, 0, 0, examine_slots, NULL, NULL},
    {"senders", NEED_SOURCE, 0, 0, examine_senders, NULL, NULL},
    {"slot-limit", NEED_SOURCE, 13, 0, examine_slot_limits, NULL, NULL},
    {"slot-name", NEED_SOURCE, 0, 0, examine_slot_name, NULL, NULL},
    {"slot-idle", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_SLOTS_IDLE, "no idle slot of another keeps WAL"},
    {"sessions-hidden", NEED_SOURCE, 0, 0, examine_sessions, NULL, NULL},
    {"transaction-long", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_LONG_TRANSACTIONS,
     "no transaction has been open for a minute"},
    {"transaction-prepared", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_PREPARED,
     "no prepared transaction is open"},
    {"synchronous", NEED_SOURCE, 0, 0, examine_synchronous, NULL, NULL},
    {"connections", NEED_BOTH, 0, 0, examine_connections, NULL, NULL},
    /* what leat's role may do */
    {"replication-right", NEED_SOURCE, 0, 0, examine_replication_right, NULL, NULL},
    {"create-right", NEED_SOURCE, 0, 0, examine_create_source, NULL, NULL},
    {"owner-right", NEED_SOURCE | NEED_CATALOG, 0, 0, examine_owners, NULL, NULL},
    {"read-right", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_SELECT_RIGHT,
     "leat may read every chosen table and sequence"},
    {"row-security", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_ROW_SECURITY,
     "row security hides no row from leat"},
    {"row-security", NEED_BOTH | NEED_CATALOG, 0, 0, examine_row_security, NULL, NULL},
    {"ddl-detection", NEED_SOURCE, 0, 0, examine_ddl_detection, NULL, NULL},
    {"create-right", NEED_TARGET, 0, 0, examine_create_target, NULL, NULL},
    {"replica-role", NEED_TARGET, 0, 0, examine_replica_role, NULL, NULL},
    {"roles", NEED_BOTH, 0, 0, examine_roles, NULL, NULL},
    {"door-role", NEED_SOURCE, 0, 0, examine_door_role, NULL, NULL},
    {"door-role", NEED_TARGET, 0, 0, examine_door_role, NULL, NULL},
    {"way-back", NEED_BOTH, 0, 0, examine_way_back, NULL, NULL},
    /* the chosen tables */
    {"chosen", NEED_SOURCE | NEED_CATALOG, 0, 0, examine_chosen, NULL, NULL},
    {"no-identity", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_IDENTITY,
     "every chosen table has a key by which its rows can be told apart"},
    {"identity-full", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_IDENTITY_FULL, NULL},
    {"identity-equality", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_NO_EQUALITY, NULL},
    {"trigger-always", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_TRIGGERS,
     "no trigger or rule fires for replicated rows"},
    {"unlogged-table", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_UNLOGGED, "no chosen table is unlogged"},
    {"with-oids", NEED_SOURCE, 0, 11, examine_listing, SQL_EXAMINE_OIDS, "no chosen table was made WITH OIDS"},
    {"type-removed", NEED_SOURCE, 0, 11, examine_listing, SQL_EXAMINE_TYPES_REMOVED,
     "no column is of a type that newer servers lack"},
    {"type-pseudo", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_TYPES_PSEUDO, NULL},
    {"type-reg", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_TYPES_REG, NULL},
    {"index-invalid", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_INVALID_INDEXES, "every index is valid"},
    {"foreign-key-outside", NEED_SOURCE | NEED_CATALOG, 0, 0, examine_foreign_keys, NULL, NULL},
    {"partitioned", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_PARTITIONS, NULL},
    {"sequence-end", NEED_SOURCE, 0, 0, examine_sequences, NULL, NULL},
    {"sequence-cycle", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_SEQUENCES_CYCLE, NULL},
    /* what is not in the stream */
    {"large-objects", NEED_SOURCE, 0, 0, examine_large_objects, NULL, NULL},
    {"materialized-view", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_MATVIEWS, NULL},
    {"foreign-table", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_FOREIGN_TABLES, NULL},
    {"event-trigger", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_EVENT_TRIGGERS, NULL},
    {"publication-all", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_PUBLICATIONS, NULL},
    {"publication", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_PUBLICATIONS_LIST, NULL},
    {"subscription", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_SUBSCRIPTIONS, NULL},
    {"extension-rows", NEED_SOURCE, 0, 0, examine_listing, SQL_EXAMINE_EXTENSION_CONFIG, NULL},
    /* the target */
    {"target-not-empty", NEED_BOTH | NEED_CATALOG, 0, 0, examine_target_empty, NULL, NULL},
    {"read-only", NEED_TARGET, 0, 0, examine_read_only, NULL, NULL},
    {"extension", NEED_BOTH, 0, 0, examine_extensions, NULL, NULL},
    {"tablespace", NEED_BOTH, 0, 0, examine_tablespaces, NULL, NULL},
    {"event-trigger-target", NEED_TARGET, 0, 0, examine_listing, SQL_EXAMINE_EVENT_TRIGGERS_TARGET, NULL},
    {"size", NEED_SOURCE | NEED_CATALOG, 0, 0, examine_size, NULL, NULL},
};

/* --- telling --- */

void examine_tell(struct examine *e, enum remark level, const char *id, const char *object, const char *fix, const char *why, ...)
{
    AUTO_BUF text = {0};
    va_list args;

    va_start(args, why);
    buf_vaddf(&text, why, args);
    va_end(args);
    e->sink->tell(e->sink->ctx, level, id, object, buf_cstr(&text), fix != NULL ? fix : "");
}

void examine_fine(struct examine *e, const char *id, const char *object, const char *why, ...)
{
    AUTO_BUF text = {0};
    va_list args;

    va_start(args, why);
    buf_vaddf(&text, why, args);
    va_end(args);
    e->sink->tell(e->sink->ctx, REMARK_FINE, id, object, buf_cstr(&text), "");
}

void examine_tell_fault(struct examine *e, enum remark level, const char *object, const struct fault *f)
{
    const struct err_info *info = err_info(f->code);

    examine_tell(e, level, info->code, object, f->todo[0] != '\0' ? f->todo : info->remedy, "%s%s%s", f->what, f->what[0] != '\0' ? ": " : "",
                 f->why[0] != '\0' ? f->why : info->text);
}

/* --- facts --- */

const char *examine_fact(const struct examine_end *end, const char *name)
{
    for (int i = 0; i < PQntuples(end->facts); i++)
        if (strcmp(PQgetvalue(end->facts, i, 0), name) == 0)
            return PQgetvalue(end->facts, i, 1);
    return "";
}

int64_t examine_number(const struct examine_end *end, const char *name, int64_t otherwise)
{
    const char *text = examine_fact(end, name);

    return text[0] != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

bool examine_true(const struct examine_end *end, const char *name)
{
    return strcmp(examine_fact(end, name), "true") == 0;
}

const char *examine_service(const struct examine_end *end)
{
    static const struct {
        const char *role;
        const char *service;
    } known[] = {{"rds_superuser", "Amazon RDS"}, {"cloudsqlsuperuser", "Google Cloud SQL"}, {"alloydbsuperuser", "Google AlloyDB"},
                 {"azure_pg_admin", "Azure Database"}, {"neon_superuser", "Neon"}, {"doadmin", "DigitalOcean"}};
    const char *role = examine_fact(end, "managed_role");

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(role, known[i].role) == 0)
            return known[i].service;
    return "";
}

/* --- a query whose rows are findings --- */

enum err examine_listing(struct examine *e, const struct examine_check *c, struct fault *f)
{
    enum side side = (c->needs & NEED_SOURCE) != 0 ? SIDE_SOURCE : SIDE_TARGET;
    AUTO_CHARS *said = NULL;
    AUTO_RESULT *r = NULL;
    int told = 0;

    TRY(pg_exec(e->ends[side].pg, c->sql, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        const char *schema = pg_get(r, i, 0);
        const char *fix = PQgetvalue(r, i, 3);
        AUTO_CHARS *object = schema != NULL ? mem_format("%s.%s", schema, PQgetvalue(r, i, 1)) : mem_dup(PQgetvalue(r, i, 1));
        if (schema != NULL && !config_chooses(e->store, schema, PQgetvalue(r, i, 1)))
            continue;
        if (said != NULL && fix[0] != '\0' && strcmp(said, fix) == 0)
            continue; /* one statement mends this row too */
        examine_tell(e, REMARK_FOUND, c->id, object, fix, "%s", PQgetvalue(r, i, 2));
        free(said);
        said = mem_dup(fix);
        told++;
    }
    if (told == 0 && c->fine != NULL)
        examine_fine(e, c->id, side_name(side), "%s", c->fine);
    return ERR_OK;
}

/* --- both ends --- */

/* A pooler before the server refuses the settings every session of leat needs. */
static void tell_unreachable(struct examine *e, enum side side, struct fault *f)
{
    size_t prefix = strlen(side_name(side));

    if (strncmp(f->why, side_name(side), prefix) == 0 && strncmp(f->why + prefix, ": ", 2) == 0)
        memmove(f->why, f->why + prefix + 2, strlen(f->why + prefix + 2) + 1); /* the finding's object says it */
    if (f->todo[0] == '\0' && f->code == ERR_BUSY)
        snprintf(f->todo, sizeof f->todo, "raise max_connections, or wait until others have left; then run this again");
    else if (f->todo[0] == '\0' && err_is_transient(f->code)) /* nobody is at work yet who would try again */
        snprintf(f->todo, sizeof f->todo, "check host, port and that the server runs; then run this again");
    if (strstr(f->why, "unsupported startup parameter") != NULL)
        examine_tell(e, REMARK_FOUND, "pooler", side_name(side), "give the address of the server itself in leat.yaml", "%s", f->why);
    else
        examine_tell_fault(e, REMARK_BLOCKER, side_name(side), f);
}

static enum err learn(struct examine *e, struct examine_end *end, struct pg *pg, struct fault *f)
{
    TRY(pg_execf(pg, NULL, f, "SET lock_timeout = %d; SET statement_timeout = %d", PATIENCE_MS, 4 * PATIENCE_MS));
    TRY(pg_exec(pg, SQL_EXAMINE_FACTS, &end->facts, f));
    end->role = examine_fact(end, "role");
    end->role_quoted = pg_quote_ident(e->arena, end->role);
    end->database_quoted = pg_quote_ident(e->arena, pg->database);
    return ERR_OK;
}

static void reach(struct examine *e, enum side side)
{
    struct examine_end *end = &e->ends[side];
    AUTO(pg) *pg = NULL;
    struct fault f = {0};
    enum err err;

    end->dsn = side == SIDE_SOURCE ? e->store->source : e->store->target;
    err = pg_connect(end->dsn, side, "doctor", &pg, &f);
    if (err == ERR_OK && pg->major < 10) {
        examine_tell(e, REMARK_FOUND, "version", side_name(side), "leat moves PostgreSQL 10 to 18; upgrade it in another way to 10 first",
                     "it is PostgreSQL %d.%d, which is too old", pg->version / 10000, pg->version / 100 % 100);
        return;
    }
    if (err == ERR_OK)
        err = learn(e, end, pg, &f);
    if (err != ERR_OK) {
        PQclear(end->facts);
        end->facts = NULL;
        tell_unreachable(e, side, &f);
        return;
    }
    end->pg = TAKE(pg);
    examine_fine(e, "reachable", side_name(side), "PostgreSQL %s%s%s, database %s, as role %s%s", examine_fact(end, "server_version"),
                 examine_service(end)[0] != '\0' ? " on " : "", examine_service(end), end->pg->database, end->role,
                 examine_true(end, "superuser") ? " (superuser)" : "");
}

/* Whether this migration's lease stands on the target: then what is there is leat's own work. */
static bool has_begun(struct examine *e)
{
    const char *params[] = {e->config->migration, e->store->name};
    struct pg *pg = examine_target(e)->pg;
    AUTO_RESULT *r = NULL;
    AUTO_RESULT *rows = NULL;

    if (pg == NULL || pg_exec(pg, "SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                                  " WHERE n.nspname = 'leat' AND c.relname = 'lease'", &r, NULL) != ERR_OK || PQntuples(r) == 0)
        return false;
    return pg_query(pg, "SELECT FROM leat.lease WHERE migration = $1 AND store = $2", 2, params, &rows, NULL) == ERR_OK && PQntuples(rows) > 0;
}

static void load_catalog(struct examine *e)
{
    struct fault f = {0};

    if (examine_source(e)->pg != NULL && pg_catalog_load(examine_source(e)->pg, e->store, &e->catalog, &f) != ERR_OK)
        examine_tell_fault(e, REMARK_BLOCKER, "source", &f);
}

/* --- running them --- */

static bool can_run(const struct examine *e, const struct examine_check *c)
{
    int major = e->ends[SIDE_SOURCE].pg != NULL ? e->ends[SIDE_SOURCE].pg->major : 0;

    if ((c->needs & NEED_SOURCE) != 0 && (major == 0 || PQstatus(e->ends[SIDE_SOURCE].pg->conn) != CONNECTION_OK))
        return false;
    if ((c->needs & NEED_TARGET) != 0 && (e->ends[SIDE_TARGET].pg == NULL || PQstatus(e->ends[SIDE_TARGET].pg->conn) != CONNECTION_OK))
        return false;
    if ((c->needs & NEED_CATALOG) != 0 && e->catalog == NULL)
        return false;
    return (c->from == 0 || major >= c->from) && (c->to == 0 || major <= c->to);
}

static void run(struct examine *e, const struct examine_check *c)
{
    AUTO_CHARS *object = mem_format("check %s", c->id);
    struct fault f = {0};

    if (c->run(e, c, &f) != ERR_OK)
        examine_tell(e, REMARK_FOUND, "unchecked", object, "", "it could not be looked at: %s", f.why);
}

void pg_examine(const struct config *c, const struct config_store *s, const struct examine_sink *sink)
{
    AUTO(arena) *arena = arena_new(64 * 1024);
    struct examine e = {.config = c, .store = s, .sink = sink, .arena = arena};

    reach(&e, SIDE_SOURCE);
    reach(&e, SIDE_TARGET);
    e.ours = has_begun(&e);
    load_catalog(&e);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (can_run(&e, &checks[i]))
            run(&e, &checks[i]);
    catalog_free(e.catalog);
    for (int side = SIDE_SOURCE; side <= SIDE_TARGET; side++) {
        PQclear(e.ends[side].facts);
        pg_free(e.ends[side].pg);
    }
}
