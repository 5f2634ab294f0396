/* store/postgres/door_role.c — see door_role.h. */
#include "store/postgres/door_role.h"

#include <libpq-fe.h>
#include <string.h>

#include "sql_embedded.h"
#include "store/postgres/fence.h"

#define LOCK                                                                                                           \
    "SELECT pg_catalog.pg_advisory_lock(1818583412, 1935894637)" /* of leat_schema.sql and switch_functions.sql, too   \
                                                                  */
#define UNLOCK "SELECT pg_catalog.pg_advisory_unlock(1818583412, 1935894637)"

static const char *doors_dsn(const struct config_store *c, enum side side)
{
    return side == SIDE_SOURCE ? c->door_source : c->door_target;
}

const char *pg_door_role(const struct config_store *c, enum side side, struct arena *a)
{
    const char *dsn = doors_dsn(c, side);
    PQconninfoOption *options;
    const char *role = NULL;

    if (c->door_count == 0 || dsn == (side == SIDE_SOURCE ? c->source : c->target))
        return NULL;
    options = PQconninfoParse(dsn, NULL);
    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (strcmp(o->keyword, "user") == 0 && o->val != NULL)
            role = arena_strdup(a, o->val);
    PQconninfoFree(options);
    return role;
}

/* Only the target answers reads while it does not serve: `leat shift` may say so at any time. */
static bool answers_reads(const struct config_store *c, enum side side)
{
    return (side == SIDE_TARGET) != c->back;
}

static enum err missing(struct pg *pg, const struct config_store *c, enum side side, const char *role, PGresult **ret,
                        struct fault *f)
{
    const char *params[] = {role, answers_reads(c, side) ? "true" : "false"};

    return pg_query(pg, SQL_DOOR_ROLE_GRANTS, 2, params, ret, f);
}

/* --- granting --- */

/* Of a leat whose doors came as itself: they ran with their caller's rights. */
static enum err are_old(struct pg *pg, bool *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg,
                "SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
                " WHERE n.nspname = 'leat' AND p.proname = 'abort_attempt' AND NOT p.prosecdef",
                &r, f));
    *ret = PQntuples(r) > 0;
    return ERR_OK;
}

static enum err have_functions(struct pg *pg, struct fault *f)
{
    bool old;

    TRY(are_old(pg, &old, f));
    return old ? pg_fence_functions(pg, f) : ERR_OK;
}

static enum err grant(struct pg *pg, const struct config_store *c, enum side side, const char *role, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(have_functions(pg, f));
    TRY(missing(pg, c, side, role, &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        TRY_WITH(pg_exec(pg, PQgetvalue(r, i, 0), NULL, f), f, "%s", PQgetvalue(r, i, 0));
    return ERR_OK;
}

/* One at a time on a server: two that change what one catalog row says would disturb each other. */
static enum err grant_alone(struct pg *pg, const struct config_store *c, enum side side, const char *role,
                            struct fault *f)
{
    struct fault ignored = {0};
    enum err err;

    TRY(pg_exec(pg, LOCK, NULL, f));
    err = grant(pg, c, side, role, f);
    (void)!pg_exec(pg, UNLOCK, NULL, &ignored);
    return err;
}

static enum err grant_missing(struct pg *pg, const struct config_store *c, enum side side, const char *role,
                              struct fault *f)
{
    AUTO_RESULT *r = NULL;
    bool old = false;

    TRY(missing(pg, c, side, role, &r, f));
    TRY(are_old(pg, &old, f));
    return old || PQntuples(r) > 0 ? grant_alone(pg, c, side, role, f) : ERR_OK;
}

enum err pg_door_role_grant(struct pg *pg, const struct config_store *c, enum side side, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    const char *role = pg_door_role(c, side, a);
    struct fault refused = {0};
    enum err err = role != NULL ? grant_missing(pg, c, side, role, &refused) : ERR_OK;

    if (err == ERR_OK || !err_is_transient(err))
        return ERR_OK;
    *f = refused;
    return err;
}

/* --- telling --- */

static enum err add_grants(struct pg *pg, const struct config_store *c, enum side side, const char *role,
                           struct arena *a, struct door_role_lack *list, size_t *count, size_t size, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(missing(pg, c, side, role, &r, f));
    for (int i = 0; i < PQntuples(r) && *count < size; i++)
        list[(*count)++] =
            (struct door_role_lack){"leat's role could not give the doors' what they need in schema leat",
                                    arena_strdup(a, PQgetvalue(r, i, 0))};
    return ERR_OK;
}

enum err pg_door_role_lacks(struct pg *pg, const struct config_store *c, enum side side, bool leats, struct arena *a,
                            struct door_role_lack **ret, size_t *ret_count, struct fault *f)
{
    const char *role = pg_door_role(c, side, a);
    const char *params[] = {role, c->door_users == NULL ? "true" : "false"};
    AUTO_RESULT *r = NULL;
    size_t size = 32; /* more than there is to lack */

    *ret = arena_zalloc(a, size * sizeof **ret);
    *ret_count = 0;
    if (role == NULL)
        return ERR_OK;
    TRY(pg_query(pg, SQL_DOOR_ROLE_LACKS, 2, params, &r, f));
    for (int i = 0; i < PQntuples(r) && *ret_count < size; i++)
        (*ret)[(*ret_count)++] =
            (struct door_role_lack){arena_strdup(a, PQgetvalue(r, i, 0)), arena_strdup(a, PQgetvalue(r, i, 1))};
    return leats ? add_grants(pg, c, side, role, a, *ret, ret_count, size, f) : ERR_OK;
}

enum err pg_door_role_former(struct pg *pg, const struct config_store *c, enum side side, struct arena *a,
                             struct door_role_lack **ret, size_t *ret_count, struct fault *f)
{
    const char *params[] = {pg_door_role(c, side, a)};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, SQL_DOOR_ROLE_FORMER, 1, params, &r, f));
    *ret_count = (size_t)PQntuples(r);
    *ret = arena_zalloc(a, (*ret_count + 1) * sizeof **ret);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct door_role_lack){
            arena_format(a, "role %s, which is not the doors', may settle who serves", PQgetvalue(r, (int)i, 0)),
            arena_strdup(a, PQgetvalue(r, (int)i, 1))};
    return ERR_OK;
}
