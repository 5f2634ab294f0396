/* store/postgres/force.c — --force: a side is opened without the other one's word, because that one is lost for good;
 * and what becomes of it should it come back. The store here is the stream that leads to the side that is opened.
 *
 * Invariants
 *  1. Before the side opens, the stream that leads to it is barred there, and no session that would apply it is left
 * (circle.c): what the lost side holds beyond is never brought to a side that serves.
 *  2. The epoch goes on: the lost side's row has a lower one, or names the other side; nobody goes there any more
 * (settle.c). */
#include "store/postgres/force.h"

#include <stdlib.h>

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

enum err pg_force_look(struct store *s, struct arena *a, struct force_view *ret, struct fault *f)
{
    struct authority_key k = authority_key(s);
    AUTO(pg) *pg = NULL;
    char stream[NAME_SIZE];
    const char *params[] = {s->migration, name_stream(s, STREAM_FORWARD, stream)};
    struct authority_row row;

    TRY(connect_left(s, &pg, f));
    TRY(pg_authority_row(pg, &k, &row, f));
    if (!row.there || row.in_recovery)
        return fault_set(f, ERR_GATE,
                         row.there ? "that side is in recovery: promote it first"
                                   : "store %s was never armed for a switch",
                         k.store);
    *ret = (struct force_view){.serves = row.open, .epoch = row.epoch, .attempt = row.attempt};
    return pg_value(pg, a,
                    "SELECT pg_catalog.max(position)::text FROM leat.progress WHERE migration = $1 AND stream = $2", 2,
                    params, &ret->applied, f);
}

static enum err bar(struct pg *pg, const struct store *s, struct fault *f)
{
    const char *params[] = {s->migration, s->name};

    TRY(pg_query(pg, "UPDATE leat.lease SET barred = true WHERE migration = $1 AND store = $2", 2, params, NULL, f));
    return pg_circle_close(pg, s, f);
}

enum err pg_force_open(struct store *s, const struct force_view *v, struct fault *f)
{
    struct authority_key k = authority_key(s);
    AUTO(pg) *pg = NULL;
    bool open = false;

    TRY(connect_left(s, &pg, f));
    TRY_WITH(bar(pg, s, f), f, "ending what applies the other side's changes");
    TRY(pg_authority_force(pg, &k, v->epoch, v->attempt, &open, f));
    return open ? ERR_OK
                : fault_set(f, ERR_BUSY, "the row of authority is another by now: somebody settled what was under way");
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
