/* replicate/cut.c — see cut.h.
 *
 * Why what S sees can go first: a transaction leaves the set of those running before its locks are released. Whoever touches the same
 * row, key or table after it is seen only by snapshots that see it, too. So nothing that S sees depends on what S does not see. */
#include "replicate/cut.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/world.h"

#define TRIES 40
#define TRY_PAUSE_US ((int64_t)50000)
#define SNAPSHOT_PATIENCE_US ((int64_t)300000) /* for what was applied to become visible on the source */
#define MARK_PATIENCE_US ((int64_t)3000000)    /* for the mark to come by the stream */
#define TAKEN_MOST ((size_t)64 << 20)

/* One try. */
struct making {
    const struct cut_place *place;
    const struct table *const *source;
    const struct table *const *target;
    size_t count;
    struct arena *arena;
    struct snapshot seen;
    uint32_t *suspects;     /* may be in the log although S does not see them */
    size_t suspect_count;
    struct parcel **taken;
    size_t taken_count;
    size_t taken_size;
    struct lsn *ahead;      /* commits that S sees */
    size_t ahead_count;
    size_t before;          /* of them, those in their place: nothing before them is missing */
    struct lsn position;    /* the end of the last of those */
    const char *why;        /* no cut, this time */
};

/* --- the snapshot --- */

static enum err take_snapshot(struct making *m, struct fault *f)
{
    const struct store_ops *ops = m->place->store->ops;
    int64_t deadline = world_mono_us() + SNAPSHOT_PATIENCE_US;

    for (;;) {
        const char *text;
        TRY(ops->cutter_source(m->place->cutter, m->source, m->count, m->arena, &text, f));
        snapshot_fini(&m->seen);
        TRY(snapshot_parse(text, &m->seen, f));
        if (!apply_unseen(m->place->apply, &m->seen))
            return ops->cutter_suspects(m->place->cutter, &m->seen, m->arena, &m->suspects, &m->suspect_count, f);
        ops->cutter_end(m->place->cutter);
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "commits that are in the source's log do not become visible there");
        world_sleep_us(1000);
    }
}

/* --- what comes before the mark --- */

static bool is_mark(const struct making *m, const struct txn *t, const char *wanted)
{
    const struct change *c = t->changes;
    const char *note;
    size_t len;

    return c != NULL && c->relation != NULL && strcmp(c->relation->schema, "leat") == 0 && m->place->store->ops->own_mark(m->place->store, c, &note, &len) && note != NULL &&
           len == strlen(wanted) && memcmp(note, wanted, len) == 0;
}

/* Looks through a parcel. What cannot be torn apart is left as it is: this try is over. */
static bool look_through(struct making *m, const struct parcel *p, const char *mark, struct lsn *ret_at)
{
    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        if (!t->first || !t->last)
            m->why = "a large transaction is under way";
        else if (t->schema_change)
            m->why = "the schema changes";
        else if (t->switch_note)
            m->why = "a switch is under way";
        else if (is_mark(m, t, mark))
            *ret_at = t->end;
    }
    return m->why == NULL && ret_at->v == 0;
}

static void keep(struct making *m, struct parcel *p)
{
    if (m->taken_count == m->taken_size) {
        m->taken_size = m->taken_size > 0 ? m->taken_size * 2 : 64;
        m->taken = mem_grow(m->taken, m->taken_size * sizeof *m->taken);
    }
    m->taken[m->taken_count++] = p;
}

static enum err take_until(struct making *m, const char *mark, struct lsn *ret_at, struct fault *f)
{
    int64_t deadline = world_mono_us() + MARK_PATIENCE_US;
    size_t bytes = 0;

    for (;;) {
        struct parcel *p = apply_take(m->place->apply, world_mono_us() + 20000);
        if (p != NULL) {
            keep(m, p);
            bytes += arena_bytes(p->arena);
            if (!look_through(m, p, mark, ret_at))
                return ERR_OK;
        }
        if (apply_check(m->place->apply, f) != ERR_OK || atomic_load(m->place->stop))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        if (bytes > TAKEN_MOST)
            m->why = "too much comes at once";
        if (p == NULL && world_mono_us() > deadline)
            m->why = "the stream is behind";
        if (m->why != NULL)
            return ERR_OK;
    }
}

static bool is_suspect(struct making *m, uint32_t xid)
{
    for (size_t i = 0; i < m->suspect_count; i++)
        if (m->suspects[i] == xid) {
            m->suspects[i] = m->suspects[--m->suspect_count];
            return true;
        }
    return false;
}

/* Which of the transactions taken S sees, and how many of them stand in their place. */
static void sort_out(struct making *m)
{
    bool missing = false;

    for (size_t i = 0; i < m->taken_count; i++)
        for (const struct txn *t = m->taken[i]->txns; t != NULL; t = t->next) {
            if (!snapshot_sees(&m->seen, t->xid)) {
                missing = true;
                (void)is_suspect(m, t->xid);
                continue;
            }
            m->ahead = mem_grow(m->ahead, (m->ahead_count + 1) * sizeof *m->ahead);
            m->ahead[m->ahead_count++] = t->commit;
            if (!missing) {
                m->before = m->ahead_count;
                m->position = t->end;
            }
        }
    if (m->suspect_count > 0)
        m->why = "a commit waits for a standby of the source"; /* and was applied long ago: S is older than the target */
}

/* --- applying what S sees --- */

static enum err route(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel, const struct binding **ret, struct fault *f)
{
    const struct making *m = ctx;

    (void)c;
    *ret = NULL;
    return snapshot_sees(&m->seen, t->xid) ? apply_route(m->place->apply, t, rel, ret, f) : ERR_OK;
}

static enum err run(struct making *m, const struct batch *b, struct fault *f)
{
    const struct store_ops *ops = m->place->store->ops;
    struct store_lane *lane = apply_held_lane(m->place->apply);

    TRY(ops->lane_begin(lane, b, f));
    TRY(ops->lane_ahead(lane, m->ahead + m->before, m->ahead_count - m->before, f));
    TRY(ops->lane_steps(lane, b, false, f));
    TRY(ops->lane_steps(lane, b, true, f));
    return ops->lane_commit(lane, b, false, f);
}

static enum err apply_seen(struct making *m, struct fault *f)
{
    struct batch *b = batch_new(0);
    struct router router = {route, m};
    struct batch_rivals none = {.count = 0};
    enum err err;

    for (size_t i = 0; i < m->taken_count; i++)
        batch_add(b, m->taken[i]);
    b->borrows = true;
    b->end = m->position;
    err = batch_finish(b, &router, &none, f);
    if (err == ERR_OK) /* the dispatcher notes them when they come by: not if the engine dies before */
        err = apply_note_touched(m->place->apply, b, f);
    if (err == ERR_OK && (b->steps != NULL || m->ahead_count > m->before))
        err = run(m, b, f);
    batch_free(b);
    if (err == ERR_OK)
        apply_skip(m->place->apply, m->ahead, m->ahead_count);
    else
        m->place->store->ops->lane_rollback(
            apply_held_lane(m->place->apply)); /* whatever it was: the lane is given back free */
    if (err == ERR_BUSY || err == ERR_DIVERGED || err == ERR_TARGET_SQL) { /* the dispatcher knows what to do with it */
        log_fault(LOG_INFO, m->place->store->name, f);
        fault_clear(f);
        m->why = "a row did not behave as the stream said";
        err = ERR_OK;
    }
    return err;
}

/* --- a try --- */

static enum err while_held(struct making *m, struct cut *cut, struct fault *f)
{
    const struct store_ops *ops = m->place->store->ops;
    char mark[48];

    TRY(take_snapshot(m, f));
    snprintf(mark, sizeof mark, "V:%" PRId64 ".%d", world_wall_us(), cut->tries);
    TRY(ops->cutter_mark(m->place->cutter, mark, f));
    cut->at = LSN_ZERO;
    TRY(take_until(m, mark, &cut->at, f));
    if (m->why == NULL)
        sort_out(m);
    if (m->why == NULL)
        TRY(apply_seen(m, f));
    if (m->why == NULL)
        TRY(ops->cutter_target(m->place->cutter, m->target, m->count, f));
    if (m->why == NULL && m->place->meanwhile != NULL)
        TRY(m->place->meanwhile(m->place->ctx, f));
    cut->ahead = m->ahead_count - m->before;
    cut->taken_us = world_wall_us();
    return m->why == NULL ? ERR_OK : fault_set(f, ERR_BUSY, "%s", m->why);
}

static enum err try_once(struct making *m, struct cut *cut, struct fault *f)
{
    struct apply *apply = m->place->apply;
    struct lsn at;
    int64_t began;
    enum err err;

    if (!apply_hold(apply, m->place->stop, &at)) {
        TRY(apply_check(apply, f));
        return fault_set(f, ERR_INTERRUPTED, "stopped");
    }
    began = world_mono_us();
    err = while_held(m, cut, f);
    apply_give_back(apply, m->taken, m->taken_count);
    apply_release(apply);
    cut->held_us += world_mono_us() - began;
    if (err != ERR_OK)
        m->place->store->ops->cutter_end(m->place->cutter);
    return err;
}

enum err cut_make(const struct cut_place *place, const struct table *const *source, const struct table *const *target, size_t count, struct cut *ret, struct fault *f)
{
    struct cut cut = {0};
    enum err err = ERR_BUSY;

    while (err == ERR_BUSY && cut.tries < TRIES && !atomic_load(place->stop)) {
        AUTO(arena) *a = arena_new(4096);
        struct making m = {.place = place, .source = source, .target = target, .count = count, .arena = a};
        if (cut.tries++ > 0)
            world_sleep_us(TRY_PAUSE_US);
        fault_clear(f);
        err = try_once(&m, &cut, f);
        snapshot_fini(&m.seen);
        free(m.taken);
        free(m.ahead);
    }
    if (err == ERR_OK)
        *ret = cut;
    return err;
}
