/* cutover/force.c — see force.h.
 *
 * Invariants
 *  1. Nothing is forced where the rows can still be settled by: they say more than a person can know.
 *  2. Before the side opens, this machine knows that no older epoch serves any more (store/least_epoch.h), and the
 * journal who said so.
 *  3. Wherever it ends in the middle, some command leads to a side that serves, and none to one that lacks what was
 * acknowledged without saying so:
 *
 *   after            what stands                                  what leads on
 *   the journal      nothing: it only says what was asked for     whatever did before
 *   least-epoch      the side is as it was; the lost one, should  the same --force again; or, the other one being back,
 *                    it be back, counts for outdated              --force toward that one: it served all the while
 *   the bar          the same; the stream that leads to the side  the same; then `leat resume --arm-again`, which puts
 *                    stops, and says that it was left             every table into the ledger until it was compared
 *   the opening      all of it, whether we were told or not       nothing is left to do: settling finds it
 *
 *  A --force that failed, and is known never to open the side any more, takes back least-epoch and the bar itself. */
#include "cutover/force.h"

#include <inttypes.h>

#include "base/log.h"
#include "cutover/attempt.h"
#include "cutover/deny.h"
#include "store/least_epoch.h"

static const char *opened_side(const struct switch_job *job)
{
    return job->stream->back ? "source" : "target";
}

/* A server that answers and refuses us is not lost. */
static bool is_lost(enum err err)
{
    return err == ERR_SOURCE_UNREACHABLE || err == ERR_TARGET_UNREACHABLE || err == ERR_SOURCE_LOST || err == ERR_TARGET_LOST || err == ERR_NO_DATABASE || err == ERR_AUTHORITY;
}

/* Both answer, and one says that it serves, by an epoch older than what this machine knows of. If it is the one to be
 * opened, a person may have it serve; else it is not lost, and may hold what nobody else does. */
static enum err check_outdated(const struct switch_job *job, const struct switch_settled *settled, struct fault *f)
{
    const char *side = settled->source_serves ? "source" : "target";

    if (settled->source_serves == job->stream->back)
        return ERR_OK;
    return fault_todo(f, ERR_GATE,
                      settled->source_serves ? "`leat rollback --force` has the source serve"
                                             : "`leat cutover --force` has the target serve",
                      "store %s: both sides answer, and the %s says that it serves, since epoch %" PRId64
                      ": that is older than what this machine knows to have served (a --force that did not come to its "
                      "end, or a side restored from before), but lost it is not",
                      config_stream_base(job->stream), side, settled->epoch);
}

/* ERR_OK: it cannot be settled, and *ret_why. */
static enum err check_needed(const struct switch_job *job, struct arena *a, const char **ret_why, struct fault *f)
{
    struct switch_report report = {0};
    struct attempt attempt = {.report = &report};
    struct switch_settled settled = {0};
    struct fault why = {0};
    enum err err = attempt_open(job, &attempt, &why);

    if (err == ERR_OK)
        err = attempt.ops->switch_settle(attempt.sw, &settled, &why);
    attempt_close(&attempt);
    if (err == ERR_OK)
        return fault_todo(f, ERR_GATE, "the same command without --force",
                          "store %s: both sides answer, and the %s serves, since epoch %" PRId64
                          ": there is nothing to force",
                          config_stream_base(job->stream), settled.source_serves ? "source" : "target", settled.epoch);
    if (!is_lost(err)) {
        *f = why;
        return err;
    }
    if (settled.outdated)
        TRY(check_outdated(job, &settled, f));
    *ret_why = arena_strdup(a, why.why);
    return ERR_OK;
}

enum err switch_force_look(const struct switch_job *job, struct arena *a, struct switch_force *ret, struct fault *f)
{
    AUTO(store) *store = NULL;

    TRY(store_new(job->config, job->stream, job->state_dir, 0, job->stop, &store, f));
    TRY_WITH(store->ops->force_look(store, a, &ret->view, f), f, "looking at the %s", opened_side(job));
    if (ret->view.serves)
        return fault_todo(f, ERR_GATE, "`leat status`", "store %s: the %s serves already, since epoch %" PRId64,
                          config_stream_base(job->stream), opened_side(job), ret->view.epoch);
    return check_needed(job, a, &ret->why, f);
}

/* It may have been denied when it was left. What fails here can be mended once it serves. */
static void let_in(const struct switch_job *job, struct store *store)
{
    struct fault why = {0};
    bool was;

    if (deny_give_back(store, job->journal, &was, &why) != ERR_OK)
        log_fault(LOG_WARN, config_stream_base(job->stream), &why);
}

static void put_back(const struct switch_job *job, int64_t least)
{
    struct fault why = {0};

    if (least == INT64_MAX) /* it could not be read: nothing was served by it either */
        return;
    if (least_epoch_write(job->state_dir, config_stream_base(job->stream), least, &why) != ERR_OK)
        log_fault(LOG_WARN, config_stream_base(job->stream), &why);
}

enum err switch_force_open(const struct switch_job *job, const struct switch_force *v, const char *body, struct fault *f)
{
    const char *base = config_stream_base(job->stream);
    int64_t least = least_epoch_read(job->state_dir, base);
    AUTO(store) *store = NULL;
    bool undone = true;
    enum err err = ERR_OK;

    TRY(store_new(job->config, job->stream, job->state_dir, 0, job->stop, &store, f));
    TRY(job->journal->ops->append(job->journal, base, EVENT_SWITCH_FORCED, body, f));
    if (least < v->view.next_epoch || least == INT64_MAX)
        err = least_epoch_write(job->state_dir, base, v->view.next_epoch, f);
    if (err == ERR_OK) {
        let_in(job, store);
        err = store->ops->force_open(store, &v->view, &undone, f);
    }
    if (err != ERR_OK && undone)
        put_back(job, least);
    return err;
}
