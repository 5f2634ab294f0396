/* store/postgres/again.h — copying again: the operations of store.h that make a copy count for nothing. */
#ifndef LEAT_STORE_POSTGRES_AGAIN_H
#define LEAT_STORE_POSTGRES_AGAIN_H

#include "store/postgres/pg.h"
#include "store/store.h"

MUST_USE enum err pg_store_copy_again(struct store *s, const char *oids, struct arena *a, struct copied_again **ret, size_t *ret_count, struct fault *f);
MUST_USE enum err pg_store_forget(struct store *s, bool *ret_gap, struct fault *f);
MUST_USE enum err pg_store_adopt_serving(struct store *s, const struct catalog *source, const struct catalog *target, struct fault *f);
MUST_USE enum err pg_store_spool_record(struct store *s, const char *identity, struct arena *a, struct copied_again **ret, size_t *ret_count, struct fault *f);
/* Tables whose rows are in another file than when they were copied, on a source that does not decode TRUNCATE. */
MUST_USE enum err pg_emptied(struct store *s, struct pg *source, struct pg *target, struct arena *a, const char **ret, struct fault *f);
/* Tables that were unlogged when they were copied and are logged now: source oids as the text of an array, NULL for none. */
MUST_USE enum err pg_logged_since(struct store *s, struct pg *source, struct pg *target, struct arena *a, const char **ret, struct fault *f);
MUST_USE enum err pg_store_logged_since(struct store *s, struct arena *a, const char **ret, struct fault *f);

#endif
