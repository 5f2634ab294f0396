/* store/postgres/switcher.c — what a switch does on both servers. The protocol's order is cutover/'s; here each act is exactly one of
 * SWITCH.md's.
 *
 *   deciding   the old side: LOCK, decide, COMMIT. One transaction from the first lock to the decision
 *   beside     the old side: marks, rows, sequences
 *   opening    the new side: the opening, prepared in a transaction of its own and committed once the decision is known
 *   there      the new side: everything else
 *
 * Invariants
 *  1. The decision is the COMMIT of the session that holds the locks: were it another's, writers that queued behind a lost lock would
 *     commit on the old side after it.
 *  2. The opening is committed only after the decision was seen committed: by its COMMIT's answer, or by reading the old side's row.
 *  3. A session in which something failed is rolled back before anything else is done in it. */
#include "store/postgres/switcher.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"
#include "sql_embedded.h"
#include "store/postgres/confirm.h"
#include "store/postgres/fence.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/settle.h"
#include "store/postgres/switcher_internal.h"

#define LOCK_WAIT_MS ((int64_t)400)
#define MARK_MS 5000
#define SQL_MARK "INSERT INTO leat.mark (migration, store, attempt, token) VALUES ($1, $2, $3, 0)"

/* Behind autovacuum a lock waits for a whole deadlock_timeout before that gives way: 22 ms instead of 1,001, where we may set it. */
static enum err pin(struct pg *pg, struct fault *f)
{
    struct fault refused = {0};
    enum err err = pg_exec(pg, "SET deadlock_timeout = '20ms'", NULL, &refused);

    if (err != ERR_OK && err != ERR_RIGHT_MISSING) {
        *f = refused;
        return err;
    }
    return pg_exec(pg, "SET synchronous_commit = on", NULL, f);
}

static void lose_session(void *ctx, enum side side)
{
    struct pg **pg = &((struct store_switch *)ctx)->settling[side];

    pg_free(*pg);
    *pg = NULL;
}

static struct pg *reach_session(void *ctx, enum side side, struct fault *f)
{
    struct store_switch *w = ctx;
    const struct config_store *c = w->store->store->back ? w->store->store->other : w->store->store;
    struct pg **pg = &w->settling[side];

    if (*pg != NULL && PQstatus((*pg)->conn) == CONNECTION_OK)
        return *pg;
    lose_session(w, side);
    if (pg_connect(side == SIDE_SOURCE ? c->source : c->target, side, "switch", pg, f) != ERR_OK)
        return NULL;
    if (pg_exec(*pg, "SET synchronous_commit = on; SET lock_timeout = '4s'", NULL, f) != ERR_OK)
        lose_session(w, side);
    return *pg;
}

static enum err connect_all(struct store_switch *w, struct fault *f)
{
    const struct config_store *c = w->store->store;

    TRY(pg_connect(c->source, SIDE_SOURCE, "switch", &w->deciding, f));
    TRY(pg_connect(c->source, SIDE_SOURCE, "switch", &w->beside, f));
    TRY(pg_connect(c->target, SIDE_TARGET, "switch", &w->opening, f));
    TRY(pg_connect(c->target, SIDE_TARGET, "switch", &w->there, f));
    TRY(pin(w->deciding, f));
    TRY(pin(w->beside, f));
    TRY(pin(w->opening, f));
    TRY(pin(w->there, f));
    return reach_session(w, SIDE_SOURCE, f) != NULL && reach_session(w, SIDE_TARGET, f) != NULL ? ERR_OK : f->code;
}

enum err pg_switch_open(struct store *s, struct store_switch **ret, struct fault *f)
{
    struct store_switch *w = mem_alloc(sizeof *w);
    enum err err;

    w->store = s;
    w->arena = arena_new(16384);
    w->look = arena_new(4096);
    err = connect_all(w, f);
    if (err != ERR_OK) {
        pg_switch_close(w);
        return err;
    }
    *ret = w;
    return ERR_OK;
}

void pg_switch_close(struct store_switch *w)
{
    if (w == NULL)
        return;
    pg_free(w->deciding);
    pg_free(w->beside);
    pg_free(w->opening);
    pg_free(w->there);
    pg_free(w->settling[SIDE_SOURCE]);
    pg_free(w->settling[SIDE_TARGET]);
    arena_free(w->arena);
    arena_free(w->look);
    free(w);
}

/* --- rows --- */

enum err pg_switch_rows(struct store_switch *w, struct switch_row *ret_old, struct switch_row *ret_new, struct fault *f)
{
    TRY(pg_authority_read(w->beside, w->store, ret_old, f));
    return pg_authority_read(w->there, w->store, ret_new, f);
}

/* --- the attempt --- */

/* A row as the gate may change it. */
static enum err read_for_gate(struct pg *pg, const struct authority_key *k, const char *side, struct authority_row *ret,
                              struct fault *f)
{
    TRY(pg_authority_row(pg, k, ret, f));
    if (!ret->there || ret->in_recovery)
        return fault_set(f, ERR_GATE, "the %s %s", side, ret->there ? "is in recovery" : "has no row of authority");
    return ERR_OK;
}

static const char *server_of(const struct authority_row *one, const struct authority_row *two, enum side side)
{
    return one->here == side ? one->server : two->server;
}

/* Later than whatever either row ever had of this epoch: what was annulled is never met again. The new side first:
 * without its row nothing that is decided could be opened. */
static enum err write_gate(struct store_switch *w, const struct authority_row *old, const struct authority_row *new,
                           int64_t attempt, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    const char *source = server_of(old, new, SIDE_SOURCE);
    const char *target = server_of(old, new, SIDE_TARGET);
    bool stands = false;

    TRY(pg_authority_gate(w->there, &k, new, attempt, source, target, &stands, f));
    if (stands)
        TRY(pg_authority_gate(w->beside, &k, old, attempt, source, target, &stands, f));
    return stands ? ERR_OK
                  : fault_set(f, ERR_SWITCH_HELD_UP, "somebody settles what was under way, or a side failed over");
}

/* What was written stands on the timeline it was written for: another one would not have to have it. */
static enum err still_there(struct store_switch *w, const struct authority_row *old, const struct authority_row *new,
                            struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    struct authority_row now[2];

    TRY(pg_authority_row(w->beside, &k, &now[0], f));
    TRY(pg_authority_row(w->there, &k, &now[1], f));
    if (strcmp(now[0].server, old->server) != 0 || strcmp(now[1].server, new->server) != 0)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a side failed over");
    return ERR_OK;
}

/* What clients would wait for is done by the sessions that are to do it before anybody waits: functions are compiled,
 * and plans made. No row has that name: nothing is decided or opened by it. */
static enum err get_ready(struct store_switch *w, struct fault *f)
{
    TRY(pg_exec(w->deciding, "SELECT leat.fence_set('', 'ENABLE ALWAYS'), leat.decide('', '', -1, -1)", NULL, f));
    TRY(pg_exec(w->opening, "SELECT leat.fence_set('', 'DISABLE'), leat.open_side('', '', -1, '', -1)", NULL, f));
    return pg_switch_check_prepare(w, f);
}

enum err pg_switch_gate(struct store_switch *w, int64_t epoch, int64_t *ret_attempt, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    struct authority_row old;
    struct authority_row new;
    int64_t attempt;

    TRY(read_for_gate(w->beside, &k, "old side", &old, f));
    TRY(read_for_gate(w->there, &k, "new side", &new, f));
    if (!old.open || old.epoch != epoch || new.open || new.epoch != epoch)
        return fault_set(f, ERR_SWITCH_HELD_UP, "the rows change while they are read");
    attempt = (old.attempt > new.attempt ? old.attempt : new.attempt) + 1;
    TRY(write_gate(w, &old, &new, attempt, f));
    TRY(still_there(w, &old, &new, f));
    TRY(get_ready(w, f));
    *ret_attempt = attempt;
    return ERR_OK;
}

/* What is prepared and not committed would stand in its own way. */
enum err pg_switch_settle(struct store_switch *w, struct switch_settled *ret, struct fault *f)
{
    struct settling how = {.key = authority_key(w->store),
                           .reach = reach_session,
                           .lost = lose_session,
                           .ctx = w,
                           .state_dir = w->store->state_dir};
    struct settle_result s;
    enum err err;

    pg_switch_unlock(w);
    err = pg_settle(&how, &s, f);
    *ret = (struct switch_settled){s.side == SIDE_SOURCE, s.epoch, s.opened, s.outdated};
    return err;
}

/* --- lock --- */

static void end(struct pg *pg, bool *in)
{
    if (*in && PQstatus(pg->conn) == CONNECTION_OK)
        PQclear(PQexec(pg->conn, "ROLLBACK"));
    *in = false;
}

void pg_switch_unlock(struct store_switch *w)
{
    end(w->deciding, &w->locks);
    end(w->opening, &w->opens);
}

/* statement_timeout over the whole of it: lock_timeout counts anew for every table. */
static enum err begin(struct pg *pg, int64_t deadline_ms, bool *in, struct fault *f)
{
    ENSURE(!*in);
    *in = true;
    return pg_execf(pg, NULL, f, "BEGIN; SET LOCAL statement_timeout = %" PRId64 "; SET LOCAL idle_in_transaction_session_timeout = %" PRId64, deadline_ms, deadline_ms);
}

enum err pg_switch_locked(struct pg *pg, const PGresult *r, struct fault *f)
{
    if (strcmp(pg_sqlstate(r), "42P01") == 0 || strcmp(pg_sqlstate(r), "3F000") == 0)
        return fault_set(f, ERR_BUSY, "tables went while the switch began");
    return PQresultStatus(r) == PGRES_COMMAND_OK ? ERR_OK : pg_fault(pg, r, "LOCK TABLE", f);
}

static enum err lock_all(struct store_switch *w, struct fault *f)
{
    AUTO_BUF sql = {0};
    AUTO_RESULT *r = NULL;

    for (size_t i = 0; i < w->locked_count; i++)
        buf_addf(&sql, "%sONLY %s", i > 0 ? ", " : "LOCK TABLE ", w->locked[i].qualified);
    if (w->locked_count == 0)
        return ERR_OK;
    buf_adds(&sql, " IN SHARE ROW EXCLUSIVE MODE");
    r = PQexec(w->deciding->conn, buf_cstr(&sql));
    return pg_switch_locked(w->deciding, r, f);
}

/* One try waits less than any server's deadlock_timeout: a writer that holds what we want and wants what we hold goes on, and we begin again. */
static enum err lock_once(struct store_switch *w, int64_t wait_ms, int64_t deadline_ms, struct fault *f)
{
    enum err err = begin(w->deciding, wait_ms, &w->locks, f);

    if (err == ERR_OK)
        err = lock_all(w, f);
    if (err == ERR_OK)
        err = pg_execf(w->deciding, NULL, f, "SET LOCAL statement_timeout = %" PRId64 "; SET LOCAL idle_in_transaction_session_timeout = %" PRId64, deadline_ms, deadline_ms);
    if (err != ERR_OK)
        end(w->deciding, &w->locks);
    return err;
}

enum err pg_switch_lock(struct store_switch *w, int64_t deadline_ms, struct fault *f)
{
    int64_t until = world_mono_us() + deadline_ms * 1000;

    ENSURE(w->check_ready && w->locked != NULL);
    for (;;) {
        struct fault why = {0};
        int64_t left_ms = (until - world_mono_us()) / 1000;
        enum err err = lock_once(w, left_ms > LOCK_WAIT_MS ? LOCK_WAIT_MS : left_ms > 1 ? left_ms : 1, deadline_ms, &why);

        if (err != ERR_BUSY || world_mono_us() >= until) {
            *f = why;
            return err;
        }
    }
}

/* --- marks --- */

static const char *stream_from(const struct store_switch *w, enum store_side on)
{
    const struct config_store *c = w->store->store;

    return on == STORE_SOURCE ? c->name : c->other->name;
}

static enum err send_mark(struct store_switch *w, enum store_side on, const char *number, struct fault *f)
{
    const char *params[] = {w->store->migration, stream_from(w, on), number};

    return pg_send(on == STORE_SOURCE ? w->beside : w->there, SQL_MARK, 3, params, f);
}

/* Both servers commit at the same time. What a mark proves is proved where it comes round (lane.c); but a side whose
 * standby is away does not confirm the decision, or the opening, either. */
enum err pg_switch_mark(struct store_switch *w, int64_t mark, struct fault *f)
{
    char number[32];
    struct fault second = {0};
    enum err here;
    enum err there;

    snprintf(number, sizeof number, "%" PRId64, mark);
    TRY(send_mark(w, STORE_SOURCE, number, f));
    there = send_mark(w, STORE_TARGET, number, &second);
    here = pg_take_confirmed(w->beside, MARK_MS, SQL_MARK, NULL, f);
    if (there == ERR_OK)
        there = pg_take_confirmed(w->there, MARK_MS, SQL_MARK, NULL, &second);
    if (here == ERR_OK && there != ERR_OK)
        *f = second;
    return here != ERR_OK ? here : there;
}

enum err pg_switch_came(struct store_switch *w, enum store_side on, int64_t mark, bool *ret, struct fault *f)
{
    char number[32];
    const char *params[] = {w->store->migration, stream_from(w, on), number};
    AUTO_RESULT *r = NULL;

    snprintf(number, sizeof number, "%" PRId64, mark);
    TRY(pg_query(on == STORE_SOURCE ? w->there : w->beside, "SELECT 1 FROM leat.round WHERE migration = $1 AND store = $2 AND mark = $3", 3, params, &r, f));
    *ret = PQntuples(r) == 1;
    return ERR_OK;
}

/* --- decide, open --- */

static enum side new_side(const struct store_switch *w)
{
    return w->store->store->back ? SIDE_SOURCE : SIDE_TARGET;
}

static enum err prepare_open(struct store_switch *w, int64_t epoch, int64_t attempt, int64_t deadline_ms,
                             struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    bool could = false;
    enum err err = begin(w->opening, deadline_ms, &w->opens, f);

    if (err == ERR_OK)
        err = pg_authority_open(w->opening, &k, epoch, new_side(w), attempt, &could, f);
    if (err == ERR_OK && !could)
        err = fault_set(f, ERR_SWITCH_HELD_UP, "the new side's row is not that of epoch %" PRId64 ", attempt %" PRId64,
                        epoch - 1, attempt);
    if (err != ERR_OK)
        end(w->opening, &w->opens);
    return err;
}

/* Both servers turn their fences at the same time: a tenth of a millisecond and more for each table. Sequences are set
 * before the new side's row is taken, which guards them. */
enum err pg_switch_prepare_open(struct store_switch *w, int64_t epoch, int64_t attempt, int64_t deadline_ms,
                                struct fault *f)
{
    struct fault second = {0};
    enum err open;
    enum err shut;

    TRY(pg_switch_drained(w, f));
    TRY(pg_switch_shut_ask(w, f));
    open = pg_switch_sequences(w, f);
    if (open == ERR_OK)
        open = prepare_open(w, epoch, attempt, deadline_ms, f);
    shut = pg_switch_shut_take(w, open == ERR_OK ? f : &second);
    return open != ERR_OK ? open : shut;
}

/* An error of the COMMIT itself leaves it open what became of it. */
enum err pg_switch_decide(struct store_switch *w, int64_t epoch, int64_t attempt, bool *ret, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    enum err err;

    ENSURE(w->locks);
    *ret = false;
    err = pg_authority_decide(w->deciding, &k, epoch, attempt, ret, f);
    if (err != ERR_OK || !*ret) {
        end(w->deciding, &w->locks);
        return err;
    }
    w->locks = false;
    return pg_authority_commit(w->deciding, f);
}

enum err pg_switch_open_side(struct store_switch *w, int64_t epoch, int64_t attempt, bool *ret, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    bool prepared = w->opens;
    struct fault lost = {0};

    w->opens = false;
    if (prepared && pg_authority_commit(w->opening, &lost) == ERR_OK) {
        *ret = true;
        return ERR_OK;
    }
    return pg_authority_open(w->there, &k, epoch, new_side(w), attempt, ret, f);
}
