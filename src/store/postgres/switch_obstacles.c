/* store/postgres/switch_obstacles.c — what stands in the way of a switch, looked for while nobody waits: each is named with what to do, and whom it
 * hinders. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sql_embedded.h"
#include "store/postgres/door_role.h"
#include "store/postgres/left_out.h"
#include "store/postgres/names.h"
#include "store/postgres/switch_shape.h"
#include "store/postgres/switcher_internal.h"

#define LONG_TRANSACTION_S 5.0

struct obstacles {
    struct arena *arena;
    struct switch_obstacle *list;
    size_t count;
    size_t size;
};

static void add(struct obstacles *o, const char *what, enum switch_hindrance hinders, const char *why)
{
    if (o->count == o->size) {
        struct switch_obstacle *more = arena_alloc(o->arena, 2 * (o->size + 32) * sizeof *more);

        if (o->count > 0)
            memcpy(more, o->list, o->count * sizeof *more);
        o->list = more;
        o->size = 2 * (o->size + 32);
    }
    o->list[o->count++] = (struct switch_obstacle){what, why, hinders};
}

static enum err look_at_prepared(struct store_switch *w, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(w->beside, "SELECT gid, owner FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared LIMIT 20", &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        add(o, "prepared-transaction", HINDERS_ALL,
            arena_format(o->arena,
                         "%s of %s is prepared, and holds its locks until somebody ends it: COMMIT PREPARED or "
                         "ROLLBACK PREPARED",
                         PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)));
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
            add(o, "role-shared", HINDERS_ALL,
                arena_format(o->arena,
                             "%s works as leat's own role, which passes every fence: give leat a role of its own",
                             who));
        else if (pg == w->beside && age > LONG_TRANSACTION_S)
            add(o, "long-transaction", HINDERS_ALL,
                arena_format(o->arena, "%s has a transaction open for %.0f s: the switch would wait for it", who, age));
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
            add(o, "fence", HINDERS_ALL, arena_format(o->arena, "%s is not fenced on the new side", list[i].qualified));
    for (size_t i = 0; i < old_count; i++)
        if (find_named(list, count, old[i].qualified) == NULL)
            add(o, "table", HINDERS_ALL, arena_format(o->arena, "%s is not on the new side", old[i].qualified));
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
        add(o, "locks", HINDERS_ALL,
            arena_format(o->arena,
                         "%zu relations are to be locked at once, and the old side has room for %" PRId64
                         " locks: raise max_locks_per_transaction to %" PRId64 " and restart it",
                         count, room, 64 * (2 * (int64_t)count / (room > 0 ? room : 1) + 1)));
    for (size_t i = 0; i < count; i++)
        if (list[i].state != 'D')
            add(o, "fence", HINDERS_ALL,
                arena_format(o->arena, "%s has %s on the side that serves", list[i].qualified,
                             list[i].state == '\0' ? "no fence" : "a shut fence"));
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
            add(o, "unpublished", HINDERS_ALL,
                arena_format(o->arena,
                             "%s.%s is not carried by the stream %s yet: it is taken up within some seconds where both "
                             "sides have it",
                             PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), from.name));
    return ERR_OK;
}

/* A standby that nothing waits for may be promoted without the decision, and then takes writes beside the other side. */
static enum err look_at_standbys(struct pg *pg, const char *side, struct obstacles *o, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) FROM pg_catalog.pg_stat_replication r"
                    " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')", &r, f));
    if (pg_get_int(r, 0, 0) > 0 && pg_get_int(r, 0, 1) == 0)
        add(o, "standby", HINDERS_FAILOVER,
            arena_format(o->arena,
                         "the %s has %s standby(s), none of them synchronous: suspend automatic failover while you "
                         "switch and say so with --no-failover, or make one synchronous",
                         side, PQgetvalue(r, 0, 0)));
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
        add(o, "subscription", HINDERS_NOT,
            arena_format(o->arena,
                         "subscription %s brings rows in on the %s, past every fence; only a superuser may see into "
                         "which tables: see that none of them is moved",
                         PQgetvalue(r, i, 0), side));
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
        add(o, "subscription", HINDERS_ALL,
            arena_format(o->arena,
                         "subscription %s brings rows in on the %s, past every fence: ALTER SUBSCRIPTION %s DISABLE "
                         "there, and make it on the side that serves once it does",
                         name, side, pg_quote_ident(o->arena, name)));
    }
    return ERR_OK;
}

/* --- tables, and what carries their rows --- */

/* Listed first: what changes while the sides are compared is otherwise under the lock. */
static enum err look_at_shape(struct store_switch *w, struct obstacles *o, struct fault *f)
{
    struct switch_obstacle *list;
    size_t count;

    TRY(pg_switch_tables(w, f));
    TRY(pg_switch_shape(w->beside, w->there, w->store, w->locked, w->locked_count, o->arena, &list, &count, f));
    for (size_t i = 0; i < count; i++)
        add(o, list[i].what, list[i].hinders, list[i].why);
    return ERR_OK;
}

/* --- what no stream carries --- */

static enum err look_at_left_out(struct store_switch *w, struct obstacles *o, struct fault *f)
{
    struct switch_obstacle *list;
    size_t count;

    arena_reset(w->look); /* first: what comes while it is looked for is another sum under the lock */
    TRY(pg_switch_left_out_sum(w, w->look, &w->left_out, f));
    TRY(pg_left_out(w->beside, w->there, w->store, o->arena, &list, &count, f));
    for (size_t i = 0; i < count; i++)
        add(o, list[i].what, list[i].hinders, list[i].why);
    return ERR_OK;
}

/* --- rights --- */

/* By the sessions that are to be asked again while clients wait. */
static enum err prepare_sums(struct store_switch *w, struct fault *f)
{
    bool *ready = &w->sums_ready[w->reads_passwords];

    if (*ready)
        return ERR_OK;
    TRY(pg_rights_sums_prepare(w->deciding, w->reads_passwords, f));
    TRY(pg_rights_sums_prepare(w->opening, w->reads_passwords, f));
    *ready = true;
    return ERR_OK;
}

/* Both servers work on it at the same time. */
static enum err rights_sums(struct store_switch *w, char ret_old[RIGHTS_SUMS], char ret_new[RIGHTS_SUMS],
                            struct fault *f)
{
    struct fault second = {0};
    enum err err;
    enum err there;

    TRY(prepare_sums(w, f));
    TRY(pg_rights_sums_ask(w->deciding, w->reads_passwords, f));
    TRY(pg_rights_sums_ask(w->opening, w->reads_passwords, f));
    err = pg_rights_sums_take(w->deciding, ret_old, f);
    there = pg_rights_sums_take(w->opening, ret_new, err == ERR_OK ? f : &second);
    return err != ERR_OK ? err : there;
}

static enum err may_read_passwords(struct store_switch *w, struct fault *f)
{
    bool here;
    bool there;

    TRY(pg_rights_reads_passwords(w->beside, &here, f));
    TRY(pg_rights_reads_passwords(w->there, &there, f));
    w->reads_passwords = here && there;
    return ERR_OK;
}

/* The sums first: what changes while the sides are compared is another sum under the lock. */
static enum err look_at_rights(struct store_switch *w, struct obstacles *o, struct fault *f)
{
    struct rights_difference *list;
    size_t count;
    bool unread;

    TRY(may_read_passwords(w, f));
    TRY(rights_sums(w, w->old_rights, w->new_rights, f));
    TRY(pg_rights_compare(w->beside, w->there, w->store, o->arena, &list, &count, &unread, f));
    for (size_t i = 0; i < count; i++)
        add(o, "rights", HINDERS_CUTOVER, list[i].what);
    if (unread)
        add(o, "rights", HINDERS_NOT,
            "leat's role may not read what roles are known by (pg_authid) on both sides: that passwords are the same "
            "is not compared");
    return ERR_OK;
}

static void add_door_roles(struct obstacles *o, const struct door_role_lack *list, size_t count,
                           enum switch_hindrance hinders, const char *where)
{
    for (size_t i = 0; i < count; i++)
        add(o, "door-role", hinders, arena_format(o->arena, "%s on the %s: %s", list[i].why, where, list[i].fix));
}

/* What was granted when the switch was armed is not in the list. */
static enum err look_at_door_role(struct store_switch *w, struct pg *pg, enum side side, const char *where,
                                  struct obstacles *o, struct fault *f)
{
    struct door_role_lack *list;
    size_t count;

    TRY(pg_door_role_lacks(pg, w->store->store, side, true, o->arena, &list, &count, f));
    add_door_roles(o, list, count, HINDERS_ALL, where);
    TRY(pg_door_role_former(pg, w->store->store, side, o->arena, &list, &count, f));
    add_door_roles(o, list, count, HINDERS_NOT, where);
    return ERR_OK;
}

enum err pg_switch_notes(struct store_switch *w, bool *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(w->beside, SQL_SCHEMA_SUMS, &r, f));
    *ret = PQntuples(r) == 1 && PQgetisnull(r, 0, 0);
    return ERR_OK;
}

enum err pg_switch_obstacles(struct store_switch *w, struct arena *a, struct switch_obstacle **ret, size_t *ret_count, struct fault *f)
{
    struct obstacles o = {.arena = a};

    TRY(pg_switch_all_joined(w, f));
    TRY(look_at_prepared(w, &o, f));
    TRY(look_at_sessions(w, w->beside, &o, f));
    TRY(look_at_sessions(w, w->there, &o, f));
    TRY(look_at_door_role(w, w->beside, SIDE_SOURCE, "old side", &o, f));
    TRY(look_at_door_role(w, w->there, SIDE_TARGET, "new side", &o, f));
    TRY(look_at_shape(w, &o, f));
    TRY(look_at_locks(w, &o, f));
    TRY(look_at_subscriptions(w, w->beside, "old side", &o, f));
    TRY(look_at_subscriptions(w, w->there, "new side", &o, f));
    TRY(look_at_published(w, STORE_SOURCE, &o, f));
    TRY(look_at_published(w, STORE_TARGET, &o, f));
    TRY(look_at_standbys(w->beside, "old side", &o, f));
    TRY(look_at_standbys(w->there, "new side", &o, f));
    TRY(look_at_left_out(w, &o, f));
    TRY(look_at_rights(w, &o, f));
    *ret = o.list;
    *ret_count = o.count;
    return ERR_OK;
}
