/* build/dsn_env.h — a DSN as the environment of pg_dump: nothing of it, least of all the password, stands in its
 * arguments. */
#ifndef LEAT_BUILD_DSN_ENV_H
#define LEAT_BUILD_DSN_ENV_H

#include "base/fault.h"
#include "base/mem.h"

struct dsn_env {
    const char *const *env; /* "PGHOST=...", ..., ends in NULL: for struct process */
    const char *rest; /* what has no variable (keepalives, ...), as a connection string; "" when there is nothing */
};

/* `name` is the session's application_name, `options` is added to the DSN's (or PGOPTIONS). ERR_CONFIG, without a word
 * of the DSN itself, when it is not understood. In the arena. */
MUST_USE enum err dsn_env_make(struct arena *a, const char *dsn, const char *name, const char *options,
                               struct dsn_env *ret, struct fault *f);

#endif
