/* store/postgres/client_tools.h — where pg_dump and pg_restore are, and which version they have. */
#ifndef LEAT_STORE_POSTGRES_CLIENT_TOOLS_H
#define LEAT_STORE_POSTGRES_CLIENT_TOOLS_H

#include "base/fault.h"
#include "base/mem.h"

struct client_tools {
    const char *dump;    /* full paths */
    const char *restore;
    int major;
};

/* A pair of one major >= at_least (pg_dump refuses a newer server): LEAT_PG_BINDIR alone when it is set; else of PATH,
 * /usr/lib/postgresql/N/bin and /usr/pgsql-N/bin the newest whose major is <= best (the target's: a newer pg_restore speaks
 * of settings the target does not know), or the oldest above it. ERR_PG_DUMP says what was found and what to install.
 * Strings in the arena. */
MUST_USE enum err client_tools_find(struct arena *a, int at_least, int best, struct client_tools *ret, struct fault *f);
/* Debian's /usr/bin/pg_dump: a Perl script that chooses one of /usr/lib/postgresql/N/bin by the cluster it believes to
 * be meant. */
bool client_tools_is_wrapper(const char *path);
/* "pg_dump (PostgreSQL) 15.8 (Debian ...)" → 15; 0 when it is no such line. */
int client_tools_major(const char *version_line);

#endif
