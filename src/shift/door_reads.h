/* shift/door_reads.h — reads first: while the source serves, a share of clients has its read-only transactions answered by the target.
 *
 *   door_reads.c        one session: where the next thing its client sends goes, and what becomes of it
 *   door_reads_answer.c what the target says: passed on, or sent once more to the source
 *   door_reads_order.c  orders, clocks, the life of what is kept for it
 *   door_reads_twin.c   its second connection, on the target: opened, and made what the session is
 *   door_reads_batch.c  what a client sent up to its Sync: whether all of it is a read
 *   door_reads_share.c  who is of the share
 *   door_fresh.c        a thread that knows both servers: what names mean, and since when the target is not behind
 *
 *   HOME --a read at a boundary--> ASKING --known--> MAKING --equal--> WAITING --the target is not behind--> AWAY --ReadyForQuery--> HOME
 *     any of the three in the middle --not so, or too late--> HOME, and what was sent goes to the source
 *   AWAY, in a transaction --what is no read, or no longer fresh--> LEAVING (it is begun at the source) --> HOME
 *
 * While AWAY the session's `server` is the twin, and `home` what was its server: bytes pass as always (door_internal.h, invariant 1).
 *
 * Invariants
 *  1. What goes to the target is a read, proved from its text (shift/reading.h); its connection takes nothing but reads, too.
 *  2. It goes there only when the target has all that the source had written when it was asked, after the read had come: so nothing that anybody
 *     had seen through this or any other door is missing, whoever of a role it was. No position is kept, and none is shared.
 *  3. The twin was connected before that was asked: if the target crashed since, it is gone, and so is the read.
 *  4. The twin is what the session is, as the session itself said (ADR 12) since the last thing that could have changed it.
 *  5. What failed there, or did not come in time, is sent to the source as if it had never been there, unless a byte of an answer was passed on.
 *  6. At a boundary, and in every switch, `server` is the source's: holding and moving know of no twin. */
#ifndef LEAT_SHIFT_DOOR_READS_H
#define LEAT_SHIFT_DOOR_READS_H

#include "shift/door_internal.h"
#include "shift/reading.h"

#define READS_BATCH (32 << 10) /* what a client sends up to its Sync; more goes to the source */
#define READS_ALL ((int64_t)100000000) /* a share of 100 %, in millionths of one percent */
#define READS_AGAIN_US 1000000 /* a session that could not be given a twin is not tried again before */

enum reads_phase { READS_HOME, READS_ASKING, READS_MAKING, READS_WAITING, READS_AWAY, READS_LEAVING };

struct reads {
    enum reads_phase phase;
    struct backend *twin;  /* on the target; while AWAY it is the session's server, and this is NULL */
    struct backend *home;  /* while AWAY: on the source; else NULL */
    struct renumber *renumber; /* of what passes to and from the twin; NULL: numbers are the same */
    bool known;            /* nothing that could change what the session is has passed since it was asked */
    bool fit;              /* as it was found to be then: a twin can be made */
    bool home_lost;
    bool pass_once;        /* what waits goes to the source without being looked at */
    bool staging;          /* no byte of the answer has gone to its client: what would have stands in `held` */
    struct buf held;
    bool needs_unnamed;    /* it uses the unnamed statement of before */
    bool has_unnamed;      /* in this transaction the twin was given it, or made it */
    bool makes_unnamed;    /* it makes the unnamed statement anew */
    bool off;              /* it is of the share no longer */
    bool counted;          /* among the sessions of the share */
    const struct type_map *map; /* what the twin was opened by; held: no other is taken for it */
    int64_t since_us;      /* of what waits */
    int64_t again_us;      /* no twin is tried before */
    uint64_t asked;        /* WAITING: the number of the question */
    size_t batch_len;      /* of what waits: so much of client.kept goes to the twin */
    size_t left;           /* of that: not passed on yet */
    struct buf batch;      /* a copy, until an answer passes on */
    struct track before;   /* the track as it was then */
    struct arena *arena;   /* of wanted */
    struct session_state *wanted; /* what the twin is to be; NULL: not known */
    struct arena *made_arena;
    struct session_state *made;   /* what it is; NULL: nothing yet */
    enum reading_isolation isolation; /* of a transaction that says none */
    bool read_only;        /* a transaction that says nothing writes nothing */
    bool asks_begin;       /* that may have changed: asked at the next that begins */
    struct session *next_waiting, **waiting_at;
};

/* Whether reads of this session may go anywhere now. */
bool reads_on(const struct session *s);

/* --- door_reads.c, for the files beside it --- */
bool reads_quiet(const struct track *t); /* everything is answered */
void reads_wait(struct session *s, const char *p, size_t n); /* keeps it, and reads no more */
void reads_unlist(struct session *s); /* it waits no longer */
/* The twin alone was told what the unnamed statement is; the source is told, too. */
bool reads_owes(const struct session *s);
void reads_pay(struct session *s);
void reads_go_home(struct session *s); /* what waits goes to the source, and is not looked at again */
void reads_give_up(struct session *s); /* the same, in a transaction, too */
void reads_go(struct session *s);      /* the target is far enough: what waits goes there */
struct backend *reads_come_back(struct session *s);
bool reads_hear_home(struct session *s);
void reads_begin_home(struct session *s); /* a transaction as the one that was left, then what waits */
void reads_leave(struct session *s);

/* --- door_reads_twin.c --- */
/* Opens one, behind what its client does. */
void twin_open(struct session *s);
/* Asks the session what it is; reads_known() hears of it. */
void twin_ask(struct session *s);
/* Makes it equal, if it is not; reads_made() hears of it, at once or later. why, or NULL. */
void twin_make(struct session *s);
void twin_end(struct session *s);
void reads_known(struct session *s);
void reads_made(struct session *s, bool equal);
/* A statement the twin has; NULL: none of that name. */
const struct session_statement *twin_statement(const struct reads *r, const char *name);

/* --- door_reads_batch.c --- */
enum batch_kind { BATCH_MORE, BATCH_READ, BATCH_READ_BEGIN, BATCH_READ_END, BATCH_NEUTRAL, BATCH_OTHER };
struct batch {
    enum batch_kind kind; /* MORE: not all of it is there. READ_BEGIN: it begins a transaction. READ_END: nothing but its end. NEUTRAL: leaves the session as it is */
    size_t len;
    bool unnamed_before;  /* it uses the unnamed statement of before */
    bool makes_unnamed;
};
/* in_transaction: on the twin. */
void batch_of(struct session *s, const char *p, size_t n, bool in_transaction, struct batch *ret);
struct reading_cache;
void reading_cache_free(struct reading_cache *c);
/* The texts of what was sent are no reads from now on: the target refused one. */
void batch_refuse(struct session *s, const char *p, size_t n);

/* --- door_fresh.c --- */
struct fresh;
void fresh_start(struct door *door);
/* Its thread: whoever asks from then on gets no answer. */
void fresh_stop(struct door *door);
void fresh_free(struct door *door); /* when nobody asks any more */
void fresh_set(struct fresh *f, bool on);
/* "Is the target as far as the source is now?": the number of the question. */
uint64_t fresh_ask(struct fresh *f);
/* All questions up to this one: yes. */
uint64_t fresh_reached(const struct fresh *f);
/* Why reads cannot go to the target now; "": they can. */
void fresh_trouble(struct fresh *f, char text[160]);

struct names_held; /* reading_names, kept as long as a worker looks into them */
const struct reading_names *names_of(const struct names_held *h);
void names_drop(struct names_held *h);

/* --- door_reads_share.c --- */
bool reads_in_share(const struct session *s);
/* The share in effect may be another now. By the control thread. */
void reads_look_at_share(struct door *door);
json_t *reads_status(struct door *door);

#endif
