/* build/party.c — see party.h. */
#include "build/party.h"

#include <stdlib.h>

#include "build/sql_fill.h"
#include "sql_embedded.h"

static const char **take_names(struct arena *a, const PGresult *r, size_t *ret_count)
{
    size_t count = (size_t)PQntuples(r);
    const char **names = arena_alloc(a, (count + 1) * sizeof *names);

    for (size_t i = 0; i < count; i++)
        names[i] = arena_strdup(a, PQgetvalue(r, (int)i, 0));
    *ret_count = count;
    return names;
}

enum err party_load(struct pg *target, struct party **ret, struct fault *f)
{
    AUTO(party) *p = mem_alloc(sizeof *p);
    AUTO_RESULT *self = NULL;
    AUTO_RESULT *owners = NULL;
    AUTO_RESULT *spaces = NULL;

    p->arena = arena_new(4096);
    TRY(pg_exec(target, "SELECT rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", &self, f));
    if (PQntuples(self) != 1)
        return fault_set(f, ERR_BUG, "leat's role on the target is not in pg_roles");
    p->role = arena_strdup(p->arena, PQgetvalue(self, 0, 0));
    p->superuser = pg_get_bool(self, 0, 1);
    TRY(pg_exec(target, sql_fill(p->arena, SQL_BUILD_PARTY_OWNERS, "{set}", target->major >= 16 ? "SET" : "MEMBER"),
                &owners, f));
    p->owners = take_names(p->arena, owners, &p->owner_count);
    TRY(pg_exec(target, SQL_BUILD_PARTY_SPACES, &spaces, f));
    p->spaces = take_names(p->arena, spaces, &p->space_count);
    *ret = TAKE(p);
    return ERR_OK;
}

void party_free(struct party *p)
{
    if (p == NULL)
        return;
    arena_free(p->arena);
    free(p);
}

static bool among(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

bool party_may_own(const struct party *p, const char *role)
{
    return p->superuser || among(p->owners, p->owner_count, role);
}

bool party_has_space(const struct party *p, const char *tablespace)
{
    return among(p->spaces, p->space_count, tablespace);
}
