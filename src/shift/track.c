/* shift/track.c — see track.h. */
#include "shift/track.h"

#include "base/fault.h"

static void push(struct track *t, char what)
{
    ENSURE(t->count < TRACK_MOST);
    t->asked[(t->first + t->count) % TRACK_MOST] = what;
    t->number[(t->first + t->count) % TRACK_MOST] = t->sent;
    t->count++;
}

/* One more that is answered. */
static void count_sent(struct track *t)
{
    if (t->count == 0 && !t->open)
        t->done = t->sent; /* all is: what has no answer of its own is left out */
    t->sent++;
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
        if (t->deaf)
            return; /* the server ignores it, too */
        count_sent(t);
        push(t, type);
        t->open = false;
        return;
    case 'S':
        if (t->copying_in)
            return; /* the server ignores it */
        count_sent(t);
        push(t, type);
        t->open = false;
        t->deaf = false;
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
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
        count_sent(t);
        t->open = true;
        return;
    default:
        t->open = true;
        return;
    }
}

/* Out of the middle. */
static void take_out(struct track *t, uint8_t nth)
{
    for (uint8_t i = nth; i + 1 < t->count; i++) {
        uint8_t at = (uint8_t)((t->first + i) % TRACK_MOST);
        uint8_t from = (uint8_t)((t->first + i + 1) % TRACK_MOST);

        t->asked[at] = t->asked[from];
        t->number[at] = t->number[from];
    }
    t->count--;
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
        take_out(t, kept);
        if (what == 'c') {
            t->copying_in = false; /* the client did not wait for it */
            break;
        }
        t->ignored++;
    }
    if (!query)
        t->open = t->count == 0; /* its Sync comes behind the data */
}

static void ready(struct track *t, char status)
{
    while (head(t) == 'c')
        pop(t);
    if (t->count > 0) {
        t->done = t->number[t->first] + t->ignored;
        pop(t);
    }
    while (head(t) == 'c')
        pop(t);
    t->status = status;
    t->ignored = 0;
    t->failed = false;
    t->copying_in = false;
    t->copying_out = false;
}

/* The first that is answered by ReadyForQuery; count: none was sent. */
static uint8_t first_ready(const struct track *t)
{
    uint8_t i = 0;

    while (i < t->count && t->asked[(t->first + i) % TRACK_MOST] == 'c')
        i++;
    return i;
}

bool track_skips(const struct track *t)
{
    uint8_t i = first_ready(t);
    uint32_t until = i < t->count ? t->number[(t->first + i) % TRACK_MOST] - 1 : t->sent;

    return (int32_t)(until - t->done) > 0;
}

static void answered(struct track *t)
{
    if (!track_skips(t))
        return; /* of a Query, which says more than one */
    t->done += 1 + t->ignored;
    t->ignored = 0;
}

static void on_error(struct track *t)
{
    t->copying_in = false;
    t->failed = true;
    if (!track_skips(t))
        return;
    while (t->count > 0 && head(t) != 'S')
        pop(t);
    t->deaf = t->count == 0;
    t->open = t->open || t->deaf;
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
    case '1':
    case '2':
    case '3':
    case 'T':
    case 'n':
    case 'C':
    case 'I':
    case 's':
        answered(t);
        return;
    case 'E':
        on_error(t);
        return;
    default:
        return;
    }
}
