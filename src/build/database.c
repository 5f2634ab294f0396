/* build/database.c — see database.h. */
#include "build/database.h"

#include <string.h>

#include "sql_embedded.h"

/* --- settings --- */

/* Settings whose value is a list of names are stored as such, quoted where needed; each element is given alone
 * (src/backend/utils/misc/guc_tables.c, GUC_LIST_QUOTE). */
static bool is_list(const char *name, size_t len)
{
    static const char *const lists[] = {"local_preload_libraries",  "search_path",      "session_preload_libraries",
                                        "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strlen(lists[i]) == len && strncasecmp(lists[i], name, len) == 0)
            return true;
    return false;
}

/* One element of a list, unquoted, into `into`; returns where the next begins. */
static const char *take_element(const char *p, struct buf *into)
{
    bool quoted;

    p += strspn(p, " \t\n\r\f,");
    quoted = *p == '"';
    p += quoted;
    for (; *p != '\0' && (quoted || strchr(", \t\n\r\f", *p) == NULL); p++) {
        if (quoted && *p == '"' && *++p != '"')
            break;
        buf_addc(into, *p);
    }
    return p + strspn(p, " \t\n\r\f");
}

static void add_list(struct arena *a, struct buf *sql, const char *value)
{
    bool first = true;

    while (*value != '\0') {
        AUTO_BUF element = {0};
        value = take_element(value, &element);
        buf_addf(sql, "%s%s", first ? "" : ", ", pg_quote_literal(a, buf_cstr(&element)));
        first = false;
    }
    if (first)
        buf_adds(sql, "''");
}

const char *setting_sql(struct arena *a, const char *setting)
{
    size_t n = strcspn(setting, "=");
    const char *value = setting[n] == '=' ? setting + n + 1 : "";
    AUTO_BUF sql = {0};

    buf_addf(&sql, "SET %s TO ", pg_quote_ident(a, arena_format(a, "%.*s", (int)n, setting)));
    if (is_list(setting, n))
        add_list(a, &sql, value);
    else
        buf_adds(&sql, pg_quote_literal(a, value));
    return arena_strdup(a, buf_cstr(&sql));
}

static enum err settings(struct pg *source, const char *database, struct arena *a, struct steps *steps, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(source, SQL_BUILD_DATABASE_SETTINGS, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        const char *setting = PQgetvalue(r, i, 0);
        steps_add(steps,
                  (struct step){
                      .what = arena_format(a, "the database's setting %.*s", (int)strcspn(setting, "="), setting),
                      .sql = arena_format(a, "ALTER DATABASE %s %s", database, setting_sql(a, setting)),
                      .if_refused = STEP_NOTE,
                  });
    }
    return ERR_OK;
}

/* --- grants --- */

static void grant(const char *database, struct arena *a, const char *role, const char *right, bool grantable,
                  struct steps *steps)
{
    const char *to = role != NULL ? pg_quote_ident(a, role) : "PUBLIC";

    steps_add(steps, (struct step){
                         .what = arena_format(a, "grant of %s on the database to %s", right, to),
                         .sql = arena_format(a, "GRANT %s ON DATABASE %s TO %s%s", right, database, to,
                                             grantable ? " WITH GRANT OPTION" : ""),
                         .if_refused = STEP_NOTE_RIGHT,
                     });
}

/* A database whose grants were changed has lost what PUBLIC has by default, unless it is in the list. */
static enum err grants(struct pg *source, const char *database, struct arena *a, struct steps *steps, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(source, SQL_BUILD_DATABASE_GRANTS, &r, f));
    steps_add(steps, (struct step){
                         .what = "the rights of PUBLIC on the database",
                         .sql = arena_format(a, "REVOKE ALL ON DATABASE %s FROM PUBLIC", database),
                         .if_refused = STEP_NOTE_RIGHT,
                     });
    for (int i = 0; i < PQntuples(r); i++)
        grant(database, a, pg_get(r, i, 0), PQgetvalue(r, i, 1), pg_get_bool(r, i, 2), steps);
    return ERR_OK;
}

/* --- all --- */

enum err database_steps(struct pg *source, struct pg *target, struct arena *a, struct steps *steps, struct buf *notes,
                        struct fault *f)
{
    const char *database = pg_quote_ident(a, PQdb(target->conn));
    AUTO_RESULT *r = NULL;
    const char *owner = NULL;

    TRY(pg_exec(source, SQL_BUILD_DATABASE, &r, f));
    TRY(pg_value(target, a,
                 "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = "
                 "pg_catalog.current_database()",
                 0, NULL, &owner, f));
    if (PQntuples(r) != 1 || owner == NULL)
        return fault_set(f, ERR_BUG, "the database is not in pg_database");
    if (strcmp(owner, PQgetvalue(r, 0, 0)) != 0)
        buf_addf(notes, "the database belongs to %s on the source and to %s on the target: left as it is\n",
                 PQgetvalue(r, 0, 0), owner);
    TRY(settings(source, database, a, steps, f));
    if (!PQgetisnull(r, 0, 1))
        steps_add(steps, (struct step){
                             .what = "the database's comment",
                             .sql = arena_format(a, "COMMENT ON DATABASE %s IS %s", database,
                                                 pg_quote_literal(a, PQgetvalue(r, 0, 1))),
                             .if_refused = STEP_NOTE_RIGHT,
                         });
    return pg_get_bool(r, 0, 2) ? grants(source, database, a, steps, f) : ERR_OK;
}
