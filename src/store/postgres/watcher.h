/* store/postgres/watcher.h — the watching operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_WATCHER_H
#define LEAT_STORE_POSTGRES_WATCHER_H

#include "store/store.h"

MUST_USE enum err pg_watcher_open(struct store *s, bool source_only, struct store_watcher **ret, struct fault *f);
void pg_watcher_close(struct store_watcher *w);
MUST_USE enum err pg_watcher_poll(struct store_watcher *w, struct watch *ret, struct fault *f);
MUST_USE enum err pg_watcher_heartbeat(struct store_watcher *w, struct lsn acknowledged, struct fault *f);
MUST_USE enum err pg_watcher_trim(struct store_watcher *w, struct fault *f);
MUST_USE enum err pg_watcher_sequences(struct store_watcher *w, uint64_t *ret_moved, struct fault *f);
MUST_USE enum err pg_watcher_blocking(struct store_watcher *w, int64_t limit_us, uint32_t *oids, size_t size, size_t *ret_count, struct fault *f);
MUST_USE enum err pg_watcher_emptied(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f);
MUST_USE enum err pg_watcher_logged(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f);
MUST_USE enum err pg_watcher_identity(struct store_watcher *w, const struct catalog *source, struct arena *a, const char **ret, struct fault *f);
MUST_USE enum err pg_watcher_authority(struct store_watcher *w, struct switch_row *ret, struct fault *f);
MUST_USE enum err pg_watcher_settle(struct store_watcher *w, struct switch_settled *ret, struct fault *f);
MUST_USE enum err pg_watcher_doors(struct store_watcher *w, struct fault *f);
MUST_USE enum err pg_watcher_fences(struct store_watcher *w, struct arena *a, const char **ret_source,
                                    const char **ret_target, struct fault *f);
MUST_USE enum err pg_watcher_unpublished(struct store_watcher *w, size_t *ret_count, struct fault *f);
MUST_USE enum err pg_watcher_ledger(struct store_watcher *w, int64_t *ret_count, struct fault *f);
MUST_USE enum err pg_watcher_drop_slot(struct store_watcher *w, struct fault *f);

MUST_USE enum err pg_watcher_schema(struct store_watcher *w, char *ret, size_t size, struct fault *f);
MUST_USE enum err pg_watcher_indexes(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f);

#endif
