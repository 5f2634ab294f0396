/* store/postgres/door_role.h — the doors' own role on either side (door_source, door_target): what it is given, and
 * what it lacks.
 *
 * It owns nothing and writes no table: what settles who serves are functions that run with leat's rights
 * (sql/switch_functions.sql), and it may call those, and no others. */
#ifndef LEAT_STORE_POSTGRES_DOOR_ROLE_H
#define LEAT_STORE_POSTGRES_DOOR_ROLE_H

#include "store/postgres/pg.h"
#include "store/store.h"

/* `side` is the stream's, here and below. NULL: there are no doors, or they come as leat itself does. In the arena. */
const char *pg_door_role(const struct config_store *c, enum side side, struct arena *a);
/* Whatever it lacks in schema leat, of what is there, by a session of leat's. What cannot be given, or its role not
 * being there, is no error here: the gate and doctor say so. */
MUST_USE enum err pg_door_role_grant(struct pg *pg, const struct config_store *c, enum side side, struct fault *f);

struct door_role_lack {
    const char *why;
    const char *fix; /* a statement */
};
/* leats: with what leat gives itself, once it arms. In the arena. */
MUST_USE enum err pg_door_role_lacks(struct pg *pg, const struct config_store *c, enum side side, bool leats,
                                     struct arena *a, struct door_role_lack **ret, size_t *ret_count, struct fault *f);
/* Roles that may still settle who serves, and are the doors' no longer; the statements that take it back. In the arena.
 */
MUST_USE enum err pg_door_role_former(struct pg *pg, const struct config_store *c, enum side side, struct arena *a,
                                      struct door_role_lack **ret, size_t *ret_count, struct fault *f);

#endif
