/* store/postgres/force.c — --force: a side is opened without the other one's word, because that one is lost for good;
 * and what becomes of it should it come back. The store here is the stream that leads to the side that is opened. Its
 * own row may say already that it serves: where it failed over since, or is older than what served, nobody takes that
 * for true without the other side's word, and then it is opened anew.
 *
 * Invariants
 *  1. Before the side opens, the stream that leads to it is barred there, and no session that would apply it is left
 * (circle.c): what the lost side holds beyond is never brought to a side that serves.
 *  2. The epoch goes on, by more than the lost side can have gone on by itself: its row has a lower one, or names the
 * other side; nobody goes there any more (settle.c). */
#include "store/postgres/force.h"

#include <stdlib.h>

#include "store/least_epoch.h"
#include "store/postgres/fence.h"
#include "store/postgres/names.h"
#include "store/postgres/settle.h"

static enum err connect_left(const struct store *s, struct pg **ret, struct fault *f)
{
    AUTO(pg) *pg = NULL;

    TRY(pg_connect(s->store->target, SIDE_TARGET, "force", &pg, f));
    TRY(pg_exec(pg, "SET synchronous_commit = on", NULL, f));
    *ret = TAKE(pg);
    return ERR_OK;
}

/* As whoever settles would, while the other side does not answer. */
static bool is_taken(const struct authority_row *row, int64_t least_epoch)
{
    struct side_view views[2] = {{0}, {0}};
    enum side side;
    const char *why;

    views[row->here] = (struct side_view){true, *row};
    return pg_settle_next(views, least_epoch, &side, &why) == SETTLE_TAKE;
}

enum err pg_force_look(struct store *s, struct arena *a, struct force_view *ret, struct fault *f)
{
    struct authority_key k = authority_key(s);
    int64_t least = least_epoch_read(s->state_dir, k.store);
    AUTO(pg) *pg = NULL;
    char stream[NAME_SIZE];
    const char *params[] = {s->migration, name_stream(s, STREAM_FORWARD, stream)};
    const char *of_store[] = {s->migration, s->name};
    struct authority_row row;

    TRY(connect_left(s, &pg, f));
    TRY(pg_authority_row(pg, &k, &row, f));
    if (!row.there || row.in_recovery)
        return fault_set(f, ERR_GATE,
                         row.there ? "that side is in recovery: promote it first"
                                   : "store %s was never armed for a switch",
                         k.store);
    *ret = (struct force_view){.serves = is_taken(&row, least),
                               .open = row.open,
                               .epoch = row.epoch,
                               .attempt = row.attempt,
                               .next_epoch = pg_settle_force_epoch(&row, least)};
    TRY(pg_value(pg, a,
                 "SELECT pg_catalog.string_agg(x.table_name, ', ') FROM (SELECT table_name FROM leat.copy WHERE "
                 "migration = $1 AND store = $2 AND joined IS NULL ORDER BY table_name LIMIT 20) x",
                 2, of_store, &ret->partial, f));
    return pg_value(pg, a,
                    "SELECT position::text FROM leat.progress WHERE migration = $1 AND stream = $2 ORDER BY position DESC LIMIT 1", 2,
                    params, &ret->applied, f);
}

static enum err is_barred(struct pg *pg, const struct store *s, bool *ret, struct fault *f)
{
    const char *params[] = {s->migration, s->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, "SELECT barred FROM leat.lease WHERE migration = $1 AND store = $2", 2, params, &r, f));
    *ret = PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
    return ERR_OK;
}

static enum err set_bar(struct pg *pg, const struct store *s, bool barred, struct fault *f)
{
    const char *params[] = {s->migration, s->name, barred ? "true" : "false"};

    return pg_query(pg, "UPDATE leat.lease SET barred = $3 WHERE migration = $1 AND store = $2", 3, params, NULL, f);
}

static enum err bar(struct pg *pg, const struct store *s, struct fault *f)
{
    TRY(set_bar(pg, s, true, f));
    return pg_circle_close(pg, s, f);
}

/* By a session of its own: the other one may be gone. Where it fails, the stream stops, and says that it is to be armed
 * anew: nothing is lost by that. */
static void take_bar_away(const struct store *s)
{
    struct fault ignored = {0};
    AUTO(pg) *pg = NULL;

    if (connect_left(s, &pg, &ignored) == ERR_OK)
        (void)!set_bar(pg, s, false, &ignored);
}

/* Armed by a leat whose --force could not do this. */
static enum err have_function(struct pg *pg, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg,
                "SELECT pg_catalog.to_regprocedure('leat.force_open(text, text, bigint, bigint, bigint)') IS NOT NULL",
                &r, f));
    return pg_get_bool(r, 0, 0) ? ERR_OK : pg_fence_functions(pg, f);
}

/* By the session that was to open it: what it answers comes after whatever it did. One that answers no more may open it
 * yet: reading the row elsewhere would prove nothing. */
static bool has_not_opened(struct pg *pg, const struct store *s, const struct force_view *v)
{
    struct authority_key k = authority_key(s);
    struct fault ignored = {0};
    struct authority_row now;

    return pg_authority_row(pg, &k, &now, &ignored) == ERR_OK && !(now.open && now.epoch >= v->next_epoch);
}

static enum err open_it(struct pg *pg, const struct store *s, const struct force_view *v, struct fault *f)
{
    struct authority_key k = authority_key(s);
    bool open = false;

    TRY(pg_authority_force(pg, &k, v->epoch, v->attempt, v->next_epoch, &open, f));
    return open ? ERR_OK
                : fault_set(f, ERR_BUSY, "the row of authority is another by now: somebody settled what was under way");
}

enum err pg_force_open(struct store *s, const struct force_view *v, bool *ret_undone, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    bool barred = false;
    enum err err;

    *ret_undone = true;
    TRY(connect_left(s, &pg, f));
    TRY(have_function(pg, f));
    TRY(is_barred(pg, s, &barred, f));
    err = bar(pg, s, f);
    if (err != ERR_OK) {
        fault_add(f, "ending what applies the other side's changes");
    } else {
        err = open_it(pg, s, v, f);
        *ret_undone = err != ERR_OK && has_not_opened(pg, s, v);
    }
    if (err != ERR_OK && *ret_undone && !barred)
        take_bar_away(s);
    return err;
}

/* --- it is back --- */

struct both {
    struct pg *pg[2];
};

static struct pg *reach_both(void *ctx, enum side side, struct fault *f)
{
    (void)f;
    return ((struct both *)ctx)->pg[side];
}

static void lost_both(void *ctx, enum side side)
{
    (void)ctx;
    (void)side;
}

enum err pg_store_outvote(struct store *s, bool *ret_left, struct fault *f)
{
    const struct config_store *c = s->store->back ? s->store->other : s->store;
    AUTO(pg) *source = NULL;
    AUTO(pg) *target = NULL;
    struct both both;
    struct settling w = {.key = authority_key(s), .reach = reach_both, .lost = lost_both, .ctx = &both};

    TRY(pg_connect(c->source, SIDE_SOURCE, "force", &source, f));
    TRY(pg_connect(c->target, SIDE_TARGET, "force", &target, f));
    both = (struct both){{source, target}};
    return pg_settle_leave(&w, ret_left, f);
}
