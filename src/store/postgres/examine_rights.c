/* store/postgres/examine_rights.c — what leat's role may do on either side. What can be tried is tried, and rolled back: managed
 * services give rights in ways the catalog does not tell. */
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/door_role.h"
#include "store/postgres/examine_internal.h"

#define NAMES_SHOWN 5

/* --- source --- */

/* A walsender's connection follows its own lines of pg_hba.conf on some services, and has its own limits. */
static void try_replication(struct examine *e, const char *id)
{
    struct examine_end *source = examine_source(e);
    AUTO(pg) *pg = NULL;
    struct fault f = {0};

    if (pg_connect_replication(source->dsn, SIDE_SOURCE, "doctor", &pg, &f) == ERR_OK && pg_exec(pg, "IDENTIFY_SYSTEM", NULL, &f) == ERR_OK)
        examine_fine(e, id, "source", "role %s may replicate, and a replication connection opens", source->role);
    else
        examine_tell(e, REMARK_FOUND, "replication-connection", "source",
                     arena_format(e->arena, "host %s %s 0.0.0.0/0 scram-sha-256 -- such a line in pg_hba.conf (replication=database follows the database's own lines); max_wal_senders may be used up",
                                  source->pg->database, source->role),
                     "a replication connection does not open: %s", f.why);
}

enum err examine_replication_right(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);
    bool rds = strcmp(examine_service(source), "Amazon RDS") == 0;

    (void)f;
    if (examine_true(source, "superuser") || examine_true(source, "replication") || examine_true(source, "replication_member"))
        try_replication(e, c->id);
    else
        examine_tell(e, REMARK_FOUND, c->id, "source", arena_format(e->arena, rds ? "GRANT rds_replication TO %s" : "ALTER ROLE %s REPLICATION", source->role_quoted),
                     "role %s may not read the source's log", source->role);
    return ERR_OK;
}

enum err examine_create_source(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);

    (void)f;
    if (examine_true(source, "create"))
        examine_fine(e, c->id, "source", "role %s may make schema leat and a publication", source->role);
    else
        examine_tell(e, REMARK_FOUND, c->id, "source", arena_format(e->arena, "GRANT CREATE ON DATABASE %s TO %s", source->database_quoted, source->role_quoted),
                     "role %s may make neither schema leat nor a publication in database %s", source->role, source->pg->database);
    return ERR_OK;
}

/* Tells of the chosen tables one role owns: how many, and the first few. */
static void tell_owner(struct examine *e, const char *id, const PGresult *r, int row)
{
    const char *owner = PQgetvalue(r, row, 0);
    AUTO_BUF names = {0};
    int count = 0;

    for (size_t i = 0; i < e->catalog->table_count; i++) {
        const struct table *t = &e->catalog->tables[i];
        if (strcmp(t->owner, owner) != 0)
            continue;
        if (count++ < NAMES_SHOWN)
            buf_addf(&names, "%s%s.%s", count > 1 ? ", " : "", t->schema, t->name);
    }
    if (count > 0)
        examine_tell(e, REMARK_FOUND, id, owner, PQgetvalue(r, row, 3), "%s%s owns %d chosen table%s (%s%s), and only an owner may publish a table", pg_get_bool(r, row, 2) ? "superuser " : "role ",
                     owner, count, count == 1 ? "" : "s", buf_cstr(&names), count > NAMES_SHOWN ? ", ..." : "");
}

enum err examine_owners(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    bool all = true;

    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_OWNERS, &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        if (!pg_get_bool(r, i, 1)) {
            all = false;
            tell_owner(e, c->id, r, i);
        }
    if (all)
        examine_fine(e, c->id, "source", "leat may publish every table");
    return ERR_OK;
}

enum err examine_ddl_detection(struct examine *e, const struct examine_check *c, struct fault *f)
{
    (void)f;
    if (examine_true(examine_source(e), "superuser"))
        examine_fine(e, c->id, "source", "changes of the schema are seen by an event trigger");
    else
        examine_tell(e, REMARK_FOUND, c->id, "source", "",
                     "without a superuser there is no event trigger: changes of the schema are seen by comparing the catalog, and a new table is followed only after it was added");
    return ERR_OK;
}

/* --- target --- */

static void tell_public_schema(struct examine *e, const char *id)
{
    struct examine_end *target = examine_target(e);
    const char *may = NULL;

    if (pg_value(target->pg, e->arena, "SELECT has_schema_privilege(n.oid, 'CREATE')::text FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'", 0, NULL, &may, NULL) == ERR_OK &&
        may != NULL && strcmp(may, "false") == 0)
        examine_tell(e, REMARK_FOUND, id, "target", arena_format(e->arena, "GRANT CREATE ON SCHEMA public TO %s", target->role_quoted), "role %s may make nothing in schema public", target->role);
}

enum err examine_create_target(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *target = examine_target(e);

    (void)f;
    if (!examine_true(target, "create"))
        examine_tell(e, REMARK_FOUND, c->id, "target", arena_format(e->arena, "GRANT CREATE ON DATABASE %s TO %s", target->database_quoted, target->role_quoted),
                     "role %s may make no schema in database %s", target->role, target->pg->database);
    else
        examine_fine(e, c->id, "target", "role %s may make schemas", target->role);
    tell_public_schema(e, c->id);
    if (!examine_true(target, "owns_database"))
        examine_tell(e, REMARK_FOUND, "target-owner", "target", arena_format(e->arena, "ALTER DATABASE %s OWNER TO %s", target->database_quoted, target->role_quoted),
                     "role %s does not own database %s: its settings, its comment, trusted extensions and the owner of schema public cannot be set", target->role, target->pg->database);
    return ERR_OK;
}

enum err examine_row_security(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *target = examine_target(e);
    const struct table *first = NULL;

    (void)f;
    for (size_t i = 0; i < e->catalog->table_count && first == NULL; i++)
        if (e->catalog->tables[i].row_security)
            first = &e->catalog->tables[i];
    if (first != NULL && !examine_true(target, "superuser") && !examine_true(target, "bypassrls"))
        examine_tell(e, REMARK_FOUND, c->id, "target", arena_format(e->arena, "ALTER ROLE %s BYPASSRLS", target->role_quoted),
                     "%s.%s has row security, and role %s is bound by it on the target: changes would be refused", first->schema, first->name, target->role);
    return ERR_OK;
}

static bool can_be_replica(struct pg *pg, struct fault *f)
{
    bool can = pg_exec(pg, "BEGIN; SET LOCAL session_replication_role = replica", NULL, f) == ERR_OK;

    PQclear(PQexec(pg->conn, "ROLLBACK"));
    return can;
}

static const char *how_to_be_replica(struct examine *e, const struct examine_end *end)
{
    const char *role = examine_fact(end, "managed_role");

    if (role[0] != '\0')
        return arena_format(e->arena, "GRANT %s TO %s", pg_quote_ident(e->arena, role), end->role_quoted);
    if (end->pg->major >= 15)
        return arena_format(e->arena, "GRANT SET ON PARAMETER session_replication_role TO %s", end->role_quoted);
    return arena_format(e->arena, "ALTER ROLE %s SUPERUSER -- before PostgreSQL 15 this right cannot be given alone", end->role_quoted);
}

enum err examine_replica_role(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *target = examine_target(e);
    struct fault why = {0};

    (void)f;
    if (can_be_replica(target->pg, &why))
        examine_fine(e, c->id, "target", "role %s may write without firing triggers", target->role);
    else
        examine_tell(e, REMARK_FOUND, c->id, "target", how_to_be_replica(e, target),
                     "role %s may not set session_replication_role: triggers and foreign keys would fire a second time for rows that already carry their effect", target->role);
    return ERR_OK;
}

/* --- roles --- */

static bool has_row(const PGresult *r, const char *name, int *ret_row)
{
    for (int i = 0; i < PQntuples(r); i++)
        if (strcmp(PQgetvalue(r, i, 0), name) == 0) {
            *ret_row = i;
            return true;
        }
    return false;
}

/* Roles the target lacks: made by leat where it may. */
static void tell_missing_role(struct examine *e, const char *id, const char *role, bool login)
{
    struct examine_end *target = examine_target(e);
    const char *quoted = pg_quote_ident(e->arena, role);

    if (!examine_true(target, "superuser") && !examine_true(target, "createrole"))
        examine_tell(e, REMARK_BLOCKER, id, role, arena_format(e->arena, "CREATE ROLE %s%s", quoted, login ? " LOGIN" : ""),
                     "role %s is missing on the target, and role %s may not make it (or: ALTER ROLE %s CREATEROLE)", role, target->role, target->role_quoted);
    else if (login && !examine_true(examine_source(e), "reads_verifiers"))
        examine_tell(e, REMARK_WARNING, "role-password", role, arena_format(e->arena, "ALTER ROLE %s PASSWORD '...' -- on the target; or let leat read it: GRANT SELECT ON pg_catalog.pg_authid TO %s, on the source", quoted, examine_source(e)->role_quoted),
                     "role %s is made on the target without its password, which role %s may not read on the source", role, examine_source(e)->role);
    else
        examine_tell(e, REMARK_NOTE, id, role, "", "role %s is missing on the target and is made there%s", role, login ? ", with its password" : "");
}

enum err examine_roles(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *here = NULL;
    AUTO_RESULT *there = NULL;
    bool well = true;
    int row;

    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_ROLES, &here, f));
    TRY(pg_exec(examine_target(e)->pg, SQL_EXAMINE_OWNERS, &there, f));
    for (int i = 0; i < PQntuples(here); i++) {
        const char *role = PQgetvalue(here, i, 0);
        if (!has_row(there, role, &row)) {
            tell_missing_role(e, c->id, role, pg_get_bool(here, i, 1));
            well = false;
        } else if (!pg_get_bool(there, row, 1)) {
            examine_tell(e, REMARK_WARNING, "role-member", role, PQgetvalue(there, row, 3), "on the target, role %s is no member of %s and cannot give it what it owns on the source", examine_target(e)->role, role);
            well = false;
        }
    }
    if (well)
        examine_fine(e, c->id, "target", "every role that owns or is granted something is there");
    return ERR_OK;
}

/* --- the way back --- */

static const char *way_back_refused(struct examine *e, const char **ret_fix)
{
    struct examine_end *source = examine_source(e);
    struct examine_end *target = examine_target(e);
    struct fault why = {0};

    if (strcmp(examine_fact(target, "wal_level"), "logical") != 0) {
        *ret_fix = "ALTER SYSTEM SET wal_level = logical; -- then restart the target";
        return "the target's wal_level is not logical";
    }
    if (!examine_true(target, "superuser") && !examine_true(target, "replication") && !examine_true(target, "replication_member")) {
        *ret_fix = arena_format(e->arena, "ALTER ROLE %s REPLICATION -- on the target", target->role_quoted);
        return "leat's role may not read the target's log";
    }
    if (examine_number(target, "max_replication_slots", 0) <= examine_number(target, "slots", 0) || examine_number(target, "max_wal_senders", 0) <= examine_number(target, "senders", 0)) {
        *ret_fix = "ALTER SYSTEM SET max_replication_slots = 10; ALTER SYSTEM SET max_wal_senders = 10; -- then restart the target";
        return "the target has no free replication slot or WAL sender";
    }
    if (!can_be_replica(source->pg, &why)) {
        *ret_fix = how_to_be_replica(e, source);
        return "leat's role may not set session_replication_role on the source";
    }
    return NULL;
}

enum err examine_way_back(struct examine *e, const struct examine_check *c, struct fault *f)
{
    const char *fix = "";
    const char *refused = way_back_refused(e, &fix);

    (void)f;
    if (refused != NULL)
        examine_tell(e, REMARK_FOUND, c->id, "source", fix, "as it is there would be no way back after a switch: %s", refused);
    else if (examine_target(e)->pg->major > examine_source(e)->pg->major)
        examine_fine(e, c->id, "source", "the way back is open; values only PostgreSQL %d knows would close it", examine_target(e)->pg->major);
    else
        examine_fine(e, c->id, "source", "the way back is open");
    return ERR_OK;
}

/* --- either side --- */

enum err examine_door_role(struct examine *e, const struct examine_check *c, struct fault *f)
{
    enum side side = c->needs == NEED_SOURCE ? SIDE_SOURCE : SIDE_TARGET;
    const char *role = pg_door_role(e->store, side, e->arena);
    struct door_role_lack *list;
    size_t count;

    if (role == NULL)
        return ERR_OK;
    TRY(pg_door_role_lacks(e->ends[side].pg, e->store, side, false, e->arena, &list, &count, f));
    for (size_t i = 0; i < count; i++)
        examine_tell(e, REMARK_FOUND, c->id, side_name(side), list[i].fix, "%s", list[i].why);
    if (count == 0)
        examine_fine(e, c->id, side_name(side),
                     "the doors' role %s may log in; leat grants it what it needs in schema leat, and takes it back "
                     "with that schema",
                     role);
    return ERR_OK;
}
