/* store/postgres/lane.h — one applying connection: the lane operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_LANE_H
#define LEAT_STORE_POSTGRES_LANE_H

#include "store/store.h"

MUST_USE enum err pg_lane_open(struct store *s, const char *stream, const char *name, struct store_lane **ret, struct fault *f);
void pg_lane_close(struct store_lane *l);
MUST_USE enum err pg_lane_begin(struct store_lane *l, const struct batch *b, struct fault *f);
MUST_USE enum err pg_lane_steps(struct store_lane *l, const struct batch *b, bool late, struct fault *f);
MUST_USE enum err pg_lane_commit(struct store_lane *l, const struct batch *b, bool durable, struct fault *f);
void pg_lane_rollback(struct store_lane *l);
typedef const struct binding *binding_find(void *ctx, const struct txn *t, const struct change *c, const struct relation *r);
MUST_USE enum err pg_lane_replay(struct store_lane *l, const struct batch *b, binding_find *find, void *ctx, bool durable, struct fault *f);
void pg_lane_stats(struct store_lane *l, struct lane_stats *ret);
MUST_USE enum err pg_lane_pass(struct store_lane *l, const uint32_t *oids, size_t count, int pass, struct fault *f);
MUST_USE enum err pg_lane_join(struct store_lane *l, const uint32_t *oids, size_t count, struct lsn at, struct fault *f);
MUST_USE enum err pg_lane_mark(struct store_lane *l, struct lsn at, int64_t mark, struct fault *f);
MUST_USE enum err pg_lane_ahead(struct store_lane *l, const struct lsn *commits, size_t count, struct fault *f);
MUST_USE enum err pg_lane_position(struct store_lane *l, struct lsn *ret, struct fault *f);

const char *pg_mend_sql(struct arena *a, const struct table *target, const struct row_plan *plan, const char *const *before, const char *const *after);
MUST_USE enum err pg_lane_mend(struct store_lane *l, const char *const *statements, size_t count, struct arena *a, const char **ret_why, struct fault *f);
MUST_USE enum err pg_lane_settle(struct store_lane *l, const char *by, int64_t last, const char *tables_json, struct fault *f);
MUST_USE enum err pg_lane_ddl(struct store_lane *l, const struct schema_change *c, const char **ret_why, struct fault *f);
MUST_USE enum err pg_lane_catalog(struct store_lane *l, struct catalog **ret, struct fault *f);

#endif
