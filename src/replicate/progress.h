/* replicate/progress.h — what is durable, and what may therefore be acknowledged to the source. Pure but for what it is told.
 *
 * Lanes commit with synchronous_commit=off, so a commit is durable once the target's log is flushed beyond it. A tick reads
 * the applied position first and the target's insert and flush positions after: when the flush position reaches an insert
 * position seen then, what had been applied by then is durable. The spool is synced between the two. */
#ifndef LEAT_REPLICATE_PROGRESS_H
#define LEAT_REPLICATE_PROGRESS_H

#include "model/position.h"

#define PROGRESS_PENDING 64

struct progress {
    struct {
        struct lsn applied;  /* everything up to here: on the target, in the spool, or nothing */
        struct lsn mark;     /* the newest mark on the target by then */
        struct lsn insert;   /* the target's log by then */
    } pending[PROGRESS_PENDING];
    size_t count;
    struct lsn durable;      /* may be acknowledged */
    struct lsn durable_mark; /* the target can never be found behind this */
};

/* One tick: applied and mark were read (and the spool synced) before insert and flushed were. */
void progress_tick(struct progress *p, struct lsn applied, struct lsn mark, struct lsn insert, struct lsn flushed);

#endif
