/* store/postgres/rights.h — who may do what on both sides: roles, what they are known by, memberships, privileges,
 * settings. */
#ifndef LEAT_STORE_POSTGRES_RIGHTS_H
#define LEAT_STORE_POSTGRES_RIGHTS_H

#include "store/postgres/pg.h"
#include "store/store.h"

struct rights_difference {
    const char *what; /* to the object, and what mends it; no value of a setting, and nothing of a password */
};
/* What the old side has and the new one has not, or the other way round where both know object and role. Verifiers
 * count where both sides let them be read; *ret_unread: they do not. In the arena. */
MUST_USE enum err pg_rights_compare(struct pg *old_side, struct pg *new_side, const struct store *s, struct arena *a,
                                    struct rights_difference **ret, size_t *ret_count, bool *ret_unread,
                                    struct fault *f);

/* A side's rights in a few numbers, other ones whenever they changed. Asked and taken in two steps, so that both servers work at the
 * same time; prepared once in a session: what is asked there for the first time takes four times as long. */
#define RIGHTS_SUMS 512
MUST_USE enum err pg_rights_sums_prepare(struct pg *pg, bool passwords, struct fault *f);
/* What is prepared is called, to be asked for together with something else. */
const char *pg_rights_sums_name(bool passwords);
MUST_USE enum err pg_rights_sums_ask(struct pg *pg, bool passwords, struct fault *f);
/* Whether they can be asked for with what roles are known by. */
MUST_USE enum err pg_rights_reads_passwords(struct pg *pg, bool *ret, struct fault *f);
MUST_USE enum err pg_rights_sums_take(struct pg *pg, char ret[RIGHTS_SUMS], struct fault *f);

#endif
