/* cutover/switch.c — see switch.h.
 *
 * Invariants
 *  1. Nothing but switch_decide() decides, and it does so once an attempt.
 *  2. Clients are released to the new side only after its own row said that it serves.
 *  3. Whoever goes back has made sure that the attempt cannot be decided any more: its locks are given up, and its
 * number is used up (compare-and-set), before a client is released to the old side. Whoever does not know settles
 * (store/postgres/settle.h): as doors and engines do, by the same rule.
 *  4. Within the pause nothing is written to the journal: a sync of this machine's disk is not what clients wait for.
 */
#include "cutover/switch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "cutover/attempt.h"
#include "cutover/deny.h"
#include "cutover/record.h"
#include "store/least_epoch.h"

#define TRIES 8
#define BACK_OFF_US ((int64_t)200000)

const char *switch_step_name(enum switch_step step)
{
    static const char *const names[] = {
#define X(ID, name, text) name,
#include "cutover/steps.def"
#undef X
    };

    ENSURE((size_t)step < sizeof names / sizeof *names);
    return names[step];
}

static enum err record_begin(struct attempt *a, struct fault *f)
{
    json_t *o = json_pack("{s:b, s:s, s:I, s:I}", "rehearsal", (int)a->job->rehearsal, "to", a->new_side, "epoch",
                          (json_int_t)a->epoch, "attempt", (json_int_t)a->attempt);
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = a->job->journal->ops->append(a->job->journal, a->base, EVENT_SWITCH_BEGUN, body, f);

    json_decref(o);
    free(body);
    return err;
}

static const char *who_serves(const struct attempt *a)
{
    return a->report->unknown ? "unknown" : a->report->decided ? a->new_side : a->old_side;
}

static enum err record_end(struct attempt *a, enum err result, const struct fault *why, struct fault *f)
{
    const struct switch_report *r = a->report;
    json_t *o = json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:s, s:s}", "rehearsal", (int)a->job->rehearsal, "ok",
                          (int)(result == ERR_OK), "pause_us", (json_int_t)r->pause_us, "held", (json_int_t)r->held,
                          "moved", (json_int_t)r->moved, "failed", (json_int_t)r->failed, "serves", who_serves(a),
                          "why", result == ERR_OK ? "" : why->why);
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err =
        a->job->journal->ops->append(a->job->journal, a->base, EVENT_SWITCH_ENDED, body != NULL ? body : "{}", f);

    json_decref(o);
    free(body);
    if (err == ERR_OK && (a->job->rehearsal || result == ERR_OK))
        err = record_rehearsed(a->job->journal, a->base,
                               result == ERR_OK && r->pause_us <= a->job->config->gates.pause_us, r->pause_us, f);
    return err;
}

/* A rehearsal that cannot go back is none that went well: clients were held for longest. What failed before says more.
 */
static enum err go_back(struct attempt *a, enum err why, struct fault *f)
{
    struct fault second = {0};
    enum err err = attempt_go_back(a, why == ERR_OK ? f : &second);

    if (why != ERR_OK && err != ERR_OK)
        log_fault(LOG_WARN, a->base, &second);
    if (why == ERR_OK || err != ERR_OK || !a->report->decided || a->job->rehearsal)
        return why != ERR_OK ? why : err;
    log_fault(LOG_WARN, a->base, f); /* an older attempt's COMMIT came through, or another command's */
    fault_clear(f);
    return ERR_OK;
}

/* One attempt from its gate to its end. */
static enum err attempt_once(struct attempt *a, struct fault *f)
{
    struct fault ignored = {0};
    enum err err = attempt_ours(a, f);

    if (err == ERR_OK)
        err = attempt_gate(a, f);
    if (err == ERR_OK)
        err = record_begin(a, f);
    if (err != ERR_OK) {
        attempt_cool(a);
        return err;
    }
    err = attempt_refresh(a, f);
    if (err == ERR_OK)
        err = attempt_before_decision(a, f);
    if (err != ERR_OK || a->job->rehearsal)
        err = go_back(a, err, f);
    else
        err = attempt_decide_and_open(a, f);
    if (err == ERR_SWITCH_HELD_UP && !a->report->decided && !a->job->rehearsal && a->holds)
        err = go_back(a, err, f);
    if (record_end(a, err, f, &ignored) != ERR_OK)
        log_fault(LOG_WARN, a->base, &ignored);
    return err;
}

/* What is only for now is tried again, each time a little later, on fresh sessions. */
static bool is_for_now(enum err err)
{
    return err == ERR_SWITCH_HELD_UP || err == ERR_BUSY;
}

static enum err try_often(struct attempt *a, struct fault *f)
{
    enum err err;

    for (a->report->tries = 1;; a->report->tries++) {
        struct fault why = {0};
        int64_t pause = BACK_OFF_US * a->report->tries;

        err = attempt_once(a, &why);
        if (err == ERR_OK || !is_for_now(err) || a->report->tries == TRIES || a->report->decided ||
            attempt_stopped(a)) {
            *f = why;
            return err;
        }
        attempt_say(a->job, "went back (%s: %s); trying again in %.1f s", why.what, why.why, (double)pause / 1e6);
        world_sleep_us(pause);
        if (attempt_begin_again(a, f) != ERR_OK)
            return f->code;
    }
}

static void take_who_serves(struct attempt *a)
{
    struct switch_report *r = a->report;
    bool old_serves = !r->decided;

    r->epoch = a->epoch + r->decided;
    r->source_serves = a->job->stream->back ? !old_serves : old_serves;
}

enum err switch_run(const struct switch_job *job, struct switch_report *ret, struct fault *f)
{
    struct attempt a = {.report = ret};
    enum err err;

    memset(ret, 0, sizeof *ret);
    err = attempt_open(job, &a, f);
    if (err == ERR_OK) {
        ret->doors = (int)doors_count(a.doors);
        err = try_often(&a, f);
        take_who_serves(&a);
        if (ret->opened)
            least_epoch_remember(job->state_dir, a.base, ret->epoch);
        if (ret->decided && (err == ERR_OK || err == ERR_DOOR_LEFT))
            deny_left(&a);
        else if (!ret->decided && !ret->unknown)
            deny_again(&a);
    }
    ret->unknown = ret->unknown || !a.looked;
    attempt_close(&a);
    return err;
}

/* --- arming, settling --- */

enum err switch_arm(const struct switch_job *job, struct fault *f)
{
    const struct config_store *c = job->stream->back ? job->stream->other : job->stream;
    AUTO(store) *store = NULL;
    uint64_t made;

    TRY(store_new(job->config, c, job->state_dir, 0, job->stop, &store, f));
    TRY(store->ops->fence(store, &made, f));
    if (made > 0)
        attempt_say(job, "%" PRIu64 " fences made", made);
    return record_arm(job->journal, c->name, f);
}

/* A decision that was found and carried out is told to doors that still hold. */
static enum err settle(struct attempt *a, struct switch_settled *ret, struct fault *f)
{
    TRY(a->ops->switch_settle(a->sw, ret, f));
    if (ret->opened)
        return attempt_release(a, ret->source_serves ? "source" : "target", ret->epoch, f);
    return ERR_OK;
}

enum err switch_settle(const struct switch_job *job, bool *ret_source_serves, int64_t *ret_epoch, struct fault *f)
{
    struct switch_report report = {0};
    struct attempt a = {.report = &report};
    struct switch_settled settled = {0};
    enum err err = attempt_open(job, &a, f);

    if (err == ERR_OK)
        err = settle(&a, &settled, f);
    attempt_close(&a);
    *ret_source_serves = settled.source_serves;
    *ret_epoch = settled.epoch;
    return err;
}
