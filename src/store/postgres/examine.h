/* store/postgres/examine.h — looks at both ends of a store before anything is touched, and says what it sees. */
#ifndef LEAT_STORE_POSTGRES_EXAMINE_H
#define LEAT_STORE_POSTGRES_EXAMINE_H

#include "config/config.h"

enum remark {
    REMARK_FINE,    /* looked at, nothing to mend */
    REMARK_FOUND,   /* as severe as findings.def says its id is; the rest say it themselves */
    REMARK_NOTE,
    REMARK_WARNING,
    REMARK_BLOCKER,
};

/* Told once for everything seen. id: of findings.def or errors.def. object: "source", "target", a name in the database.
 * why: what was seen. fix: the exact statement or command, "" when nothing is to be done. Strings live for the call only. */
struct examine_sink {
    void (*tell)(void *ctx, enum remark level, const char *id, const char *object, const char *why, const char *fix);
    void *ctx;
};

/* Changes nothing on either side. Never fails: a server that does not answer is told like everything else. */
void pg_examine(const struct config *c, const struct config_store *s, const struct examine_sink *sink);

#endif
