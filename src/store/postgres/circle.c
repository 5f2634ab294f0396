/* store/postgres/circle.c — who may write to the target for a store: sessions of the newest engine, and no other.
 *
 * Invariants
 *  1. A session writes only after it took the store's shared advisory lock and then saw its own token in leat.lease.
 *  2. An engine reads positions and copy records only after it put its token into leat.lease and then held that lock
 *     exclusively once: by then every session of an older token is gone, and none can enter (trap P33, P24).
 *  3. Where leat.lease says that a stream is barred (its target was opened by --force), none enters but the one that arms it anew. */
#include <inttypes.h>

#include "base/world.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"

#define CIRCLE_PATIENCE_US ((int64_t)60000000)
#define LOCK_PATIENCE_US ((int64_t)30000000)

enum err pg_end_lock_holders(struct pg *pg, int64_t key, struct fault *f)
{
    return pg_execf(pg, NULL, f,
                    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted"
                    " AND classid::pg_catalog.int8 = %" PRIu32 " AND objid::pg_catalog.int8 = %" PRIu32 " AND objsubid = 1 AND pid <> pg_catalog.pg_backend_pid()"
                    " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
                    (uint32_t)((uint64_t)key >> 32), (uint32_t)key);
}

enum err pg_take_lock(struct pg *pg, int64_t key, struct fault *f)
{
    int64_t deadline = world_mono_us() + LOCK_PATIENCE_US;

    for (;;) {
        AUTO_RESULT *r = NULL;
        TRY(pg_execf(pg, &r, f, "SELECT pg_catalog.pg_try_advisory_lock(%" PRId64 ")", key));
        if (pg_get_bool(r, 0, 0))
            return ERR_OK;
        TRY(pg_end_lock_holders(pg, key, f));
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "an older session still does in %s what this one is to do", pg->database);
        world_sleep_us(20000);
    }
}

static enum err enter(struct pg *pg, const struct store *s, bool through_the_bar, struct fault *f)
{
    char token[24];
    const char *params[] = {s->migration, s->name, token};
    AUTO_RESULT *r = NULL;

    snprintf(token, sizeof token, "%" PRId64, s->token);
    TRY(pg_execf(pg, NULL, f, "SELECT pg_catalog.pg_advisory_lock_shared(%" PRId64 ")", name_lock_key(s, "engine", "")));
    TRY(pg_query(pg, "SELECT barred FROM leat.lease WHERE migration = $1 AND store = $2 AND token = $3", 3, params, &r, f));
    if (PQntuples(r) != 1)
        return fault_set(f, ERR_FENCED_OUT, "token %s is no longer the target's", token);
    if (pg_get_bool(r, 0, 0) && !through_the_bar)
        return fault_set(f, ERR_LEFT_BEHIND, "the target was opened by --force, and the source was left: what it holds beyond is not brought there");
    return ERR_OK;
}

enum err pg_circle_enter(struct pg *pg, const struct store *s, struct fault *f)
{
    return enter(pg, s, false, f);
}

enum err pg_circle_enter_barred(struct pg *pg, const struct store *s, struct fault *f)
{
    return enter(pg, s, true, f);
}

enum err pg_circle_close(struct pg *pg, const struct store *s, struct fault *f)
{
    int64_t key = name_lock_key(s, "engine", "");
    int64_t deadline = world_mono_us() + CIRCLE_PATIENCE_US;

    for (;;) {
        AUTO_RESULT *r = NULL;
        TRY(pg_execf(pg, &r, f, "SELECT pg_catalog.pg_try_advisory_lock(%" PRId64 ")", key));
        if (pg_get_bool(r, 0, 0))
            return pg_execf(pg, NULL, f, "SELECT pg_catalog.pg_advisory_unlock(%" PRId64 ")", key);
        TRY(pg_end_lock_holders(pg, key, f));
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "sessions of an older leat are still open on the target");
        world_sleep_us(20000);
    }
}
