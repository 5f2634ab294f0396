/* shift/door_control.h — what the files of the control socket share. */
#ifndef LEAT_SHIFT_DOOR_CONTROL_H
#define LEAT_SHIFT_DOOR_CONTROL_H

#include "shift/door_internal.h"

#define CONTROL_PEERS 16

enum control_do { DO_NOTHING, DO_WARM, DO_HOLD, DO_REBUILD, DO_RELEASE };
enum control_phase { PHASE_NONE, PHASE_HOLDING, PHASE_HELD, PHASE_REBUILT, PHASE_SETTLING, PHASE_RELEASING, PHASE_FOLLOWING };

struct control_peer {
    int fd; /* -1: none */
    struct buf in;
};

/* Servers that may not answer are asked by a thread of its own, one question at a time: the loop waits for no server. */
enum settler_task {
    ASK_NOTHING,
    ASK_SETTLE,
    ASK_LOOK,   /* whether `old` still serves; who does, and what types there are, is asked where it does not */
    ASK_STANDS, /* whether the attempt may be held for */
    ASK_TYPES,
    ASK_REMEMBER /* nothing: what was settled is written down */
};
struct settler {
    pthread_t thread;
    _Atomic int state; /* enum settler_state */
    enum settler_task task;
    int64_t request; /* STANDS, TYPES: whose */
    enum side old;
    bool yes;     /* LOOK: it serves; STANDS: it does; TYPES: they are known. Else `why` says why not */
    bool types;   /* LOOK that found another side: they are known */
    int64_t epoch, attempt;
    enum settled got;
    int64_t got_epoch;
    char why[256];
};
enum settler_state { SETTLER_IDLE, SETTLER_WORKS, SETTLER_DONE };

struct control {
    struct door *door;
    struct authority *authority;
    int run_fd;             /* STATE/run */
    int listen_fd;
    struct control_peer peers[CONTROL_PEERS];
    enum control_phase phase;
    enum control_do pending; /* what pending_peer waits for */
    int pending_peer;       /* -1: it is gone */
    int64_t request;        /* its number */
    enum settler_task asks; /* what it waits for before anything else; no longer than its deadline */
    bool hold_waits;        /* its hold is answered when all are held */
    enum side warm_side;
    bool warmed;            /* since the last release */
    int warmer;             /* who asked for it; -1: gone */
    int64_t cool_us;        /* then: when what was made ready is given up, if nobody asks again */
    int owner;              /* whose hold it is; -1: nobody's, or gone */
    int64_t epoch, attempt; /* of the hold */
    int64_t asked_us;
    int64_t deadline_us;      /* of what is pending */
    int64_t hold_deadline_us;
    int64_t settle_us;      /* when to try next */
    int64_t look_us;        /* when to look next whether its side still serves */
    int64_t status_us;
    int64_t patience_us;   /* of the request */
    int64_t left, left_us; /* while a warm is under way: what it still has to do, and since when that has not changed */
    int64_t before_moved, before_lost; /* the counts, before this release */
    int64_t before_asked;              /* and before this hold */
    enum side settled_to;
    struct follow {         /* PHASE_FOLLOWING: to a side that serves already */
        enum side side;
        int64_t epoch;
        int64_t deadline_us;
        bool may_rebuild;
        bool rebuilding;
    } follow;
    struct settler settler;
    int64_t settled;        /* the epoch that is still to be remembered; 0: none */
    char settling_why[128];
    char trouble[256];      /* why it could not be settled yet */
};

/* Frees the answer. */
void control_answer(struct control *c, int peer, json_t *answer);
json_t *control_no(const char *why);
json_t *control_list(struct door *door, enum door_list_what what);
/* A copy to every worker. */
void control_order(struct door *door, const struct order *like);

void control_drain(struct control *c);
/* Every order given so far was carried out: the counts say what came of them. */
bool control_all_carried_out(const struct door *door);
/* Sessions are let go to that side, by its own word. */
void control_release(struct control *c, enum side side, int64_t epoch);

/* --- door_ask.c --- */
/* The settler is idle. */
void control_ask(struct control *c, enum settler_task task);
/* Once for each question; the settler is idle then, and says what came of it. */
bool control_has_answer(struct control *c);
void control_end_asking(struct control *c); /* when the door ends */

/* --- door_follow.c --- */
/* The settler has looked, and nothing is under way. */
void control_looked(struct control *c);
/* A step on the way to the other side. */
void control_follow(struct control *c);

/* --- door_handover.c --- */
json_t *control_hand_over(struct control *c, int peer);
void control_pass_cancels(struct control *c);
int control_dial(int run_fd, const char *name); /* -1: nobody listens by that name */

/* --- door_status.c --- */
json_t *control_status(struct control *c, bool named);
void control_write_status(struct control *c);
/* Whom the hold, or the rebuild, waited for to the last: {"client", "user", "application", "ms"} since it began, and
 * "boundary_ms" or "how"; or null. */
json_t *control_last(struct door *door, enum door_last which);
/* {"p50", "p99", "max"} in milliseconds, of all that waited since it was asked last. */
json_t *control_pauses(struct door *door);

#endif
