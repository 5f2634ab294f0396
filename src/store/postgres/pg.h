/* store/postgres/pg.h — one connection to a PostgreSQL server, as leat always makes it: settings pinned, side known,
 * failures turned into faults whose class says whether to try again. A pg belongs to one thread at a time. */
#ifndef LEAT_STORE_POSTGRES_PG_H
#define LEAT_STORE_POSTGRES_PG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/position.h"

enum side { SIDE_SOURCE, SIDE_TARGET };
static inline const char *side_name(enum side side)
{
    return side == SIDE_SOURCE ? "source" : "target";
}

struct pg {
    PGconn *conn;
    enum side side;
    int version;     /* PQserverVersion: 130023 */
    int major;       /* 13 */
    char database[64]; /* for messages */
};

/* Connects. `purpose` becomes application_name "leat: PURPOSE". Pins on every session (traps P10, P35): client_encoding
 * UTF8, DateStyle ISO, IntervalStyle postgres, extra_float_digits 3, TimeZone UTC, bytea_output hex, search_path empty,
 * lc_monetary C, row_security off, statement/lock/idle/transaction timeouts 0, default_transaction_* plain,
 * jit off, synchronous_commit left as is. Faults: *_UNREACHABLE, AUTH, NO_DATABASE, BUSY (too many connections,
 * starting up). */
MUST_USE enum err pg_connect(const char *dsn, enum side side, const char *purpose, struct pg **ret, struct fault *f);
/* The same where nobody can wait long: within some seconds, and no statement takes longer than that. */
MUST_USE enum err pg_connect_soon(const char *dsn, enum side side, const char *purpose, struct pg **ret,
                                  struct fault *f);
/* The same for the replication protocol (walsender). Settings are pinned there too. */
MUST_USE enum err pg_connect_replication(const char *dsn, enum side side, const char *purpose, struct pg **ret, struct fault *f);
void pg_free(struct pg *pg);
AUTO_DEFINE(pg)

static inline void auto_clear_result(PGresult **r)
{
    PQclear(*r);
}
#define AUTO_RESULT __attribute__((cleanup(auto_clear_result))) PGresult

/* Runs one or several statements without parameters; the result of the last, if wanted, goes to *ret (may be NULL). */
MUST_USE enum err pg_exec(struct pg *pg, const char *sql, PGresult **ret, struct fault *f);
/* printf-made SQL: only for identifiers quoted by pg_quote_ident and numbers; values go through pg_query. */
MUST_USE enum err pg_execf(struct pg *pg, PGresult **ret, struct fault *f, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* One statement with text parameters (NULL = SQL NULL). */
MUST_USE enum err pg_query(struct pg *pg, const char *sql, int param_count, const char *const params[], PGresult **ret, struct fault *f);
/* The same, of a server that may never answer: the connection is of no use any more where none came within timeout_ms (*_LOST). */
MUST_USE enum err pg_query_within(struct pg *pg, int timeout_ms, const char *sql, int param_count, const char *const params[], PGresult **ret, struct fault *f);
/* The same in two steps: between them the server works, and so may others. Whoever sent takes before anything else is
 * asked of the session. */
MUST_USE enum err pg_send(struct pg *pg, const char *sql, int param_count, const char *const params[], struct fault *f);
MUST_USE enum err pg_send_prepared(struct pg *pg, const char *name, struct fault *f);
MUST_USE enum err pg_take(struct pg *pg, const char *sql, PGresult **ret, struct fault *f);
/* The last result as it is, an error too; NULL: none came. */
PGresult *pg_take_any(struct pg *pg);
MUST_USE enum err pg_take_within(struct pg *pg, int timeout_ms, const char *sql, PGresult **ret, struct fault *f);
/* Several statements without parameters at once: each one's result is taken by itself, in their order, and after the
 * last pg_take() says that it was. */
MUST_USE enum err pg_send_all(struct pg *pg, const char *sql, struct fault *f);
MUST_USE enum err pg_take_next(struct pg *pg, const char *sql, PGresult **ret, struct fault *f);
/* One statement without parameters, planned once in this session. */
MUST_USE enum err pg_prepare(struct pg *pg, const char *name, const char *sql, struct fault *f);
MUST_USE enum err pg_query_prepared(struct pg *pg, const char *name, PGresult **ret, struct fault *f);
/* The single value of the first row as text; NULL and no row give NULL. In the arena. */
MUST_USE enum err pg_value(struct pg *pg, struct arena *a, const char *sql, int param_count, const char *const params[], const char **ret, struct fault *f);
/* The same where a missing value is an error. */
MUST_USE enum err pg_integer(struct pg *pg, const char *sql, int64_t *ret, struct fault *f);
MUST_USE enum err pg_lsn_value(struct pg *pg, const char *sql, struct lsn *ret, struct fault *f);
/* Fills the fault from a failed result or a broken connection: *_LOST when the connection is gone, BUSY for 55P03, 57014 by
 * lock_timeout, 40001, 40P01, 53xxx; RIGHT_MISSING for 42501; else *_SQL. Includes sqlstate, message, detail, statement (cut). */
MUST_USE enum err pg_fault(struct pg *pg, const PGresult *r, const char *sql, struct fault *f);
const char *pg_sqlstate(const PGresult *r); /* "" when none */
enum err pg_class_of_state(const char *state, enum side side);

/* Enters a session into the engine's circle on the target: takes the store's shared lock and checks that s->token is still the
 * lease's. pg_circle_close waits until every session that entered under an older token is gone, ending them. */
struct store;
MUST_USE enum err pg_circle_enter(struct pg *pg, const struct store *s, struct fault *f);
MUST_USE enum err pg_circle_close(struct pg *pg, const struct store *s, struct fault *f);
/* Though the stream is barred: to arm it anew. */
MUST_USE enum err pg_circle_enter_barred(struct pg *pg, const struct store *s, struct fault *f);
/* A session's advisory lock, taken from sessions of an engine that died: they are ended. */
MUST_USE enum err pg_take_lock(struct pg *pg, int64_t key, struct fault *f);
/* Ends the backends that hold this advisory lock in this database. */
MUST_USE enum err pg_end_lock_holders(struct pg *pg, int64_t key, struct fault *f);

/* The SQL with its one `gap` filled in: for what is to stand in the text. To be freed. */
char *pg_fill_in(const char *sql, const char *gap, const char *text);
/* Quoted identifiers and literals, in the arena. */
const char *pg_quote_ident(struct arena *a, const char *name);
const char *pg_quote_qualified(struct arena *a, const char *schema, const char *name);
const char *pg_quote_literal(struct arena *a, const char *text);

/* Tries `body` while it ends in BUSY, with the lock_timeout given set locally, at most `patience_us`: for DDL on the source. */
MUST_USE enum err pg_exec_patiently(struct pg *pg, const char *sql, int lock_timeout_ms, int64_t patience_us, struct fault *f);

static inline const char *pg_get(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);
}
int64_t pg_get_int(const PGresult *r, int row, int column); /* NULL gives 0 */
static inline bool pg_get_bool(const PGresult *r, int row, int column)
{
    return PQgetvalue(r, row, column)[0] == 't';
}

#endif
