/* store/postgres/authority.c — see authority.h. */
#include "store/postgres/authority.h"

#include <inttypes.h>

enum err pg_authority_read(struct pg *pg, const struct store *s, struct switch_row *ret, struct fault *f)
{
    const char *params[] = {s->migration, store_base(s)};
    AUTO_RESULT *there = NULL;
    AUTO_RESULT *r = NULL;

    *ret = (struct switch_row){.there = false};
    TRY(pg_exec(pg, "SELECT 1 WHERE pg_catalog.to_regclass('leat.authority') IS NOT NULL", &there, f));
    if (PQntuples(there) == 0)
        return ERR_OK;
    TRY(pg_query(pg, "SELECT epoch, side = 'source', side = here, attempt, open FROM leat.authority WHERE migration = $1 AND store = $2", 2, params, &r, f));
    if (PQntuples(r) == 1)
        *ret = (struct switch_row){true, pg_get_int(r, 0, 0), pg_get_bool(r, 0, 1), pg_get_bool(r, 0, 2), pg_get_int(r, 0, 3), pg_get_bool(r, 0, 4)};
    return ERR_OK;
}

enum err pg_authority_act(struct pg *pg, const struct store *s, const char *function, int64_t epoch, int64_t attempt, bool *ret, struct fault *f)
{
    char e[32];
    char n[32];
    const char *params[] = {s->migration, store_base(s), e, n};
    AUTO_CHARS *sql = mem_format("SELECT leat.%s($1, $2, $3, $4)", function);
    AUTO_RESULT *r = NULL;

    snprintf(e, sizeof e, "%" PRId64, epoch);
    snprintf(n, sizeof n, "%" PRId64, attempt);
    TRY(pg_query(pg, sql, 4, params, &r, f));
    *ret = PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
    return ERR_OK;
}

enum err pg_authority_open(struct pg *pg, const struct store *s, int64_t epoch, bool *ret, struct fault *f)
{
    char e[32];
    const char *params[] = {s->migration, store_base(s), e, s->store->back ? "source" : "target"};
    AUTO_RESULT *r = NULL;

    snprintf(e, sizeof e, "%" PRId64, epoch);
    TRY(pg_query(pg, "SELECT leat.open_side($1, $2, $3, $4)", 4, params, &r, f));
    *ret = PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
    return ERR_OK;
}

enum err pg_authority_confirm(struct pg *pg, const struct store *s, struct switch_row *ret, struct fault *f)
{
    bool ignored;

    TRY(pg_authority_read(pg, s, ret, f));
    if (!ret->there)
        return ERR_OK;
    TRY(pg_authority_act(pg, s, "abort_attempt", ret->epoch, -1, &ignored, f)); /* no attempt has that number: it only writes */
    return pg_authority_read(pg, s, ret, f);
}

enum err pg_authority_spare(struct pg *pg, const struct store *s, struct fault *f)
{
    const char *params[] = {s->migration, store_base(s)};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, "SELECT open FROM leat.authority WHERE migration = $1 AND store = $2 FOR SHARE", 2, params, &r, f));
    if (PQntuples(r) == 1 && pg_get_bool(r, 0, 0))
        return fault_todo(f, ERR_AUTHORITY, "what differs is mended on the other side: `leat verify`", "the side that would be written to serves: what its users wrote is not replaced");
    return ERR_OK;
}
