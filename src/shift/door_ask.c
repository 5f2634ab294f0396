/* shift/door_ask.c — the settler: what the control loop has to know of servers that may not answer is asked by a thread
 * of its own, one question at a time. The loop goes on meanwhile: it answers, holds to its deadlines, lets go.
 *
 *   IDLE --control_ask--> WORKS --the thread's end--> DONE --control_has_answer--> IDLE */
#include <unistd.h>

#include "base/world.h"
#include "shift/door_control.h"

#define SETTLE_EVERY_US 250000

static bool ask_types(struct control *c, struct settler *x)
{
    struct fault f = {0};
    bool known = door_types_load(c->door, &f) == ERR_OK;

    snprintf(x->why, sizeof x->why, "%.250s", f.why);
    return known;
}

static void ask_look(struct control *c, struct settler *x)
{
    enum settled ours = x->old == SIDE_SOURCE ? SETTLED_SOURCE : SETTLED_TARGET;

    x->yes = authority_serves(c->authority, x->old, &x->got_epoch);
    if (x->yes)
        return;
    x->got = authority_settle(c->authority, &x->got_epoch, x->why);
    x->types = x->got != SETTLED_NOT && x->got != ours && ask_types(c, x);
}

static void *ask_servers(void *arg)
{
    struct control *c = arg;
    struct settler *x = &c->settler;
    uint64_t one = 1;

    if (x->task == ASK_SETTLE)
        x->got = authority_settle(c->authority, &x->got_epoch, x->why);
    else if (x->task == ASK_LOOK)
        ask_look(c, x);
    else if (x->task == ASK_STANDS)
        x->yes = authority_stands(c->authority, x->old, x->epoch, x->attempt, x->why);
    else if (x->task == ASK_REMEMBER)
        authority_remember(c->authority, x->epoch);
    else {
        authority_get_ready(c->authority);
        x->yes = ask_types(c, x);
    }
    atomic_store(&x->state, SETTLER_DONE);
    (void)!write(c->door->kick_fd, &one, sizeof one);
    return NULL;
}

void control_ask(struct control *c, enum settler_task task)
{
    struct settler *x = &c->settler;

    c->settle_us = world_mono_us() + SETTLE_EVERY_US;
    x->task = task;
    x->request = c->request;
    x->old = (enum side)atomic_load(&c->door->side);
    x->epoch = task == ASK_REMEMBER ? c->settled : c->epoch;
    x->attempt = c->attempt;
    x->yes = false;
    x->types = false;
    x->got = SETTLED_NOT;
    x->got_epoch = 0;
    x->why[0] = '\0';
    atomic_store(&x->state, SETTLER_WORKS);
    if (pthread_create(&x->thread, NULL, ask_servers, c) != 0)
        atomic_store(&x->state, SETTLER_IDLE); /* tried again */
}

bool control_has_answer(struct control *c)
{
    if (atomic_load(&c->settler.state) != SETTLER_DONE)
        return false;
    pthread_join(c->settler.thread, NULL);
    atomic_store(&c->settler.state, SETTLER_IDLE);
    return true;
}

void control_end_asking(struct control *c)
{
    if (atomic_load(&c->settler.state) != SETTLER_IDLE)
        pthread_join(c->settler.thread, NULL);
}
