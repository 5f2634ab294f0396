/* store/postgres/switch_shape.h — the tables rows are carried by: the same on both sides of a switch. */
#ifndef LEAT_STORE_POSTGRES_SWITCH_SHAPE_H
#define LEAT_STORE_POSTGRES_SWITCH_SHAPE_H

#include "store/postgres/fence.h"

/* Where a table that both sides have has other columns there, or another name, as obstacles of a switch, each with what
 * to do. old_list: the old side's tables. In the arena. */
MUST_USE enum err pg_switch_shape(struct pg *old_side, struct pg *new_side, const struct store *s,
                                  const struct fenced *old_list, size_t old_count, struct arena *a,
                                  struct switch_obstacle **ret, size_t *ret_count, struct fault *f);

#endif
