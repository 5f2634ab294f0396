/* store/postgres/examine_settings.c — settings as applications see them. leat pins its own on every session, so this looks through a
 * plain session of each side; what differs shows to applications after the switch. */
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/examine_internal.h"

static void finish(PGconn **conn)
{
    PQfinish(*conn);
}

/* The settings of a session that pins nothing. */
static enum err plain_settings(const struct examine_end *end, PGresult **ret, struct fault *f)
{
    const char *keys[] = {"connect_timeout", "application_name", "dbname", NULL};
    const char *values[] = {"10", "leat: doctor", end->dsn, NULL};
    __attribute__((cleanup(finish))) PGconn *conn = PQconnectdbParams(keys, values, 1);
    PGresult *r;

    if (PQstatus(conn) != CONNECTION_OK)
        return fault_set(f, ERR_BUSY, "%s", PQerrorMessage(conn));
    r = PQexec(conn, SQL_EXAMINE_SETTINGS);
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        PQclear(r);
        return fault_set(f, ERR_BUSY, "%s", PQerrorMessage(conn));
    }
    *ret = r;
    return ERR_OK;
}

/* Room a server gives: less than the source has is a fault of the target, more is none. */
static bool is_room(const char *name)
{
    return strcmp(name, "max_locks_per_transaction") == 0 || strcmp(name, "max_prepared_transactions") == 0 || strcmp(name, "max_index_keys") == 0 || strcmp(name, "max_identifier_length") == 0;
}

static const char *how_to_set(struct examine *e, const char *name, const char *value)
{
    if (is_room(name))
        return arena_format(e->arena, "ALTER SYSTEM SET %s = %s; -- then restart the target", name, value);
    if (strcmp(name, "block_size") == 0)
        return "";
    if (strcmp(name, "search_path") == 0 || strcmp(name, "DateStyle") == 0) /* lists: each word stands for itself */
        return arena_format(e->arena, "ALTER DATABASE %s SET %s = %s", examine_target(e)->database_quoted, name, value);
    return arena_format(e->arena, "ALTER DATABASE %s SET %s = %s", examine_target(e)->database_quoted, name, pg_quote_literal(e->arena, value));
}

static bool tell_setting(struct examine *e, const char *id, const PGresult *here, int row, const PGresult *there, int other)
{
    const char *name = PQgetvalue(here, row, 0);
    const char *source = PQgetvalue(here, row, 2);
    const char *target = PQgetvalue(there, other, 2);

    if (strcmp(source, target) == 0 || (is_room(name) && strtoll(source, NULL, 10) <= strtoll(target, NULL, 10)))
        return false;
    examine_tell(e, REMARK_FOUND, id, name, how_to_set(e, name, source), "%s is '%s' for a plain session of the source and '%s' for one of the target", name, PQgetvalue(here, row, 1), PQgetvalue(there, other, 1));
    return true;
}

enum err examine_settings(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *here = NULL;
    AUTO_RESULT *there = NULL;
    bool differ = false;

    TRY(plain_settings(examine_source(e), &here, f));
    TRY(plain_settings(examine_target(e), &there, f));
    for (int i = 0; i < PQntuples(here); i++)
        for (int k = 0; k < PQntuples(there); k++)
            if (strcmp(PQgetvalue(here, i, 0), PQgetvalue(there, k, 0)) == 0)
                differ |= tell_setting(e, c->id, here, i, there, k);
    if (!differ)
        examine_fine(e, c->id, "target", "sessions see the same settings on both");
    return ERR_OK;
}
