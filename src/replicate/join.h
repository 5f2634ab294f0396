/* replicate/join.h — passes over the spool: tables that are copied catch up with the store's position, and join it. */
#ifndef LEAT_REPLICATE_JOIN_H
#define LEAT_REPLICATE_JOIN_H

#include "journal/journal.h"
#include "replicate/apply.h"

struct join;

struct join_facts {
    int pass;             /* under way; 0: none */
    size_t tables;        /* in it */
    struct lsn position;  /* how far it is */
    uint64_t changes;     /* applied by all passes of this engine */
};

/* Starts the thread; it ends when every table has joined. */
MUST_USE enum err join_start(struct store *s, struct registry *r, struct router_state *router, struct spool *spool, struct apply *apply, struct touched *touched, struct journal *j, struct join **ret,
                             struct fault *f);
enum err join_check(struct join *j, struct fault *f);
void join_facts(struct join *j, struct join_facts *ret);
void join_stop(struct join *j);

#endif
