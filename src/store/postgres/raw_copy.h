/* store/postgres/raw_copy.h — COPY OUT of one server poured into COPY IN of another, bytes untouched.
 *
 * CopyData frames have the same form in both directions of the protocol, so whole buffers go from socket to socket and only
 * the frame headers are looked at. Both connections must be idle in libpq's eyes before and are so after: libpq never sees the
 * bytes in between. Works over TLS (libpq's own SSL object). Source: PostgreSQL manual, "Message Formats". */
#ifndef LEAT_STORE_POSTGRES_RAW_COPY_H
#define LEAT_STORE_POSTGRES_RAW_COPY_H

#include <stdatomic.h>

#include "store/postgres/pg.h"

struct raw_copy {
    struct pg *source;
    struct pg *target;
    const char *source_sql;        /* COPY ... TO STDOUT */
    const char *target_sql;        /* COPY ... FROM STDIN */
    _Atomic uint64_t *progress_bytes; /* grows as payload passes; may be NULL */
    _Atomic bool *stop;            /* when it becomes true the copy ends with ERR_INTERRUPTED; may be NULL */
};

/* Both servers' row counts must agree (ERR_DATA class otherwise). On failure of either side the other's COPY is ended, and
 * both connections are idle again unless lost (their transactions are then aborted: roll back). */
MUST_USE enum err raw_copy_run(const struct raw_copy *c, uint64_t *ret_rows, struct fault *f);

#endif
