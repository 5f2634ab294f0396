/* store/postgres/fence.h — the fence: on every table of both sides a statement trigger that refuses every writer but leat, disabled
 * where the authority is, ENABLE ALWAYS where it is not. */
#ifndef LEAT_STORE_POSTGRES_FENCE_H
#define LEAT_STORE_POSTGRES_FENCE_H

#include "store/postgres/pg.h"
#include "store/store.h"

/* A relation the store's rows can be written through, root or leaf. In the arena. */
struct fenced {
    uint32_t oid;
    const char *qualified;
    char state; /* of its fence: 'D' disabled, 'A' always, another: somebody set it otherwise; 0: it has none */
    const char *columns; /* a number of that server's own: another one whenever one came, went or changed */
};
MUST_USE enum err pg_fence_list(struct pg *pg, const struct store *s, struct arena *a, struct fenced **ret, size_t *ret_count, struct fault *f);
/* The same for a session that lists them while clients wait: planned beforehand, which is most of what it costs. */
#define PG_FENCES "leat.fences"
MUST_USE enum err pg_fence_list_prepare(struct pg *pg, const struct store *s, struct fault *f);
MUST_USE enum err pg_fence_list_prepared(struct pg *pg, const struct store *s, struct arena *a, struct fenced **ret,
                                         size_t *ret_count, struct fault *f);
/* Of a result of it. */
MUST_USE enum err pg_fence_list_take(struct pg *pg, const struct store *s, const PGresult *r, struct arena *a,
                                     struct fenced **ret, size_t *ret_count, struct fault *f);

/* Functions, rows of authority and fences on both sides, whatever of them is not there yet or not as its row says; the target first. *ret_made: fences made or set
 * right. */
MUST_USE enum err pg_store_fence(struct store *s, uint64_t *ret_made, struct fault *f);

/* The functions of sql/switch_functions.sql on one side, as this leat has them. */
MUST_USE enum err pg_fence_functions(struct pg *pg, struct fault *f);

/* Fences that stand otherwise than this side's row says (ENABLE TRIGGER ALL and its like mean them, too) are set right. Of a table in use: ERR_BUSY.
 * *ret: which, in the arena, whatever is returned; NULL: none. */
MUST_USE enum err pg_fence_mend(struct pg *pg, const struct store *s, struct arena *a, const char **ret, struct fault *f);

#endif
