/* shift/unnamed.c — see unnamed.h. */
#include "shift/unnamed.h"

#include <string.h>

enum what { WHAT_PARSE, WHAT_UNKNOWN, WHAT_NONE };

struct sent {
    uint32_t number;
    uint32_t what;
    size_t len; /* of the Parse behind it */
};

static struct sent first(const struct unnamed *u)
{
    struct sent one;

    memcpy(&one, u->sent.data, sizeof one);
    return one;
}

static void drop_first(struct unnamed *u)
{
    size_t n = sizeof(struct sent) + first(u).len;

    memmove(u->sent.data, u->sent.data + n, u->sent.len - n);
    u->sent.len -= n;
}

static void add(struct unnamed *u, struct sent one, const char *whole)
{
    if (u->sent.len > 0 && u->sent.len + sizeof one + one.len > UNNAMED_MOST) {
        buf_clear(&u->sent);
        buf_clear(&u->text);
        u->unknown = true; /* unless the answer to this one comes */
    }
    buf_add(&u->sent, &one, sizeof one);
    buf_add(&u->sent, whole, one.len);
}

void unnamed_parse(struct unnamed *u, uint32_t number, const char *whole, size_t len)
{
    add(u, (struct sent){number, WHAT_PARSE, len}, whole);
}

void unnamed_parse_unknown(struct unnamed *u, uint32_t number)
{
    add(u, (struct sent){number, WHAT_UNKNOWN, 0}, "");
}

void unnamed_drop(struct unnamed *u, uint32_t number)
{
    if (unnamed_is_any(u))
        add(u, (struct sent){number, WHAT_NONE, 0}, "");
}

void unnamed_done(struct unnamed *u, uint32_t number)
{
    struct sent one;

    if (u->sent.len == 0 || first(u).number != number)
        return;
    one = first(u);
    buf_clear(&u->text);
    buf_add(&u->text, u->sent.data + sizeof one, one.len);
    u->unknown = one.what == WHAT_UNKNOWN;
    u->unsure = false;
    drop_first(u);
}

void unnamed_over(struct unnamed *u, uint32_t number)
{
    while (u->sent.len > 0 && (int32_t)(first(u).number - number) <= 0) {
        drop_first(u);
        u->unsure = u->text.len > 0 || u->unknown;
    }
}

void unnamed_none(struct unnamed *u)
{
    buf_clear(&u->text);
    buf_clear(&u->sent);
    u->unknown = false;
    u->unsure = false;
}

void unnamed_fini(struct unnamed *u)
{
    buf_fini(&u->text);
    buf_fini(&u->sent);
}
