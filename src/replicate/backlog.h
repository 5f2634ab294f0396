/* replicate/backlog.h — the whole stream, kept durably on this machine while the target is away or too slow.
 *
 *   source --> reader --append--> backlog --next--> the queue --> dispatcher        (nothing takes from it while the target is away)
 *
 * It is a spool of its own, beside that of the tables still copying: whoever reads it gets the stream again, transaction by
 * transaction, from any position it still holds. The source is told what is durable here, so that it need not keep its log.
 *
 * Invariants
 *  1. The fact "backlog" of the journal (its identity, and `from`) is durable before anything is acknowledged on its account.
 *  2. While the fact stands: all that committed up to `from` is durable on the target or in the tables' spool; all after it, up to
 *     the acknowledged position, is durable here. So a target that comes back at any position it ever was durable at finds what it
 *     lacks; a backlog that is not there any more, or shorter, is ERR_BACKLOG_LOST, never bridged.
 *  3. The fact is removed only when the target is durably beyond the backlog's end, before anything beyond that is acknowledged. */
#ifndef LEAT_REPLICATE_BACKLOG_H
#define LEAT_REPLICATE_BACKLOG_H

#include "journal/journal.h"
#include "replicate/spool.h"
#include "store/store.h"

struct backlog;

struct backlog_place { /* where it is, and whose */
    struct store *store;
    struct journal *journal;
    const struct spool_decoder *decoder; /* lives as long as the backlog */
};

/* The one that the journal says is in use; *ret = NULL when none is. */
MUST_USE enum err backlog_find(const struct backlog_place *at, struct lsn acknowledged, struct backlog **ret, struct fault *f);
/* Begins one: everything up to `acknowledged` is durable elsewhere. Nothing may be acknowledged by other means from here on. */
MUST_USE enum err backlog_begin(const struct backlog_place *at, struct lsn acknowledged, struct backlog **ret, struct fault *f);
/* Relations of its parcels go with it. */
void backlog_free(struct backlog *b);
AUTO_DEFINE(backlog)

/* --- the reader's thread --- */
/* What the parcel's transactions hold that is not in it yet. ERR_SPOOL_FULL: the limit, or the disk. */
MUST_USE enum err backlog_append(struct backlog *b, const struct parcel *p, struct fault *f);
/* The next parcel with transactions that end after `after` (of the first call); *ret = NULL: caught up, for now. */
MUST_USE enum err backlog_next(struct backlog *b, struct lsn after, struct parcel **ret, struct fault *f);
/* Nothing is half appended. */
bool backlog_at_boundary(const struct backlog *b);
/* The stream goes past it from now on: what is in it is all there will be. Only when next() has just found nothing left. */
void backlog_leave(struct backlog *b);

/* --- any thread --- */
bool backlog_has_room(struct backlog *b); /* a good part of the limit is left, and of the disk */
bool backlog_left(struct backlog *b);
uint64_t backlog_bytes(struct backlog *b);
struct lsn backlog_end(struct backlog *b);

/* --- the engine's thread --- */
struct lsn backlog_from(const struct backlog *b);
MUST_USE enum err backlog_sync(struct backlog *b, struct fault *f);
/* Given what is durable on the target: what may be acknowledged. What is no longer needed goes. *ret_over: all of it is on the
 * target, the fact is removed, and it may be forgotten (but not freed while its parcels live). */
MUST_USE enum err backlog_settle(struct backlog *b, struct lsn durable, struct lsn *ret_may, bool *ret_over, struct fault *f);

#endif
