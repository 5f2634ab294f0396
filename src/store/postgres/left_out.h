/* store/postgres/left_out.h — what no stream carries: unlogged tables, large objects, materialized views. */
#ifndef LEAT_STORE_POSTGRES_LEFT_OUT_H
#define LEAT_STORE_POSTGRES_LEFT_OUT_H

#include "store/postgres/pg.h"
#include "store/store.h"

/* What of it the old side has, each with what to do, as obstacles of a switch. In the arena. */
MUST_USE enum err pg_left_out(struct pg *old_side, struct pg *new_side, const struct store *s, struct arena *a,
                              struct switch_obstacle **ret, size_t *ret_count, struct fault *f);

#endif
