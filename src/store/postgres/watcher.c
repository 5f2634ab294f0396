/* store/postgres/watcher.c — what the engine keeps an eye on: both logs, the slot, locks, sequences; and its heartbeat. */
#include "store/postgres/watcher.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/again.h"
#include "store/postgres/door_role.h"
#include "store/postgres/fence.h"
#include "store/postgres/identity.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/sequences.h"
#include "store/postgres/settle.h"

struct store_watcher {
    struct store *store;
    struct pg *source;
    struct pg *target;
};

enum err pg_watcher_open(struct store *s, bool source_only, struct store_watcher **ret, struct fault *f)
{
    struct store_watcher *w = mem_alloc(sizeof *w);
    enum err err;

    w->store = s;
    err = pg_connect(s->store->source, SIDE_SOURCE, "watch", &w->source, f);
    if (err == ERR_OK && !source_only)
        err = pg_connect(s->store->target, SIDE_TARGET, "watch", &w->target, f);
    if (err == ERR_OK && !source_only)
        err = pg_circle_enter(w->target, s, f);
    if (err == ERR_OK && !source_only)
        err = pg_exec(w->target, "SET synchronous_commit = off", NULL, f);
    if (err != ERR_OK) {
        pg_watcher_close(w);
        return err;
    }
    *ret = w;
    return ERR_OK;
}

void pg_watcher_close(struct store_watcher *w)
{
    if (w == NULL)
        return;
    pg_free(w->source);
    pg_free(w->target);
    free(w);
}

static const char *slot_state(const char *text)
{
    static const char *const states[] = {"reserved", "extended", "unreserved", "lost"};

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i], text) == 0)
            return states[i];
    return "missing";
}

static enum err poll_source(struct store_watcher *w, struct watch *ret, struct fault *f)
{
    char slot[NAME_SIZE];
    const char *params[] = {name_slot(w->store, slot)};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(w->source, w->source->major >= 13 ? SQL_WATCH_SOURCE : SQL_WATCH_SOURCE_12, 1, params, &r, f));
    if (PQntuples(r) != 1 || !lsn_parse(PQgetvalue(r, 0, 0), &ret->source_now))
        return fault_set(f, ERR_BUG, "the source's position");
    ret->slot_retained_bytes = pg_get_int(r, 0, 1);
    ret->slot_state = PQgetisnull(r, 0, 2) ? "missing" : slot_state(PQgetvalue(r, 0, 2));
    ret->replica_lag_us = pg_get_int(r, 0, 3);
    ret->oldest_xact_us = pg_get_int(r, 0, 4);
    ret->source_clock_us = pg_get_int(r, 0, 5);
    ret->slot_in_use = pg_get_bool(r, 0, 6);
    return ERR_OK;
}

enum err pg_watcher_poll(struct store_watcher *w, struct watch *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(poll_source(w, ret, f));
    if (w->target == NULL)
        return ERR_OK;
    TRY(pg_exec(w->target, "SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_wal_flush_lsn()", &r, f));
    if (!lsn_parse(PQgetvalue(r, 0, 0), &ret->target_now) || !lsn_parse(PQgetvalue(r, 0, 1), &ret->target_flushed))
        return fault_set(f, ERR_BUG, "the target's position");
    return ERR_OK;
}

enum err pg_watcher_heartbeat(struct store_watcher *w, struct lsn acknowledged, struct fault *f)
{
    char stream[NAME_SIZE];
    char token[24];
    char position[LSN_TEXT_SIZE];
    const char *params[] = {w->store->migration, name_stream(w->store, STREAM_HEARTBEAT, stream), lsn_text(acknowledged, position), token};

    snprintf(token, sizeof token, "%" PRId64, w->store->token);
    return pg_query(w->source, "INSERT INTO leat.progress (migration, stream, lane, position, token) VALUES ($1, $2, '', $3, $4)", 4, params, NULL, f);
}

/* On the target the newest mark of every lane stays, on the source the newest heartbeats; copies' marks go with their record. */
enum err pg_watcher_trim(struct store_watcher *w, struct fault *f)
{
    char forward[NAME_SIZE];
    char join[NAME_SIZE];
    char ahead_stream[NAME_SIZE];
    char heartbeat[NAME_SIZE];
    const char *of_target[] = {w->store->migration, name_stream(w->store, STREAM_FORWARD, forward), name_stream(w->store, STREAM_JOIN, join),
                               name_stream(w->store, STREAM_AHEAD, ahead_stream)};
    const char *of_source[] = {w->store->migration, name_stream(w->store, STREAM_HEARTBEAT, heartbeat)};

    TRY(pg_query(w->target, SQL_TRIM_TARGET, 4, of_target, NULL, f));
    return pg_query(w->source, "DELETE FROM leat.progress WHERE migration = $1 AND stream = $2 AND ctid <> ALL (ARRAY(SELECT ctid FROM leat.progress"
                               " WHERE migration = $1 AND stream = $2 ORDER BY position DESC LIMIT 1))", 2, of_source, NULL, f);
}

/* --- sequences --- */

/* A stream keeps the sequences ahead only where it leads away from the side that serves: two that did would chase each other for ever. */
static enum err leads_away(struct store_watcher *w, bool *ret, struct fault *f)
{
    struct switch_row row;

    TRY(pg_authority_read(w->source, w->store, &row, f));
    *ret = row.there ? row.open : !w->store->store->back;
    return ERR_OK;
}

enum err pg_watcher_authority(struct store_watcher *w, struct switch_row *ret, struct fault *f)
{
    return pg_authority_read(w->source, w->store, ret, f);
}

static struct pg *reach_watched(void *ctx, enum side side, struct fault *f)
{
    struct store_watcher *w = ctx;
    struct pg *pg = (side == SIDE_SOURCE) != w->store->store->back ? w->source : w->target;

    if (PQstatus(pg->conn) == CONNECTION_OK)
        return pg;
    (void)!fault_set(f, side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST, "the engine's session is gone");
    return NULL;
}

static void lost_watched(void *ctx, enum side side)
{
    (void)ctx;
    (void)side; /* the engine ends with its session */
}

enum err pg_watcher_settle(struct store_watcher *w, struct switch_settled *ret, struct fault *f)
{
    struct settling how = {.key = authority_key(w->store),
                           .reach = reach_watched,
                           .lost = lost_watched,
                           .ctx = w,
                           .state_dir = w->store->state_dir};
    struct settle_result s;
    struct authority_row old;
    struct authority_row new;

    TRY(pg_authority_row(w->source, &how.key, &old, f));
    TRY(pg_authority_row(w->target, &how.key, &new, f));
    *ret = (struct switch_settled){new.here == SIDE_SOURCE, new.epoch, false, false};
    if (new.there &&new.open &&new.epoch >= old.epoch)
        return ERR_OK; /* it was carried out: an attempt that began since is not ended for that */
    TRY(pg_settle(&how, &s, f));
    *ret = (struct switch_settled){s.side == SIDE_SOURCE, s.epoch, s.opened, false};
    return ERR_OK;
}

/* One of the two was left by --force, and is there again without having been seen to come; or it stood still, shut. */
static enum err shut_the_left(struct store_watcher *w, struct fault *f)
{
    struct settling how = {.key = authority_key(w->store), .reach = reach_watched, .lost = lost_watched, .ctx = w};
    bool left;

    return pg_settle_leave(&how, &left, f);
}

/* Both are looked at, whatever one of them says. */
enum err pg_watcher_fences(struct store_watcher *w, struct arena *a, const char **ret_source, const char **ret_target, struct fault *f)
{
    struct fault second = {0};
    enum err err = shut_the_left(w, f);
    enum err there;

    if (err == ERR_OK)
        err = pg_fence_mend(w->source, w->store, a, ret_source, f);
    there = pg_fence_mend(w->target, w->store, a, ret_target, &second);

    if (err == ERR_OK)
        *f = second;
    return err != ERR_OK ? err : there;
}

enum err pg_watcher_doors(struct store_watcher *w, struct fault *f)
{
    TRY(pg_door_role_grant(w->source, w->store->store, SIDE_SOURCE, f));
    return w->target != NULL ? pg_door_role_grant(w->target, w->store->store, SIDE_TARGET, f) : ERR_OK;
}

/* In portions: every sequence asked is locked until its statement ends. A value only ever moves the way the sequence counts.
 * CYCLE sequences move inside the switch only. */
enum err pg_watcher_sequences(struct store_watcher *w, uint64_t *ret_moved, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    bool leads;

    *ret_moved = 0;
    TRY(leads_away(w, &leads, f));
    if (!leads)
        return ERR_OK;
    return pg_sequences_carry(
        w->source, w->target, false,
        arena_format(a,
                     "SELECT 1 FROM leat.lease WHERE migration = %s AND store = %s AND token = %" PRId64
                     " FOR SHARE", /* only while the lease is ours */
                     pg_quote_literal(a, w->store->migration), pg_quote_literal(a, w->store->name), w->store->token),
        0, ret_moved, f);
}

/* --- the rest --- */

enum err pg_watcher_blocking(struct store_watcher *w, int64_t limit_us, uint32_t *oids, size_t size, size_t *ret_count, struct fault *f)
{
    char limit[32];
    const char *params[] = {limit};
    AUTO_RESULT *r = NULL;
    size_t n = 0;

    snprintf(limit, sizeof limit, "%" PRId64 " microseconds", limit_us);
    TRY(pg_query(w->source, SQL_BLOCKED_BY_COPY, 1, params, &r, f));
    for (int i = 0; i < PQntuples(r) && n < size; i++)
        oids[n++] = (uint32_t)pg_get_int(r, i, 0);
    *ret_count = n;
    return ERR_OK;
}

enum err pg_watcher_emptied(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f)
{
    return pg_emptied(w->store, w->source, w->target, a, ret, f);
}

enum err pg_watcher_logged(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f)
{
    return pg_logged_since(w->store, w->source, w->target, a, ret, f);
}

enum err pg_watcher_identity(struct store_watcher *w, const struct catalog *source, struct arena *a, const char **ret, struct fault *f)
{
    AUTO_BUF text = {0};
    struct identity_wanted *given;
    size_t count;

    *ret = NULL;
    TRY(pg_identity_give(w->source, source, a, &given, &count, f));
    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%s%s", i > 0 ? "\n" : "", given[i].give);
    if (count > 0)
        *ret = arena_strdup(a, buf_cstr(&text));
    return ERR_OK;
}

static enum err is_on_target(struct store_watcher *w, const char *schema, const char *name, bool *ret, struct fault *f)
{
    const char *params[] = {schema, name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(w->target, "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'", 2, params, &r, f));
    *ret = PQntuples(r) == 1;
    return ERR_OK;
}

enum err pg_watcher_unpublished(struct store_watcher *w, size_t *ret_count, struct fault *f)
{
    char publication[NAME_SIZE];
    const char *params[] = {name_publication(w->store, publication)};
    AUTO_RESULT *r = NULL;

    *ret_count = 0;
    TRY(pg_query(w->source, SQL_SWITCH_UNPUBLISHED, 1, params, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        bool there = false;
        if (config_chooses(w->store->store, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)))
            TRY(is_on_target(w, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), &there, f));
        *ret_count += there;
    }
    return ERR_OK;
}

enum err pg_watcher_ledger(struct store_watcher *w, int64_t *ret_count, struct fault *f)
{
    const char *params[] = {w->store->migration, w->store->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(w->target, "SELECT pg_catalog.count(*) FROM leat.ledger WHERE migration = $1 AND store = $2 AND settled IS NULL", 2, params, &r, f));
    *ret_count = pg_get_int(r, 0, 0);
    return ERR_OK;
}

enum err pg_watcher_drop_slot(struct store_watcher *w, struct fault *f)
{
    char slot[NAME_SIZE];
    const char *params[] = {name_slot(w->store, slot)};

    return pg_query(w->source, "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", 1, params, NULL, f);
}

/* --- the schema, where no event trigger notes its changes --- */

enum err pg_watcher_schema(struct store_watcher *w, char *ret, size_t size, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(w->source, SQL_SCHEMA_SUMS, &r, f));
    snprintf(ret, size, "%s", PQntuples(r) == 1 && !PQgetisnull(r, 0, 0) ? PQgetvalue(r, 0, 0) : "");
    return ERR_OK;
}

static int index_order(const PGresult *x, int i, const PGresult *y, int k)
{
    int order = strcmp(PQgetvalue(x, i, 0), PQgetvalue(y, k, 0));

    return order != 0 ? order : strcmp(PQgetvalue(x, i, 1), PQgetvalue(y, k, 1));
}

enum err pg_watcher_indexes(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f)
{
    AUTO_RESULT *source = NULL;
    AUTO_RESULT *target = NULL;
    AUTO_BUF names = {0};
    int found = 0;

    TRY(pg_exec(w->source, SQL_INDEX_NAMES, &source, f));
    TRY(pg_exec(w->target, SQL_INDEX_NAMES, &target, f));
    for (int i = 0, k = 0; i < PQntuples(source); i++) {
        while (k < PQntuples(target) && index_order(source, i, target, k) > 0)
            k++;
        if (k < PQntuples(target) && index_order(source, i, target, k) == 0)
            continue;
        if (!config_chooses(w->store->store, PQgetvalue(source, i, 0), PQgetvalue(source, i, 2)))
            continue;
        if (++found <= 5)
            buf_addf(&names, "%s%s.%s", found > 1 ? ", " : "", PQgetvalue(source, i, 0), PQgetvalue(source, i, 1));
    }
    *ret = arena_strdup(a, buf_cstr(&names));
    return ERR_OK;
}
