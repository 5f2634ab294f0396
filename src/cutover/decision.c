/* cutover/decision.c — the decision, and what follows from it: see switch.h, switch.c for the invariants. */
#include <inttypes.h>
#include <poll.h>

#include "base/log.h"
#include "base/world.h"
#include "cutover/attempt.h"

#define AFTER_US ((int64_t)60000000) /* how long what follows the decision is tried before a person is told */

/* COMMIT was sent and no answer came. The row tells; where it says "not yet", the attempt is used up first, so that it
 * can never be. */
static enum err find_out(struct attempt *a, bool *ret_decided, struct fault *f)
{
    struct switch_row old;
    bool aborted;

    TRY(attempt_connect_again(a, f));
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

    attempt_begins(a, SWITCH_DECIDE);
    err = a->ops->switch_decide(a->sw, a->epoch, a->attempt, ret_decided, &why);
    while (err != ERR_OK && world_mono_us() < until) {
        log_fault(LOG_WARN, a->base, &why);
        fault_clear(&why);
        err = find_out(a, ret_decided, &why);
        if (err != ERR_OK)
            (void)poll(NULL, 0, 100);
    }
    attempt_ends(a, SWITCH_DECIDE);
    if (err != ERR_OK)
        return fault_todo(f, ERR_AUTHORITY,
                          "bring the old side back: `leat status` then says who serves; doors wait for it",
                          "the decision was sent, and its server does not answer: %s", why.why);
    return ERR_OK;
}

enum err attempt_open_new(struct attempt *a, int64_t epoch, struct fault *f)
{
    int64_t until = world_mono_us() + AFTER_US;
    struct fault why = {0};
    bool open = false;
    enum err err;

    attempt_begins(a, SWITCH_OPEN);
    while ((err = a->ops->switch_open_side(a->sw, epoch, &open, &why)) != ERR_OK && world_mono_us() < until) {
        log_fault(LOG_WARN, a->base, &why);
        fault_clear(&why);
        (void)poll(NULL, 0, 50);
        if (attempt_connect_again(a, &why) != ERR_OK)
            fault_clear(&why); /* it says the same again */
    }
    attempt_ends(a, SWITCH_OPEN);
    if (err != ERR_OK)
        return fault_todo(f, ERR_AUTHORITY,
                          "bring the new side back, then the same command again: it goes on from there",
                          "it is decided, and the %s does not open: %s", a->new_side, why.why);
    if (!open)
        return fault_set(f, ERR_AUTHORITY, "it is decided, and the %s stands at another epoch", a->new_side);
    return ERR_OK;
}

enum err attempt_decide_and_open(struct attempt *a, struct fault *f)
{
    struct fault left = {0};
    bool decided = false;

    TRY(decide(a, &decided, f));
    a->report->decided = decided;
    if (!decided)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a door had given the attempt up");
    TRY(attempt_open_new(a, a->epoch + 1, f));
    if (attempt_release(a, a->new_side, a->epoch + 1, &left) != ERR_OK)
        return fault_set(f, ERR_DOOR_LEFT, "the %s serves from epoch %" PRId64 " on; %s", a->new_side, a->epoch + 1,
                         left.why);
    return ERR_OK;
}
