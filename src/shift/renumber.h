/* shift/renumber.h — a session that is on another side than the one its client first came to: the numbers of users' types are exchanged in its
 * messages (shift/type_map.h). Pure: the door gives it whole messages, in order, and does what it says.
 *
 * What has to be known is asked of the server in the stream itself: before an Execute a Describe of its portal, which tells the columns'
 * types and formats; before a Bind with binary values a Describe of its statement, and the Bind waits for the answer. The client sees
 * neither. So no state of statements or portals can be out of step with the server's: names are forgotten whenever they may have changed. */
#ifndef LEAT_SHIFT_RENUMBER_H
#define LEAT_SHIFT_RENUMBER_H

#include "shift/type_map.h"

struct renumber;
/* up: from the client's numbers to the server's; down: the other way. */
struct renumber *renumber_new(struct type_way up, struct type_way down);
void renumber_free(struct renumber *r);
AUTO_DEFINE(renumber)

enum renumbered {
    RENUMBER_PASS, /* in place; `before`, if anything, goes first */
    RENUMBER_WAIT, /* `before` goes, and the message waits until renumber_waits() is false; then it is given again */
    RENUMBER_DROP, /* of the server: it is not for the client */
    RENUMBER_REFUSE /* see the fault: it names a type that the other side has not, or is malformed */
};
/* Whether a message of this type has to be given whole; a row only where there are numbers in it. */
bool renumber_client_whole(char type);
bool renumber_server_whole(const struct renumber *r, char type);
enum renumbered renumber_client(struct renumber *r, char type, char *body, size_t n, struct buf *before, struct fault *f);
enum renumbered renumber_server(struct renumber *r, char type, char *body, size_t n, struct fault *f);
/* The error that came makes the server deaf up to the next Sync, whatever stands before that. */
void renumber_skip(struct renumber *r);
bool renumber_waits(const struct renumber *r);

#endif
