/* shift/track.c — see track.h. */
#include "shift/track.h"

#include "base/fault.h"

static void push(struct track *t, char what)
{
    ENSURE(t->count < TRACK_MOST);
    t->asked[(t->first + t->count) % TRACK_MOST] = what;
    t->count++;
}

static char head(const struct track *t)
{
    return t->count > 0 ? t->asked[t->first] : '\0';
}

static void pop(struct track *t)
{
    t->first = (uint8_t)((t->first + 1) % TRACK_MOST);
    t->count--;
}

bool track_waits(const struct track *t, char type)
{
    if (type == 'X' || type == 'd' || type == 'c' || type == 'f')
        return false;
    if (t->open || t->copying_in)
        return false;
    return t->count > 0 || t->status == 'I';
}

void track_client(struct track *t, char type)
{
    switch (type) {
    case 'Q':
    case 'F':
    case 'S':
        if (t->copying_in && type == 'S')
            return; /* the server ignores it */
        push(t, type);
        t->open = false;
        return;
    case 'c':
    case 'f':
        if (t->copying_in)
            t->copying_in = false;
        else if (t->count > 0 || t->open)
            push(t, 'c');
        return;
    case 'd':
    case 'X':
        return;
    default:
        t->open = true;
        return;
    }
}

/* The server reads data from here on. It was asked for by the head if that is a Query, else by an Execute before the head. */
static void begin_copy_in(struct track *t)
{
    bool query = head(t) == 'Q';
    uint8_t kept = query ? 1 : 0;

    t->copying_in = true;
    while (t->count > kept) {
        uint8_t at = (uint8_t)((t->first + kept) % TRACK_MOST);
        char what = t->asked[at];

        if (what == 'Q' || what == 'F')
            break;
        for (uint8_t i = kept; i + 1 < t->count; i++)
            t->asked[(t->first + i) % TRACK_MOST] = t->asked[(t->first + i + 1) % TRACK_MOST];
        t->count--;
        if (what == 'c') {
            t->copying_in = false; /* the client did not wait for it */
            break;
        }
    }
    if (!query)
        t->open = t->count == 0; /* its Sync comes behind the data */
}

static void ready(struct track *t, char status)
{
    while (head(t) == 'c')
        pop(t);
    if (t->count > 0)
        pop(t);
    while (head(t) == 'c')
        pop(t);
    t->status = status;
    t->copying_in = false;
    t->copying_out = false;
}

void track_server(struct track *t, char type, char status)
{
    switch (type) {
    case 'Z':
        ready(t, status);
        return;
    case 'G':
        begin_copy_in(t);
        return;
    case 'H':
    case 'W':
        t->copying_out = true;
        return;
    case 'c':
        t->copying_out = false;
        return;
    case 'E':
        t->copying_in = false;
        return;
    default:
        return;
    }
}
