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
    struct arena *arena; /* of the gate: what is to be locked, and what is to be opened for it */
    struct fenced *locked;
    size_t locked_count;
    struct fenced *facing;
    size_t facing_count;
    char old_rights[RIGHTS_SUMS]; /* as they were when they were compared; "": they were not */
    char new_rights[RIGHTS_SUMS];
    bool reads_passwords;
    bool sums_ready[2];  /* by reads_passwords: prepared in deciding and opening */
    bool check_ready;    /* deciding and opening have what they are asked in the pause prepared */
    const char *left_out; /* as it was when obstacles were looked for; NULL: they were not */
    struct arena *look;   /* of it */
    bool asks_rights;    /* deciding and opening were asked for them as they are now */
    bool locks;          /* deciding is in its transaction */
    bool opens;          /* opening is in its own */
    struct pg *settling[2]; /* by side of the store itself; made beforehand: clients may wait while it is settled */
};

/* What came of locking tables that were listed a moment ago. ERR_BUSY: others hold them, or some went meanwhile; it is
 * tried again. */
MUST_USE enum err pg_switch_locked(struct pg *pg, const PGresult *r, struct fault *f);

/* --- switch_check.c --- */
/* The statements of the check are planned while nobody waits. */
MUST_USE enum err pg_switch_check_prepare(struct store_switch *w, struct fault *f);
/* The tables of both sides as they are now: what is otherwise under the lock goes back. By deciding and opening. */
MUST_USE enum err pg_switch_tables(struct store_switch *w, struct fault *f);
/* What no stream carries, in a few words: others whenever it changes. By deciding. */
MUST_USE enum err pg_switch_left_out_sum(struct store_switch *w, struct arena *a, const char **ret, struct fault *f);
/* Nothing behaved otherwise than the stream said, and rights are what they were when they were compared. */
MUST_USE enum err pg_switch_drained(struct store_switch *w, struct fault *f);
/* Fences of the old side are shut within the transaction that holds its locks: for everybody if it commits, and never
 * were if it does not. The decision itself is then one row. */
MUST_USE enum err pg_switch_shut_ask(struct store_switch *w, struct fault *f);
MUST_USE enum err pg_switch_shut_take(struct store_switch *w, struct fault *f);
/* The new side's sequences stand ahead of the old one's. No lock stops nextval: as late as can be. */
MUST_USE enum err pg_switch_sequences(struct store_switch *w, struct fault *f);
/* While nobody is held; the opening looks again, under the new side's row (leat.open_side). */
MUST_USE enum err pg_switch_all_joined(struct store_switch *w, struct fault *f);

#endif
