/* verify/columns.h — what of a table is compared, in which order and form. Pure. */
#ifndef LEAT_VERIFY_COLUMNS_H
#define LEAT_VERIFY_COLUMNS_H

#include "store/store.h"

/* In the arena. coarse: see cutter_coarse. *ret_remark: what cannot be compared of it, or not in full, or NULL. */
void columns_plan(struct arena *a, const struct table *source, const struct table *target, bool coarse, struct row_plan *ret, const char **ret_remark);

#endif
