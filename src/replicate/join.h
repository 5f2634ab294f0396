/* replicate/join.h — passes over the spool: tables that are copied catch up with the store's position, and join it. */
#ifndef LEAT_REPLICATE_JOIN_H
#define LEAT_REPLICATE_JOIN_H

#include "journal/journal.h"
#include "replicate/apply.h"

struct join;

/* Starts the thread; it ends when every table has joined. */
MUST_USE enum err join_start(struct store *s, struct registry *r, struct router_state *router, struct spool *spool, struct apply *apply, struct touched *touched, struct journal *j, struct join **ret,
                             struct fault *f);
enum err join_check(struct join *j, struct fault *f);
/* Applied by all passes of this engine. */
uint64_t join_changes(const struct join *j);
void join_stop(struct join *j);

#endif
