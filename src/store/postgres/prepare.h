/* store/postgres/prepare.h — the preparing operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_PREPARE_H
#define LEAT_STORE_POSTGRES_PREPARE_H

#include "store/store.h"

MUST_USE enum err pg_store_identify(struct store *s, struct arena *a, const char **ret_source, const char **ret_target, struct fault *f);
MUST_USE enum err pg_store_prepare(struct store *s, struct store_waits *w, struct fault *f);
MUST_USE enum err pg_store_arm(struct store *s, const struct catalog *source, bool fresh, struct store_waits *w, struct fault *f);
MUST_USE enum err pg_store_adopt(struct store *s, const struct catalog *source, const struct catalog *target, const struct copy_records *records, struct store_waits *w, struct fault *f);
MUST_USE enum err pg_store_load(struct store *s, struct catalog **ret_source, struct catalog **ret_target, struct fault *f);
MUST_USE enum err pg_store_confirmed(struct store *s, struct lsn *ret, struct fault *f);
MUST_USE enum err pg_store_target_answers(struct store *s, struct fault *f);
MUST_USE enum err pg_store_facts(struct store *s, struct arena *a, struct stream_facts *ret, struct fault *f);
MUST_USE enum err pg_store_copy_records(struct store *s, struct copy_records *ret, struct fault *f);
MUST_USE enum err pg_store_bind(struct store *s, struct arena *a, const struct relation *r, const struct table *source, const struct table *target, uint32_t serial,
                                struct binding **ret, struct fault *f);
bool pg_store_own_mark(struct store *s, const struct change *c, const char **ret_note, size_t *ret_len);

/* Fills in the operators columns are found by. */
struct pg;
MUST_USE enum err pg_fill_operators(struct pg *pg, struct catalog *c, struct fault *f);

#endif
