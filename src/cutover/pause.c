/* cutover/pause.c — while clients wait: what is done before the decision, how it is taken back, and how they are let
 * go. */
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "cutover/attempt.h"

#define BACK_US ((int64_t)10000000)
#define COOL_US ((int64_t)5000000)

/* Of all doors: whom the others waited for. */
static void take_last(json_t **ret, const json_t *answers)
{
    const json_t *one;
    size_t i;

    json_decref(*ret);
    *ret = NULL;
    json_array_foreach(answers, i, one)
    {
        json_t *last = json_object_get(one, "last");
        double ms = json_number_value(json_object_get(last, "ms"));

        if (!json_is_object(last) || ms < json_number_value(json_object_get(*ret, "ms")))
            continue;
        json_decref(*ret);
        *ret = json_incref(last);
    }
}

static enum err hold(struct attempt *a, struct fault *f)
{
    json_t *answers = NULL;
    enum err err;

    attempt_begins(a, SWITCH_HOLD);
    a->paused_us = world_mono_us();
    a->holds = doors_count(a->doors) > 0;
    err = doors_ask(a->doors,
                    json_pack("{s:s, s:I, s:I, s:I}", "do", "hold", "epoch", (json_int_t)a->epoch, "attempt",
                              (json_int_t)a->attempt, "deadline_ms", (json_int_t)attempt_deadline_ms(a)),
                    a->deadline_us + 2000000, &answers, f);
    a->report->held = doors_sum(answers, "held");
    a->report->asked = doors_sum(answers, "asked");
    take_last(&a->report->last_held, answers);
    json_decref(answers);
    attempt_ends(a, SWITCH_HOLD);
    return err;
}

static enum err lock(struct attempt *a, struct fault *f)
{
    enum err err;

    attempt_begins(a, SWITCH_LOCK);
    err = a->ops->switch_lock(a->sw, attempt_deadline_ms(a), f);
    attempt_ends(a, SWITCH_LOCK);
    return err;
}

/* The mark the other way is written with it: both come round at the same time. */
static enum err mark(struct attempt *a, struct fault *f)
{
    int64_t number = attempt_new_mark(a);

    attempt_begins(a, SWITCH_MARK);
    TRY(a->ops->switch_mark(a->sw, number, f));
    attempt_ends(a, SWITCH_MARK);
    return ERR_OK;
}

/* What is asked of both servers while doors rebuild and the mark travels: it costs clients nothing then. */
static enum err check(struct attempt *a, struct fault *f)
{
    enum err err;

    attempt_begins(a, SWITCH_CHECK);
    err = a->ops->switch_check(a->sw, f);
    attempt_ends(a, SWITCH_CHECK);
    return err;
}

static enum err drain(struct attempt *a, struct fault *f)
{
    int64_t until = world_mono_us() + a->deadline_us;

    attempt_begins(a, SWITCH_DRAIN);
    TRY(attempt_await_mark(a, STORE_SOURCE, a->mark, until, ERR_SWITCH_HELD_UP,
                           "what was written on the old side did not reach the new one in time", f));
    TRY(attempt_await_mark(a, STORE_TARGET, a->mark, until, ERR_SWITCH_HELD_UP,
                           "the way back did not bring its mark in time", f));
    attempt_ends(a, SWITCH_DRAIN);
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
    json_t *answers = NULL;
    enum err err;
    enum err doors;

    TRY(doors_send(a->doors, json_pack("{s:s}", "do", "rebuild"), f));
    err = check_and_drain(a, f);
    attempt_begins(a, SWITCH_REBUILD);
    doors = doors_receive(a->doors, a->deadline_us + 2000000, &answers, err == ERR_OK ? f : &second);
    take_last(&a->report->last_rebuilt, answers);
    json_decref(answers);
    attempt_ends(a, SWITCH_REBUILD);
    return err != ERR_OK ? err : doors;
}

/* After doors have rebuilt their sessions: a statement that is prepared there would wait for its locks, and they for
 * that. */
static enum err prepare(struct attempt *a, struct fault *f)
{
    enum err err;

    attempt_begins(a, SWITCH_PREPARE);
    err = a->ops->switch_prepare_open(a->sw, a->epoch + 1, a->attempt, attempt_deadline_ms(a), f);
    attempt_ends(a, SWITCH_PREPARE);
    return err;
}

/* A door that died since, and is there again, holds nobody: the decision is not made over its head. */
static enum err still_held(struct attempt *a, struct fault *f)
{
    json_t *answers = NULL;
    enum err err =
        doors_ask(a->doors, json_pack("{s:s, s:b}", "do", "status", "named", 0), a->deadline_us, &answers, f);
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

enum err attempt_before_decision(struct attempt *a, struct fault *f)
{
    TRY_WITH(hold(a, f), f, "hold");
    TRY_WITH(lock(a, f), f, "lock");
    TRY_WITH(mark(a, f), f, "mark");
    TRY(meanwhile_rebuild(a, f));
    TRY_WITH(prepare(a, f), f, "prepare");
    TRY(still_held(a, f));
    return attempt_stopped(a) ? fault_set(f, ERR_INTERRUPTED, "asked to stop before the decision") : ERR_OK;
}

/* --- release --- */

static void take_pause(struct attempt *a, const json_t *answers)
{
    int64_t seen = (int64_t)(1000 * doors_pause_ms(answers, "max"));

    a->report->moved = doors_sum(answers, "moved");
    a->report->failed = doors_sum(answers, "failed");
    a->report->pause_us = doors_count(a->doors) > 0 ? seen : world_mono_us() - a->paused_us;
}

enum err attempt_release(struct attempt *a, const char *side, int64_t epoch, struct fault *f)
{
    json_t *answers = NULL;
    enum err err;

    attempt_begins(a, SWITCH_RELEASE);
    err = doors_ask(a->doors, json_pack("{s:s, s:s, s:I}", "do", "release", "side", side, "epoch", (json_int_t)epoch),
                    a->deadline_us + 10000000, &answers, f);
    take_pause(a, answers);
    json_decref(answers);
    attempt_ends(a, SWITCH_RELEASE);
    a->holds = false;
    a->warmed = false;
    return err;
}

/* What was made ready for a hold that did not come: connections that nobody uses, and reads that go to the source
 * meanwhile. */
void attempt_cool(struct attempt *a)
{
    struct fault ignored = {0};

    if (!a->warmed)
        return;
    if (doors_ask(a->doors,
                  json_pack("{s:s, s:s, s:I}", "do", "release", "side", a->old_side, "epoch", (json_int_t)a->epoch),
                  COOL_US, NULL, &ignored) != ERR_OK)
        log_fault(LOG_WARN, a->base, &ignored);
    a->warmed = false;
}

/* Locks first, then the attempt's number: from there on nobody can decide it, and doors may let go. A door that has
 * done so by itself, by the same compare-and-set, is no failure. Clients go to whoever serves: an older attempt's
 * COMMIT may have been on its way. Where nobody can tell, doors settle it at their deadline. */
enum err attempt_go_back(struct attempt *a, struct fault *f)
{
    struct switch_settled settled = {.epoch = a->epoch};

    a->ops->switch_unlock(a->sw);
    TRY(attempt_settle(a, BACK_US, &settled, f));
    a->report->decided = a->report->opened = attempt_is_decided(a, &settled);
    if (!a->holds)
        a->report->pause_us = a->paused_us != 0 ? world_mono_us() - a->paused_us : 0;
    else
        return attempt_release(a, settled.source_serves ? "source" : "target", settled.epoch, f);
    attempt_cool(a);
    return ERR_OK;
}
