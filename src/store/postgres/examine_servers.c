/* store/postgres/examine_servers.c — what the two servers are, and whether leat can move from the one to the other at all. */
#include <stdlib.h>

#include "store/postgres/client_tools.h"
#include "store/postgres/examine_internal.h"

#define OLDEST_MAJOR 10
#define NEWEST_MAJOR 18

enum err examine_version(struct examine *e, const struct examine_check *c, struct fault *f)
{
    int source = examine_source(e)->pg->major;
    int target = examine_target(e)->pg->major;

    (void)f;
    if (source > NEWEST_MAJOR || target > NEWEST_MAJOR)
        examine_tell(e, REMARK_FOUND, c->id, source > NEWEST_MAJOR ? "source" : "target", "", "PostgreSQL %d is newer than this leat knows (10 to 18)",
                     source > NEWEST_MAJOR ? source : target);
    else if (target < source)
        examine_tell(e, REMARK_FOUND, c->id, "target", "", "the target (PostgreSQL %d) is older than the source (%d): move to the same major or a newer one", target, source);
    else
        examine_fine(e, c->id, "target", "from PostgreSQL %d to %d", source, target);
    if (source < 11)
        examine_tell(e, REMARK_FOUND, "truncate-unseen", "source", "",
                     "PostgreSQL 10 does not decode TRUNCATE: leat watches the tables' files instead, and copies a truncated table again");
    return ERR_OK;
}

/* The server's own number; NULL where it is kept from us. */
static const char *system_identifier(struct examine *e, struct examine_end *end)
{
    const char *id = NULL;

    if (pg_value(end->pg, e->arena, "SELECT system_identifier FROM pg_catalog.pg_control_system()", 0, NULL, &id, NULL) != ERR_OK)
        return NULL;
    return id;
}

enum err examine_same_server(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);
    struct examine_end *target = examine_target(e);
    const char *here = system_identifier(e, source);
    const char *there = system_identifier(e, target);
    bool identifiers_differ = here != NULL && there != NULL && strcmp(here, there) != 0;
    /* a server's start, to the microsecond, and its port: what is left where its number is kept from us, and what tells a
     * physical copy (same number) from the server itself */
    bool same_start = strcmp(examine_fact(source, "started"), examine_fact(target, "started")) == 0;

    (void)f;
    if (identifiers_differ || !same_start) {
        if (!identifiers_differ && here != NULL && there != NULL)
            examine_tell(e, REMARK_WARNING, "server-copy", "target", "", "the target is a physical copy of the source (system identifier %s on both)", here);
        else
            examine_fine(e, c->id, "target", "the two are different servers");
    } else if (strcmp(source->pg->database, target->pg->database) == 0) {
        examine_tell(e, REMARK_FOUND, c->id, "target", "correct `source` or `target` in leat.yaml", "both addresses lead to the same database, %s on the server started %s",
                     source->pg->database, examine_fact(source, "started"));
    } else {
        examine_tell(e, REMARK_NOTE, "server-shared", "target", "", "source and target are two databases of one server: they share its disk, its memory and its failures");
    }
    return ERR_OK;
}

enum err examine_standby(struct examine *e, const struct examine_check *c, struct fault *f)
{
    (void)f;
    if (examine_true(examine_source(e), "in_recovery"))
        examine_tell(e, REMARK_FOUND, c->id, "source", "give the primary's address in leat.yaml",
                     "the source is a standby: it takes no publication%s", examine_source(e)->pg->major < 16 ? " and, before 16, decodes nothing" : "");
    if (examine_true(examine_target(e), "in_recovery"))
        examine_tell(e, REMARK_FOUND, c->id, "target", "SELECT pg_promote() -- or give the primary's address in leat.yaml", "the target is in recovery: nothing can be written to it");
    return ERR_OK;
}

enum err examine_pg_dump(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct client_tools tools;
    struct fault missing = {0};

    (void)f;
    if (client_tools_find(e->arena, examine_source(e)->pg->major, examine_target(e)->pg->major, &tools, &missing) == ERR_OK)
        examine_fine(e, c->id, "machine", "%s and pg_restore of PostgreSQL %d", tools.dump, tools.major);
    else
        examine_tell_fault(e, REMARK_FOUND, "machine", &missing);
    return ERR_OK;
}

enum err examine_encoding(struct examine *e, const struct examine_check *c, struct fault *f)
{
    const char *source = examine_fact(examine_source(e), "encoding");
    const char *target = examine_fact(examine_target(e), "encoding");
    const char *make = arena_format(e->arena, "CREATE DATABASE %s TEMPLATE template0 ENCODING '%s' -- the target's, made anew", examine_target(e)->database_quoted, source);

    (void)f;
    if (strcmp(source, "SQL_ASCII") == 0)
        examine_tell(e, REMARK_WARNING, c->id, "source", "",
                     "the source is SQL_ASCII: it never checked its text, and leat carries text as UTF-8%s. Bytes that are none stop the copy of their table, by name;"
                     " a row that comes with such bytes while following is not applied, and stands in the ledger",
                     strcmp(target, source) == 0 ? ", although the target is SQL_ASCII, too, and could hold anything" : "");
    else if (strcmp(source, target) == 0)
        examine_fine(e, c->id, "target", "both are %s", source);
    else if (strcmp(target, "UTF8") == 0)
        examine_tell(e, REMARK_NOTE, c->id, "target", "", "text is converted from %s to UTF8", source);
    else
        examine_tell(e, REMARK_WARNING, c->id, "target", make, "text is converted from %s to %s: a character that %s lacks stops the copy of its table", source, target, target);
    return ERR_OK;
}

/* Read-only by default: leat writes all the same, but the applications could not after the switch. */
enum err examine_read_only(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *target = examine_target(e);
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(target->pg,
                "SELECT coalesce(r.rolname::text, ''), coalesce(d.datname::text, ''),"
                "  'ALTER ' || CASE WHEN r.rolname IS NULL THEN format('DATABASE %I', d.datname) ELSE format('ROLE %I', r.rolname)"
                "    || coalesce(format(' IN DATABASE %I', d.datname), '') END || ' RESET default_transaction_read_only'"
                " FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"
                " WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND EXISTS (SELECT FROM unnest(s.setconfig) x (text)"
                "   WHERE x.text ~* '^default_transaction_read_only=(on|true|yes|1)$')", &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        examine_tell(e, REMARK_FOUND, c->id, "target", PQgetvalue(r, i, 2), "sessions of %s%s on the target are read-only by default",
                     PQgetvalue(r, i, 0)[0] != '\0' ? "role " : "database ", PQgetvalue(r, i, 0)[0] != '\0' ? PQgetvalue(r, i, 0) : PQgetvalue(r, i, 1));
    return ERR_OK;
}
