/* store/postgres/sequences.h — where sequences stand, and how the other side's are kept ahead of them: no stream carries
 * that, and no lock stops nextval. */
#ifndef LEAT_STORE_POSTGRES_SEQUENCES_H
#define LEAT_STORE_POSTGRES_SEQUENCES_H

#include "store/postgres/pg.h"

struct pg_sequence {
    const char *schema;
    const char *name;
    int64_t last; /* nextval goes on behind it */
    int64_t increment, cache, min, max;
    bool cycle;
};
/* Those that were used or set since they were made, by their oid; CYCLE ones where asked for. In the arena. */
MUST_USE enum err pg_sequences_read(struct pg *pg, bool cycling, struct arena *a, struct pg_sequence **ret,
                                    size_t *ret_count, struct fault *f);

/* Each of `to` that stands behind its namesake of `from` is set beyond what sessions there may have taken since; a
 * CYCLE one to where that stands. guard: a query of `to` that gives a row where it may be done, and locks it meanwhile.
 * Confirmed (confirm.h), each portion of them within that time; 0: however long it takes.
 * *ret_moved, which may be NULL: how many were set. */
MUST_USE enum err pg_sequences_carry(struct pg *from, struct pg *to, bool cycling, const char *guard, int within_ms,
                                     uint64_t *ret_moved, struct fault *f);

#endif
