/* replicate/progress.c — see progress.h. */
#include "replicate/progress.h"

#include <string.h>

void progress_tick(struct progress *p, struct lsn applied, struct lsn mark, struct lsn insert, struct lsn flushed)
{
    size_t done = 0;

    if (p->count < PROGRESS_PENDING) { /* full: this tick is left out, a later one says more */
        p->pending[p->count].applied = applied;
        p->pending[p->count].mark = mark;
        p->pending[p->count].insert = insert;
        p->count++;
    }
    while (done < p->count && lsn_le(p->pending[done].insert, flushed)) {
        ENSURE(lsn_le(p->durable, p->pending[done].applied));
        p->durable = p->pending[done].applied;
        p->durable_mark = lsn_max(p->durable_mark, p->pending[done].mark);
        done++;
    }
    p->count -= done;
    memmove(p->pending, p->pending + done, p->count * sizeof p->pending[0]);
}
