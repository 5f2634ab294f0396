/* store/postgres/authority.h — a side's own row of authority, and the acts that change it (sql/switch_functions.sql).
 *
 * An act returns what the server answered only if its commit is where a commit has to be: on the standbys it waits for,
 * too. One that was not confirmed, or not in time, is an error: what it did is not known, and the session is given up.
 */
#ifndef LEAT_STORE_POSTGRES_AUTHORITY_H
#define LEAT_STORE_POSTGRES_AUTHORITY_H

#include "store/postgres/pg.h"
#include "store/store.h"

#define SERVER_SIZE 48

/* Whose row: a store's, by its own name. */
struct authority_key {
    const char *migration;
    const char *store;
};
static inline struct authority_key authority_key(const struct store *s)
{
    return (struct authority_key){s->migration, store_base(s)};
}

struct authority_row {
    bool there; /* the store was armed for switching */
    int64_t epoch;
    int64_t attempt;
    enum side here;           /* the side it stands on */
    enum side side;           /* whom it names */
    bool open;                /* its fence */
    bool in_recovery;         /* a standby's copy: it counts for nothing */
    char server[SERVER_SIZE]; /* "system id/timeline" of the session it was read by; "": armed by a leat that recorded
                                 none */
    char recorded[2][SERVER_SIZE]; /* as they were at the gate, by enum side; "": never recorded */
};

MUST_USE enum err pg_authority_row(struct pg *pg, const struct authority_key *k, struct authority_row *ret,
                                   struct fault *f);
/* ret->there false: this side was never armed for a switch. */
MUST_USE enum err pg_authority_read(struct pg *pg, const struct store *s, struct switch_row *ret, struct fault *f);

/* --- acts --- */

MUST_USE enum err pg_authority_gate(struct pg *pg, const struct authority_key *k, const struct authority_row *row,
                                    int64_t attempt, const char *source, const char *target, bool *ret,
                                    struct fault *f);
/* In a transaction: it is not committed yet, nor confirmed. */
MUST_USE enum err pg_authority_decide(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                                      bool *ret, struct fault *f);
/* `here` opens at epoch, if its attempt is that. *ret true: it is open at that epoch. In a transaction, as decide. */
MUST_USE enum err pg_authority_open(struct pg *pg, const struct authority_key *k, int64_t epoch, enum side here,
                                    int64_t attempt, bool *ret, struct fault *f);
MUST_USE enum err pg_authority_abort(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                                     bool *ret, struct fault *f);
MUST_USE enum err pg_authority_annul(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                                     const char *other_server, bool *ret, struct fault *f);
MUST_USE enum err pg_authority_take_over(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                                         const char *server, bool *ret, struct fault *f);
/* This side serves from next_epoch on, as the server it is now, whatever the other one says; *ret false: its row is
 * another by now. */
MUST_USE enum err pg_authority_force(struct pg *pg, const struct authority_key *k, int64_t epoch, int64_t attempt,
                                     int64_t next_epoch, bool *ret, struct fault *f);
/* This side, of an older epoch than the one that serves, no longer does, and has that epoch. */
MUST_USE enum err pg_authority_leave(struct pg *pg, const struct authority_key *k, const struct authority_row *row,
                                     int64_t serving_epoch, bool *ret, struct fault *f);
/* COMMIT, confirmed. */
MUST_USE enum err pg_authority_commit(struct pg *pg, struct fault *f);

/* In a transaction of the stream's target that is to write rows the stream did not bring (a copy, a repair): ERR_AUTHORITY where that side serves.
 * It cannot begin to serve before the transaction ends. */
MUST_USE enum err pg_authority_spare(struct pg *pg, const struct store *s, struct fault *f);

#endif
