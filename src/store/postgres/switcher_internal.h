/* store/postgres/switcher_internal.h — the sessions of a switch: switcher.c, and switch_obstacles.c, which looks around before it. */
#ifndef LEAT_STORE_POSTGRES_SWITCHER_INTERNAL_H
#define LEAT_STORE_POSTGRES_SWITCHER_INTERNAL_H

#include "store/postgres/fence.h"
#include "store/postgres/pg.h"
#include "store/postgres/rights.h"
#include "store/postgres/switcher.h"

struct store_switch {
    struct store *store;
    struct pg *deciding;
    struct pg *beside;
    struct pg *opening;
    struct pg *there;
    struct arena *arena; /* of the lock: what was locked */
    struct fenced *locked;
    size_t locked_count;
    char old_rights[RIGHTS_SUMS]; /* as they were when they were compared; "": they were not */
    char new_rights[RIGHTS_SUMS];
    bool reads_passwords;
    bool sums_ready[2];  /* by reads_passwords: prepared in deciding and opening */
    bool asks_rights;    /* deciding and opening were asked for them as they are now */
    bool locks;          /* deciding is in its transaction */
    bool opens;          /* opening is in its own */
    struct pg *settling[2]; /* by side of the store itself; made beforehand: clients may wait while it is settled */
};

#endif
