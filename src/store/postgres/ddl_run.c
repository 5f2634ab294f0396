/* store/postgres/ddl_run.c — a schema change carried out on the target, in the lane's transaction.
 *
 * One statement, through the extended protocol (which takes no second one), behind a savepoint, under the role, path and settings it
 * had on the source where the target has that role. Not run, with the reason: what cannot be picked out of a larger text beyond doubt,
 * what is not kept, what computes values for rows already there (they would differ). What would fill a table (CREATE TABLE AS, SELECT
 * INTO) is made empty, from the description: its rows are copied like any new table's. CONCURRENTLY is left out: nobody else writes
 * here. */
#include <jansson.h>
#include <stdlib.h>

#include "store/postgres/ddl.h"
#include "store/postgres/ddl_text.h"
#include "store/postgres/inventory.h"
#include "store/postgres/lane_internal.h"
#include "store/postgres/prepare.h"

static const char *created_empty(struct arena *a, const struct schema_change *c)
{
    AUTO_BUF sql = {0};
    const struct ddl_object *o = c->count > 0 ? &c->objects[0] : NULL;

    if (o == NULL || o->kind != 'r' || o->schema == NULL)
        return NULL;
    buf_addf(&sql, "CREATE TABLE %s (", pg_quote_qualified(a, o->schema, o->name));
    for (size_t i = 0; i < o->column_count; i++)
        buf_addf(&sql, "%s%s %s", i > 0 ? ", " : "", pg_quote_ident(a, o->columns[i].name), o->columns[i].type);
    buf_addc(&sql, ')');
    return arena_strdup(a, buf_cstr(&sql));
}

/* The statement to run, or NULL with the reason. */
static const char *statement_of(struct arena *a, const struct schema_change *c, const char **ret_why)
{
    const char *own;

    *ret_why = c->garbled ? "its text holds bytes that are no UTF-8" : NULL;
    if (c->garbled)
        return NULL;
    if (strcmp(c->tag, "CREATE TABLE AS") == 0 || strcmp(c->tag, "SELECT INTO") == 0)
        return created_empty(a, c);
    own = c->command != NULL ? ddl_text_pick(a, c->command, c->tag, c->nth, c->of) : NULL;
    if (c->command == NULL)
        *ret_why = "its text was not kept, since it speaks of a password or is very long";
    else if (own == NULL)
        *ret_why = "it was given by a function or a DO block, or cannot be told from others in its text";
    else if (strcmp(c->tag, "ALTER TABLE") == 0 && ddl_text_computes(own))
        *ret_why = "it computes values for rows already there, which would differ from the source's";
    if (*ret_why != NULL)
        return NULL;
    return ddl_text_has(own, "CONCURRENTLY") ? ddl_text_without(a, own, "CONCURRENTLY") : own;
}

static enum err set_one(struct store_lane *l, const char *name, const char *value, struct fault *f)
{
    const char *params[] = {name, value};

    return pg_query(l->pg, "SELECT pg_catalog.set_config($1, $2, true)", 2, params, NULL, f);
}

/* A setting or role the target does not take stays as it is. */
static enum err try_setting(struct store_lane *l, const char *name, const char *value, struct fault *f)
{
    struct fault ignored = {0};

    TRY(pg_exec(l->pg, "SAVEPOINT leat_setting", NULL, f));
    if (set_one(l, name, value, &ignored) != ERR_OK && PQstatus(l->pg->conn) == CONNECTION_OK)
        TRY(pg_exec(l->pg, "ROLLBACK TO SAVEPOINT leat_setting", NULL, f));
    return pg_exec(l->pg, "RELEASE SAVEPOINT leat_setting", NULL, f);
}

static enum err as_it_was(struct store_lane *l, const struct schema_change *c, struct fault *f)
{
    json_t *settings = c->settings != NULL ? json_loads(c->settings, 0, NULL) : NULL;
    const char *name;
    json_t *value;
    enum err err = ERR_OK;

    json_object_foreach(settings, name, value)
    {
        if (err == ERR_OK && json_is_string(value))
            err = try_setting(l, name, json_string_value(value), f);
    }
    json_decref(settings);
    TRY(err);
    if (c->path != NULL)
        TRY(try_setting(l, "search_path", c->path, f));
    return c->role != NULL ? try_setting(l, "role", c->role, f) : ERR_OK; /* last: the role may set less */
}

static enum err as_ours(struct store_lane *l, struct fault *f)
{
    static const char *const settings[][2] = {{"role", "none"}, {"search_path", ""}, {"TimeZone", "UTC"}, {"DateStyle", "ISO"}, {"IntervalStyle", "postgres"},
                                              {"extra_float_digits", "3"}, {"bytea_output", "hex"}, {"lc_monetary", "C"}, {"default_tablespace", ""}};

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        TRY(set_one(l, settings[i][0], settings[i][1], f));
    return ERR_OK;
}

enum err pg_lane_ddl(struct store_lane *l, const struct schema_change *c, const char **ret_why, struct fault *f)
{
    const char *sql;
    struct fault why = {0};
    enum err err;

    TRY(lane_land(l, f));
    sql = statement_of(l->arena, c, ret_why);
    if (sql == NULL) {
        *ret_why = *ret_why != NULL ? *ret_why : "it made no table that is known";
        return ERR_OK;
    }
    TRY(pg_exec(l->pg, "SAVEPOINT leat_ddl", NULL, f));
    TRY(as_it_was(l, c, f));
    err = pg_query(l->pg, sql, 0, NULL, NULL, &why);
    if (err != ERR_OK && err != ERR_TARGET_SQL && err != ERR_RIGHT_MISSING && err != ERR_BUSY) {
        *f = why;
        return err;
    }
    *ret_why = NULL;
    if (err != ERR_OK) {
        *ret_why = arena_strdup(l->arena, why.why);
        TRY(pg_exec(l->pg, "ROLLBACK TO SAVEPOINT leat_ddl", NULL, f));
    }
    TRY(as_ours(l, f));
    TRY(pg_exec(l->pg, "RELEASE SAVEPOINT leat_ddl", NULL, f));
    return err == ERR_BUSY ? fault_set(f, ERR_BUSY, "%s", why.why) : ERR_OK;
}

enum err pg_lane_catalog(struct store_lane *l, struct catalog **ret, struct fault *f)
{
    AUTO(catalog) *c = NULL;

    TRY(lane_land(l, f));
    TRY(pg_catalog_load(l->pg, NULL, &c, f));
    TRY(pg_fill_operators(l->pg, c, f));
    *ret = TAKE(c);
    return ERR_OK;
}
