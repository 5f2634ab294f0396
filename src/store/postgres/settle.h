/* store/postgres/settle.h — SETTLE of spec/README.md, the one rule for whoever does not know what became of an attempt:
 * a command that starts or got no answer, a door whose deadline passed or that starts, an engine that finds a decision
 * nobody carried out.
 *
 *   The side that serves is the one with the highest epoch whose own row names it; it is gone to only after a
 * compare-and-set of one's own on that row. If no row names its own side, the higher one decided: what it names is
 * opened, with its attempt. A side that failed over since the gate and says that it serves does not count until its
 * attempt was annulled on the other side, where a decision that it lost would be opened. */
#ifndef LEAT_STORE_POSTGRES_SETTLE_H
#define LEAT_STORE_POSTGRES_SETTLE_H

#include "store/postgres/authority.h"

struct settling {
    struct authority_key key;
    /* A session of that side, by which it is asked next; NULL, and why. */
    struct pg *(*reach)(void *ctx, enum side side, struct fault *f);
    /* Something failed in it. */
    void (*lost)(void *ctx, enum side side);
    void *ctx;
    const char *state_dir; /* of the least epoch: what serves is no older (store/least_epoch.h) */
    bool clients_wait;     /* for the answer, and not for this machine's disk: the caller remembers it once they are let go */
};

struct settle_result {
    enum side side; /* who serves; no attempt that was under way can be decided any more */
    int64_t epoch;
    bool opened; /* a decision was found, and carried out */
    /* With an error: that side's own row says that it serves, and it is older than the least epoch. */
    bool outdated;
};

/* ERR_OK, or why nobody can tell yet. That it served is remembered (store/least_epoch.h), unless clients wait. */
MUST_USE enum err pg_settle(const struct settling *w, struct settle_result *ret, struct fault *f);

/* --- what two rows say: no I/O --- */

struct side_view {
    bool answered;
    struct authority_row row;
};
enum settle_do { SETTLE_WAIT, SETTLE_TAKE, SETTLE_ARBITRATE, SETTLE_OPEN, SETTLE_UNARMED, SETTLE_OUTDATED };
/* *ret_side: the side that is taken, that decided, or that is outdated. *ret_why: of SETTLE_WAIT, SETTLE_OUTDATED. */
enum settle_do pg_settle_next(const struct side_view views[2], int64_t least_epoch, enum side *ret_side,
                              const char **ret_why);
/* Whether that side is on another timeline, or another server, than at the gate, as far as the rows know. */
bool pg_settle_promoted(const struct side_view views[2], enum side side);
/* Whether a side stands behind the one that serves: opened by --force without it. *ret: it. */
bool pg_settle_behind(const struct side_view views[2], enum side *ret);
/* The epoch by which --force has the side of that row serve: later than all it and this machine know, and even for the
 * source, odd for the target, so that no two sides ever serve by the same one. */
int64_t pg_settle_force_epoch(const struct authority_row *row, int64_t least_epoch);
/* A side that stands behind the one that serves is shut, if it is not, and has its epoch from then on. *ret_left: it
 * said that it serves. */
MUST_USE enum err pg_settle_leave(const struct settling *w, bool *ret_left, struct fault *f);

#endif
