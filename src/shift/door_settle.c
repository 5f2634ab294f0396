/* shift/door_settle.c — leat.authority on both sides: who serves at the start, and settling when nobody is heard any
 * more, by the one rule for all (store/postgres/settle.h).
 *
 * What it keeps to (the model's door): it releases to a side only after its own compare-and-set there succeeded.
 * Reading alone decides nothing. A door that starts was held by nobody: it ends what may be under way before it
 * forwards, for a decision could follow that never waits for it. */
#include "shift/door_internal.h"

#include <string.h>

#include "store/least_epoch.h"
#include "store/postgres/settle.h"

/* Longer than the statement_timeout. What is on its way to a server then may still be carried out; each act bears that. */
#define ANSWER_MS 5000

struct authority {
    struct door *door;
    struct pg *pg[2]; /* NULL: not connected */
};

struct authority *authority_new(struct door *door)
{
    struct authority *a = mem_alloc(sizeof *a);

    a->door = door;
    return a;
}

void authority_free(struct authority *a)
{
    if (a == NULL)
        return;
    pg_free(a->pg[0]);
    pg_free(a->pg[1]);
    free(a);
}

void door_hang_up(struct pg *pg[2], enum side side)
{
    if (pg[side] != NULL)
        pg_free(TAKE(pg[side]));
}

enum err door_reach(const struct door *door, struct pg *pg[2], enum side side, const char *purpose, struct fault *f)
{
    if (pg[side] != NULL && PQstatus(pg[side]->conn) == CONNECTION_OK)
        return ERR_OK;
    door_hang_up(pg, side);
    TRY(pg_connect(door->sides[side].dsn, side, purpose, &pg[side], f));
    TRY(pg_query_within(pg[side], ANSWER_MS, "SET statement_timeout = '3s'", 0, NULL, NULL, f));
    return pg_query_within(pg[side], ANSWER_MS, "SET synchronous_commit = on", 0, NULL, NULL, f);
}

static enum err reach(struct authority *a, enum side side, struct fault *f)
{
    return door_reach(a->door, a->pg, side, "door", f);
}

static struct pg *reach_side(void *ctx, enum side side, struct fault *f)
{
    struct authority *a = ctx;

    return reach(a, side, f) == ERR_OK ? a->pg[side] : NULL;
}

static void lose_side(void *ctx, enum side side)
{
    door_hang_up(((struct authority *)ctx)->pg, side);
}

static struct authority_key key_of(const struct authority *a)
{
    return (struct authority_key){a->door->config->migration, a->door->store->name};
}

static struct side_view read_side(struct authority *a, enum side side, struct fault *f)
{
    struct authority_key k = key_of(a);
    struct side_view v = {.answered = reach(a, side, f) == ERR_OK};

    if (!v.answered)
        return v;
    v.answered = pg_authority_row(a->pg[side], &k, &v.row, f) == ERR_OK;
    if (!v.answered)
        door_hang_up(a->pg, side);
    return v;
}

enum settled authority_settle(struct authority *a, int64_t *ret_epoch, char why[256])
{
    struct settling w = {.key = key_of(a),
                         .reach = reach_side,
                         .lost = lose_side,
                         .ctx = a,
                         .state_dir = a->door->state_dir,
                         .clients_wait = true};
    struct fault f = {0};
    struct settle_result s;

    if (pg_settle(&w, &s, &f) != ERR_OK) {
        snprintf(why, 256, "%.250s", f.why);
        return SETTLED_NOT;
    }
    *ret_epoch = s.epoch;
    return s.side == SIDE_SOURCE ? SETTLED_SOURCE : SETTLED_TARGET;
}

void authority_remember(const struct authority *a, int64_t epoch)
{
    least_epoch_remember(a->door->state_dir, a->door->store->name, epoch);
}

/* One that failed over since the gate does not: that is settled, not read. */
bool authority_serves(struct authority *a, enum side side, int64_t *ret_epoch)
{
    struct fault f = {0};
    struct side_view views[2] = {{0}, {0}};
    const struct authority_row *row = &views[side].row;
    int64_t least = least_epoch_read(a->door->state_dir, a->door->store->name);

    views[side] = read_side(a, side, &f);
    *ret_epoch = row->epoch;
    if (!views[side].answered || row->in_recovery)
        return false;
    if (!row->there)
        return side == SIDE_SOURCE && least == 0;
    return row->side == side && row->open && !pg_settle_promoted(views, side) && row->epoch >= least;
}

void authority_get_ready(struct authority *a)
{
    for (enum side side = SIDE_SOURCE; side <= SIDE_TARGET; side++) {
        struct fault ignored = {0};

        (void)read_side(a, side, &ignored); /* who is away is met again, and named, when it is asked for */
    }
}

/* Clients are to be moved there: the server that leat prepared, and no other one of that name. */
static bool is_the_gates(const struct side_view views[2], enum side side)
{
    const struct authority_row *row = &views[side].row;

    return row->there && row->here == side && !pg_settle_promoted(views, side);
}

bool authority_stands(struct authority *a, enum side old, int64_t epoch, int64_t attempt, char why[256])
{
    struct fault f = {0};
    struct side_view views[2] = {{0}, {0}};
    const struct authority_row *row = &views[old].row;
    enum side other = old == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;

    views[old] = read_side(a, old, &f);
    if (views[old].answered)
        views[other] = read_side(a, other, &f);
    if (!views[SIDE_SOURCE].answered || !views[SIDE_TARGET].answered)
        snprintf(why, 256, "%.250s", f.why);
    else if (!is_the_gates(views, other))
        snprintf(why, 256,
                 "the %s the door reaches is not the server of the gate: it failed over since, or door_%s in leat.yaml "
                 "leads to another one",
                 side_name(other), side_name(other));
    else if (!row->there || row->side != old || row->epoch != epoch || row->attempt != attempt ||
             pg_settle_promoted(views, old))
        snprintf(why, 256, "leat.authority on the %s does not say epoch %lld, attempt %lld, on the server of the gate",
                 side_name(old), (long long)epoch, (long long)attempt);
    else
        return true;
    return false;
}
