/* store/postgres/force.h — the forcing operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_FORCE_H
#define LEAT_STORE_POSTGRES_FORCE_H

#include "store/store.h"

MUST_USE enum err pg_force_look(struct store *s, struct arena *a, struct force_view *ret, struct fault *f);
MUST_USE enum err pg_force_open(struct store *s, const struct force_view *v, bool *ret_undone, struct fault *f);
MUST_USE enum err pg_store_outvote(struct store *s, bool *ret_left, struct fault *f);

#endif
