/* shift/unnamed.h — what the unnamed statement of a session is: the last Parse of it that took effect. Pure.
 *
 * A Parse takes effect when its ParseComplete comes. One that fails destroys what was there before (or leaves it, where
 * its text is not of the encoding); one behind an error is skipped up to the Sync, and what was there stays. So what
 * was sent waits here for its answer. Of a Parse or Query that failed it is not known which of the two came of it: what
 * was there is kept, and the server asked whether it has any.
 *
 * Numbers are those of shift/track.h. */
#ifndef LEAT_SHIFT_UNNAMED_H
#define LEAT_SHIFT_UNNAMED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

#define UNNAMED_MOST                                                                                                   \
    (128 << 10) /* bytes that wait for their answers; of more, all but the last are not known any more */

struct unnamed {
    struct buf text; /* the Parse, whole; empty: there is none, or it is not known */
    bool unknown;    /* there is one, and it was too large to be kept */
    bool unsure;     /* or none: what was sent last has failed, or was skipped */
    struct buf sent; /* what has no answer yet: for each a head, and the Parse */
};

static inline bool unnamed_is_any(const struct unnamed *u)
{
    return u->text.len > 0 || u->unknown || u->sent.len > 0;
}
void unnamed_parse(struct unnamed *u, uint32_t number, const char *whole, size_t len);
void unnamed_parse_unknown(struct unnamed *u, uint32_t number);
/* A Query or Close, which leaves none. */
void unnamed_drop(struct unnamed *u, uint32_t number);
/* That message did what it says. */
void unnamed_done(struct unnamed *u, uint32_t number);
/* Whatever was sent up to that message, and was not done, was skipped or has failed. */
void unnamed_over(struct unnamed *u, uint32_t number);
/* It is known from elsewhere: there is none, and nothing is under way. */
void unnamed_none(struct unnamed *u);
void unnamed_fini(struct unnamed *u);

#endif
