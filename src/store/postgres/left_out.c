/* store/postgres/left_out.c — see left_out.h. Rows of an unlogged table, and large objects that the new side has not,
 * would be gone after a switch: they refuse it. */
#include "store/postgres/left_out.h"

#include <string.h>

#include "sql_embedded.h"

static struct switch_obstacle tell(struct arena *a, const char *what, const char *schema, const char *name, bool filled)
{
    const char *qualified = pg_quote_qualified(a, schema, name);

    if (strcmp(what, "materialized view") == 0)
        return (struct switch_obstacle){
            "materialized view",
            arena_format(a,
                         "%s.%s holds on the new side what it did when it was made there: REFRESH MATERIALIZED VIEW %s "
                         "there once it serves",
                         schema, name, qualified),
            HINDERS_NOT};
    return (struct switch_obstacle){
        "unlogged table",
        arena_format(
            a,
            "what is written to %s.%s is in no stream: ALTER TABLE %s SET LOGGED on the old side (it is copied "
            "again then), or exclude it in leat.yaml",
            schema, name, qualified),
        filled ? HINDERS_CUTOVER : HINDERS_NOT};
}

/* *ret->what NULL: the old side has none. */
static enum err large_objects(struct pg *old_side, struct pg *new_side, struct arena *a, struct switch_obstacle *ret,
                              struct fault *f)
{
    const char *params[1];
    const char *missing;

    *ret = (struct switch_obstacle){0};
    TRY(pg_value(old_side, a,
                 "SELECT pg_catalog.array_agg(m.oid)::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata m", 0,
                 NULL, &params[0], f));
    if (params[0] == NULL)
        return ERR_OK;
    TRY(pg_value(
        new_side, a,
        "SELECT nullif(pg_catalog.count(*), 0)::pg_catalog.text FROM pg_catalog.unnest($1::pg_catalog.oid[]) x "
        "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = x)",
        1, params, &missing, f));
    *ret = (struct switch_obstacle){"large objects",
                                    "those of the old side are on the new one by number; what is in them is not "
                                    "compared, and no stream carries it",
                                    HINDERS_NOT};
    if (missing == NULL)
        return ERR_OK;
    ret->hinders = HINDERS_CUTOVER;
    ret->why = arena_format(a,
                            "%s large object(s) of the old side are not on the new one, and no stream carries them: "
                            "bring them there under the same numbers (pg_dump --blobs of them alone, or "
                            "lo_from_bytea), or lo_unlink what is no longer used",
                            missing);
    return ERR_OK;
}

enum err pg_left_out(struct pg *old_side, struct pg *new_side, const struct store *s, struct arena *a,
                     struct switch_obstacle **ret, size_t *ret_count, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    size_t n = 0;

    TRY(pg_exec(old_side, SQL_SWITCH_LEFT_OUT, &r, f));
    *ret = arena_zalloc(a, ((size_t)PQntuples(r) + 1) * sizeof **ret);
    for (int i = 0; i < PQntuples(r); i++)
        if (config_chooses(s->store, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2)))
            (*ret)[n++] = tell(a, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), pg_get_bool(r, i, 3));
    TRY(large_objects(old_side, new_side, a, &(*ret)[n], f));
    n += (*ret)[n].what != NULL;
    *ret_count = n;
    return ERR_OK;
}
