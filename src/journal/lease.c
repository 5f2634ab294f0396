/* journal/lease.c — see lease.h.
 *
 *   FREE --take--> HELD --drop--> FREE
 *                   ^ |
 *                   +-+ renew; or taken from a holder that is dead, or was silent for its ttl
 *
 * Invariants
 *  1. Every taking gives out a token higher than all before it; the row, and with it the token, outlives a release.
 *  2. A lease is taken from its holder only if that process is known to have ended, or did not renew for its own ttl.
 *     The second is a guess (it may be stopped, not dead), so what it would still write has to be refused by its token.
 *  3. Who was fenced out never renews or drops what another holds. */
#include "journal/lease.h"

#include <inttypes.h>

#include "base/world.h"
#include "journal/body.h"
#include "journal/holder.h"
#include "journal/record.h"

struct lease {
    int64_t token;
    bool held;
    struct holder holder;
    int64_t ttl_us;
    int64_t taken_at_us;
    int64_t renewed_at_us;
    int64_t renewed_mono_us;
};

/* A lease nobody ever took has token 0. */
static enum err lease_find(struct db *db, const char *name, struct lease *ret, struct fault *f)
{
    struct lease lease = {0};
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_LEASE_GET, &stmt, f, "t", name));
    TRY(db_step(db, stmt, &row, f));
    if (row) {
        lease.token = sqlite3_column_int64(stmt, 0);
        lease.held = sqlite3_column_int64(stmt, 1) != 0;
        snprintf(lease.holder.host, sizeof lease.holder.host, "%s", db_text(stmt, 2));
        snprintf(lease.holder.place, sizeof lease.holder.place, "%s", db_text(stmt, 3));
        lease.holder.pid = sqlite3_column_int64(stmt, 4);
        lease.holder.started = sqlite3_column_int64(stmt, 5);
        lease.ttl_us = sqlite3_column_int64(stmt, 6);
        lease.taken_at_us = sqlite3_column_int64(stmt, 7);
        lease.renewed_at_us = sqlite3_column_int64(stmt, 8);
        lease.renewed_mono_us = sqlite3_column_int64(stmt, 9);
        db_reset(stmt);
    }
    *ret = lease;
    return ERR_OK;
}

/* Within one place both look at one clock that never goes back. Elsewhere only the wall clocks can be compared; a
 * renewal in the future counts as just made. */
static int64_t silence_us(const struct lease *lease, const struct holder *self)
{
    bool same_clock = self->place[0] != '\0' && strcmp(self->place, lease->holder.place) == 0;
    int64_t us = same_clock ? world_mono_us() - lease->renewed_mono_us : world_wall_us() - lease->renewed_at_us;

    return us > 0 ? us : 0;
}

static enum err lease_held(const struct lease *lease, enum holder_state state, int64_t silence, struct fault *f)
{
    int64_t left_s = (lease->ttl_us - silence) / 1000000 + 1;
    char since[WORLD_TIME_SIZE];
    char todo[512] = "let it work (`leat status`), or stop it with `leat stop`";

    if (state == HOLDER_UNKNOWN)
        snprintf(todo, sizeof todo, "let it work, or stop it on %s; if that is gone, run again in %" PRId64 " s",
                 lease->holder.host, left_s);
    return fault_todo(f, ERR_LEASE_HELD, todo,
                      "process %" PRId64 " on %s works on it since %s, and was heard of %" PRId64 ".%" PRId64 " s ago",
                      lease->holder.pid, lease->holder.host, world_time_words(lease->taken_at_us, since),
                      silence / 1000000, silence / 100000 % 10);
}

/* Why the lease may be taken from who has it, or ERR_LEASE_HELD. */
static enum err lease_judge(const struct lease *lease, const struct holder *self, const char **ret_why, struct fault *f)
{
    int64_t silence = silence_us(lease, self);
    enum holder_state state = holder_look(&lease->holder);

    if (state != HOLDER_DEAD && silence < lease->ttl_us)
        return lease_held(lease, state, silence, f);
    *ret_why = state == HOLDER_DEAD ? "its process has ended" : "it was not renewed in time";
    return ERR_OK;
}

static enum err taken_body(const char *name, const struct lease *mine, const struct lease *old, const char *why,
                           struct buf *out, struct fault *f)
{
    buf_adds(out, "{\"lease\":");
    TRY(body_add_string(out, name, f));
    buf_addf(out, ",\"token\":%" PRId64 ",\"pid\":%" PRId64 ",\"host\":", mine->token, mine->holder.pid);
    TRY(body_add_string(out, mine->holder.host, f));
    if (why != NULL) {
        buf_addf(out, ",\"from\":{\"pid\":%" PRId64 ",\"host\":", old->holder.pid);
        TRY(body_add_string(out, old->holder.host, f));
        buf_adds(out, ",\"because\":");
        TRY(body_add_string(out, why, f));
        buf_addc(out, '}');
    }
    buf_addc(out, '}');
    return ERR_OK;
}

enum err lease_take(struct db *db, const char *name, int64_t ttl_us, int64_t *ret_token, struct fault *f)
{
    AUTO_BUF body = {0};
    struct lease old;
    struct lease mine = {.ttl_us = ttl_us, .taken_at_us = world_wall_us(), .renewed_mono_us = world_mono_us()};
    const char *why = NULL;

    ENSURE(ttl_us > 0);
    holder_self(&mine.holder);
    TRY(lease_find(db, name, &old, f));
    if (old.held)
        TRY(lease_judge(&old, &mine.holder, &why, f));
    mine.token = old.token + 1;
    TRY(taken_body(name, &mine, &old, why, &body, f));
    TRY(db_run(db, DB_LEASE_PUT, f, "tittiiiii", name, mine.token, mine.holder.host, mine.holder.place, mine.holder.pid,
               mine.holder.started, mine.ttl_us, mine.taken_at_us, mine.renewed_mono_us));
    TRY(record_event(db, "", EVENT_LEASE, buf_cstr(&body), f));
    *ret_token = mine.token;
    return ERR_OK;
}

static enum err lease_find_own(struct db *db, const char *name, int64_t token, struct lease *ret, struct fault *f)
{
    char since[WORLD_TIME_SIZE];

    TRY(lease_find(db, name, ret, f));
    if (ret->token == token && token > 0)
        return ERR_OK;
    return fault_set(f, ERR_FENCED_OUT, "process %" PRId64 " on %s took %s at %s: token %" PRId64 ", ours is %" PRId64,
                     ret->holder.pid, ret->holder.host, name, world_time_words(ret->taken_at_us, since), ret->token,
                     token);
}

enum err lease_renew(struct db *db, const char *name, int64_t token, struct fault *f)
{
    struct lease lease;

    TRY(lease_find_own(db, name, token, &lease, f));
    if (!lease.held)
        return fault_set(f, ERR_FENCED_OUT, "%s with token %" PRId64 " was given up already", name, token);
    return db_run(db, DB_LEASE_RENEW, f, "tii", name, world_wall_us(), world_mono_us());
}

enum err lease_drop(struct db *db, const char *name, int64_t token, struct fault *f)
{
    AUTO_BUF body = {0};
    struct lease lease;

    TRY(lease_find_own(db, name, token, &lease, f));
    if (!lease.held)
        return ERR_OK;
    buf_adds(&body, "{\"lease\":");
    TRY(body_add_string(&body, name, f));
    buf_addf(&body, ",\"token\":%" PRId64 "}", token);
    TRY(db_run(db, DB_LEASE_DROP, f, "t", name));
    return record_event(db, "", EVENT_LEASE_DROPPED, buf_cstr(&body), f);
}
