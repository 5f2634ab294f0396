/* store/postgres/copier.h — the copying operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_COPIER_H
#define LEAT_STORE_POSTGRES_COPIER_H

#include "store/store.h"

MUST_USE enum err pg_copier_open(struct store *s, struct store_copier **ret, struct fault *f);
void pg_copier_close(struct store_copier *c);
MUST_USE enum err pg_copier_whole(struct store_copier *c, const struct table *source, const struct table *target, int attempt, _Atomic uint64_t *bytes, _Atomic bool *stop,
                                  const char **ret_snapshot, uint64_t *ret_rows, struct fault *f);
MUST_USE enum err pg_copier_open_table(struct store_copier *c, struct arena *a, const struct table *source, const struct table *target, int attempt, int ranges,
                                       struct copy_record *ret_record, struct fault *f);
MUST_USE enum err pg_copier_range(struct store_copier *c, const struct table *source, const struct table *target, const struct copy_record *r, int range,
                                  _Atomic uint64_t *bytes, _Atomic bool *stop, uint64_t *ret_rows, struct fault *f);
MUST_USE enum err pg_copier_close_table(struct store_copier *c, const struct table *source, const struct copy_record *r, struct fault *f);
bool pg_copier_snapshot_alive(struct store_copier *c, const struct table *source, const struct copy_record *r);
MUST_USE enum err pg_copier_indexed(struct store_copier *c, uint32_t table_oid, struct fault *f);
MUST_USE enum err pg_copier_statement(struct store_copier *c, const char *what, const char *sql, bool *ret_existed, struct fault *f);
MUST_USE enum err pg_copier_heartbeat(struct store_copier *c, const char *note, struct fault *f);

#endif
