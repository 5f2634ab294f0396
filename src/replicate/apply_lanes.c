/* replicate/apply_lanes.c — a lane's thread: the batch it was given, to its commit, whatever that takes. See apply.c.
 *
 * Early steps run beside the batches before; late ones when those have committed; commits go in order. */
#include "base/log.h"
#include "replicate/apply_internal.h"

#define BUSY_TRIES 200

static const struct binding *find_binding(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel)
{
    const struct binding *b = NULL;

    (void)c;
    return apply_route(ctx, t, rel, &b, NULL) == ERR_OK ? b : NULL;
}

/* Waits until the batch before has committed. False: stop, or an earlier lane is blocked and wants ours out of the way. */
static bool await_turn(struct apply_lane *l, uint64_t seq, bool may_yield)
{
    struct apply *a = l->apply;
    bool turn;

    pthread_mutex_lock(&a->lock);
    l->waits = may_yield;
    while (!a->stop && a->committed_seq + 1 < seq && !(may_yield && a->yield_before != 0 && a->yield_before < seq))
        pthread_cond_wait(&a->moved, &a->lock);
    l->waits = false;
    turn = a->committed_seq + 1 == seq && !a->stop;
    pthread_mutex_unlock(&a->lock);
    return turn;
}

static void ask_others_to_yield(struct apply *a, uint64_t seq)
{
    pthread_mutex_lock(&a->lock);
    a->yield_before = seq;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

/* Early steps beside the batches before, then, in turn, the rest. ERR_BUSY: yielded or blocked, to be run again in turn. */
static enum err run_beside(struct apply_lane *l, struct batch *b, struct fault *f)
{
    const struct store_ops *ops = l->apply->store->ops;

    TRY(ops->lane_begin(l->lane, b, f));
    TRY(ops->lane_steps(l->lane, b, false, f));
    if (!await_turn(l, b->seq, true))
        return fault_set(f, ERR_BUSY, "made way for an earlier batch");
    TRY(ops->lane_steps(l->lane, b, true, f));
    return ops->lane_commit(l->lane, b, false, f);
}

static enum err run_in_turn(struct apply_lane *l, struct batch *b, struct fault *f)
{
    const struct store_ops *ops = l->apply->store->ops;

    TRY(ops->lane_begin(l->lane, b, f));
    TRY(ops->lane_steps(l->lane, b, false, f));
    TRY(ops->lane_steps(l->lane, b, true, f));
    return ops->lane_commit(l->lane, b, false, f);
}

static bool about_data(enum err err)
{
    return err == ERR_DIVERGED || err == ERR_TARGET_SQL;
}

/* Runs the batch to its commit whatever that takes: again when something was in the way, change by change when the data is not
 * as the stream said. */
static enum err run(struct apply_lane *l, struct batch *b, struct fault *f)
{
    const struct store_ops *ops = l->apply->store->ops;
    enum err err;

    if (b->exclusive) {
        if (!await_turn(l, b->seq, false))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        err = run_in_turn(l, b, f);
    } else {
        err = run_beside(l, b, f);
    }
    for (int tries = 0; err == ERR_BUSY || about_data(err); tries++) {
        bool data = about_data(err);
        if (!b->begins && !data)
            return err; /* earlier parts are in the same transaction: the engine starts over */
        if (b->begins)
            ops->lane_rollback(l->lane);
        if (!await_turn(l, b->seq, false))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        if (tries == BUSY_TRIES)
            return err;
        if (data) {
            log_fault(LOG_INFO, l->apply->store->name, f);
            fault_clear(f);
            return ops->lane_replay(l->lane, b, find_binding, l->apply, false, f);
        }
        ask_others_to_yield(l->apply, b->seq);
        fault_clear(f);
        err = run_in_turn(l, b, f);
    }
    return err;
}

static void committed(struct apply_lane *l, struct batch *b)
{
    struct apply *a = l->apply;

    pthread_mutex_lock(&a->lock);
    ENSURE(a->committed_seq + 1 == b->seq);
    a->committed_seq = b->seq;
    if (a->yield_before == b->seq)
        a->yield_before = 0;
    a->facts.txns += b->txn_count;
    a->facts.changes += b->change_count;
    if (b->completes) {
        a->facts.applied = lsn_max(a->facts.applied, b->end);
        a->facts.mark = lsn_max(a->facts.mark, b->end);
        a->facts.applied_us = b->commit_us;
    }
    apply_tell(a);
    l->batch = NULL;
    b->ctx = a->done;
    a->done = b;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

void *apply_lane_thread(void *arg)
{
    struct apply_lane *l = arg;
    struct apply *a = l->apply;

    for (;;) {
        struct fault f = {0};
        struct batch *b;

        pthread_mutex_lock(&a->lock);
        while (!a->stop && l->batch == NULL)
            pthread_cond_wait(&a->moved, &a->lock);
        b = l->batch;
        pthread_mutex_unlock(&a->lock);
        if (b == NULL || apply_is_over(a))
            break;
        if (run(l, b, &f) != ERR_OK) {
            apply_fail(a, &f);
            break;
        }
        committed(l, b);
    }
    return NULL;
}
