/* store/postgres/examine_wal.c — logical decoding on the source: its level, its slots and senders, and what holds it up. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/postgres/examine_internal.h"
#include "store/postgres/names.h"

#define MEGABYTE ((int64_t)1024 * 1024)
#define SENDER_TIMEOUT_LOW_MS 10000
/* Sessions beside the workers: engine, holder, watcher, stream, arming, doctor itself. */
#define SESSIONS_BESIDE 8

static const char *how_to_set_wal_level(const struct examine_end *end)
{
    const char *service = examine_service(end);

    if (strcmp(service, "Amazon RDS") == 0)
        return "set rds.logical_replication = 1 in the instance's parameter group, then reboot it";
    if (strcmp(service, "Google Cloud SQL") == 0)
        return "gcloud sql instances patch INSTANCE --database-flags=cloudsql.logical_decoding=on";
    if (strcmp(service, "Google AlloyDB") == 0)
        return "set the flag alloydb.logical_decoding=on of the instance";
    if (strcmp(service, "Azure Database") == 0)
        return "set the server parameter wal_level to logical, then restart the server";
    return "ALTER SYSTEM SET wal_level = logical; -- then restart the source";
}

enum err examine_wal_level(struct examine *e, const struct examine_check *c, struct fault *f)
{
    const char *level = examine_fact(examine_source(e), "wal_level");

    (void)f;
    if (strcmp(level, "logical") == 0)
        examine_fine(e, c->id, "source", "wal_level is logical");
    else
        examine_tell(e, REMARK_FOUND, c->id, "source", how_to_set_wal_level(examine_source(e)), "wal_level is %s: changes cannot be read from the source's log", level);
    return ERR_OK;
}

static bool slot_is_there(struct examine *e, const char *slot)
{
    const char *params[] = {slot};
    AUTO_RESULT *r = NULL;

    return pg_query(examine_source(e)->pg, "SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", 1, params, &r, NULL) == ERR_OK && PQntuples(r) > 0;
}

static const char *own_slot(const struct examine *e, char name[NAME_SIZE])
{
    struct store s = {.migration = e->config->migration, .name = e->store->name, .store = e->store};

    return name_slot(&s, name);
}

/* A limit of the server against what is in use and what we need. */
static void tell_room(struct examine *e, const char *id, enum side side, const char *setting, int64_t limit, int64_t used, int64_t needed, const char *of_what)
{
    const char *fix = arena_format(e->arena, "ALTER SYSTEM SET %s = %" PRId64 "; -- then restart the %s", setting, used + needed + limit / 2, side_name(side));

    if (limit - used >= needed)
        examine_fine(e, id, side_name(side), "%" PRId64 " of %" PRId64 " %s are free (%s)", limit - used, limit, of_what, setting);
    else
        examine_tell(e, REMARK_FOUND, id, side_name(side), fix, "%" PRId64 " of %" PRId64 " %s are in use, leat needs %" PRId64 " (%s)", used, limit, of_what, needed, setting);
}

enum err examine_slots(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);
    char slot[NAME_SIZE];

    (void)f;
    if (!slot_is_there(e, own_slot(e, slot)))
        tell_room(e, c->id, SIDE_SOURCE, "max_replication_slots", examine_number(source, "max_replication_slots", 0), examine_number(source, "slots", 0), 1, "replication slots");
    return ERR_OK;
}

enum err examine_senders(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);
    int64_t timeout = examine_number(source, "wal_sender_timeout", 60000);

    (void)f;
    if (!e->ours)
        tell_room(e, c->id, SIDE_SOURCE, "max_wal_senders", examine_number(source, "max_wal_senders", 0), examine_number(source, "senders", 0), 1, "WAL senders");
    if (timeout > 0 && timeout < SENDER_TIMEOUT_LOW_MS)
        examine_tell(e, REMARK_FOUND, "sender-timeout", "source", "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf()",
                     "wal_sender_timeout is %" PRId64 " ms: a short stall of the network ends the stream, and it begins anew at the slot's position", timeout);
    return ERR_OK;
}

enum err examine_slot_limits(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);
    int64_t keep = examine_number(source, "max_slot_wal_keep_size", -1);
    int64_t want = e->config->limits.source_wal / MEGABYTE;
    int64_t idle = examine_number(source, "idle_replication_slot_timeout", 0);
    const char *fix = arena_format(e->arena, "ALTER SYSTEM SET max_slot_wal_keep_size = '%" PRId64 "MB'; SELECT pg_reload_conf()", want + want / 4);

    (void)f;
    if (keep < 0)
        examine_fine(e, c->id, "source", "the source keeps all WAL a slot needs; leat itself stops at limits.source_wal = %" PRId64 " MB", want);
    else if (keep < want)
        examine_tell(e, REMARK_FOUND, c->id, "source", fix,
                     "max_slot_wal_keep_size is %" PRId64 " MB, limits.source_wal is %" PRId64 " MB: the source would drop the slot, and with it the copy, before leat slows down", keep, want);
    else
        examine_fine(e, c->id, "source", "max_slot_wal_keep_size is %" PRId64 " MB, beyond limits.source_wal of %" PRId64 " MB", keep, want);
    if (idle > 0)
        examine_tell(e, REMARK_FOUND, "slot-idle-limit", "source", "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()",
                     "idle_replication_slot_timeout is %" PRId64 ": if leat is away for longer, the source invalidates its slot and everything is copied again", idle);
    return ERR_OK;
}

enum err examine_slot_name(struct examine *e, const struct examine_check *c, struct fault *f)
{
    char slot[NAME_SIZE];
    const char *params[] = {own_slot(e, slot)};
    const char *drop = arena_format(e->arena, "SELECT pg_drop_replication_slot('%s')", slot);
    AUTO_RESULT *r = NULL;

    TRY(pg_query(examine_source(e)->pg, "SELECT coalesce(plugin, ''), coalesce(database, ''), active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", 1, params, &r, f));
    if (PQntuples(r) == 0)
        return ERR_OK;
    if (strcmp(PQgetvalue(r, 0, 0), "pgoutput") != 0 || strcmp(PQgetvalue(r, 0, 1), examine_source(e)->pg->database) != 0)
        examine_tell(e, REMARK_BLOCKER, c->id, slot, drop, "a slot of the name leat would use is there, and is not leat's (%s%s%s)",
                     PQgetvalue(r, 0, 0)[0] != '\0' ? PQgetvalue(r, 0, 0) : "physical", PQgetvalue(r, 0, 1)[0] != '\0' ? ", database " : "", PQgetvalue(r, 0, 1));
    else if (e->ours)
        examine_fine(e, c->id, slot, "the slot of this migration is there%s", pg_get_bool(r, 0, 2) ? " and is being read" : "");
    else
        examine_tell(e, REMARK_FOUND, c->id, slot, drop, "a slot of the name leat would use is there%s, left by an earlier attempt: it keeps WAL, and is made anew when the migration begins",
                     pg_get_bool(r, 0, 2) ? ", in use" : "");
    return ERR_OK;
}

enum err examine_sessions(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct examine_end *source = examine_source(e);

    (void)f;
    if (!examine_true(source, "sees_sessions"))
        examine_tell(e, REMARK_FOUND, c->id, "source", arena_format(e->arena, "GRANT pg_monitor TO %s", source->role_quoted),
                     "role %s does not see what other sessions do: leat cannot say who holds up a slot or a snapshot, nor how far the source's standbys are", source->role);
    return ERR_OK;
}

enum err examine_synchronous(struct examine *e, const struct examine_check *c, struct fault *f)
{
    const char *names = examine_fact(examine_source(e), "synchronous_standby_names");

    (void)f;
    if (names[0] != '\0')
        examine_tell(e, REMARK_FOUND, c->id, "source", "",
                     "commits on the source wait for standbys (%s): when these are away, a commit that waits is in the log but not yet visible, and leat's first snapshots wait for it", names);
    return ERR_OK;
}

/* --- connections --- */

static int64_t least(int64_t a, int64_t limit, int64_t used)
{
    return limit >= 0 && limit - used < a ? limit - used : a;
}

static void tell_connections(struct examine *e, const char *id, enum side side, int64_t needed)
{
    struct examine_end *end = &e->ends[side];
    int64_t reserved = examine_true(end, "superuser") ? 0 : examine_number(end, "superuser_reserved_connections", 3) + examine_number(end, "reserved_connections", 0);
    int64_t max = examine_number(end, "max_connections", 100);
    int64_t used = examine_number(end, "sessions", 0);
    int64_t free_ones = max - reserved - used;
    const char *fix = arena_format(e->arena, "ALTER SYSTEM SET max_connections = %" PRId64 "; -- then restart the %s; or lower limits.copy_workers in leat.yaml", max + needed, side_name(side));

    if (least(free_ones, examine_number(end, "role_connections", -1), 0) < free_ones) {
        free_ones = least(free_ones, examine_number(end, "role_connections", -1), 0);
        fix = arena_format(e->arena, "ALTER ROLE %s CONNECTION LIMIT -1", end->role_quoted);
    }
    if (least(free_ones, examine_number(end, "database_connections", -1), used) < free_ones) {
        free_ones = least(free_ones, examine_number(end, "database_connections", -1), used);
        fix = arena_format(e->arena, "ALTER DATABASE %s CONNECTION LIMIT -1", end->database_quoted);
    }
    if (free_ones >= needed)
        examine_fine(e, id, side_name(side), "%" PRId64 " connections are free, leat uses up to %" PRId64, free_ones, needed);
    else
        examine_tell(e, REMARK_FOUND, id, side_name(side), fix, "%" PRId64 " connections are free, leat uses up to %" PRId64, free_ones > 0 ? free_ones : 0, needed);
}

enum err examine_connections(struct examine *e, const struct examine_check *c, struct fault *f)
{
    const struct config_limits *limits = &e->config->limits;

    (void)f;
    tell_connections(e, c->id, SIDE_SOURCE,
                     (limits->copy_workers > limits->verify_workers ? limits->copy_workers : limits->verify_workers) +
                         SESSIONS_BESIDE);
    tell_connections(e, c->id, SIDE_TARGET, limits->copy_workers + limits->index_workers + limits->apply_lanes + SESSIONS_BESIDE);
    return ERR_OK;
}
