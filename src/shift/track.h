/* shift/track.h — where a session stands in its conversation, by the types of the messages that passed. Pure.
 *
 * What it is for: a session may be held (and moved) only at a boundary: the server has said ReadyForQuery 'I', and
 * nothing was sent to it since. Every Query, FunctionCall and Sync is answered by one ReadyForQuery; what was sent and
 * is not answered yet stands in `asked`, in order.
 *
 * The one exception: while the server reads COPY data it ignores Sync. So when it says CopyInResponse, the Syncs sent
 * between the command and the end of the data have no answer: they are taken out of `asked`. The ends of data
 * (CopyDone, CopyFail) stand in `asked` for this only; where the server read no data it ignores them.
 *
 * Messages that are answered are counted, as they are sent and as they are answered, in order. So it is known whose an
 * error is: that of Parse, Bind, Describe, Execute and Close makes the server deaf up to the next Sync, and a Query or
 * FunctionCall sent before that one has no ReadyForQuery either; that of anything else does not. */
#ifndef LEAT_SHIFT_TRACK_H
#define LEAT_SHIFT_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#define TRACK_MOST 48 /* asked at one time; the client waits beyond it */

struct track {
    char asked[TRACK_MOST]; /* 'Q', 'F', 'S'; 'c' for an end of data. A ring */
    uint32_t number[TRACK_MOST]; /* which message it was */
    uint32_t sent;               /* the number of the last message that is answered */
    uint32_t done;               /* the last that was */
    uint32_t ignored;            /* Syncs among the data, counted as sent */
    uint8_t first;
    uint8_t count;
    bool open;      /* sent since the last Query, FunctionCall or Sync: what only a Sync answers */
    bool copying_in;
    bool copying_out;
    bool deaf;      /* the server is, and no Sync was sent yet */
    bool failed;    /* an error since the last ReadyForQuery */
    char status;    /* of the last ReadyForQuery: 'I', 'T' or 'E'; 0 before the first */
};

/* Whether `asked` has room for what the client sends next. */
static inline bool track_full(const struct track *t)
{
    return t->count >= TRACK_MOST - 1;
}
static inline bool track_at_boundary(const struct track *t)
{
    return t->count == 0 && !t->open && !t->copying_in && t->status == 'I';
}
/* Whether a session that is to be held has to wait with a message of this type: at the boundary, and where the boundary may
 * come with the answer to what was sent before. What belongs to something open goes on. */
bool track_waits(const struct track *t, char type);
/* Whether an error that comes now is of a Parse, Bind, Describe, Execute or Close: what follows is skipped up to the
 * Sync. */
bool track_skips(const struct track *t);
void track_client(struct track *t, char type);
/* status: that of a ReadyForQuery, else ignored. */
void track_server(struct track *t, char type, char status);

#endif
