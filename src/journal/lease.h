/* journal/lease.h — who works on what. All within a write transaction of the caller's. */
#ifndef LEAT_JOURNAL_LEASE_H
#define LEAT_JOURNAL_LEASE_H

#include "journal/db.h"

MUST_USE enum err lease_take(struct db *db, const char *name, int64_t ttl_us, int64_t *ret_token, struct fault *f);
MUST_USE enum err lease_renew(struct db *db, const char *name, int64_t token, struct fault *f);
MUST_USE enum err lease_drop(struct db *db, const char *name, int64_t token, struct fault *f);

#endif
