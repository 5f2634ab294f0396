/* replicate/apply.c — see apply.h.
 *
 *   stream --parcels--> dispatcher --spool--> (tables not joined)
 *                           |
 *                           +--batches--> lane 1..n --commits, in order--> target
 *
 * The dispatcher takes whatever is queued and makes one batch of it: near the head that is one transaction, behind it is many,
 * and nothing needs to switch between the two. Batches go round the lanes; lane n+1 runs what does not touch an earlier
 * batch at once, the rest when that one has committed.
 *
 * Invariants
 *  1. Batch n+1 sends COMMIT only after batch n's COMMIT has returned: the target is a prefix of the source's commits.
 *  2. What touches a key of an uncommitted batch waits for its commit.
 *  3. A transaction larger than a part keeps its lane, alone, from its first part to its last.
 *  4. A transaction ending at or before `start` is not applied; one ending at or before a table's `joined` is not applied to it.
 *  5. What is written to a side without the authority, past its fence, is applied nowhere: the stream itself says from where to where
 *     its source served (leat.turn).
 *  6. Of what comes twice (a slot sends again, from behind what the backlog held) nothing is taken twice: only what commits after
 *     all that was taken before. */
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/apply_internal.h"

#define BATCH_MEMORY ((size_t)8 << 20)
#define HOLD_TURN_US ((int64_t)50000)
#define GATHER_TURN_US ((int64_t)500)
#define PATIENCE_US ((int64_t)20000) /* while the stream runs full: no batch waits longer for company */

/* --- shared --- */

void apply_fail(struct apply *a, const struct fault *f)
{
    pthread_mutex_lock(&a->lock);
    if (a->fault.code == ERR_OK)
        a->fault = *f;
    a->stop = true;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

/* What has left the stream, and was nothing to be applied, is there once everything before it is. */
static struct lsn applied_now(const struct apply *a)
{
    return a->committed_seq == a->last_seq && !a->chain ? lsn_max(a->facts.applied, a->facts.delivered) : a->facts.applied;
}

void apply_tell(struct apply *a)
{
    applied_put(a->told, applied_now(a), a->facts.mark);
}

bool apply_is_over(struct apply *a)
{
    bool yes;

    pthread_mutex_lock(&a->lock);
    yes = a->stop;
    pthread_mutex_unlock(&a->lock);
    return yes;
}

/* --- routing --- */

enum err apply_route(struct apply *a, const struct txn *t, const struct relation *rel, const struct binding **ret, struct fault *f)
{
    struct rtable *table = registry_find(a->registry, rel->id);

    *ret = NULL; /* what does not apply may have had another shape: it is not even bound */
    if (lsn_lt(t->commit, a->start) || apply_is_ahead(a, t) || (table != NULL && (rtable_state(table) != TABLE_JOINED || lsn_lt(t->commit, table->joined))))
        return ERR_OK;
    if (!a->serves && table != NULL)
        return fault_set(f, ERR_FOREIGN_WRITE, "%s.%s, transaction %u", rel->schema, rel->name, t->xid);
    return router_bind(a->router, rel, ret, &table, f);
}

static enum err route(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel, const struct binding **ret, struct fault *f)
{
    (void)c;
    return apply_route(ctx, t, rel, ret, f);
}

/* --- the dispatcher --- */

static bool keep_for_spool(void *ctx, const struct change *c)
{
    struct apply *a = ctx;
    struct rtable *t;

    if (c->kind == CHANGE_TRUNCATE) {
        for (uint32_t i = 0; i < c->truncate_count; i++) {
            t = registry_find(a->registry, c->truncated[i]->id);
            if (t != NULL && rtable_state(t) != TABLE_JOINED)
                return true;
        }
        return false;
    }
    t = c->relation != NULL ? registry_find(a->registry, c->relation->id) : NULL;
    return t != NULL && rtable_state(t) != TABLE_JOINED;
}

/* H(t): "H:<oid>.<attempt>". Everything committed before it has been given to the spool by now. */
static void on_note(struct apply *a, const char *note, size_t len)
{
    char text[64];
    char *end;
    unsigned long oid;
    struct rtable *t;

    if (len < 3 || len >= sizeof text || note[0] != 'H' || note[1] != ':')
        return;
    memcpy(text, note, len);
    text[len] = '\0';
    oid = strtoul(text + 2, &end, 10);
    t = registry_find(a->registry, (uint32_t)oid);
    if (t != NULL && *end == '.' && strtol(end + 1, NULL, 10) == t->attempt) {
        atomic_store(&t->heartbeat_seen, true);
        pthread_mutex_lock(&a->registry->lock);
        pthread_cond_broadcast(&a->registry->changed);
        pthread_mutex_unlock(&a->registry->lock);
    }
}

static void read_notes(struct apply *a, const struct txn *t)
{
    for (const struct change *c = t->changes; c != NULL; c = c->next) {
        const char *note;
        size_t len;
        if (c->relation == NULL || strcmp(c->relation->schema, "leat") != 0)
            return; /* our own transactions hold nothing else */
        if (a->store->ops->own_mark(a->store, c, &note, &len) && note != NULL)
            on_note(a, note, len);
    }
}

/* What belongs to tables not yet joined goes to the spool, in order, once. */
static enum err spool_parcel(struct apply *a, const struct parcel *p, struct fault *f)
{
    bool all_joined = atomic_load(&a->registry->joined_count) == a->registry->count;
    struct lsn end = a->spool->ops->end(a->spool);

    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        if (!all_joined && !lsn_lt(t->commit, end))
            TRY(a->spool->ops->append(a->spool, t, keep_for_spool, a, f));
        read_notes(a, t);
    }
    return ERR_OK;
}

static void delivered(struct apply *a, struct lsn upto)
{
    pthread_mutex_lock(&a->lock);
    a->facts.delivered = lsn_max(a->facts.delivered, upto);
    a->facts.applied = applied_now(a);
    apply_tell(a);
    pthread_mutex_unlock(&a->lock);
}

static size_t await_free_lane(struct apply *a, size_t wanted)
{
    pthread_mutex_lock(&a->lock);
    while (!a->stop && a->lanes[wanted].batch != NULL)
        pthread_cond_wait(&a->moved, &a->lock);
    pthread_mutex_unlock(&a->lock);
    return wanted;
}

static void rivals_of(struct apply *a, struct batch_rivals *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < a->lane_count; i++)
        if (a->lanes[i].batch != NULL)
            ret->list[ret->count++] = a->lanes[i].batch;
}

static void free_done(struct apply *a)
{
    struct batch *b;

    pthread_mutex_lock(&a->lock);
    b = a->done;
    a->done = NULL;
    pthread_mutex_unlock(&a->lock);
    while (b != NULL) {
        struct batch *next = b->ctx;
        batch_free(b);
        b = next;
    }
}

/* Nothing of it applies here: it never was, and the next batch takes its number. */
static void give_nothing(struct apply *a, struct batch *b)
{
    pthread_mutex_lock(&a->lock);
    a->last_seq--;
    if (a->committed_seq == a->last_seq)
        a->facts.applied = lsn_max(a->facts.applied, b->end);
    apply_tell(a);
    pthread_mutex_unlock(&a->lock);
    batch_free(b);
}

/* Batches in flight stay in memory until free_done, which only this thread calls: their keys can be read without the lock. */
static enum err give(struct apply *a, struct batch *b, struct fault *f)
{
    struct router router = {route, a};
    struct batch_rivals rivals;
    enum err err;
    size_t lane;

    free_done(a);
    pthread_mutex_lock(&a->lock);
    rivals_of(a, &rivals);
    pthread_mutex_unlock(&a->lock);
    err = batch_finish(b, &router, &rivals, f);
    if (err != ERR_OK) {
        batch_free(b);
        return err;
    }
    err = touched_batch(a->touched, b, a->start, f); /* what a cut applied before its turn, too: it comes by here after */
    if (err != ERR_OK) {
        batch_free(b);
        return err;
    }
    if (b->steps == NULL && b->begins && b->completes) {
        give_nothing(a, b);
        return ERR_OK;
    }
    lane = await_free_lane(a, a->chain ? a->chain_lane : (size_t)(b->seq % a->lane_count));
    pthread_mutex_lock(&a->lock);
    if (!a->stop) {
        a->lanes[lane].batch = b;
        a->chain = !b->completes;
        a->chain_lane = lane;
        b = NULL;
        pthread_cond_broadcast(&a->moved);
    }
    pthread_mutex_unlock(&a->lock);
    batch_free(b);
    return ERR_OK;
}

/* The large transaction whose part is the parcel's last; NULL: it ends with a whole one. */
static struct txn *left_open(const struct parcel *p)
{
    struct txn *t = p->txns;

    while (t != NULL && t->next != NULL)
        t = t->next;
    return t != NULL && !t->last ? t : NULL;
}

static bool ends_open(const struct parcel *p)
{
    return left_open(p) != NULL;
}

static bool begins_open(const struct parcel *p)
{
    return p->txns != NULL && !p->txns->first;
}

static bool in_flight(struct apply *a)
{
    bool yes;

    pthread_mutex_lock(&a->lock);
    yes = !a->stop && a->committed_seq + 1 < a->last_seq; /* last_seq is the batch being gathered */
    pthread_mutex_unlock(&a->lock);
    return yes;
}

/* What is queued. It pays to wait for more while another batch is in flight, or while the stream runs full: the larger the
 * batch, the less it costs. */
static struct parcel *more(struct apply *a, bool more_soon, int64_t patience)
{
    bool end;
    struct parcel *p = apply_next(a, 0, &end);

    while (p == NULL && !end && (in_flight(a) || (more_soon && world_mono_us() < patience)))
        p = apply_next(a, world_mono_us() + GATHER_TURN_US, &end);
    return p;
}

/* The first transaction of the parcel that changed the schema, or is a note of a switch, and was not met before this engine. */
static struct txn *barrier(const struct apply *a, const struct parcel *p)
{
    for (struct txn *t = p->txns; t != NULL; t = t->next)
        if ((t->schema_change || t->switch_note) && !lsn_lt(t->commit, a->start))
            return t;
    return NULL;
}

/* Takes parcels that are there into one batch. A transaction larger than a part gets batches of its own. */
static struct batch *gather(struct apply *a, struct parcel *first, struct parcel **ret_left)
{
    struct batch *b;
    struct parcel *p = first;
    size_t memory = 0;
    int64_t patience = world_mono_us() + PATIENCE_US;

    *ret_left = NULL;
    pthread_mutex_lock(&a->lock);
    b = batch_new(++a->last_seq);
    pthread_mutex_unlock(&a->lock);
    for (;;) {
        bool open = ends_open(p);
        bool more_soon = p->more_soon;
        memory += arena_bytes(p->arena);
        batch_add(b, p);
        if (open || memory >= BATCH_MEMORY || a->chain)
            return b;
        p = more(a, more_soon, patience);
        if (p == NULL)
            return b;
        if (begins_open(p) || ends_open(p) || barrier(a, p) != NULL) {
            *ret_left = p;
            return b;
        }
    }
}

/* The batch on its way: what is not joined to the spool, the rest to a lane. Takes it, also when it fails. */
static enum err send_off(struct apply *a, struct batch *b, struct fault *f)
{
    struct lsn upto = b->end;

    for (uint32_t i = 0; i < b->parcel_count; i++) {
        enum err err = spool_parcel(a, b->parcels[i], f);
        apply_note_seen(a, b->parcels[i]);
        upto = lsn_max(upto, b->parcels[i]->idle_end);
        if (err != ERR_OK) {
            batch_free(b);
            return err;
        }
    }
    TRY(give(a, b, f));
    delivered(a, upto);
    return ERR_OK;
}

/* --- changes of the schema, notes of a switch --- */

static bool await_all_committed(struct apply *a)
{
    bool all;

    pthread_mutex_lock(&a->lock);
    while (!a->stop && a->committed_seq != a->last_seq)
        pthread_cond_wait(&a->moved, &a->lock);
    all = !a->stop;
    pthread_mutex_unlock(&a->lock);
    return all;
}

/* Everything before t on its way and committed; p then begins with t. */
static enum err come_to(struct apply *a, struct parcel *p, struct txn *t, struct fault *f)
{
    if (t != p->txns) {
        struct batch *b;
        pthread_mutex_lock(&a->lock);
        b = batch_new(++a->last_seq);
        pthread_mutex_unlock(&a->lock);
        batch_add(b, parcel_split(p, t));
        TRY(send_off(a, b, f));
    }
    return await_all_committed(a) ? ERR_OK : fault_set(f, ERR_INTERRUPTED, "stopped");
}

/* A mark that came round is on the target, and with it on its disk all that was before it. No lane is at work: the first one's session is free. */
static enum err meet_switch_notes(struct apply *a, const struct txn *t, struct fault *f)
{
    for (const struct change *c = t->changes; c != NULL; c = c->next) {
        struct switch_note note;
        if (c->relation == NULL || !c->relation->notes_switch || !a->store->ops->switch_note(a->store, c, &note))
            continue;
        if (note.is_turn)
            a->serves = note.serves;
        else
            TRY(a->store->ops->lane_mark(a->lanes[0].lane, t->end, note.mark, f));
    }
    return ERR_OK;
}

static enum err meet(struct apply *a, struct txn *t, struct fault *f)
{
    if (t->schema_change)
        TRY(ddl_meet(a->ddl, t, f));
    return t->switch_note ? meet_switch_notes(a, t, f) : ERR_OK;
}

/* Each is a barrier: all before it has committed when it is met. */
static enum err meet_barriers(struct apply *a, struct parcel *p, struct fault *f)
{
    struct txn *t;

    while ((t = barrier(a, p)) != NULL) {
        enum err err = come_to(a, p, t, f);
        if (err == ERR_OK)
            err = meet(a, t, f);
        if (err != ERR_OK) {
            a->kept = p; /* a lane may be at work in its memory */
            return err;
        }
        t->schema_change = false;
        t->switch_note = false;
    }
    return ERR_OK;
}

/* What committed before a large transaction does not wait for the end of that, as it would in one batch with its first part. */
static enum err come_to_large(struct apply *a, struct parcel *p, struct fault *f)
{
    struct txn *t = left_open(p);
    enum err err = t != NULL && t != p->txns ? come_to(a, p, t, f) : ERR_OK;

    if (err != ERR_OK)
        a->kept = p; /* a lane may be at work in its memory */
    return err;
}

static enum err on_parcel(struct apply *a, struct parcel *p, struct fault *f)
{
    struct parcel *left = p;

    while (left != NULL) {
        enum err err;

        TRY(meet_barriers(a, left, f));
        TRY(come_to_large(a, left, f));
        err = send_off(a, gather(a, left, &left), f);
        if (err != ERR_OK) {
            parcel_free(left);
            return err;
        }
    }
    return ERR_OK;
}

/* At a boundary: nothing in flight, then the hold is granted until it is released. */
static void grant_hold(struct apply *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->stop && a->committed_seq != a->last_seq)
        pthread_cond_wait(&a->moved, &a->lock);
    a->facts.applied = lsn_max(a->facts.applied, a->facts.delivered);
    a->held = true;
    pthread_cond_broadcast(&a->moved);
    while (!a->stop && a->hold)
        pthread_cond_wait(&a->moved, &a->lock);
    a->held = false;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

static void *dispatcher_thread(void *arg)
{
    struct apply *a = arg;

    while (!apply_is_over(a)) {
        struct fault f = {0};
        struct parcel *p;
        bool hold;
        bool end;

        pthread_mutex_lock(&a->lock);
        hold = a->hold && !a->chain;
        pthread_mutex_unlock(&a->lock);
        if (hold) {
            grant_hold(a);
            continue;
        }
        free_done(a);
        p = apply_take_in_hand(a, world_mono_us() + 20000, &end);
        if (p == NULL && end)
            break;
        if (p != NULL && on_parcel(a, p, &f) != ERR_OK) {
            apply_fail(a, &f);
            break;
        }
        atomic_store(&a->in_hand, false);
    }
    return NULL;
}

/* --- from outside --- */

static enum err open_lanes(struct apply *a, struct fault *f)
{
    int wanted = a->store->config->limits.apply_lanes;

    for (int i = 0; i < wanted && i < MOST_LANES; i++) {
        struct apply_lane *l = &a->lanes[i];
        char name[16];
        snprintf(name, sizeof name, "a%d", i);
        l->apply = a;
        l->index = (size_t)i;
        TRY(a->store->ops->lane_open(a->store, "forward", name, &l->lane, f));
        a->lane_count++;
    }
    for (size_t i = 0; i < a->lane_count; i++) {
        ENSURE(pthread_create(&a->lanes[i].thread, NULL, apply_lane_thread, &a->lanes[i]) == 0);
        a->lanes[i].started = true;
    }
    ENSURE(pthread_create(&a->dispatcher, NULL, dispatcher_thread, a) == 0);
    a->dispatcher_started = true;
    return ERR_OK;
}

enum err apply_start(struct store *s, struct registry *r, struct router_state *router, struct spool *spool, struct ddl *ddl, struct queue *in, const struct apply_place *at, struct apply **ret,
                     struct fault *f)
{
    struct apply *a = mem_alloc(sizeof *a);
    pthread_condattr_t attr;
    enum err err;

    a->store = s;
    a->registry = r;
    a->router = router;
    a->spool = spool;
    a->ddl = ddl;
    a->touched = at->touched;
    a->in = in;
    a->start = at->applied;
    a->serves = at->serves;
    a->facts.applied = at->applied;
    a->facts.mark = at->mark;
    a->facts.delivered = at->applied;
    a->told = at->told;
    apply_tell(a);
    a->seen = mem_alloc(SEEN_MOST * sizeof *a->seen);
    apply_skip(a, at->ahead, at->ahead_count);
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->moved, &attr);
    pthread_condattr_destroy(&attr);
    err = open_lanes(a, f);
    if (err != ERR_OK) {
        apply_stop(a);
        return err;
    }
    *ret = a;
    return ERR_OK;
}

enum err apply_check(struct apply *a, struct fault *f)
{
    enum err err;

    pthread_mutex_lock(&a->lock);
    err = a->fault.code;
    if (err != ERR_OK && f != NULL)
        *f = a->fault;
    pthread_mutex_unlock(&a->lock);
    return err;
}

void apply_facts(struct apply *a, struct apply_facts *ret)
{
    bool all_given = apply_all_given(a); /* first: a parcel that has left what this looks at has its number by now */

    pthread_mutex_lock(&a->lock);
    *ret = a->facts;
    ret->idle = all_given && a->committed_seq == a->last_seq && !a->chain;
    ret->applied = applied_now(a);
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < a->lane_count; i++) {
        struct lane_stats stats;
        a->store->ops->lane_stats(a->lanes[i].lane, &stats);
        ret->replays += stats.replays;
        ret->divergences += stats.divergences;
    }
}

bool apply_hold(struct apply *a, _Atomic bool *stop, struct lsn *ret_at)
{
    bool held;

    pthread_mutex_lock(&a->lock);
    a->hold = true;
    while (!a->stop && !a->held && !atomic_load(stop)) { /* whoever stops us may not be able to wake us */
        int64_t until = world_mono_us() + HOLD_TURN_US;
        struct timespec ts = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
        pthread_cond_timedwait(&a->moved, &a->lock, &ts);
    }
    held = a->held;
    a->hold = held;
    *ret_at = a->facts.delivered;
    pthread_mutex_unlock(&a->lock);
    return held;
}

void apply_release(struct apply *a)
{
    pthread_mutex_lock(&a->lock);
    a->hold = false;
    pthread_cond_broadcast(&a->moved);
    while (!a->stop && a->held)
        pthread_cond_wait(&a->moved, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void apply_stop(struct apply *a)
{
    struct parcel *p;
    bool end;

    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
    queue_close(a->in);
    if (a->dispatcher_started)
        pthread_join(a->dispatcher, NULL);
    for (size_t i = 0; i < a->lane_count; i++) {
        if (a->lanes[i].started)
            pthread_join(a->lanes[i].thread, NULL);
        batch_free(a->lanes[i].batch);
        a->store->ops->lane_close(a->lanes[i].lane);
    }
    free_done(a);
    parcel_free(a->kept);
    while ((p = apply_next(a, 0, &end)) != NULL)
        parcel_free(p);
    free(a->returned);
    free(a->ahead);
    free(a->seen);
    pthread_cond_destroy(&a->moved);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
