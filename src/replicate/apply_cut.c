/* replicate/apply_cut.c — what a cut needs of the dispatcher: parcels taken by somebody else and given back, commits that are on the
 * target already, and which transactions were applied lately.
 *
 * Invariants
 *  1. What was given back goes before what is queued: the order of commits stays.
 *  2. While a cut takes parcels the dispatcher is held, and takes none. */
#include <stdlib.h>

#include "base/log.h"
#include "replicate/apply_internal.h"

struct parcel *apply_next(struct apply *a, int64_t deadline_us, bool *ret_end)
{
    struct parcel *p;
    size_t dropped;

    *ret_end = false;
    if (a->returned_next < a->returned_count)
        return a->returned[a->returned_next++];
    p = queue_take(a->in, deadline_us, NULL);
    *ret_end = p == NULL && queue_closed(a->in);
    dropped = p != NULL ? parcel_drop_passed(p, &a->passed) : 0;
    if (dropped > 0)
        log_line(LOG_INFO, a->store->name, "%zu transactions came a second time and were left out", dropped);
    return p;
}

static bool any_returned(const struct apply *a)
{
    return a->returned_next != a->returned_count;
}

struct parcel *apply_take_in_hand(struct apply *a, int64_t deadline_us, bool *ret_end)
{
    bool there = any_returned(a) || queue_await(a->in, deadline_us);

    *ret_end = !there && queue_closed(a->in);
    if (!there)
        return NULL;
    atomic_store(&a->in_hand, true); /* nobody else takes while the dispatcher is not held */
    return apply_next(a, 0, ret_end);
}

/* In the order a parcel goes: where it has left one place it is in the next already. */
bool apply_all_given(struct apply *a)
{
    return queue_count(a->in) == 0 && a->taken == 0 && !any_returned(a) && !atomic_load(&a->in_hand);
}

struct parcel *apply_take(struct apply *a, int64_t deadline_us)
{
    bool end;
    struct parcel *p;

    atomic_fetch_add(&a->taken, 1); /* before it is gone from the queue: not for an instant does it look as if nothing were left */
    p = apply_next(a, deadline_us, &end);
    if (p == NULL)
        atomic_fetch_sub(&a->taken, 1);
    return p;
}

void apply_give_back(struct apply *a, struct parcel *const *list, size_t count)
{
    size_t left = a->returned_count - a->returned_next; /* of an earlier cut: they come after what was taken now */
    struct parcel **all = mem_alloc((count + left + 1) * sizeof *all);

    memcpy(all, list, count * sizeof *all);
    if (left > 0)
        memcpy(all + count, a->returned + a->returned_next, left * sizeof *all);
    free(a->returned);
    a->returned = all;
    a->returned_count = count + left;
    a->returned_next = 0;
    a->taken = 0;
}

struct store_lane *apply_held_lane(struct apply *a)
{
    return a->lanes[0].lane;
}

enum err apply_note_touched(struct apply *a, const struct batch *b, struct fault *f)
{
    return touched_batch(a->touched, b, a->start, f);
}

/* --- ahead --- */

static int lsn_order(const void *left, const void *right)
{
    const struct lsn *a = left;
    const struct lsn *b = right;

    return a->v < b->v ? -1 : a->v > b->v;
}

void apply_skip(struct apply *a, const struct lsn *commits, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->ahead_count; i++)
        if (!lsn_lt(a->ahead[i], a->facts.applied))
            a->ahead[kept++] = a->ahead[i];
    a->ahead_count = kept;
    if (count == 0)
        return;
    a->ahead = mem_grow(a->ahead, (a->ahead_count + count) * sizeof *a->ahead);
    memcpy(a->ahead + a->ahead_count, commits, count * sizeof *commits);
    a->ahead_count += count;
    qsort(a->ahead, a->ahead_count, sizeof *a->ahead, lsn_order);
}

bool apply_is_ahead(const struct apply *a, const struct txn *t)
{
    return a->ahead_count > 0 && bsearch(&t->commit, a->ahead, a->ahead_count, sizeof *a->ahead, lsn_order) != NULL;
}

/* --- seen --- */

void apply_note_seen(struct apply *a, const struct parcel *p)
{
    for (const struct txn *t = p->txns; t != NULL; t = t->next)
        if (t->last)
            a->seen[a->seen_count++ % SEEN_MOST] = t->xid;
}

bool apply_unseen(const struct apply *a, const struct snapshot *s)
{
    uint64_t count = a->seen_count < SEEN_MOST ? a->seen_count : SEEN_MOST;

    for (uint64_t i = 0; i < count; i++)
        if (!snapshot_sees(s, a->seen[i]))
            return true;
    return false;
}
