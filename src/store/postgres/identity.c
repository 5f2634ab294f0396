/* store/postgres/identity.c — see identity.h. A primary key, else a unique index over columns that are NOT NULL, else the whole row. */
#include "store/postgres/identity.h"

#include <stdlib.h>

#include "sql_embedded.h"

#define LOCK_TIMEOUT_MS 100
#define PATIENCE_US ((int64_t)120000000)

enum err pg_identity_wanted(struct pg *pg, const struct catalog *c, struct arena *a, struct identity_wanted **ret, size_t *ret_count, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, SQL_EXAMINE_IDENTITY, &r, f));
    *ret = arena_alloc(a, ((size_t)PQntuples(r) + 1) * sizeof **ret);
    *ret_count = 0;
    for (int i = 0; i < PQntuples(r); i++) {
        const struct table *t = catalog_find(c, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1));
        if (t != NULL && t->oid == (uint32_t)pg_get_int(r, i, 5))
            (*ret)[(*ret_count)++] = (struct identity_wanted){t, arena_strdup(a, PQgetvalue(r, i, 3)), arena_strdup(a, PQgetvalue(r, i, 4))};
    }
    return ERR_OK;
}

static enum err give(struct pg *pg, struct arena *a, const struct identity_wanted *w, struct fault *f)
{
    const char *sql = arena_format(a, "INSERT INTO leat.identity (table_oid, given, undo) VALUES (%u, %s, %s) ON CONFLICT DO NOTHING; %s", w->table->oid, pg_quote_literal(a, w->give),
                                   pg_quote_literal(a, w->undo), w->give);

    return pg_exec_patiently(pg, sql, LOCK_TIMEOUT_MS, PATIENCE_US, f);
}

enum err pg_identity_give(struct pg *pg, const struct catalog *c, struct arena *a, struct identity_wanted **ret, size_t *ret_count, struct fault *f)
{
    TRY(pg_identity_wanted(pg, c, a, ret, ret_count, f));
    for (size_t i = 0; i < *ret_count; i++)
        TRY_WITH(give(pg, a, &(*ret)[i], f), f, "giving %s.%s an identity", (*ret)[i].table->schema, (*ret)[i].table->name);
    return ERR_OK;
}
