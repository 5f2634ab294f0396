/* store/postgres/identity.h — what the source's tables tell their rows apart by, where they have nothing fit for it. */
#ifndef LEAT_STORE_POSTGRES_IDENTITY_H
#define LEAT_STORE_POSTGRES_IDENTITY_H

#include "model/table.h"
#include "store/postgres/pg.h"

struct identity_wanted {
    const struct table *table;
    const char *give; /* "ALTER TABLE ... REPLICA IDENTITY USING INDEX ..." */
    const char *undo; /* brings back what stands now */
};

/* The catalog's tables that lack one; in the arena. */
MUST_USE enum err pg_identity_wanted(struct pg *source, const struct catalog *c, struct arena *a, struct identity_wanted **ret, size_t *ret_count, struct fault *f);
/* Gives it, noting in leat.identity what stood before, in the same transaction: the first note of a table stays. */
MUST_USE enum err pg_identity_give(struct pg *source, const struct catalog *c, struct arena *a, struct identity_wanted **ret, size_t *ret_count, struct fault *f);

#endif
