/* store/postgres/authority.h — a side's own row of authority, and the acts that change it (sql/switch_functions.sql). */
#ifndef LEAT_STORE_POSTGRES_AUTHORITY_H
#define LEAT_STORE_POSTGRES_AUTHORITY_H

#include "store/postgres/pg.h"
#include "store/store.h"

/* ret->there false: this side was never armed for a switch. */
MUST_USE enum err pg_authority_read(struct pg *pg, const struct store *s, struct switch_row *ret, struct fault *f);
/* The same, after a synchronous commit of our own on that server: what it says then stays so, if its standbys are synchronous. */
MUST_USE enum err pg_authority_confirm(struct pg *pg, const struct store *s, struct switch_row *ret, struct fault *f);
/* function: "decide", "abort_attempt". */
MUST_USE enum err pg_authority_act(struct pg *pg, const struct store *s, const char *function, int64_t epoch, int64_t attempt, bool *ret, struct fault *f);
/* In a transaction of the stream's target that is to write rows the stream did not bring (a copy, a repair): ERR_AUTHORITY where that side serves.
 * It cannot begin to serve before the transaction ends. */
MUST_USE enum err pg_authority_spare(struct pg *pg, const struct store *s, struct fault *f);
/* The stream's target opens. */
MUST_USE enum err pg_authority_open(struct pg *pg, const struct store *s, int64_t epoch, bool *ret, struct fault *f);

#endif
