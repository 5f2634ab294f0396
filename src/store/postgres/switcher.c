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

#include "base/world.h"
#include "sql_embedded.h"
#include "store/least_epoch.h"
#include "store/postgres/fence.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/settle.h"
#include "store/postgres/watcher.h"

#define LONG_TRANSACTION_S 5.0
#define LOCK_WAIT_MS ((int64_t)400)

struct store_switch {
    struct store *store;
    struct pg *deciding;
    struct pg *beside;
    struct pg *opening;
    struct pg *there;
    struct arena *arena; /* of the lock: what was locked */
    struct fenced *locked;
    size_t locked_count;
    bool locks;          /* deciding is in its transaction */
    bool opens;          /* opening is in its own */
    struct pg *settling[2]; /* by side of the store itself: made when something is to be settled */
};

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
    return pin(w->there, f);
}

enum err pg_switch_open(struct store *s, struct store_switch **ret, struct fault *f)
{
    struct store_switch *w = mem_alloc(sizeof *w);
    enum err err;

    w->store = s;
    w->arena = arena_new(16384);
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
static enum err read_for_gate(struct pg *pg, const struct authority_key *k, const char *side, struct authority_row *ret, struct fault *f)
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

/* Later than whatever either row ever had of this epoch: what was annulled is never met again. The new side first: without its row nothing that is
 * decided could be opened. */
static enum err write_gate(struct store_switch *w, const struct authority_row *old, const struct authority_row *new, int64_t attempt, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    const char *source = server_of(old, new, SIDE_SOURCE);
    const char *target = server_of(old, new, SIDE_TARGET);
    bool stands = false;

    TRY(pg_authority_gate(w->there, &k, new, attempt, source, target, &stands, f));
    if (stands)
        TRY(pg_authority_gate(w->beside, &k, old, attempt, source, target, &stands, f));
    return stands ? ERR_OK : fault_set(f, ERR_SWITCH_HELD_UP, "somebody settles what was under way, or a side failed over");
}

/* What was written stands on the timeline it was written for: another one would not have to have it. */
static enum err still_there(struct store_switch *w, const struct authority_row *old, const struct authority_row *new, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    struct authority_row now[2];

    TRY(pg_authority_row(w->beside, &k, &now[0], f));
    TRY(pg_authority_row(w->there, &k, &now[1], f));
    if (strcmp(now[0].server, old->server) != 0 || strcmp(now[1].server, new->server) != 0)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a side failed over");
    return ERR_OK;
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
    *ret_attempt = attempt;
    return ERR_OK;
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

/* What is prepared and not committed would stand in its own way. */
enum err pg_switch_settle(struct store_switch *w, struct switch_settled *ret, struct fault *f)
{
    struct settling how = {.key = authority_key(w->store), .reach = reach_session, .lost = lose_session, .ctx = w, .least_epoch = least_epoch_read(w->store->state_dir, store_base(w->store))};
    struct settle_result s;

    pg_switch_unlock(w);
    TRY(pg_settle(&how, &s, f));
    *ret = (struct switch_settled){s.side == SIDE_SOURCE, s.epoch, s.opened};
    return ERR_OK;
}

/* --- what stands in the way --- */

struct obstacles {
    struct arena *arena;
    struct switch_obstacle *list;
    size_t count;
    size_t size;
};

static void add(struct obstacles *o, const char *what, bool refuses, const char *why)
{
    if (o->count < o->size)
        o->list[o->count++] = (struct switch_obstacle){what, why, refuses};
}

static enum err look_at_prepared(struct store_switch *w, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(w->beside, "SELECT gid, owner FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared LIMIT 20", &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        add(o, "prepared-transaction", true, arena_format(o->arena, "%s of %s is prepared, and holds its locks until somebody ends it: COMMIT PREPARED or ROLLBACK PREPARED", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)));
    return ERR_OK;
}

static enum err look_at_sessions(struct store_switch *w, struct pg *pg, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, SQL_SWITCH_SESSIONS, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        double age = strtod(PQgetvalue(r, i, 5), NULL);
        const char *who = arena_format(o->arena, "pid %s (%s, %s@%s)", PQgetvalue(r, i, 0), PQgetvalue(r, i, 2), PQgetvalue(r, i, 1), PQgetvalue(r, i, 3));
        if (pg_get_bool(r, i, 6))
            add(o, "role-shared", true, arena_format(o->arena, "%s works as leat's own role, which passes every fence: give leat a role of its own", who));
        else if (pg == w->beside && age > LONG_TRANSACTION_S)
            add(o, "long-transaction", true, arena_format(o->arena, "%s has a transaction open for %.0f s: the switch would wait for it", who, age));
    }
    return ERR_OK;
}

static const struct fenced *find_named(const struct fenced *list, size_t count, const char *qualified)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].qualified, qualified) == 0)
            return &list[i];
    return NULL;
}

/* Before anybody waits: what is fenced there stays so, and what the old side has is there. */
static enum err look_at_new_fences(struct store_switch *w, const struct fenced *old, size_t old_count, struct obstacles *o, struct fault *f)
{
    struct fenced *list;
    size_t count;

    TRY(pg_fence_list(w->there, w->store, o->arena, &list, &count, f));
    for (size_t i = 0; i < count; i++)
        if (list[i].state != 'A')
            add(o, "fence", true, arena_format(o->arena, "%s is not fenced on the new side", list[i].qualified));
    for (size_t i = 0; i < old_count; i++)
        if (find_named(list, count, old[i].qualified) == NULL)
            add(o, "table", true, arena_format(o->arena, "%s is not on the new side", old[i].qualified));
    return ERR_OK;
}

/* Every lock stands in a table all sessions share: half of what is there is ours at most. */
static enum err look_at_locks(struct store_switch *w, struct obstacles *o, struct fault *f)
{
    struct fenced *list;
    size_t count;
    int64_t room;

    TRY(pg_fence_list(w->beside, w->store, o->arena, &list, &count, f));
    TRY(pg_integer(w->beside, "SELECT pg_catalog.current_setting('max_locks_per_transaction')::int8 * (pg_catalog.current_setting('max_connections')::int8"
                              " + pg_catalog.current_setting('max_prepared_transactions')::int8)", &room, f));
    if ((int64_t)count > room / 2)
        add(o, "locks", true, arena_format(o->arena, "%zu relations are to be locked at once, and the old side has room for %" PRId64 " locks: raise max_locks_per_transaction to %" PRId64 " and restart it",
                                           count, room, 64 * (2 * (int64_t)count / (room > 0 ? room : 1) + 1)));
    for (size_t i = 0; i < count; i++)
        if (list[i].state != 'D')
            add(o, "fence", true, arena_format(o->arena, "%s has %s on the side that serves", list[i].qualified, list[i].state == '\0' ? "no fence" : "a shut fence"));
    return look_at_new_fences(w, list, count, o, f);
}

/* Each stream carries every table that is switched: what is not published on the way back could not be taken back. */
static enum err look_at_published(struct store_switch *w, enum store_side on, struct obstacles *o, struct fault *f)
{
    const struct config_store *c = w->store->store;
    struct store from = *w->store;
    char publication[NAME_SIZE];
    const char *params[1];
    AUTO_RESULT *r = NULL;

    from.store = on == STORE_SOURCE ? c : c->other;
    from.name = from.store->name;
    params[0] = name_publication(&from, publication);
    TRY(pg_query(on == STORE_SOURCE ? w->beside : w->there, SQL_SWITCH_UNPUBLISHED, 1, params, &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        if (config_chooses(c, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)))
            add(o, "unpublished", true, arena_format(o->arena, "%s.%s is not carried by the stream %s yet: it is taken up within some seconds where both sides have it", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), from.name));
    return ERR_OK;
}

/* A standby that nothing waits for may be promoted without the decision, and then takes writes beside the other side. */
static enum err look_at_standbys(struct pg *pg, const char *side, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) FROM pg_catalog.pg_stat_replication r"
                    " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')", &r, f));
    if (pg_get_int(r, 0, 0) > 0 && pg_get_int(r, 0, 1) == 0)
        add(o, "standby", false, arena_format(o->arena, "the %s has %s standby(s), none of them synchronous: suspend automatic failover while you switch and say so with --no-failover, or make one synchronous", side, PQgetvalue(r, 0, 0)));
    return ERR_OK;
}

static bool is_among(const struct fenced *list, size_t count, uint32_t oid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].oid == oid)
            return true;
    return false;
}

/* The role may not see which tables: the person has to. */
static enum err name_subscriptions(struct pg *pg, const char *side, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, "SELECT subname FROM pg_catalog.pg_subscription WHERE subenabled AND subdbid ="
                    " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY subname", &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        add(o, "subscription", false, arena_format(o->arena, "subscription %s brings rows in on the %s, past every fence; only a superuser may see into which tables: see that none of them is moved", PQgetvalue(r, i, 0), side));
    return ERR_OK;
}

/* What it brings would go on coming in on the side that no longer serves, or comes in beside the stream. */
static enum err look_at_subscriptions(struct store_switch *w, struct pg *pg, const char *side, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    struct fault refused = {0};
    struct fenced *list;
    size_t count;
    const char *named = "";
    enum err err = pg_exec(pg, SQL_SWITCH_SUBSCRIPTIONS, &r, &refused);

    if (err == ERR_RIGHT_MISSING)
        return name_subscriptions(pg, side, o, f);
    *f = refused;
    TRY(err);
    TRY(pg_fence_list(pg, w->store, o->arena, &list, &count, f));
    for (int i = 0; i < PQntuples(r); i++) {
        const char *name = PQgetvalue(r, i, 0);
        if (strcmp(name, named) == 0 || !is_among(list, count, (uint32_t)pg_get_int(r, i, 1)))
            continue;
        named = name;
        add(o, "subscription", true, arena_format(o->arena, "subscription %s brings rows in on the %s, past every fence: ALTER SUBSCRIPTION %s DISABLE there, and make it on the side that serves once it does", name, side, pg_quote_ident(o->arena, name)));
    }
    return ERR_OK;
}

enum err pg_switch_obstacles(struct store_switch *w, struct arena *a, struct switch_obstacle **ret, size_t *ret_count, struct fault *f)
{
    struct obstacles o = {a, arena_alloc(a, 256 * sizeof *o.list), 0, 256};

    TRY(look_at_prepared(w, &o, f));
    TRY(look_at_sessions(w, w->beside, &o, f));
    TRY(look_at_sessions(w, w->there, &o, f));
    TRY(look_at_locks(w, &o, f));
    TRY(look_at_subscriptions(w, w->beside, "old side", &o, f));
    TRY(look_at_subscriptions(w, w->there, "new side", &o, f));
    TRY(look_at_published(w, STORE_SOURCE, &o, f));
    TRY(look_at_published(w, STORE_TARGET, &o, f));
    TRY(look_at_standbys(w->beside, "old side", &o, f));
    TRY(look_at_standbys(w->there, "new side", &o, f));
    *ret = o.list;
    *ret_count = o.count;
    return ERR_OK;
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

static enum err lock_all(struct store_switch *w, struct fault *f)
{
    AUTO_BUF sql = {0};

    for (size_t i = 0; i < w->locked_count; i++)
        buf_addf(&sql, "%sONLY %s", i > 0 ? ", " : "LOCK TABLE ", w->locked[i].qualified);
    if (w->locked_count == 0)
        return ERR_OK;
    buf_adds(&sql, " IN SHARE ROW EXCLUSIVE MODE");
    return pg_exec(w->deciding, buf_cstr(&sql), NULL, f);
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

    arena_reset(w->arena);
    TRY(pg_fence_list(w->beside, w->store, w->arena, &w->locked, &w->locked_count, f));
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

enum err pg_switch_mark(struct store_switch *w, enum store_side on, int64_t mark, struct fault *f)
{
    char number[32];
    const char *params[] = {w->store->migration, stream_from(w, on), number};

    snprintf(number, sizeof number, "%" PRId64, mark);
    return pg_query(on == STORE_SOURCE ? w->beside : w->there, "INSERT INTO leat.mark (migration, store, attempt, token) VALUES ($1, $2, $3, 0)", 3, params, NULL, f);
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

/* --- check --- */

/* In the deciding session, which sees what was committed up to its locks: what is chosen now is what was locked, and fenced. */
static enum err check_old(struct store_switch *w, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct fenced *now;
    size_t count;

    TRY(pg_fence_list(w->deciding, w->store, a, &now, &count, f));
    if (count != w->locked_count)
        return fault_set(f, ERR_BUSY, "tables came or went while the switch began");
    for (size_t i = 0; i < count; i++) {
        if (now[i].oid != w->locked[i].oid)
            return fault_set(f, ERR_BUSY, "tables came or went while the switch began");
        if (now[i].state != 'D')
            return fault_set(f, ERR_GATE, "%s has no open fence", now[i].qualified);
    }
    return ERR_OK;
}

/* The old side's value and as much more as sessions there may hold cached: nextval is stopped by no lock. A CYCLE sequence goes on
 * exactly where it was. */
static int64_t beyond(const PGresult *r, int row)
{
    int64_t last = pg_get_int(r, row, 2);
    int64_t increment = pg_get_int(r, row, 3);
    int64_t cache = pg_get_int(r, row, 4);

    if (pg_get_bool(r, row, 7))
        return last;
    return pg_sequence_ahead(last, increment, cache, pg_get_int(r, row, 5), pg_get_int(r, row, 6));
}

/* One statement; only while this side's row says that it does not serve. */
static enum err set_sequences(struct store_switch *w, const PGresult *r, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    AUTO_BUF list = {0};

    for (int i = 0; i < PQntuples(r); i++)
        if (!PQgetisnull(r, i, 2)) /* else it was never used */
            buf_addf(&list, "%s(%s,%s,%" PRId64 "::pg_catalog.int8,%s::pg_catalog.int8,%s)", list.len > 0 ? "," : "", pg_quote_literal(a, PQgetvalue(r, i, 0)), pg_quote_literal(a, PQgetvalue(r, i, 1)),
                 beyond(r, i), PQgetvalue(r, i, 3), pg_get_bool(r, i, 7) ? "true" : "false");
    if (list.len == 0)
        return ERR_OK;
    return pg_execf(w->there, NULL, f,
                    "WITH side AS (SELECT 1 FROM leat.authority WHERE migration = %s AND store = %s AND NOT open FOR SHARE),"
                    " wanted(nsp, name, value, step, cycle) AS (VALUES %s)"
                    " SELECT pg_catalog.setval(c.oid::pg_catalog.regclass, w.value) FROM side, wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.nsp"
                    " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind = 'S'"
                    " WHERE coalesce(CASE WHEN w.cycle THEN true WHEN w.step > 0 THEN w.value > pg_catalog.pg_sequence_last_value(c.oid)"
                    " ELSE w.value < pg_catalog.pg_sequence_last_value(c.oid) END, true)",
                    pg_quote_literal(a, w->store->migration), pg_quote_literal(a, store_base(w->store)), buf_cstr(&list));
}

static enum err bring_sequences(struct store_switch *w, struct fault *f)
{
    char after[16] = "0";
    int rows;

    do {
        const char *params[] = {after};
        AUTO_RESULT *r = NULL;

        TRY(pg_query(w->beside, SQL_SWITCH_SEQUENCES, 1, params, &r, f));
        rows = PQntuples(r);
        TRY(set_sequences(w, r, f));
        if (rows > 0)
            snprintf(after, sizeof after, "%s", PQgetvalue(r, rows - 1, 8));
    } while (rows == 500);
    return ERR_OK;
}

/* In the deciding transaction: shut for everybody if it commits, and never were if it does not. The decision itself is then one row. */
static enum err shut_fences(struct store_switch *w, struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {name_fence(w->store, fence)};

    return pg_query(w->deciding, "SELECT leat.fence_set($1, 'ENABLE ALWAYS')", 1, params, NULL, f);
}

enum err pg_switch_check(struct store_switch *w, struct fault *f)
{
    ENSURE(w->locks);
    TRY(check_old(w, f));
    TRY(shut_fences(w, f));
    return bring_sequences(w, f);
}

/* --- decide, open --- */

static enum side new_side(const struct store_switch *w)
{
    return w->store->store->back ? SIDE_SOURCE : SIDE_TARGET;
}

enum err pg_switch_prepare_open(struct store_switch *w, int64_t epoch, int64_t attempt, int64_t deadline_ms, struct fault *f)
{
    struct authority_key k = authority_key(w->store);
    bool could = false;
    enum err err = begin(w->opening, deadline_ms, &w->opens, f);

    if (err == ERR_OK)
        err = pg_authority_open(w->opening, &k, epoch, new_side(w), attempt, &could, f);
    if (err == ERR_OK && !could)
        err = fault_set(f, ERR_SWITCH_HELD_UP, "the new side's row is not that of epoch %" PRId64 ", attempt %" PRId64, epoch - 1, attempt);
    if (err != ERR_OK)
        end(w->opening, &w->opens);
    return err;
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
