/* store/postgres/pg.c — see pg.h. */
#include "store/postgres/pg.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"

#define SOON_S "3"

/* Sent as startup options, so that no role's or database's default comes before them. Those a version does not know are
 * set after connecting. */
static const char pinned_options[] = "-c client_encoding=UTF8 -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=3"
                                     " -c TimeZone=UTC -c bytea_output=hex -c search_path= -c lc_monetary=C -c row_security=off"
                                     " -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
                                     " -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"
                                     " -c default_transaction_deferrable=off -c standard_conforming_strings=on"
                                     " -c xmloption=content -c client_min_messages=warning"; /* confirm.h hears by them */

static void notice_ignored(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

/* A refused connection has no sqlstate in libpq's message, only words; the server's own words are stable (untranslated for
 * a session that never began). */
static enum err connect_class(const char *message, enum side side)
{
    static const struct {
        const char *words;
        enum err err;
    } known[] = {
        {"password authentication failed", ERR_AUTH},
        {"no password supplied", ERR_AUTH},
        {"no pg_hba.conf entry", ERR_AUTH},
        {"authentication failed", ERR_AUTH},
        {"role \"", ERR_AUTH},
        {"must be superuser or replication role", ERR_RIGHT_MISSING},
        {"permission denied", ERR_RIGHT_MISSING},
        {"database \"", ERR_NO_DATABASE},
        {"too many clients", ERR_BUSY},
        {"too many connections", ERR_BUSY},
        {"remaining connection slots", ERR_BUSY},
        {"number of requested standby connections exceeds", ERR_BUSY},
        {"invalid connection option", ERR_CONFIG},
        {"invalid URI", ERR_CONFIG},
        {"invalid port number", ERR_CONFIG},
        {"invalid sslmode", ERR_CONFIG},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(message, known[i].words) != NULL)
            return known[i].err;
    return side == SIDE_SOURCE ? ERR_SOURCE_UNREACHABLE : ERR_TARGET_UNREACHABLE;
}

/* libpq's words in one line. */
static char *one_line(const char *message)
{
    char *line = mem_dup(message);
    char *to = line;

    for (const char *from = message; *from != '\0'; from++) {
        if (*from != '\n') {
            *to++ = *from;
            continue;
        }
        from += strspn(from + 1, " \t\n");
        if (from[1] != '\0')
            *to++ = ' ';
    }
    *to = '\0';
    return line;
}

/* What older servers would refuse at the start. Questions about the catalog look dear to the planner where there is
 * much of it: compiling them takes longer than answering. */
static enum err pin_newer(struct pg *pg, struct fault *f)
{
    static const struct {
        int since;
        const char *set;
    } pins[] = {{11, "SET jit = off;"}, {14, "SET idle_session_timeout = 0;"}, {17, "SET transaction_timeout = 0;"}};
    AUTO_BUF sql = {0};

    for (size_t i = 0; i < sizeof pins / sizeof *pins; i++)
        if (pg->major >= pins[i].since)
            buf_adds(&sql, pins[i].set);
    return sql.len > 0 ? pg_exec(pg, buf_cstr(&sql), NULL, f) : ERR_OK;
}

static enum err connect_any(const char *dsn, enum side side, const char *purpose, const char *within_s,
                            bool replication, struct pg **ret, struct fault *f)
{
    AUTO_CHARS *name = mem_format("leat: %s", purpose);
    /* what stands before dbname is a default the DSN may override, what stands behind it is ours */
    const char *keys[] = {"connect_timeout",
                          "keepalives_idle",
                          "keepalives_interval",
                          "keepalives_count",
                          "tcp_user_timeout",
                          "dbname",
                          "application_name",
                          "options",
                          "client_encoding",
                          "gssencmode",
                          "replication",
                          "connect_timeout",
                          NULL};
    const char *values[] = {
        "10",     "10", "5", "3", "30000", dsn, name, pinned_options, "UTF8", "disable", replication ? "database" : "",
        within_s, NULL};
    AUTO(pg) *pg = mem_alloc(sizeof *pg);

    pg->side = side;
    pg->conn = PQconnectdbParams(keys, values, 1);
    if (PQstatus(pg->conn) != CONNECTION_OK) {
        AUTO_CHARS *message = one_line(PQerrorMessage(pg->conn));
        return fault_set(f, connect_class(message, side), "%s: %s", side_name(side), message);
    }
    PQsetNoticeReceiver(pg->conn, notice_ignored, NULL);
    pg->version = PQserverVersion(pg->conn);
    pg->major = pg->version / 10000;
    snprintf(pg->database, sizeof pg->database, "%s", PQdb(pg->conn));
    TRY(pin_newer(pg, f));
    *ret = TAKE(pg);
    return ERR_OK;
}

enum err pg_connect(const char *dsn, enum side side, const char *purpose, struct pg **ret, struct fault *f)
{
    return connect_any(dsn, side, purpose, "", false, ret, f); /* empty: as if it were not there */
}

enum err pg_connect_soon(const char *dsn, enum side side, const char *purpose, struct pg **ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;

    TRY(connect_any(dsn, side, purpose, SOON_S, false, &pg, f));
    TRY(pg_exec(pg, "SET statement_timeout = '" SOON_S "s'", NULL, f));
    *ret = TAKE(pg);
    return ERR_OK;
}

enum err pg_connect_replication(const char *dsn, enum side side, const char *purpose, struct pg **ret, struct fault *f)
{
    return connect_any(dsn, side, purpose, "", true, ret, f);
}

void pg_free(struct pg *pg)
{
    if (pg == NULL)
        return;
    PQfinish(pg->conn);
    free(pg);
}

const char *pg_sqlstate(const PGresult *r)
{
    const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

    return state != NULL ? state : "";
}

enum err pg_class_of_state(const char *state, enum side side)
{
    static const char *const busy[] = {"55P03", "40001", "40P01", "57014", "55006", "53000", "53100", "53200", "53300", "58030",
                                       "25P03" /* we stood still in a transaction for longer than we had said */};

    for (size_t i = 0; i < sizeof busy / sizeof *busy; i++)
        if (strcmp(state, busy[i]) == 0)
            return ERR_BUSY;
    if (strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0)
        return side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST;
    if (strcmp(state, "42501") == 0)
        return ERR_RIGHT_MISSING;
    return side == SIDE_SOURCE ? ERR_SOURCE_SQL : ERR_TARGET_SQL;
}

enum err pg_fault(struct pg *pg, const PGresult *r, const char *sql, struct fault *f)
{
    const char *state = pg_sqlstate(r);
    const char *detail = r != NULL ? PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL) : NULL;
    const char *primary = r != NULL ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    enum err err = pg_class_of_state(state, pg->side);

    if (PQstatus(pg->conn) != CONNECTION_OK || state[0] == '\0') /* no word of the server's: what became of the statement is not known */
        err = pg->side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST;
    if (primary == NULL)
        return fault_set(f, err, "%s %s: %s", side_name(pg->side), pg->database, PQerrorMessage(pg->conn));
    return fault_set(f, err, "%s %s: %s%s%s (%s) in: %.400s", side_name(pg->side), pg->database, primary,
                     detail != NULL ? ": " : "", detail != NULL ? detail : "", state, sql != NULL ? sql : "");
}

static bool result_good(const PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        return true;
    default:
        return false;
    }
}

static enum err finish(struct pg *pg, PGresult *r, const char *sql, PGresult **ret, struct fault *f)
{
    enum err err = ERR_OK;

    if (!result_good(r))
        err = pg_fault(pg, r, sql, f);
    if (err != ERR_OK || ret == NULL)
        PQclear(r);
    else
        *ret = r;
    return err;
}

enum err pg_exec(struct pg *pg, const char *sql, PGresult **ret, struct fault *f)
{
    return finish(pg, PQexec(pg->conn, sql), sql, ret, f);
}

enum err pg_execf(struct pg *pg, PGresult **ret, struct fault *f, const char *fmt, ...)
{
    AUTO_BUF sql = {0};
    va_list args;

    va_start(args, fmt);
    buf_vaddf(&sql, fmt, args);
    va_end(args);
    return pg_exec(pg, buf_cstr(&sql), ret, f);
}

enum err pg_query(struct pg *pg, const char *sql, int param_count, const char *const params[], PGresult **ret, struct fault *f)
{
    return finish(pg, PQexecParams(pg->conn, sql, param_count, NULL, params, NULL, NULL, 0), sql, ret, f);
}

/* Whether its answer is there, or the connection gone. */
static bool await_answer(struct pg *pg, int64_t until_us)
{
    while (PQisBusy(pg->conn)) {
        struct pollfd p = {.fd = PQsocket(pg->conn), .events = POLLIN};
        int64_t left_us = until_us - world_mono_us();

        if (left_us <= 0)
            return false;
        if (poll(&p, 1, (int)(left_us / 1000) + 1) > 0 && PQconsumeInput(pg->conn) == 0)
            return true;
    }
    return true;
}

/* The last of the results, NULL where there is none. False: they did not come by then. */
static bool take_last(struct pg *pg, int64_t until_us, PGresult **ret)
{
    PGresult *one;

    *ret = NULL;
    do {
        if (until_us != 0 && !await_answer(pg, until_us)) {
            PQclear(*ret);
            return false;
        }
        one = PQgetResult(pg->conn);
        if (one != NULL) {
            PQclear(*ret);
            *ret = one;
        }
    } while (one != NULL);
    return true;
}

enum err pg_query_within(struct pg *pg, int timeout_ms, const char *sql, int param_count, const char *const params[],
                         PGresult **ret, struct fault *f)
{
    TRY(pg_send(pg, sql, param_count, params, f));
    return pg_take_within(pg, timeout_ms, sql, ret, f);
}

enum err pg_take_within(struct pg *pg, int timeout_ms, const char *sql, PGresult **ret, struct fault *f)
{
    PGresult *answer;

    if (!take_last(pg, world_mono_us() + (int64_t)timeout_ms * 1000, &answer))
        return fault_set(f, pg->side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST,
                         "%s %s: no answer within %d ms", side_name(pg->side), pg->database, timeout_ms);
    return finish(pg, answer, sql, ret, f);
}

enum err pg_send(struct pg *pg, const char *sql, int param_count, const char *const params[], struct fault *f)
{
    return PQsendQueryParams(pg->conn, sql, param_count, NULL, params, NULL, NULL, 0) == 1 ? ERR_OK
                                                                                           : pg_fault(pg, NULL, sql, f);
}

enum err pg_send_prepared(struct pg *pg, const char *name, struct fault *f)
{
    return PQsendQueryPrepared(pg->conn, name, 0, NULL, NULL, NULL, 0) == 1 ? ERR_OK : pg_fault(pg, NULL, name, f);
}

enum err pg_send_all(struct pg *pg, const char *sql, struct fault *f)
{
    return PQsendQuery(pg->conn, sql) == 1 ? ERR_OK : pg_fault(pg, NULL, sql, f);
}

PGresult *pg_take_any(struct pg *pg)
{
    PGresult *answer;

    (void)take_last(pg, 0, &answer);
    return answer;
}

enum err pg_take(struct pg *pg, const char *sql, PGresult **ret, struct fault *f)
{
    return finish(pg, pg_take_any(pg), sql, ret, f);
}

enum err pg_take_next(struct pg *pg, const char *sql, PGresult **ret, struct fault *f)
{
    return finish(pg, PQgetResult(pg->conn), sql, ret, f);
}

enum err pg_query_prepared(struct pg *pg, const char *name, PGresult **ret, struct fault *f)
{
    TRY(pg_send_prepared(pg, name, f));
    return pg_take(pg, name, ret, f);
}

enum err pg_prepare(struct pg *pg, const char *name, const char *sql, struct fault *f)
{
    return finish(pg, PQprepare(pg->conn, name, sql, 0, NULL), sql, NULL, f);
}

enum err pg_value(struct pg *pg, struct arena *a, const char *sql, int param_count, const char *const params[], const char **ret,
                  struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, sql, param_count, params, &r, f));
    *ret = PQntuples(r) > 0 ? arena_strdup(a, pg_get(r, 0, 0)) : NULL;
    return ERR_OK;
}

enum err pg_integer(struct pg *pg, const char *sql, int64_t *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, sql, &r, f));
    if (PQntuples(r) != 1 || PQgetisnull(r, 0, 0))
        return fault_set(f, ERR_BUG, "no value from: %.300s", sql);
    *ret = pg_get_int(r, 0, 0);
    return ERR_OK;
}

enum err pg_lsn_value(struct pg *pg, const char *sql, struct lsn *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, sql, &r, f));
    if (PQntuples(r) != 1 || PQgetisnull(r, 0, 0) || !lsn_parse(PQgetvalue(r, 0, 0), ret))
        return fault_set(f, ERR_BUG, "no position from: %.300s", sql);
    return ERR_OK;
}

int64_t pg_get_int(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) ? 0 : strtoll(PQgetvalue(r, row, column), NULL, 10);
}

char *pg_fill_in(const char *sql, const char *gap, const char *text)
{
    const char *at = strstr(sql, gap);

    ENSURE(at != NULL && strstr(at + 1, gap) == NULL);
    return mem_format("%.*s%s%s", (int)(at - sql), sql, text, at + strlen(gap));
}

static void quote_into(struct buf *b, const char *text, char quote)
{
    buf_addc(b, quote);
    for (; *text != '\0'; text++) {
        if (*text == quote)
            buf_addc(b, quote);
        buf_addc(b, *text);
    }
    buf_addc(b, quote);
}

const char *pg_quote_ident(struct arena *a, const char *name)
{
    AUTO_BUF b = {0};

    quote_into(&b, name, '"');
    return arena_strdup(a, buf_cstr(&b));
}

const char *pg_quote_qualified(struct arena *a, const char *schema, const char *name)
{
    AUTO_BUF b = {0};

    quote_into(&b, schema, '"');
    buf_addc(&b, '.');
    quote_into(&b, name, '"');
    return arena_strdup(a, buf_cstr(&b));
}

const char *pg_quote_literal(struct arena *a, const char *text)
{
    AUTO_BUF b = {0};

    /* standard_conforming_strings is pinned on: a backslash is itself */
    quote_into(&b, text, '\'');
    return arena_strdup(a, buf_cstr(&b));
}

enum err pg_exec_patiently(struct pg *pg, const char *sql, int lock_timeout_ms, int64_t patience_us, struct fault *f)
{
    int64_t deadline = world_mono_us() + patience_us;
    int64_t pause = 20000;

    for (;;) {
        struct fault attempt = {0};
        enum err err = pg_execf(pg, NULL, &attempt, "BEGIN; SET LOCAL lock_timeout = %d", lock_timeout_ms);
        if (err == ERR_OK)
            err = pg_exec(pg, sql, NULL, &attempt);
        if (err == ERR_OK)
            return pg_exec(pg, "COMMIT", NULL, f);
        PQclear(PQexec(pg->conn, "ROLLBACK"));
        if (err != ERR_BUSY || world_mono_us() + pause > deadline) {
            *f = attempt;
            return err;
        }
        world_sleep_us(pause);
        pause = pause < 1000000 ? pause * 2 : pause;
    }
}
