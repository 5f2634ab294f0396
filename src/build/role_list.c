/* build/role_list.c — the source's roles, read. See roles.h. */
#include "build/roles.h"

#include <stdlib.h>

#include "build/sql_fill.h"
#include "sql_embedded.h"

const char *role_attribute_word(enum role_attribute attribute, bool on)
{
    static const char *const words[ROLE_ATTRIBUTES][2] = {
        {"NOSUPERUSER", "SUPERUSER"}, {"NOINHERIT", "INHERIT"}, {"NOCREATEROLE", "CREATEROLE"},
        {"NOCREATEDB", "CREATEDB"},   {"NOLOGIN", "LOGIN"},     {"NOREPLICATION", "REPLICATION"},
        {"NOBYPASSRLS", "BYPASSRLS"},
    };

    return words[attribute][on];
}

enum err roles_readable(struct pg *pg, bool *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')", &r, f));
    *ret = pg_get_bool(r, 0, 0);
    return ERR_OK;
}

const char *roles_table(bool readable)
{
    return readable ? "pg_catalog.pg_authid"
                    : "(SELECT oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, "
                      "rolreplication, rolbypassrls,"
                      " rolconnlimit, rolvaliduntil, NULL::pg_catalog.text AS rolpassword FROM pg_catalog.pg_roles)";
}

static void take_role(struct arena *a, const PGresult *r, int row, struct role *ret)
{
    ret->oid = arena_strdup(a, PQgetvalue(r, row, 0));
    ret->name = arena_strdup(a, PQgetvalue(r, row, 1));
    for (int i = 0; i < ROLE_ATTRIBUTES; i++)
        ret->attributes[i] = pg_get_bool(r, row, 2 + i);
    ret->connections = pg_get_int(r, row, 9);
    ret->valid_until = arena_strdup(a, pg_get(r, row, 10));
    ret->verifier = arena_strdup(a, pg_get(r, row, 11));
    ret->comment = arena_strdup(a, pg_get(r, row, 12));
    ret->owns = pg_get_bool(r, row, 13);
}

static void list_oids(struct roles *roles)
{
    AUTO_BUF oids = {0};

    for (size_t i = 0; i < roles->count; i++)
        buf_addf(&oids, "%s%s", i > 0 ? "," : "{", roles->list[i].oid);
    buf_adds(&oids, roles->count > 0 ? "}" : "{}");
    roles->oids = arena_strdup(roles->arena, buf_cstr(&oids));
}

enum err roles_load(struct pg *source, struct roles **ret, struct fault *f)
{
    AUTO(roles) *roles = mem_alloc(sizeof *roles);
    AUTO_RESULT *r = NULL;
    const char *sql;

    roles->arena = arena_new(16384);
    roles->source_major = source->major;
    TRY(roles_readable(source, &roles->verifiers, f));
    sql = sql_fill(roles->arena, SQL_BUILD_ROLES, "{authid}", roles_table(roles->verifiers));
    sql = sql_fill(roles->arena, sql, "{logins}", roles->verifiers ? "true" : "false");
    TRY(pg_exec(source, sql, &r, f));
    roles->count = (size_t)PQntuples(r);
    roles->list = arena_zalloc(roles->arena, (roles->count + 1) * sizeof *roles->list);
    for (size_t i = 0; i < roles->count; i++)
        take_role(roles->arena, r, (int)i, &roles->list[i]);
    list_oids(roles);
    *ret = TAKE(roles);
    return ERR_OK;
}

void roles_free(struct roles *r)
{
    if (r == NULL)
        return;
    arena_free(r->arena);
    free(r);
}
