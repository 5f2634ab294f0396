/* store/postgres/confirm.h — a commit counts where a commit has to be: on the standbys it waits for, too.
 *
 * One that waits for its standby waits for ever: no timeout of the server's ends that. One whose wait was cancelled is
 * done here, may not be there, and says so by a warning only; whoever reads after it sees it all the same. So what
 * others are to rely on is written after the answer, not with it. */
#ifndef LEAT_STORE_POSTGRES_CONFIRM_H
#define LEAT_STORE_POSTGRES_CONFIRM_H

#include "store/postgres/pg.h"

/* The answer of what was sent, as pg_take_within(). *_LOST where it did not come in time, or was warned of: what it did
 * is not known, and the session is given up. timeout_ms 0: however long it takes. */
MUST_USE enum err pg_take_confirmed(struct pg *pg, int timeout_ms, const char *sql, PGresult **ret, struct fault *f);

#endif
