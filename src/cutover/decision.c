/* cutover/decision.c — the decision, and what follows from it: see switch.h, switch.c for the invariants. */
#include <inttypes.h>
#include <poll.h>

#include "base/log.h"
#include "base/world.h"
#include "cutover/attempt.h"

#define AFTER_US ((int64_t)60000000) /* how long what follows the decision is tried before a person is told */

enum err attempt_settle(struct attempt *a, int64_t patience_us, struct switch_settled *ret, struct fault *f)
{
    int64_t until = world_mono_us() + patience_us;
    struct fault why = {0};
    enum err err;

    while ((err = a->ops->switch_settle(a->sw, ret, &why)) != ERR_OK && world_mono_us() < until) {
        log_fault(LOG_WARN, a->base, &why);
        fault_clear(&why);
        (void)poll(NULL, 0, 100);
    }
    *f = why;
    return err;
}

/* COMMIT was sent and no answer came, or the attempt was over before it: whoever serves now, nothing can be decided any
 * more. */
static enum err find_out(struct attempt *a, bool *ret_decided, struct fault *f)
{
    struct switch_settled settled;
    struct fault why = {0};

    if (attempt_settle(a, AFTER_US, &settled, &why) != ERR_OK)
        return fault_todo(f, ERR_AUTHORITY,
                          "bring the side back that does not answer: `leat status` then says who serves, doors wait "
                          "for it; if it is lost for good, --force opens the other one",
                          "the decision was sent, and it is not known what became of it: %s", why.why);
    attempt_settled(a, &settled);
    *ret_decided = a->report->decided;
    return ERR_OK;
}

static enum err decide(struct attempt *a, bool *ret_decided, struct fault *f)
{
    struct fault why = {0};
    enum err err;

    attempt_begins(a, SWITCH_DECIDE);
    err = a->ops->switch_decide(a->sw, a->epoch, a->attempt, ret_decided, &why);
    if (err != ERR_OK)
        log_fault(LOG_WARN, a->base, &why);
    if (err != ERR_OK || !*ret_decided)
        err = find_out(a, ret_decided, f);
    a->report->unknown = err != ERR_OK;
    attempt_ends(a, SWITCH_DECIDE);
    return err;
}

/* Again and again until it answers. Where it does not open by this attempt it is settled who serves. */
static enum err open_new(struct attempt *a, bool *ret_open, struct fault *f)
{
    int64_t until = world_mono_us() + AFTER_US;
    struct fault why = {0};
    enum err err;

    attempt_begins(a, SWITCH_OPEN);
    while ((err = a->ops->switch_open_side(a->sw, a->epoch + 1, a->attempt, ret_open, &why)) != ERR_OK &&
           world_mono_us() < until) {
        log_fault(LOG_WARN, a->base, &why);
        fault_clear(&why);
        (void)poll(NULL, 0, 50);
        if (attempt_connect_again(a, &why) != ERR_OK)
            fault_clear(&why); /* it says the same again */
    }
    attempt_ends(a, SWITCH_OPEN);
    if (err != ERR_OK)
        return fault_todo(f, ERR_AUTHORITY,
                          "bring the new side back, then the same command again: it goes on from there; if it is "
                          "lost for good, --force opens the other one",
                          "it is decided, and the %s does not open: %s", a->new_side, why.why);
    return ERR_OK;
}

/* Annulled there: the old side failed over to a server that does not know of the decision. */
static enum err take_back(struct attempt *a, struct fault *f)
{
    struct switch_settled settled;

    TRY(attempt_settle(a, AFTER_US, &settled, f));
    attempt_settled(a, &settled);
    return a->report->decided
               ? ERR_OK
               : fault_set(f, ERR_SWITCH_HELD_UP, "the %s failed over to a server that had not received the decision",
                           a->old_side);
}

enum err attempt_decide_and_open(struct attempt *a, struct fault *f)
{
    struct fault left = {0};
    bool decided = false;
    bool open = false;

    TRY(decide(a, &decided, f));
    a->report->decided = decided;
    if (!decided)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a door or a command had given the attempt up, or the %s failed over", a->old_side);
    TRY(open_new(a, &open, f));
    if (!open)
        TRY(take_back(a, f));
    a->report->opened = true;
    if (attempt_release(a, a->new_side, a->epoch + 1, &left) != ERR_OK)
        return fault_set(f, ERR_DOOR_LEFT, "the %s serves from epoch %" PRId64 " on; %s", a->new_side, a->epoch + 1,
                         left.why);
    return ERR_OK;
}
