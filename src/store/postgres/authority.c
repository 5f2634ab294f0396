/* store/postgres/authority.c — see authority.h. */
#include "store/postgres/authority.h"

#include <inttypes.h>
#include <string.h>

#include "sql_embedded.h"
#include "store/postgres/confirm.h"

#define ACT_MS 5000

/* --- confirmed --- */

static enum err confirmed(struct pg *pg, const char *sql, int count, const char *const params[], PGresult **ret,
                          struct fault *f)
{
    TRY(pg_send(pg, sql, count, params, f));
    return pg_take_confirmed(pg, ACT_MS, sql, ret, f);
}

enum err pg_authority_commit(struct pg *pg, struct fault *f)
{
    return confirmed(pg, "COMMIT", 0, NULL, NULL, f);
}

/* --- rows --- */

static void take_server(const PGresult *r, int column, char ret[SERVER_SIZE])
{
    snprintf(ret, SERVER_SIZE, "%s", PQgetvalue(r, 0, column));
}

enum err pg_authority_row(struct pg *pg, const struct authority_key *k, struct authority_row *ret, struct fault *f)
{
    const char *params[] = {k->migration, k->store};
    AUTO_RESULT *there = NULL;
    AUTO_RESULT *r = NULL;

    *ret = (struct authority_row){.there = false};
    TRY(pg_query_within(pg, ACT_MS, SQL_AUTHORITY_THERE, 0, NULL, &there, f));
    if (!pg_get_bool(there, 0, 0))
        return ERR_OK;
    TRY(pg_query_within(pg, ACT_MS, pg_get_bool(there, 0, 1) ? SQL_AUTHORITY_READ : SQL_AUTHORITY_READ_BEFORE, 2, params, &r, f));
    if (PQntuples(r) != 1)
        return ERR_OK;
    ret->there = true;
    ret->epoch = pg_get_int(r, 0, 0);
    ret->side = strcmp(PQgetvalue(r, 0, 1), "target") == 0 ? SIDE_TARGET : SIDE_SOURCE;
    ret->attempt = pg_get_int(r, 0, 2);
    ret->open = pg_get_bool(r, 0, 3);
    ret->in_recovery = PQgetisnull(r, 0, 4);
    take_server(r, 4, ret->server);
    take_server(r, 5, ret->recorded[SIDE_SOURCE]);
    take_server(r, 6, ret->recorded[SIDE_TARGET]);
    ret->here = strcmp(PQgetvalue(r, 0, 7), "target") == 0 ? SIDE_TARGET : SIDE_SOURCE;
    return ERR_OK;
}

enum err pg_authority_read(struct pg *pg, const struct store *s, struct switch_row *ret, struct fault *f)
{
    struct authority_key k = authority_key(s);
    struct authority_row row;

    TRY(pg_authority_row(pg, &k, &row, f));
    *ret = (struct switch_row){
        row.there,   row.epoch, row.there && row.side == SIDE_SOURCE, row.there && row.side == row.here,
        row.attempt, row.open};
    return ERR_OK;
}

/* --- acts --- */

/* A function of (migration, store, epoch, attempt, more...). */
static enum err act(struct pg *pg, const char *sql, const struct authority_key *k, int64_t epoch, int64_t attempt,
                    const char *const more[3], bool *ret, struct fault *f)
{
    char e[24];
    char n[24];
    const char *params[7] = {k->migration, k->store, e, n};
    AUTO_RESULT *r = NULL;
    int count = 4;

    snprintf(e, sizeof e, "%" PRId64, epoch);
    snprintf(n, sizeof n, "%" PRId64, attempt);
    while (more != NULL && count < 7 && more[count - 4] != NULL) {
        params[count] = more[count - 4];
        count++;
    }
    TRY(confirmed(pg, sql, count, params, &r, f));
    *ret = PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
    return ERR_OK;
}

enum err pg_authority_gate(struct pg *pg, const struct authority_key *k, const struct authority_row *row,
                           int64_t attempt, const char *source, const char *target, bool *ret, struct fault *f)
{
    char next[24];

    snprintf(next, sizeof next, "%" PRId64, attempt);
    return act(pg, "SELECT leat.gate($1, $2, $3, $4, $5, $6, $7)", k, row->epoch, row->attempt,
               (const char *[3]){next, source, target}, ret, f);
}

enum err pg_authority_decide(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, bool *ret,
                             struct fault *f)
{
    return act(pg, "SELECT leat.decide($1, $2, $3, $4)", k, epoch, attempt, NULL, ret, f);
}

enum err pg_authority_open(struct pg *pg, const struct authority_key *k, int64_t epoch, enum side here, int64_t attempt,
                           bool *ret, struct fault *f)
{
    return act(pg, "SELECT leat.open_side($1, $2, $3, $5, $4)", k, epoch, attempt, (const char *[3]){side_name(here)},
               ret, f);
}

enum err pg_authority_abort(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, bool *ret,
                            struct fault *f)
{
    return act(pg, "SELECT leat.abort_attempt($1, $2, $3, $4)", k, epoch, attempt, NULL, ret, f);
}

enum err pg_authority_annul(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                            const char *other_server, bool *ret, struct fault *f)
{
    return act(pg, "SELECT leat.annul_attempt($1, $2, $3, $4, $5)", k, epoch, attempt, (const char *[3]){other_server},
               ret, f);
}

enum err pg_authority_take_over(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                                const char *server, bool *ret, struct fault *f)
{
    return act(pg, "SELECT leat.take_over($1, $2, $3, $4, $5)", k, epoch, attempt, (const char *[3]){server}, ret, f);
}

enum err pg_authority_force(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                            int64_t next_epoch, bool *ret, struct fault *f)
{
    char next[24];

    snprintf(next, sizeof next, "%" PRId64, next_epoch);
    return act(pg, "SELECT leat.force_open($1, $2, $3, $4, $5)", k, epoch, attempt, (const char *[3]){next}, ret, f);
}

enum err pg_authority_leave(struct pg *pg, const struct authority_key *k, const struct authority_row *row,
                            int64_t serving_epoch, bool *ret, struct fault *f)
{
    AUTO_CHARS *stream = mem_format("%s%s", k->store, row->here == SIDE_SOURCE ? CONFIG_BACK : "");
    char serving[24];

    snprintf(serving, sizeof serving, "%" PRId64, serving_epoch);
    return act(pg, "SELECT leat.leave($1, $2, $3, $4, $5, $6)", k, row->epoch, row->attempt,
               (const char *[3]){serving, stream}, ret, f);
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
