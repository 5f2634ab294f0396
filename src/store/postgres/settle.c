/* store/postgres/settle.c — see settle.h.
 *
 * Invariants
 *  1. What is taken was read before anything was written: a compare-and-set hits only the row the choice was made by.
 *  2. A side that failed over is taken only after the other one's attempt was, in this round.
 *  3. A decision is opened only after a commit of our own was confirmed on the server that says so, and it says so
 * still. */
#include "store/postgres/settle.h"

#include <string.h>

#include "base/log.h"
#include "store/least_epoch.h"

#define ROUNDS 8

static enum side other_side(enum side side)
{
    return side == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;
}

static bool counts(const struct side_view *v)
{
    return v->answered && v->row.there && !v->row.in_recovery;
}

static bool names_itself(const struct side_view *v, enum side side)
{
    return counts(v) && v->row.open && v->row.side == side;
}

static bool hands_over(const struct side_view *v, enum side side)
{
    return counts(v) && !v->row.open && v->row.side != side;
}

static bool differs(const char *recorded, const char *now)
{
    return recorded[0] != '\0' && strcmp(recorded, now) != 0;
}

bool pg_settle_promoted(const struct side_view views[2], enum side side)
{
    const struct authority_row *row = &views[side].row;
    const struct side_view *other = &views[other_side(side)];

    if (row->server[0] == '\0')
        return false; /* armed by a leat that began no attempt this one could meet */
    return differs(row->recorded[side], row->server) ||
           (counts(other) && differs(other->row.recorded[side], row->server));
}

/* The side of the highest epoch whose own row names it, unless the other one's row stands higher. */
static bool find_serving(const struct side_view views[2], int64_t least_epoch, enum side *ret)
{
    bool found = false;

    for (enum side s = SIDE_SOURCE; s <= SIDE_TARGET; s++) {
        const struct side_view *other = &views[other_side(s)];

        if (!names_itself(&views[s], s) || views[s].row.epoch < least_epoch ||
            (counts(other) && other->row.epoch > views[s].row.epoch))
            continue;
        *ret = s;
        found = true;
    }
    return found;
}

/* A decision of before what this machine knows is no longer carried out: it was, and both sides have forgotten since.
 */
static bool find_decided(const struct side_view views[2], int64_t least_epoch, enum side *ret)
{
    for (enum side s = SIDE_SOURCE; s <= SIDE_TARGET; s++) {
        const struct side_view *other = &views[other_side(s)];

        if (hands_over(&views[s], s) && counts(other) && views[s].row.epoch > other->row.epoch &&
            views[s].row.epoch >= least_epoch) {
            *ret = s;
            return true;
        }
    }
    return false;
}

/* Nobody serves, and why. */
static const char *why_wait(const struct side_view views[2])
{
    if (!views[SIDE_SOURCE].answered || !views[SIDE_TARGET].answered)
        return "a side does not answer, and the other one does not say that it serves";
    if (!views[SIDE_SOURCE].row.there && !views[SIDE_TARGET].row.there)
        return "neither side has a row of authority any more, and one served by such a row before";
    return "neither side's row says that it serves";
}

enum settle_do pg_settle_next(const struct side_view views[2], int64_t least_epoch, enum side *ret_side,
                              const char **ret_why)
{
    if (find_serving(views, least_epoch, ret_side)) {
        if (!pg_settle_promoted(views, *ret_side))
            return SETTLE_TAKE;
        *ret_why = "the side that says it serves failed over since, and the other one, which knows whether that still "
                   "holds, does not answer";
        return counts(&views[other_side(*ret_side)]) ? SETTLE_ARBITRATE : SETTLE_WAIT;
    }
    if (find_decided(views, least_epoch, ret_side))
        return SETTLE_OPEN;
    if (views[SIDE_SOURCE].answered && !views[SIDE_SOURCE].row.there && !views[SIDE_TARGET].row.there &&
        least_epoch == 0)
        return SETTLE_UNARMED;
    if (find_serving(views, 0, ret_side)) {
        *ret_why = "the side that says it serves does so from before what this machine knows to have served "
                   "(least-epoch): it was left or restored since, or a --force did not come to its end";
        return SETTLE_OUTDATED;
    }
    *ret_why = why_wait(views);
    return SETTLE_WAIT;
}

bool pg_settle_behind(const struct side_view views[2], enum side *ret)
{
    enum side lower = views[SIDE_SOURCE].row.epoch < views[SIDE_TARGET].row.epoch ? SIDE_SOURCE : SIDE_TARGET;
    enum side higher = other_side(lower);

    *ret = lower;
    return names_itself(&views[higher], higher) &&
           (names_itself(&views[lower], lower) || hands_over(&views[lower], lower)) &&
           views[lower].row.epoch < views[higher].row.epoch;
}

int64_t pg_settle_force_epoch(const struct authority_row *row, int64_t least_epoch)
{
    int64_t next = row->epoch + 1;

    if (least_epoch > next && least_epoch != INT64_MAX) /* one that cannot be read says nothing */
        next = least_epoch;
    return next % 2 == (row->here == SIDE_TARGET) ? next : next + 1;
}

/* --- asked --- */

static enum err read_side(const struct settling *w, enum side side, struct side_view *ret, struct fault *f)
{
    struct pg *pg = w->reach(w->ctx, side, f);
    enum err err = pg != NULL ? pg_authority_row(pg, &w->key, &ret->row, f) : f->code;

    ret->answered = err == ERR_OK;
    if (pg != NULL && err != ERR_OK)
        w->lost(w->ctx, side);
    return err;
}

/* An act by the session the row was read by: another one might be of another server. */
static enum err keep(const struct settling *w, enum side side, enum err err)
{
    if (err != ERR_OK)
        w->lost(w->ctx, side);
    return err;
}

static enum err take(const struct settling *w, enum side side, const struct side_view views[2], bool promoted,
                     bool *ret, struct fault *f)
{
    const struct authority_row *row = &views[side].row;
    struct pg *pg = w->reach(w->ctx, side, f);

    if (pg == NULL)
        return f->code;
    if (promoted)
        return keep(w, side, pg_authority_take_over(pg, &w->key, row->epoch, row->attempt, row->server, ret, f));
    return keep(w, side, pg_authority_abort(pg, &w->key, row->epoch, row->attempt, ret, f));
}

static enum err arbitrate(const struct settling *w, enum side side, const struct side_view views[2], bool *ret,
                          struct fault *f)
{
    enum side other = other_side(side);
    const struct authority_row *there = &views[other].row;
    struct pg *pg = w->reach(w->ctx, other, f);

    *ret = false;
    if (pg == NULL)
        return f->code;
    if (there->epoch ==
        views[side].row.epoch) /* else it stands before what this side serves by: there is nothing it could open */
        TRY(keep(w, other,
                 pg_authority_annul(pg, &w->key, there->epoch, there->attempt, views[side].row.server, ret, f)));
    else
        *ret = true;
    return *ret ? take(w, side, views, true, ret, f) : ERR_OK;
}

static enum err still_decided(const struct settling *w, enum side old, const struct authority_row *row, bool *ret,
                              struct fault *f)
{
    struct pg *pg = w->reach(w->ctx, old, f);
    struct authority_row now;
    bool ignored;

    if (pg == NULL)
        return f->code;
    TRY(keep(
        w, old,
        pg_authority_abort(pg, &w->key, row->epoch, -1, &ignored, f))); /* no attempt has that number: it only writes */
    TRY(keep(w, old, pg_authority_row(pg, &w->key, &now, f)));
    *ret = now.there && !now.open && now.side != old && now.epoch == row->epoch && now.attempt == row->attempt &&
           strcmp(now.server, row->server) == 0;
    return ERR_OK;
}

static enum err open_decided(const struct settling *w, enum side old, const struct side_view views[2],
                             struct settle_result *ret, struct fault *f)
{
    const struct authority_row *row = &views[old].row;
    enum side new = other_side(old);
    struct pg *pg;
    bool stands = false;
    bool open = false;

    TRY(still_decided(w, old, row, &stands, f));
    if (!stands)
        return ERR_OK; /* read again */
    pg = w->reach(w->ctx, new, f);
    if (pg == NULL)
        return f->code;
    TRY(keep(w, new, pg_authority_open(pg, &w->key, row->epoch, new, row->attempt, &open, f)));
    if (!open && (views[new].row.attempt != row->attempt || views[new].row.epoch != row->epoch - 1))
        return fault_todo(f, ERR_AUTHORITY,
                          "a side that lost what the gate wrote there cannot be opened by it: `leat cutover --force` "
                          "or `leat rollback --force` opens the one you choose",
                          "the %s handed over at epoch %lld by attempt %lld, and the %s stands at epoch %lld, attempt "
                          "%lld",
                          side_name(old), (long long)row->epoch, (long long)row->attempt, side_name(new),
                          (long long)views[new].row.epoch, (long long)views[new].row.attempt);
    ret->opened = ret->opened || open;
    return ERR_OK;
}

static enum err leave(const struct settling *w, const struct side_view views[2], bool *ret_left, struct fault *f)
{
    enum side behind;
    struct pg *pg;

    *ret_left = false;
    if (!pg_settle_behind(views, &behind))
        return ERR_OK;
    pg = w->reach(w->ctx, behind, f);
    if (pg == NULL)
        return f->code;
    TRY(keep(w, behind,
             pg_authority_leave(pg, &w->key, &views[behind].row, views[other_side(behind)].row.epoch, ret_left, f)));
    *ret_left = *ret_left && views[behind].row.open;
    return ERR_OK;
}

enum err pg_settle_leave(const struct settling *w, bool *ret_left, struct fault *f)
{
    struct side_view views[2] = {{0}, {0}};

    TRY(read_side(w, SIDE_SOURCE, &views[SIDE_SOURCE], f));
    TRY(read_side(w, SIDE_TARGET, &views[SIDE_TARGET], f));
    return leave(w, views, ret_left, f);
}

/* It is back, and may still take writes: it is shut as well as can be, now; who serves does not wait for that, nor does
 * it fail by it. */
static void shut_the_left(const struct settling *w, const struct side_view views[2])
{
    struct fault ignored = {0};
    bool left;

    if (leave(w, views, &left, &ignored) != ERR_OK)
        fault_clear(&ignored); /* an engine tries again every few seconds */
}

/* What a person may do where the rows do not settle it. No side: it is not known which. */
static enum err nobody_serves(const struct fault unread[2], const char *why, const enum side *side, struct fault *f)
{
    const char *first = unread[unread[0].why[0] != '\0' ? 0 : 1].why;
    AUTO_CHARS *todo = NULL;

    if (side == NULL)
        return fault_set(f, ERR_AUTHORITY, "%s%s%.200s", why, first[0] != '\0' ? ": " : "", first);
    todo =
        mem_format("bring back what is away, or served since; if that is lost for good, `leat %s --force` has the %s "
                   "serve all the same",
                   *side == SIDE_SOURCE ? "rollback" : "cutover", side_name(*side));
    return fault_todo(f, ERR_AUTHORITY, todo, "%s%s%.200s", why, first[0] != '\0' ? ": " : "", first);
}

static enum settle_do look(const struct settling *w, struct side_view views[2], struct fault unread[2],
                           struct settle_result *ret, const char **ret_why)
{
    enum settle_do what;

    (void)read_side(w, SIDE_SOURCE, &views[SIDE_SOURCE], &unread[SIDE_SOURCE]);
    (void)read_side(w, SIDE_TARGET, &views[SIDE_TARGET], &unread[SIDE_TARGET]);
    shut_the_left(w, views);
    what = pg_settle_next(views, least_epoch_read(w->state_dir, w->key.store), &ret->side, ret_why);
    ret->epoch = views[ret->side].row.epoch;
    ret->outdated = what == SETTLE_OUTDATED;
    return what;
}

/* *ret_done: *ret says who serves. Neither: it is looked at again. */
static enum err round_of(const struct settling *w, struct settle_result *ret, bool *ret_done, struct fault *f)
{
    struct fault unread[2] = {{0}, {0}};
    struct side_view views[2] = {{0}, {0}};
    const char *why = "";

    switch (look(w, views, unread, ret, &why)) {
    case SETTLE_TAKE:
        return take(w, ret->side, views, false, ret_done, f);
    case SETTLE_ARBITRATE:
        return arbitrate(w, ret->side, views, ret_done, f);
    case SETTLE_OPEN:
        return open_decided(w, ret->side, views, ret, f);
    case SETTLE_UNARMED: /* no switch was ever prepared: the source serves, though the target be away */
        ret->side = SIDE_SOURCE;
        ret->epoch = 0;
        *ret_done = true;
        return ERR_OK;
    case SETTLE_OUTDATED:
        return nobody_serves(unread, why, &ret->side, f);
    case SETTLE_WAIT:
        break;
    }
    return nobody_serves(unread, why, names_itself(&views[ret->side], ret->side) ? &ret->side : NULL, f);
}

enum err pg_settle(const struct settling *w, struct settle_result *ret, struct fault *f)
{
    bool done = false;

    *ret = (struct settle_result){.side = SIDE_SOURCE};
    for (int i = 0; i < ROUNDS && !done; i++)
        TRY(round_of(w, ret, &done, f));
    if (!done)
        return fault_set(f, ERR_BUSY, "the rows of authority change while they are read");
    if (!w->clients_wait)
        least_epoch_remember(w->state_dir, w->key.store, ret->epoch);
    return ERR_OK;
}
