/* store/postgres/cutter.h — comparing: the snapshots of a cut, and rows read under them. The operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_CUTTER_H
#define LEAT_STORE_POSTGRES_CUTTER_H

#include "store/store.h"

#define CUT_LOCK_TIMEOUT_MS 200

MUST_USE enum err pg_cutter_open(struct store *s, struct store_cutter **ret, struct fault *f);
void pg_cutter_close(struct store_cutter *c);
MUST_USE enum err pg_cutter_scratch(struct store_cutter *c, struct fault *f);
MUST_USE enum err pg_cutter_source(struct store_cutter *c, const struct table *const *tables, size_t count, struct arena *a, const char **ret_snapshot, struct fault *f);
MUST_USE enum err pg_cutter_suspects(struct store_cutter *c, const struct snapshot *s, struct arena *a, uint32_t **ret, size_t *ret_count, struct fault *f);
MUST_USE enum err pg_cutter_mark(struct store_cutter *c, const char *note, struct fault *f);
MUST_USE enum err pg_cutter_target(struct store_cutter *c, const struct table *const *tables, size_t count, struct fault *f);
MUST_USE enum err pg_cutter_ledger(struct store_cutter *c, int64_t *ret_last, struct fault *f);
MUST_USE enum err pg_cutter_in_the_way(struct store_cutter *c, enum store_side side, uint32_t *oids, size_t size, size_t *ret_count, struct fault *f);
MUST_USE enum err pg_cutter_objects(struct store_cutter *c, enum store_side side, struct arena *a, struct store_objects *ret, struct fault *f);
MUST_USE enum err pg_cutter_left_out(struct store_cutter *c, struct arena *a, struct store_objects *ret, struct fault *f);
MUST_USE enum err pg_cutter_sequences(struct store_cutter *c, enum store_side side, struct arena *a, struct store_sequence **ret, size_t *ret_count, struct fault *f);
bool pg_cutter_coarse(const struct store_cutter *c);
bool pg_cutter_by_pages(const struct store_cutter *c, enum store_side side);
void pg_cutter_end(struct store_cutter *c);
/* The snapshot's name on that side, for SET TRANSACTION SNAPSHOT. */
const char *pg_cutter_snapshot(const struct store_cutter *c, enum store_side side);
/* Before 12 a floating-point number's text has 17 digits, from then on as many as it takes: where one of each is compared as text
 * (inside of a composite type) both show 15. */
int pg_cutter_float_digits(const struct store_cutter *c);

MUST_USE enum err pg_rows_open(struct store *s, enum store_side side, struct store_rows **ret, struct fault *f);
void pg_rows_close(struct store_rows *r);
MUST_USE enum err pg_rows_begin(struct store_rows *r, struct store_cutter *c, struct fault *f);
void pg_rows_end(struct store_rows *r);
MUST_USE enum err pg_rows_read(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part, struct copy_rows *into, _Atomic bool *stop,
                               struct fault *f);
MUST_USE enum err pg_rows_find(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *values, struct arena *a, const char *const **ret,
                               struct fault *f);
MUST_USE enum err pg_rows_bounds(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part, size_t most, struct arena *a, const char ***ret,
                                 size_t *ret_count, struct fault *f);
MUST_USE enum err pg_rows_count(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *const *values, uint64_t *ret, struct fault *f);

#endif
