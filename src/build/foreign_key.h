/* build/foreign_key.h — foreign keys in two steps: added NOT VALID, which locks briefly, then validated, which does not
 * block writes. (Before 18 a key to a partitioned table so made has its inner rows of pg_constraint, one a partition,
 * marked as not valid; the key itself is valid, checked and dumped as such.) */
#ifndef LEAT_BUILD_FOREIGN_KEY_H
#define LEAT_BUILD_FOREIGN_KEY_H

#include "config/config.h"
#include "store/postgres/pg.h"

struct foreign_key {
    uint32_t oid;
    const char *name;     /* of the constraint */
    const char *table;    /* the referencing one, quoted and qualified */
    bool partitioned;     /* it is a partitioned table */
    const char *uncopied; /* "schema.table" on either end that is not chosen: its rows are missing; NULL: none */
};

struct foreign_keys {
    struct foreign_key *list; /* by oid */
    size_t count;
};

MUST_USE enum err foreign_keys_load(struct pg *source, const struct config_store *s, struct arena *a,
                                    struct foreign_keys *ret, struct fault *f);
const struct foreign_key *foreign_key_find(const struct foreign_keys *keys, uint32_t oid); /* NULL: none */

/* What to run for the key that the dump makes by `sql`. */
struct foreign_key_sql {
    const char *add;      /* NULL: it cannot be added without its rows being checked, and they would not pass */
    const char *validate; /* NULL: nothing more to do */
};
/* `key` NULL: the source no longer knows it; it is added as the dump says. Pure. In the arena. */
struct foreign_key_sql foreign_key_statements(struct arena *a, const struct foreign_key *key, const char *sql,
                                              int target_major);

#endif
