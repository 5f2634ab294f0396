/* journal/check.h — reading the record, every event held against the one before it. */
#ifndef LEAT_JOURNAL_CHECK_H
#define LEAT_JOURNAL_CHECK_H

#include "journal/db.h"
#include "journal/journal.h"

typedef bool check_each(void *ctx, const struct event *e);
/* Calls `each` for the events after `after`, until it returns false. One that does not hold is not handed out:
 * ERR_JOURNAL_BROKEN. */
MUST_USE enum err check_read(struct db *db, int64_t after, check_each *each, void *ctx, struct fault *f);
/* Everything: chain, head, the tables that replaying gives, and the file itself. */
MUST_USE enum err check_all(struct db *db, int64_t *ret_count, struct fault *f);
/* The last event and the head agree: cheap, and finds a tail cut off. */
MUST_USE enum err check_head(struct db *db, struct fault *f);

#endif
