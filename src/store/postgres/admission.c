/* store/postgres/admission.c — see admission.h.
 *
 * Invariants
 *  1. CONNECT is taken from somebody only in a transaction that also writes down, in leat.denied, that it was there; it
 * is given back only in one that also forgets it.
 *  2. No such transaction commits unless leat's own role may still connect. */
#include "store/postgres/admission.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/confirm.h"
#include "store/postgres/door_role.h"
#include "store/postgres/names.h"

#define COMMIT_MS 5000

struct store_admission {
    struct store *store;
    struct pg *pg;
    struct arena *arena;
    const char *doors; /* their role, or NULL: leat's own */
};

enum err pg_admission_open(struct store *s, enum store_side on, struct store_admission **ret, struct fault *f)
{
    struct store_admission *a = mem_alloc(sizeof *a);
    bool source = on == STORE_SOURCE;
    enum err err;

    a->store = s;
    a->arena = arena_new(1024);
    a->doors = pg_door_role(s->store, source ? SIDE_SOURCE : SIDE_TARGET, a->arena);
    err = pg_connect_soon(source ? s->store->source : s->store->target, source ? SIDE_SOURCE : SIDE_TARGET, "admission",
                          &a->pg, f);
    if (err != ERR_OK) {
        pg_admission_close(a);
        return err;
    }
    *ret = a;
    return ERR_OK;
}

void pg_admission_close(struct store_admission *a)
{
    if (a == NULL)
        return;
    pg_free(a->pg);
    arena_free(a->arena);
    free(a);
}

/* --- facts --- */

/* A row a table below: a table is left out if that one is not chosen. */
static enum err find_left_out(struct store_admission *a, struct arena *arena, const char **ret, struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {name_fence(a->store, fence)};
    AUTO_RESULT *r = NULL;

    *ret = NULL;
    TRY(pg_query(a->pg, SQL_SWITCH_RELATIONS, 1, params, &r, f));
    for (int i = 0; i < PQntuples(r) && *ret == NULL; i++)
        if (!config_chooses(a->store->store, PQgetvalue(r, i, 3), PQgetvalue(r, i, 4)))
            *ret = arena_format(arena, "%s.%s", PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
    return ERR_OK;
}

enum err pg_admission_facts(struct store_admission *a, struct arena *arena, struct store_admission_facts *ret,
                            struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(a->pg, SQL_ADMISSION_FACTS, &r, f));
    if (PQntuples(r) != 1)
        return fault_set(f, ERR_BUG, "database %s is not in its own catalog", a->pg->database);
    *ret = (struct store_admission_facts){
        .database = arena_strdup(arena, PQgetvalue(r, 0, 0)),
        .privileges = arena_strdup(arena, PQgetvalue(r, 0, 1)),
        .owner = arena_strdup(arena, PQgetvalue(r, 0, 2)),
        .acts_as_owner = pg_get_bool(r, 0, 3) || pg_get_bool(r, 0, 4),
        .serves = pg_get_bool(r, 0, 5),
        .denied = pg_get_bool(r, 0, 6),
    };
    return find_left_out(a, arena, &ret->left_out, f);
}

/* --- taking, giving back --- */

static enum err run_as(struct store_admission *a, const char *role, const char *statement, struct fault *f)
{
    AUTO(arena) *arena = arena_new(1024);

    if (role != NULL)
        TRY(pg_execf(a->pg, NULL, f, "SET LOCAL ROLE %s", pg_quote_ident(arena, role)));
    TRY_WITH(pg_exec(a->pg, statement, NULL, f), f, "%s", statement);
    return role != NULL ? pg_exec(a->pg, "RESET ROLE", NULL, f) : ERR_OK;
}

/* As whom the owner's statements are run: NULL, as we are; a member that inherits nothing has to become it. */
static enum err owner_role(struct store_admission *a, struct arena *arena, const char **ret, struct fault *f)
{
    return pg_value(a->pg, arena,
                    "SELECT pg_catalog.pg_get_userbyid(d.datdba) FROM pg_catalog.pg_database d WHERE d.datname = "
                    "pg_catalog.current_database() AND NOT pg_catalog.pg_has_role(d.datdba, 'USAGE')",
                    0, NULL, ret, f);
}

/* columns: of the statement, and of the role it is run as (-1: the owner). */
static enum err run_all(struct store_admission *a, const PGresult *statements, int column, int as, struct fault *f)
{
    AUTO(arena) *arena = arena_new(1024);
    const char *owner;

    TRY(owner_role(a, arena, &owner, f));
    for (int i = 0; i < PQntuples(statements); i++) {
        const char *role = as >= 0 ? pg_get(statements, i, as) : NULL;
        TRY(run_as(a, role != NULL ? role : owner, PQgetvalue(statements, i, column), f));
    }
    return ERR_OK;
}

static enum err still_in(struct store_admission *a, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(a->pg,
                "SELECT pg_catalog.has_database_privilege(session_user, pg_catalog.current_database(), 'CONNECT')", &r,
                f));
    if (!pg_get_bool(r, 0, 0))
        return fault_set(f, ERR_RIGHT_MISSING, "leat's own role could not connect to %s any more", a->pg->database);
    return ERR_OK;
}

static enum err deny(struct store_admission *a, const struct store_admission_facts *facts, struct fault *f)
{
    AUTO(arena) *arena = arena_new(4096);
    const char *params[] = {a->doors};
    struct store_admission_facts now;
    AUTO_RESULT *statements = NULL;

    TRY(pg_query(a->pg, SQL_ADMISSION_RECORD, 1, params, NULL, f));
    TRY(pg_admission_facts(a, arena, &now, f));
    if (strcmp(now.privileges, facts->privileges) != 0 || now.serves != facts->serves)
        return fault_set(f, ERR_BUSY, "the privileges of %s change meanwhile, or who serves does", a->pg->database);
    TRY(pg_query(a->pg, SQL_ADMISSION_DENY, 1, params, &statements, f));
    TRY(run_all(a, statements, 0, -1, f));
    return still_in(a, f);
}

static enum err give_back(struct store_admission *a, bool *ret, struct fault *f)
{
    AUTO_RESULT *statements = NULL;
    AUTO_RESULT *forgotten = NULL;

    TRY(pg_exec(a->pg, SQL_ADMISSION_GIVE_BACK, &statements, f));
    TRY(run_all(a, statements, 1, 0, f));
    TRY(still_in(a, f));
    TRY(pg_exec(a->pg, "DELETE FROM leat.denied RETURNING 1", &forgotten, f));
    *ret = PQntuples(forgotten) > 0;
    return ERR_OK;
}

/* Ends the transaction begun before `err` came of it. */
static enum err end(struct store_admission *a, enum err err, struct fault *f)
{
    if (err != ERR_OK) {
        PQclear(PQexec(a->pg->conn, "ROLLBACK"));
        return err;
    }
    TRY(pg_send(a->pg, "COMMIT", 0, NULL, f));
    return pg_take_confirmed(a->pg, COMMIT_MS, "COMMIT", NULL, f);
}

enum err pg_admission_deny(struct store_admission *a, const struct store_admission_facts *facts, struct fault *f)
{
    TRY(pg_exec(a->pg, "BEGIN", NULL, f));
    return end(a, deny(a, facts, f), f);
}

enum err pg_admission_give_back(struct store_admission *a, bool *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    bool given = false;

    *ret = false;
    TRY(pg_exec(a->pg, "SELECT 1 WHERE pg_catalog.to_regclass('leat.denied') IS NOT NULL", &r, f));
    if (PQntuples(r) == 0)
        return ERR_OK;
    TRY(pg_exec(a->pg, "BEGIN; LOCK TABLE leat.denied", NULL, f));
    TRY(end(a, give_back(a, &given, f), f));
    *ret = given;
    return ERR_OK;
}

/* --- who --- */

/* Names may be in no encoding at all. */
static const char *tidy(struct arena *arena, const char *text)
{
    char *copy = arena_strdup(arena, text);

    text_tidy(copy);
    return copy;
}

enum err pg_admission_may_connect(struct store_admission *a, struct arena *arena, struct store_login **ret,
                                  size_t *ret_count, struct fault *f)
{
    const char *params[] = {a->doors};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(a->pg, SQL_ADMISSION_MAY_CONNECT, 1, params, &r, f));
    *ret_count = (size_t)PQntuples(r);
    *ret = arena_zalloc(arena, (*ret_count + 1) * sizeof **ret);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct store_login){tidy(arena, PQgetvalue(r, (int)i, 0)), pg_get_bool(r, (int)i, 1)};
    return ERR_OK;
}

enum err pg_admission_sessions(struct store_admission *a, struct arena *arena, struct store_session **ret,
                               size_t *ret_count, struct fault *f)
{
    const char *params[] = {a->doors};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(a->pg, SQL_ADMISSION_SESSIONS, 1, params, &r, f));
    *ret_count = (size_t)PQntuples(r);
    *ret = arena_zalloc(arena, (*ret_count + 1) * sizeof **ret);
    for (int i = 0; i < PQntuples(r); i++)
        (*ret)[i] = (struct store_session){
            .pid = pg_get_int(r, i, 0),
            .user = tidy(arena, PQgetvalue(r, i, 1)),
            .application = tidy(arena, PQgetvalue(r, i, 2)),
            .address = arena_strdup(arena, PQgetvalue(r, i, 3)),
            .superuser = pg_get_bool(r, i, 4),
            .age_s = strtod(PQgetvalue(r, i, 5), NULL),
        };
    return ERR_OK;
}

enum err pg_admission_end(struct store_admission *a, int64_t pid, struct fault *f)
{
    char number[32];
    const char *params[] = {number, a->doors};

    snprintf(number, sizeof number, "%" PRId64, pid);
    return pg_query(a->pg, SQL_ADMISSION_END, 2, params, NULL, f);
}
