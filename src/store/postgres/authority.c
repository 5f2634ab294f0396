/* store/postgres/authority.c — see authority.h. */
#include "store/postgres/authority.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/world.h"
#include "sql_embedded.h"

#define ACT_US ((int64_t)5000000) /* a commit that waits for its standby waits for ever: no timeout of the server's ends that */

/* --- confirmed --- */

static void note_warning(void *ctx, const PGresult *r)
{
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        *(bool *)ctx = true;
}

static enum err give_up(struct pg *pg, const char *why, struct fault *f)
{
    (void)shutdown(PQsocket(pg->conn), SHUT_RDWR); /* what it still says is nobody's answer */
    return fault_set(f, pg->side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST, "%s %s: %s", side_name(pg->side), pg->database, why);
}

static bool await_result(struct pg *pg, int64_t until_us)
{
    while (PQisBusy(pg->conn)) {
        struct pollfd fd = {.fd = PQsocket(pg->conn), .events = POLLIN};
        int64_t left_us = until_us - world_mono_us();

        if (left_us <= 0)
            return false;
        (void)poll(&fd, 1, (int)(left_us / 1000 + 1));
        if (!PQconsumeInput(pg->conn))
            break;
    }
    return true;
}

/* One statement with parameters, in time, and confirmed: a commit that was cancelled while it waited for its standby says so by a warning only: it is
 * done here, and not there. */
static enum err confirmed(struct pg *pg, const char *sql, int count, const char *const params[], PGresult **ret, struct fault *f)
{
    int64_t until = world_mono_us() + ACT_US;
    bool warned = false;
    PQnoticeReceiver before = PQsetNoticeReceiver(pg->conn, note_warning, &warned);
    AUTO_RESULT *r = NULL;
    PGresult *more;
    bool late = PQsendQueryParams(pg->conn, sql, count, NULL, params, NULL, NULL, 0) && !await_result(pg, until);

    while (!late && (more = PQgetResult(pg->conn)) != NULL) {
        if (r == NULL)
            r = more;
        else
            PQclear(more);
        late = !await_result(pg, until);
    }
    (void)PQsetNoticeReceiver(pg->conn, before, NULL);
    if (late)
        return give_up(pg, "its commit is not confirmed: does its synchronous standby run?", f);
    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        return pg_fault(pg, r, sql, f);
    if (warned)
        return give_up(pg, "it is committed, and its standby may not have it", f);
    if (ret != NULL)
        *ret = TAKE(r);
    return ERR_OK;
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
    TRY(pg_exec(pg, SQL_AUTHORITY_THERE, &there, f));
    if (!pg_get_bool(there, 0, 0))
        return ERR_OK;
    TRY(pg_query(pg, pg_get_bool(there, 0, 1) ? SQL_AUTHORITY_READ : SQL_AUTHORITY_READ_BEFORE, 2, params, &r, f));
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
    *ret = (struct switch_row){row.there, row.epoch, row.there && row.side == SIDE_SOURCE, row.there && row.side == row.here, row.attempt, row.open};
    return ERR_OK;
}

/* --- acts --- */

struct act {
    const char *sql;
    int count;
    const char *params[8];
    char epoch[24];
    char attempt[24];
};

static void begin_act(struct act *a, const char *sql, const struct authority_key *k, int64_t epoch, int64_t attempt)
{
    *a = (struct act){.sql = sql, .count = 4};
    snprintf(a->epoch, sizeof a->epoch, "%" PRId64, epoch);
    snprintf(a->attempt, sizeof a->attempt, "%" PRId64, attempt);
    a->params[0] = k->migration;
    a->params[1] = k->store;
    a->params[2] = a->epoch;
    a->params[3] = a->attempt;
}

static enum err say(struct pg *pg, const struct act *a, bool *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(confirmed(pg, a->sql, a->count, a->params, &r, f));
    *ret = PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
    return ERR_OK;
}

enum err pg_authority_gate(struct pg *pg, const struct authority_key *k, const struct authority_row *row, int64_t attempt, const char *source, const char *target, bool *ret,
                           struct fault *f)
{
    char next[24];
    struct act a;

    begin_act(&a, "SELECT leat.gate($1, $2, $3, $4, $5, $6, $7)", k, row->epoch, row->attempt);
    snprintf(next, sizeof next, "%" PRId64, attempt);
    a.params[4] = next;
    a.params[5] = source;
    a.params[6] = target;
    a.count = 7;
    return say(pg, &a, ret, f);
}

enum err pg_authority_decide(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, bool *ret, struct fault *f)
{
    struct act a;

    begin_act(&a, "SELECT leat.decide($1, $2, $3, $4)", k, epoch, attempt);
    return say(pg, &a, ret, f);
}

enum err pg_authority_open(struct pg *pg, const struct authority_key *k, int64_t epoch, enum side here, int64_t attempt, bool *ret, struct fault *f)
{
    struct act a;

    begin_act(&a, "SELECT leat.open_side($1, $2, $3, $5, $4)", k, epoch, attempt);
    a.params[4] = side_name(here);
    a.count = 5;
    return say(pg, &a, ret, f);
}

enum err pg_authority_abort(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, bool *ret, struct fault *f)
{
    struct act a;

    begin_act(&a, "SELECT leat.abort_attempt($1, $2, $3, $4)", k, epoch, attempt);
    return say(pg, &a, ret, f);
}

enum err pg_authority_annul(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, const char *other_server, bool *ret, struct fault *f)
{
    struct act a;

    begin_act(&a, "SELECT leat.annul_attempt($1, $2, $3, $4, $5)", k, epoch, attempt);
    a.params[4] = other_server;
    a.count = 5;
    return say(pg, &a, ret, f);
}

enum err pg_authority_take_over(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, const char *server, bool *ret, struct fault *f)
{
    struct act a;

    begin_act(&a, "SELECT leat.take_over($1, $2, $3, $4, $5)", k, epoch, attempt);
    a.params[4] = server;
    a.count = 5;
    return say(pg, &a, ret, f);
}

enum err pg_authority_force(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt, bool *ret, struct fault *f)
{
    struct act a;

    begin_act(&a, "SELECT leat.force_open($1, $2, $3, $4)", k, epoch, attempt);
    return say(pg, &a, ret, f);
}

enum err pg_authority_leave(struct pg *pg, const struct authority_key *k, const struct authority_row *row, int64_t serving_epoch, bool *ret, struct fault *f)
{
    AUTO_CHARS *stream = mem_format("%s%s", k->store, row->here == SIDE_SOURCE ? CONFIG_BACK : "");
    char serving[24];
    struct act a;

    begin_act(&a, "SELECT leat.leave($1, $2, $3, $4, $5, $6)", k, row->epoch, row->attempt);
    snprintf(serving, sizeof serving, "%" PRId64, serving_epoch);
    a.params[4] = serving;
    a.params[5] = stream;
    a.count = 6;
    return say(pg, &a, ret, f);
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
