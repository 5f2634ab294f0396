/* cutover/gate.c — what must be so before anybody is held: see switch.h. */
#include <inttypes.h>
#include <string.h>

#include "base/world.h"
#include "cutover/attempt.h"
#include "cutover/deny.h"
#include "replicate/touched.h"

#define PROBE_US ((int64_t)15000000)
#define WARM_MS 15000 /* without a session coming on */
#define WARM_MOST_US ((int64_t)600000000)
#define TOLD_US ((int64_t)2000000)

static enum err check_rows(struct attempt *a, const struct switch_row *old, const struct switch_row *new,
                           struct fault *f)
{
    if (!old->there || !new->there)
        return fault_todo(f, ERR_GATE, "`leat rehearse` does it", "store %s is not armed for a switch yet", a->base);
    if (new->names_here &&new->open)
        return fault_set(f, ERR_GATE, "the %s serves already, since epoch %" PRId64, a->new_side, new->epoch);
    if (!old->names_here || !old->open || old->epoch != new->epoch || new->open)
        return fault_set(f, ERR_AUTHORITY, "the %s says epoch %" PRId64 " (%s), the %s epoch %" PRId64 " (%s)",
                         a->old_side, old->epoch, old->open ? "open" : "shut", a->new_side, new->epoch,
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
    a->looked = true;
    return check_rows(a, &old, &new, f);
}

static bool refuses(const struct switch_job *job, enum switch_hindrance hinders)
{
    switch (hinders) {
    case HINDERS_NOT:
        return false;
    case HINDERS_FAILOVER:
        return !job->rehearsal && !job->no_failover;
    case HINDERS_CUTOVER:
        return !job->rehearsal;
    case HINDERS_ALL:
        return true;
    }
    return true;
}

/* All are said, the first that refuses as the reason. */
static enum err check_obstacles(struct attempt *a, struct fault *f)
{
    AUTO(arena) *arena = arena_new(16384);
    const struct switch_obstacle *first = NULL;
    struct switch_obstacle *list;
    size_t count;
    size_t more = 0;

    TRY(a->ops->switch_obstacles(a->sw, arena, &list, &count, f));
    for (size_t i = 0; i < count; i++) {
        bool refused = refuses(a->job, list[i].hinders);
        first = first == NULL && refused ? &list[i] : first;
        more += refused;
        if (&list[i] != first)
            attempt_say(a->job, "%s: %s", list[i].what, list[i].why);
    }
    if (first == NULL)
        return ERR_OK;
    return fault_set(f, ERR_GATE, "%s: %s%s", first->what, first->why, more > 1 ? " (and more)" : "");
}

/* What was compared, was compared by the columns its engine had read. Where no change of the schema is noted, one that
 * was carried out on both sides is seen some seconds later: the table is compared as a whole then. Not tried again: it
 * is for the gate "verify" to say that it is equal. After obstacles were looked for: a later change is met under the lock. */
static enum err check_compared(struct attempt *a, struct fault *f)
{
    AUTO(catalog) *old = NULL;
    AUTO(catalog) *new = NULL;
    const struct table *other;
    bool noted;

    if (a->job->rehearsal || a->job->shapes == NULL)
        return ERR_OK;
    TRY(a->ops->switch_notes(a->sw, &noted, f));
    if (noted)
        return ERR_OK;
    TRY(a->ops->load(a->store, &old, &new, f));
    other = touched_other_shape(a->job->shapes, old);
    return other == NULL
               ? ERR_OK
               : fault_todo(f, ERR_GATE, "wait some seconds, until its engine has seen it and compared that table again",
                            "the columns of %s.%s changed since both sides were compared", other->schema, other->name);
}

/* Both streams live, and how long a mark takes is what draining will take. */
static enum err probe(struct attempt *a, struct fault *f)
{
    int64_t mark = attempt_new_mark(a);
    int64_t until = world_mono_us() + PROBE_US;

    TRY(a->ops->switch_mark(a->sw, mark, f));
    TRY(attempt_await_mark(
        a, STORE_SOURCE, mark, until, ERR_GATE,
        "a mark written on the side that serves does not come round: is the stream followed (`leat status`)?", f));
    return attempt_await_mark(
        a, STORE_TARGET, mark, until, ERR_GATE,
        "a mark written on the other side does not come back: does the way back run (`leat status`)?", f);
}

/* Whoever cannot move is known beforehand: nobody is held in vain. Under `door_unmovable: terminate` such sessions are
 * ended. */
static enum err check_movable(struct attempt *a, struct fault *f)
{
    json_t *answers = NULL;
    enum err err = doors_ask(a->doors, json_pack("{s:s}", "do", "status"), a->deadline_us + 2000000, &answers, f);
    const json_t *one;
    size_t i;

    if (a->report->unmovable == NULL)
        a->report->unmovable = json_array();
    json_array_clear(a->report->unmovable);
    json_array_foreach(answers, i, one) json_array_extend(a->report->unmovable, json_object_get(one, "unmovable"));
    json_decref(answers);
    TRY(err);
    if (json_array_size(a->report->unmovable) > 0 && a->job->stream->door_unmovable == UNMOVABLE_WAIT) {
        AUTO_CHARS *first = json_dumps(json_array_get(a->report->unmovable, 0), JSON_COMPACT);
        return fault_todo(f, ERR_GATE, "wait until they have ended, or `door_unmovable: terminate` in leat.yaml",
                          "%zu session(s) cannot be moved, the first: %s", json_array_size(a->report->unmovable),
                          first);
    }
    return ERR_OK;
}

/* One that was there a moment ago comes again: the pilot starts it. */
static enum err check_doors(struct attempt *a, struct fault *f)
{
    bool answered = a->warmed || a->report->tries > 1;

    if (doors_count(a->doors) < a->job->stream->door_count)
        return fault_todo(f, answered ? ERR_SWITCH_HELD_UP : ERR_GATE, "`leat status` says which; the pilot starts them, see .leat/log",
                          "%zu of %zu doors answer", doors_count(a->doors), a->job->stream->door_count);
    return ERR_OK;
}

/* A door answers a request that takes long when it is done: how far it is, it says on another connection. */
static void say_how_far(const struct attempt *a, int64_t began_us)
{
    AUTO(doors) *others = NULL;
    struct fault ignored = {0};
    json_t *answers = NULL;
    double s = (double)(world_mono_us() - began_us) / 1e6;

    if (doors_open(a->job->state_dir, a->base, &others, &ignored) == ERR_OK &&
        doors_ask(others, json_pack("{s:s, s:b}", "do", "status", "named", 0), TOLD_US, &answers, &ignored) == ERR_OK) {
        int64_t warm = doors_sum(answers, "warm");
        int64_t all = doors_sum(answers, "active");

        if (warm > 0 && warm < all)
            attempt_say(a->job, "doors have %" PRId64 " of %" PRId64 " sessions' connections to the %s, %.0f a second; %.0f s to go",
                        warm, all, a->new_side, (double)warm / s, (double)(all - warm) * s / (double)warm);
    }
    json_decref(answers);
}

static enum err warm(struct attempt *a, struct fault *f)
{
    int64_t began = world_mono_us();

    a->warmed = true;
    TRY(doors_send(a->doors, json_pack("{s:s, s:s, s:i}", "do", "warm", "side", a->new_side, "deadline_ms", WARM_MS), f));
    while (!doors_answered(a->doors, TOLD_US) && world_mono_us() - began < WARM_MOST_US && !attempt_stopped(a))
        say_how_far(a, began);
    return doors_receive(a->doors, attempt_stopped(a) ? 0 : TOLD_US, NULL, f);
}

/* The gate took its time: doors may have handed over, sessions have come and worked, somebody began to VACUUM. */
enum err attempt_refresh(struct attempt *a, struct fault *f)
{
    TRY(attempt_doors_again(a, f));
    TRY(check_doors(a, f));
    TRY(warm(a, f));
    return a->ops->switch_clear_way(a->sw, f);
}

enum err attempt_gate(struct attempt *a, struct fault *f)
{
    enum err err;

    a->paused_us = 0;
    attempt_begins(a, SWITCH_GATE);
    err = read_rows(a, f);
    if (err == ERR_OK)
        err = deny_admit(a, f); /* doors log in there soon, and rights are compared as they will be */
    if (err == ERR_OK)
        err = check_obstacles(a, f);
    if (err == ERR_OK)
        err = check_compared(a, f);
    if (err == ERR_OK)
        err = probe(a, f);
    if (err == ERR_OK)
        err = check_doors(a, f);
    if (err == ERR_OK)
        err = warm(a, f);
    if (err == ERR_OK)
        err = check_movable(a, f);
    if (err == ERR_OK) /* the last of it: whoever settles meanwhile ends the attempt */
        err = a->ops->switch_gate(a->sw, a->epoch, &a->attempt, f);
    attempt_ends(a, SWITCH_GATE);
    return err;
}
