/* cutover/switch.c — see switch.h.
 *
 * Invariants
 *  1. Nothing but switch_decide() decides, and it does so once an attempt.
 *  2. Clients are released to the new side only after its own row said that it serves.
 *  3. Whoever goes back has made sure that the attempt cannot be decided any more: its locks are given up, and its number is used up
 *     (compare-and-set), before a client is released to the old side.
 *  4. Within the pause nothing is written to the journal: a sync of this machine's disk is not what clients wait for. */
#include "cutover/switch.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "cutover/doors.h"
#include "cutover/record.h"

#define TRIES 8
#define BACK_OFF_US ((int64_t)200000)
#define LEAST_DEADLINE_US ((int64_t)1000000)
#define PROBE_US ((int64_t)15000000)
#define LOOK_US ((int64_t)300)
#define WARM_MS 30000
#define AFTER_US ((int64_t)60000000) /* how long what follows the decision is tried before a person is told */

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

struct attempt {
    const struct switch_job *job;
    struct switch_report *report;
    struct store *store;
    const struct store_ops *ops;
    struct store_switch *sw;
    struct doors *doors;
    const char *base;      /* the store's own name */
    const char *old_side;
    const char *new_side;
    int64_t deadline_us;   /* of holding and locking, a length */
    int64_t epoch;
    int64_t attempt;
    int64_t mark;
    int64_t began_us;      /* of the step */
    int64_t paused_us;
    bool holds;            /* doors were told to hold */
};

static void say(const struct switch_job *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct switch_job *job, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (job->say == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    job->say(job->ctx, text);
}

/* For tests of what happens where somebody dies: this process stops itself as it comes to the step named, as a debugger would. */
static void halt_at(enum switch_step step)
{
    const char *at = getenv("LEAT_HALT_AT");

    if (at != NULL && strcmp(at, switch_step_name(step)) == 0)
        (void)raise(SIGSTOP);
}

static void begins(struct attempt *a, enum switch_step step)
{
    a->began_us = world_mono_us();
    halt_at(step);
}

static void ends(struct attempt *a, enum switch_step step)
{
    a->report->step_us[step] = world_mono_us() - a->began_us;
}

static int64_t deadline_ms(const struct attempt *a)
{
    return a->deadline_us / 1000;
}

/* --- its life --- */

static enum err open_attempt(const struct switch_job *job, struct attempt *a, struct fault *f)
{
    const struct config_store *c = job->stream;

    a->job = job;
    a->base = c->back ? c->other->name : c->name;
    a->old_side = c->back ? "target" : "source";
    a->new_side = c->back ? "source" : "target";
    a->deadline_us = 4 * job->config->gates.pause_us > LEAST_DEADLINE_US ? 4 * job->config->gates.pause_us : LEAST_DEADLINE_US;
    TRY(store_new(job->config, c, job->state_dir, 0, job->stop, &a->store, f));
    a->ops = a->store->ops;
    TRY(a->ops->switch_open(a->store, &a->sw, f));
    return doors_open(job->state_dir, a->base, &a->doors, f);
}

static void close_attempt(struct attempt *a)
{
    if (a->sw != NULL)
        a->ops->switch_close(a->sw);
    doors_free(a->doors);
    store_free(a->store);
}

static bool stopped(const struct attempt *a)
{
    return a->job->stop != NULL && atomic_load(a->job->stop);
}

/* --- gate --- */

static enum err check_rows(struct attempt *a, const struct switch_row *old, const struct switch_row *new, struct fault *f)
{
    if (!old->there || !new->there)
        return fault_todo(f, ERR_GATE, "`leat rehearse` does it", "store %s is not armed for a switch yet", a->base);
    if (new->names_here && new->open)
        return fault_set(f, ERR_GATE, "the %s serves already, since epoch %" PRId64, a->new_side, new->epoch);
    if (!old->names_here || !old->open || old->epoch != new->epoch || new->open)
        return fault_set(f, ERR_AUTHORITY, "the %s says epoch %" PRId64 " (%s), the %s epoch %" PRId64 " (%s)", a->old_side, old->epoch, old->open ? "open" : "shut", a->new_side, new->epoch,
                         new->open ? "open" : "shut");
    a->epoch = old->epoch;
    a->attempt = old->attempt;
    return ERR_OK;
}

static enum err read_rows(struct attempt *a, struct fault *f)
{
    struct switch_row old;
    struct switch_row new;

    TRY(a->ops->switch_rows(a->sw, &old, &new, f));
    return check_rows(a, &old, &new, f);
}

static enum err check_obstacles(struct attempt *a, struct fault *f)
{
    AUTO(arena) *arena = arena_new(16384);
    struct switch_obstacle *list;
    size_t count;

    TRY(a->ops->switch_obstacles(a->sw, arena, &list, &count, f));
    for (size_t i = 0; i < count; i++)
        if (!list[i].refuses && (a->job->rehearsal || a->job->no_failover || strcmp(list[i].what, "standby") != 0))
            say(a->job, "%s: %s", list[i].what, list[i].why);
        else
            return fault_set(f, ERR_GATE, "%s: %s%s", list[i].what, list[i].why, count > 1 ? " (and more)" : "");
    return ERR_OK;
}

static int64_t new_mark(struct attempt *a)
{
    int64_t now = world_wall_us();

    a->mark = now > a->mark ? now : a->mark + 1; /* marks only grow: one that comes round late counts for none after it */
    return a->mark;
}

static enum err await_mark(struct attempt *a, enum store_side on, int64_t mark, int64_t until_us, enum err late, const char *what, struct fault *f)
{
    for (;;) {
        bool came;
        TRY(a->ops->switch_came(a->sw, on, mark, &came, f));
        if (came)
            return ERR_OK;
        if (stopped(a))
            return fault_set(f, ERR_INTERRUPTED, "asked to stop");
        if (world_mono_us() > until_us)
            return fault_set(f, late, "%s", what);
        world_sleep_us(LOOK_US);
    }
}

/* Both streams live, and how long a mark takes is what draining will take. */
static enum err probe(struct attempt *a, struct fault *f)
{
    int64_t mark = new_mark(a);
    int64_t until = world_mono_us() + PROBE_US;

    TRY(a->ops->switch_mark(a->sw, STORE_SOURCE, mark, f));
    TRY(a->ops->switch_mark(a->sw, STORE_TARGET, mark, f));
    TRY(await_mark(a, STORE_SOURCE, mark, until, ERR_GATE, "a mark written on the side that serves does not come round: is the stream followed (`leat status`)?", f));
    return await_mark(a, STORE_TARGET, mark, until, ERR_GATE, "a mark written on the other side does not come back: does the way back run (`leat status`)?", f);
}

/* Whoever cannot move is known beforehand: nobody is held in vain. Under `door_unmovable: terminate` such sessions are ended. */
static enum err check_movable(struct attempt *a, struct fault *f)
{
    json_t *answers = NULL;
    enum err err = doors_ask(a->doors, json_pack("{s:s}", "do", "status"), a->deadline_us + 2000000, &answers, f);
    const json_t *one;
    size_t i;

    if (a->report->unmovable == NULL)
        a->report->unmovable = json_array();
    json_array_clear(a->report->unmovable);
    json_array_foreach(answers, i, one)
        json_array_extend(a->report->unmovable, json_object_get(one, "unmovable"));
    json_decref(answers);
    TRY(err);
    if (json_array_size(a->report->unmovable) > 0 && a->job->stream->door_unmovable == UNMOVABLE_WAIT) {
        AUTO_CHARS *first = json_dumps(json_array_get(a->report->unmovable, 0), JSON_COMPACT);
        return fault_todo(f, ERR_GATE, "wait until they have ended, or `door_unmovable: terminate` in leat.yaml", "%zu session(s) cannot be moved, the first: %s", json_array_size(a->report->unmovable), first);
    }
    return ERR_OK;
}

static enum err check_doors(struct attempt *a, struct fault *f)
{
    if (doors_count(a->doors) < a->job->stream->door_count)
        return fault_todo(f, ERR_GATE, "`leat status` says which; the pilot starts them, see .leat/log", "%zu of %zu doors answer", doors_count(a->doors), a->job->stream->door_count);
    return ERR_OK;
}

static enum err warm(struct attempt *a, struct fault *f)
{
    return doors_ask(a->doors, json_pack("{s:s, s:s, s:i}", "do", "warm", "side", a->new_side, "deadline_ms", WARM_MS), (int64_t)WARM_MS * 1000 + 5000000, NULL, f);
}

static enum err gate(struct attempt *a, struct fault *f)
{
    enum err err;

    begins(a, SWITCH_GATE);
    err = read_rows(a, f);
    if (err == ERR_OK)
        err = check_obstacles(a, f);
    if (err == ERR_OK)
        err = probe(a, f);
    if (err == ERR_OK)
        err = check_doors(a, f);
    if (err == ERR_OK)
        err = warm(a, f);
    if (err == ERR_OK)
        err = check_movable(a, f);
    ends(a, SWITCH_GATE);
    return err;
}

/* --- before the decision --- */

static enum err hold(struct attempt *a, struct fault *f)
{
    json_t *answers = NULL;
    enum err err;

    begins(a, SWITCH_HOLD);
    a->paused_us = world_mono_us();
    a->holds = doors_count(a->doors) > 0;
    err = doors_ask(a->doors, json_pack("{s:s, s:I, s:I, s:I}", "do", "hold", "epoch", (json_int_t)a->epoch, "attempt", (json_int_t)a->attempt, "deadline_ms", (json_int_t)deadline_ms(a)),
                    a->deadline_us + 2000000, &answers, f);
    a->report->held = doors_sum(answers, "held");
    json_decref(answers);
    ends(a, SWITCH_HOLD);
    return err;
}

static enum err lock(struct attempt *a, struct fault *f)
{
    enum err err;

    begins(a, SWITCH_LOCK);
    err = a->ops->switch_lock(a->sw, deadline_ms(a), f);
    ends(a, SWITCH_LOCK);
    return err;
}

/* The mark the other way is written with it: both come round at the same time. */
static enum err mark(struct attempt *a, struct fault *f)
{
    int64_t number = new_mark(a);

    begins(a, SWITCH_MARK);
    TRY(a->ops->switch_mark(a->sw, STORE_SOURCE, number, f));
    TRY(a->ops->switch_mark(a->sw, STORE_TARGET, number, f));
    ends(a, SWITCH_MARK);
    return ERR_OK;
}

/* What is asked of both servers while doors rebuild and the mark travels: it costs clients nothing then. */
static enum err check(struct attempt *a, struct fault *f)
{
    enum err err;

    begins(a, SWITCH_CHECK);
    err = a->ops->switch_check(a->sw, f);
    ends(a, SWITCH_CHECK);
    return err;
}

static enum err drain(struct attempt *a, struct fault *f)
{
    int64_t until = world_mono_us() + a->deadline_us;

    begins(a, SWITCH_DRAIN);
    TRY(await_mark(a, STORE_SOURCE, a->mark, until, ERR_SWITCH_HELD_UP, "what was written on the old side did not reach the new one in time", f));
    TRY(await_mark(a, STORE_TARGET, a->mark, until, ERR_SWITCH_HELD_UP, "the way back did not bring its mark in time", f));
    TRY(a->ops->switch_prepare_open(a->sw, a->epoch + 1, deadline_ms(a), f));
    ends(a, SWITCH_DRAIN);
    return ERR_OK;
}

static enum err check_and_drain(struct attempt *a, struct fault *f)
{
    TRY_WITH(check(a, f), f, "check");
    TRY_WITH(drain(a, f), f, "drain");
    return ERR_OK;
}

/* Doors are always heard out: the next request's answers are then its own. */
static enum err meanwhile_rebuild(struct attempt *a, struct fault *f)
{
    struct fault second = {0};
    enum err err;
    enum err doors;

    TRY(doors_send(a->doors, json_pack("{s:s}", "do", "rebuild"), f));
    err = check_and_drain(a, f);
    begins(a, SWITCH_REBUILD);
    doors = doors_receive(a->doors, a->deadline_us + 2000000, NULL, err == ERR_OK ? f : &second);
    ends(a, SWITCH_REBUILD);
    return err != ERR_OK ? err : doors;
}

/* A door that died since, and is there again, holds nobody: the decision is not made over its head. */
static enum err still_held(struct attempt *a, struct fault *f)
{
    json_t *answers = NULL;
    enum err err = doors_ask(a->doors, json_pack("{s:s}", "do", "status"), a->deadline_us, &answers, f);
    const json_t *one;
    size_t i;

    json_array_foreach(answers, i, one)
    {
        const char *phase = json_string_value(json_object_get(one, "phase"));
        if (err == ERR_OK && (phase == NULL || strcmp(phase, "rebuilt") != 0))
            err = fault_set(f, ERR_SWITCH_HELD_UP, "a door is %s, and holds its clients no longer", phase);
    }
    json_decref(answers);
    return err;
}

static enum err before_decision(struct attempt *a, struct fault *f)
{
    TRY_WITH(hold(a, f), f, "hold");
    TRY_WITH(lock(a, f), f, "lock");
    TRY_WITH(mark(a, f), f, "mark");
    TRY(meanwhile_rebuild(a, f));
    TRY(still_held(a, f));
    return stopped(a) ? fault_set(f, ERR_INTERRUPTED, "asked to stop before the decision") : ERR_OK;
}

/* --- release --- */

static void take_pause(struct attempt *a, const json_t *answers)
{
    int64_t seen = (int64_t)(1000 * doors_pause_ms(answers, "max"));

    a->report->moved = doors_sum(answers, "moved");
    a->report->failed = doors_sum(answers, "failed");
    a->report->pause_us = doors_count(a->doors) > 0 ? seen : world_mono_us() - a->paused_us;
}

static enum err release(struct attempt *a, const char *side, int64_t epoch, struct fault *f)
{
    json_t *answers = NULL;
    enum err err;

    begins(a, SWITCH_RELEASE);
    err = doors_ask(a->doors, json_pack("{s:s, s:s, s:I}", "do", "release", "side", side, "epoch", (json_int_t)epoch), a->deadline_us + 10000000, &answers, f);
    take_pause(a, answers);
    json_decref(answers);
    ends(a, SWITCH_RELEASE);
    a->holds = false;
    return err;
}

/* Locks first, then the attempt's number: from there on nobody can decide it, and doors may let go. A door that has done so by itself, by the same
 * compare-and-set, is no failure. */
static void go_back(struct attempt *a)
{
    struct fault ignored = {0};
    bool done;

    a->ops->switch_unlock(a->sw);
    if (a->ops->switch_abort(a->sw, a->epoch, a->attempt, &done, &ignored) != ERR_OK)
        log_fault(LOG_WARN, a->base, &ignored); /* doors do it at their deadline */
    fault_clear(&ignored);
    if (a->holds && release(a, a->old_side, a->epoch, &ignored) != ERR_OK)
        log_fault(LOG_WARN, a->base, &ignored);
    else if (!a->holds)
        a->report->pause_us = world_mono_us() - a->paused_us;
}

/* --- the decision, and after it --- */

static enum err connect_again(struct attempt *a, struct fault *f)
{
    struct store_switch *fresh;

    TRY(a->ops->switch_open(a->store, &fresh, f));
    a->ops->switch_close(a->sw);
    a->sw = fresh;
    return ERR_OK;
}

/* For another try: doors that came back are spoken to again. */
static enum err begin_again(struct attempt *a, struct fault *f)
{
    struct doors *doors;

    TRY(connect_again(a, f));
    TRY(doors_open(a->job->state_dir, a->base, &doors, f));
    doors_free(a->doors);
    a->doors = doors;
    return ERR_OK;
}

/* COMMIT was sent and no answer came. The row tells; where it says "not yet", the attempt is used up first, so that it can never be. */
static enum err find_out(struct attempt *a, bool *ret_decided, struct fault *f)
{
    struct switch_row old;
    bool aborted;

    TRY(connect_again(a, f));
    TRY(a->ops->switch_abort(a->sw, a->epoch, a->attempt, &aborted, f));
    TRY(a->ops->switch_confirm(a->sw, &old, f));
    *ret_decided = old.epoch > a->epoch;
    return ERR_OK;
}

static enum err decide(struct attempt *a, bool *ret_decided, struct fault *f)
{
    int64_t until = world_mono_us() + AFTER_US;
    struct fault why = {0};
    enum err err;

    begins(a, SWITCH_DECIDE);
    err = a->ops->switch_decide(a->sw, a->epoch, a->attempt, ret_decided, &why);
    while (err != ERR_OK && world_mono_us() < until) {
        log_fault(LOG_WARN, a->base, &why);
        fault_clear(&why);
        err = find_out(a, ret_decided, &why);
        if (err != ERR_OK)
            (void)poll(NULL, 0, 100);
    }
    ends(a, SWITCH_DECIDE);
    if (err != ERR_OK)
        return fault_todo(f, ERR_AUTHORITY, "bring the old side back: `leat status` then says who serves; doors wait for it", "the decision was sent, and its server does not answer: %s", why.why);
    return ERR_OK;
}

static enum err open_new(struct attempt *a, int64_t epoch, struct fault *f)
{
    int64_t until = world_mono_us() + AFTER_US;
    struct fault why = {0};
    bool open = false;
    enum err err;

    begins(a, SWITCH_OPEN);
    while ((err = a->ops->switch_open_side(a->sw, epoch, &open, &why)) != ERR_OK && world_mono_us() < until) {
        log_fault(LOG_WARN, a->base, &why);
        fault_clear(&why);
        (void)poll(NULL, 0, 50);
        (void)connect_again(a, &why);
        fault_clear(&why);
    }
    ends(a, SWITCH_OPEN);
    if (err != ERR_OK)
        return fault_todo(f, ERR_AUTHORITY, "bring the new side back, then the same command again: it goes on from there", "it is decided, and the %s does not open: %s", a->new_side, why.why);
    if (!open)
        return fault_set(f, ERR_AUTHORITY, "it is decided, and the %s stands at another epoch", a->new_side);
    return ERR_OK;
}

static enum err decide_and_open(struct attempt *a, struct fault *f)
{
    struct fault left = {0};
    bool decided = false;

    TRY(decide(a, &decided, f));
    a->report->decided = decided;
    if (!decided)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a door had given the attempt up");
    TRY(open_new(a, a->epoch + 1, f));
    if (release(a, a->new_side, a->epoch + 1, &left) != ERR_OK)
        return fault_set(f, ERR_DOOR_LEFT, "the %s serves from epoch %" PRId64 " on; %s", a->new_side, a->epoch + 1, left.why);
    return ERR_OK;
}

/* --- the whole --- */

static enum err record_begin(struct attempt *a, struct fault *f)
{
    json_t *o = json_pack("{s:b, s:s, s:I, s:I}", "rehearsal", (int)a->job->rehearsal, "to", a->new_side, "epoch", (json_int_t)a->epoch, "attempt", (json_int_t)a->attempt);
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = a->job->journal->ops->append(a->job->journal, a->base, EVENT_SWITCH_BEGUN, body, f);

    json_decref(o);
    free(body);
    return err;
}

static enum err record_end(struct attempt *a, enum err result, const struct fault *why, struct fault *f)
{
    const struct switch_report *r = a->report;
    json_t *o = json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:s, s:s}", "rehearsal", (int)a->job->rehearsal, "ok", (int)(result == ERR_OK), "pause_us", (json_int_t)r->pause_us, "held",
                          (json_int_t)r->held, "moved", (json_int_t)r->moved, "failed", (json_int_t)r->failed, "serves", r->decided ? a->new_side : a->old_side, "why", result == ERR_OK ? "" : why->why);
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = a->job->journal->ops->append(a->job->journal, a->base, EVENT_SWITCH_ENDED, body != NULL ? body : "{}", f);

    json_decref(o);
    free(body);
    if (err == ERR_OK && (a->job->rehearsal || result == ERR_OK))
        err = record_rehearsed(a->job->journal, a->base, result == ERR_OK && r->pause_us <= a->job->config->gates.pause_us, r->pause_us, f);
    return err;
}

/* One attempt from its gate to its end. */
static enum err attempt_once(struct attempt *a, struct fault *f)
{
    struct fault ignored = {0};
    enum err err;

    TRY(gate(a, f));
    TRY(record_begin(a, f));
    err = before_decision(a, f);
    if (err != ERR_OK || a->job->rehearsal)
        go_back(a);
    else
        err = decide_and_open(a, f);
    if (err == ERR_SWITCH_HELD_UP && !a->report->decided && !a->job->rehearsal && a->holds)
        go_back(a);
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
        if (err == ERR_OK || !is_for_now(err) || a->report->tries == TRIES || a->report->decided || stopped(a)) {
            *f = why;
            return err;
        }
        say(a->job, "went back (%s: %s); trying again in %.1f s", why.what, why.why, (double)pause / 1e6);
        world_sleep_us(pause);
        if (begin_again(a, f) != ERR_OK)
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
    err = open_attempt(job, &a, f);
    if (err == ERR_OK) {
        ret->doors = (int)doors_count(a.doors);
        err = try_often(&a, f);
        take_who_serves(&a);
    }
    close_attempt(&a);
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
        say(job, "%" PRIu64 " fences made", made);
    return record_arm(job->journal, c->name, f);
}

/* Which of two rows is newer decides; a decision whose opening is missing is opened. `a` leads from the side that was decided away from. */
static enum err settle_one(struct attempt *a, bool *ret_new_serves, int64_t *ret_epoch, struct fault *f)
{
    struct switch_row old;
    struct switch_row new;

    TRY(a->ops->switch_rows(a->sw, &old, &new, f));
    *ret_epoch = old.epoch > new.epoch ? old.epoch : new.epoch;
    *ret_new_serves = new.there && new.names_here && new.open && new.epoch >= old.epoch;
    if (!old.there || old.names_here || old.open || old.epoch != new.epoch + 1)
        return ERR_OK;
    TRY(a->ops->switch_confirm(a->sw, &old, f));
    if (old.names_here || old.open || old.epoch != new.epoch + 1)
        return fault_set(f, ERR_SWITCH_HELD_UP, "the rows change while they are read");
    TRY(open_new(a, old.epoch, f));
    *ret_new_serves = true;
    return release(a, a->new_side, old.epoch, f);
}

static enum err settle_way(const struct switch_job *job, const struct config_store *way, bool *ret_new_serves, int64_t *ret_epoch, struct fault *f)
{
    struct switch_report report = {0};
    struct attempt a = {.report = &report};
    struct switch_job that = *job;
    enum err err;

    that.stream = way;
    err = open_attempt(&that, &a, f);
    if (err == ERR_OK)
        err = settle_one(&a, ret_new_serves, ret_epoch, f);
    close_attempt(&a);
    return err;
}

enum err switch_settle(const struct switch_job *job, bool *ret_source_serves, int64_t *ret_epoch, struct fault *f)
{
    const struct config_store *forward = job->stream->back ? job->stream->other : job->stream;
    bool target_serves = false;
    bool source_serves = false;

    TRY(settle_way(job, forward, &target_serves, ret_epoch, f));
    if (!target_serves)
        TRY(settle_way(job, forward->other, &source_serves, ret_epoch, f));
    *ret_source_serves = !target_serves;
    return ERR_OK;
}
