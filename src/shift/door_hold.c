/* shift/door_hold.c — one worker's part in a switch. */
#include "shift/door_internal.h"

void hold_order(struct worker *w, const struct order *order)
{
    (void)w;
    (void)order;
}

void hold_look(struct session *s)
{
    (void)s;
}

void hold_forget(struct session *s)
{
    (void)s;
}

bool hold_cancel(struct session *s)
{
    (void)s;
    return false;
}

void hold_new(struct session *s)
{
    (void)s;
}

void hold_backend(struct backend *b)
{
    (void)b;
}
