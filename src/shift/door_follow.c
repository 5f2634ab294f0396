/* shift/door_follow.c — a switch that went without this door: it was not heard of, or not there, when its clients were to be held.
 *
 *   its side says it does not serve --the other's own row says it does--> hold --all, or late--> rebuild --all, or late--> release
 *
 * While its side says that it serves nothing is written anywhere. What could not be held or rebuilt by then is ended with 57P01: on its old side it
 * would read what is no longer true. */
#include "base/log.h"
#include "base/world.h"
#include "shift/door_control.h"

#define LOOK_US ((int64_t)1000000)
#define LOOK_AGAIN_US ((int64_t)5000000) /* where it could not be told */
#define STEP_US ((int64_t)3000000)       /* for the hold, and for the rebuild */

/* Without the map of types a rebuilt session might name other ones: then none is. */
static void begin(struct control *c, enum side side, int64_t epoch)
{
    struct order hold = {.kind = ORDER_HOLD, .terminate = c->door->store->door_unmovable == UNMOVABLE_TERMINATE};
    struct order warm = {.kind = ORDER_WARM, .side = side};
    struct fault f = {0};

    log_line(LOG_WARN, c->door->name, "the %s serves at epoch %lld, and this door was not told: follows", side_name(side), (long long)epoch);
    c->follow = (struct follow){.side = side, .epoch = epoch, .may_rebuild = door_types_load(c->door, &f) == ERR_OK};
    if (!c->follow.may_rebuild)
        log_fault(LOG_WARN, c->door->name, &f);
    c->follow.deadline_us = world_mono_us() + STEP_US;
    c->owner = -1;
    c->phase = PHASE_FOLLOWING;
    control_order(c->door, &hold);
    if (c->follow.may_rebuild)
        control_order(c->door, &warm);
}

void control_looked(struct control *c)
{
    const struct settler *x = &c->settler;
    enum side other = x->old == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;

    c->look_us = world_mono_us() + (x->serves || x->got != SETTLED_NOT ? LOOK_US : LOOK_AGAIN_US);
    if (x->got_epoch <= atomic_load(&c->door->epoch))
        return;
    if (x->serves || x->got == (other == SIDE_SOURCE ? SETTLED_TARGET : SETTLED_SOURCE))
        atomic_store(&c->door->epoch, x->got_epoch); /* there and back without us, or armed only now */
    else if (x->got == (other == SIDE_SOURCE ? SETTLED_SOURCE : SETTLED_TARGET))
        begin(c, other, x->got_epoch);
}

static bool begin_rebuild(struct control *c)
{
    struct order order = {.kind = ORDER_REBUILD, .side = c->follow.side};

    if (!c->follow.may_rebuild || c->follow.rebuilding)
        return false;
    c->follow.rebuilding = true;
    c->follow.deadline_us = world_mono_us() + STEP_US;
    control_order(c->door, &order);
    return true;
}

void control_follow(struct control *c)
{
    bool late = world_mono_us() > c->follow.deadline_us;

    if (!control_all_carried_out(c->door))
        return;
    if (!c->follow.rebuilding && !late && DOOR_SUM(c->door, unheld) > 0)
        return;
    if (begin_rebuild(c))
        return;
    if (c->follow.rebuilding && !late && DOOR_SUM(c->door, rebuilding) > 0)
        return;
    control_release(c, c->follow.side, c->follow.epoch);
    log_line(LOG_INFO, c->door->name, "serves the %s at epoch %lld", side_name(c->follow.side), (long long)c->follow.epoch);
}
