/* store/postgres/ddl.h — changes of the source's schema: noted there by an event trigger, read from the stream, held against the target. */
#ifndef LEAT_STORE_POSTGRES_DDL_H
#define LEAT_STORE_POSTGRES_DDL_H

#include "store/postgres/pg.h"
#include "store/store.h"

/* Makes the event triggers that note schema changes, where the role may (a superuser). *ret_made: whether it did. */
MUST_USE enum err pg_ddl_arm(struct pg *pg, bool *ret_made, struct fault *f);
MUST_USE enum err pg_ddl_read(struct store *s, struct arena *a, struct change *c, struct schema_change **ret, struct fault *f);
MUST_USE enum err pg_ddl_misfit(struct store *s, struct store_lane *l, struct arena *a, const struct schema_change *c, struct ddl_misfit *ret, struct fault *f);

#endif
