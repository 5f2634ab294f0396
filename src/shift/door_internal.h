/* shift/door_internal.h — what the files of the door share.
 *
 *   door.c            the process: what it is told by config, its threads, its end
 *   door_worker.c     one thread's loop: epoll, orders from the control thread, clocks
 *   door_session.c    a client from its first packet until it is let in; its end
 *   door_backend.c    a connection to a server, made and authenticated
 *   door_pass.c       the data path: what passes between the two, and where it stops
 *   door_hold.c       hold, warm, release: one worker's part
 *   door_move.c       one session inspected on the old side, rebuilt and verified on the new, swapped
 *   door_control.c    the control socket: what the pilot asks for
 *   door_ask.c        the thread that asks servers for it
 *   door_cancel.c     requests to cancel
 *   door_handover.c   a new process takes the address over
 *   door_settle.c     leat.authority on both sides: the view at the start, and settling without the pilot
 *   door_follow.c     a switch that went without this door: noticed, and followed
 *   door_verifiers.c  what is known of users: pg_authid or a file
 *   door_sides.c      the two servers: addresses, names, TLS
 *   door_login.c      who a client is, and how a server is shown that it is that one
 *   door_types.c      the map of both sides' types
 *   door_customs.c    the names of custom settings that sessions are asked for
 *   door_alive.c      whether the other end is still there
 *   door_tls.c        TLS toward clients
 *   door_status.c     what it says of itself
 *
 * Threads: a session, its conns and backends belong to one worker. What crosses threads: orders (under worker->lock),
 * atomics, and the verifiers (under their own lock).
 *
 * Invariants
 *  1. A byte of a client goes to the connection that is its `server` at that moment, whole messages in order, none
 * twice.
 *  2. While a session is held nothing of its client is passed on; what it sends waits in client.kept, at most one read
 * of it.
 *  3. `server` changes only at a boundary of both protocol and framing, in release, by door_move.c. */
#ifndef LEAT_SHIFT_DOOR_INTERNAL_H
#define LEAT_SHIFT_DOOR_INTERNAL_H

#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "base/mem.h"
#include "config/config.h"
#include "shift/conn.h"
#include "shift/inspect.h"
#include "shift/notes.h"
#include "shift/renumber.h"
#include "shift/track.h"
#include "shift/type_map.h"
#include "shift/unnamed.h"
#include "store/postgres/pg.h"
#include "wire/pgwire.h"

#define DOOR_READ (64 << 10)  /* one read; every worker has one buffer for it */
#define DOOR_WHOLE (64 << 10) /* a message that has to be looked at is gathered up to here; larger ones pass unseen */
#define DOOR_RENUMBER_MOST (64 << 20) /* the same, where types are renumbered */
#define DOOR_MOST_THREADS 64
#define DOOR_MOST_ADDRESSES 16
#define DOOR_LOGIN_US 60000000
#define DOOR_CONNECT_US 30000000
#define DOOR_MOST_KEY 256
#define DOOR_MOST_ELSEWHERE 64

/* --- sides --- */

enum tls_mode { TLS_DISABLE, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };

struct side_address {
    struct sockaddr_storage at;
    socklen_t len;
    char host[256]; /* as written; for certificates and messages */
};

/* How long the other end of a connection may say nothing before it is taken to be gone. */
struct patience {
    int idle_s;     /* then it is asked; 0: as this system does, -1: never */
    int interval_s; /* 0: as this system does */
    int count;      /* 0: as this system does */
    int silent_ms;  /* while something that was sent has no answer; 0: as this system does */
};
extern const struct patience alive_client; /* with clients: a server that does not hear them would ask after two hours */

struct door_side {
    const char *dsn;
    struct patience patience; /* as its connection string says to libpq, or leat's own */
    char *database;
    enum tls_mode tls;
    SSL_CTX *tls_ctx; /* NULL: TLS is not used */
    _Atomic bool stale;   /* an address did not answer: names are to be looked up anew */
    pthread_mutex_t lock; /* over the addresses */
    struct side_address addresses[DOOR_MOST_ADDRESSES];
    int address_count;
};

MUST_USE enum err door_sides_init(struct door_side sides[2], const struct config_store *store, struct fault *f);
void door_sides_fini(struct door_side sides[2]);
/* Looks names up anew. */
MUST_USE enum err door_side_resolve(struct door_side *side, struct fault *f);
/* The n-th address, counted from 0; false: there is none. */
bool door_side_address(struct door_side *side, int n, struct side_address *ret);

/* --- backends --- */

enum backend_stage { BACKEND_CONNECTING, BACKEND_TLS_ASKED, BACKEND_TLS, BACKEND_LOGIN, BACKEND_READY, BACKEND_LOST };

struct session;
struct backend;
/* The door talks itself: until so many ReadyForQuery came. */
struct script {
    int ready_left;
    struct buf row;    /* the body of the last row */
    struct buf error;  /* the first error: "SQLSTATE: message" */
    int errors;
    int error_left;    /* what ready_left was at the first */
    void (*done)(struct session *s, struct backend *b); /* it is the caller's again then: NULL in the backend */
};

struct backend {
    struct conn conn;
    struct backend *next;   /* of worker->lost */
    struct session *session;
    enum side side;
    enum backend_stage stage;
    int address;            /* which one is tried */
    bool plain;             /* TLS was refused, or is not to be tried again */
    bool warm;              /* made for a switch: counted among those being made */
    bool twin;              /* answers reads: door_reads.h */
    uint32_t pid;
    char key[DOOR_MOST_KEY];
    uint32_t key_len;
    struct scram_client *scram; /* while it logs in */
    struct buf params;      /* name NUL value NUL ...: what it reported */
    struct buf error;       /* the ErrorResponse with which it refused; whole */
    struct buf heard;       /* whole messages for the client, which come before it is `server` */
    struct script talk;     /* the door talks itself while talk.ready_left > 0 */
};

/* --- sessions --- */

enum session_stage {
    SESSION_FIRST,     /* its first packet is awaited */
    SESSION_TLS,
    SESSION_VERIFIER,  /* what is known of its user is awaited */
    SESSION_PASSWORD,  /* its answer is awaited */
    SESSION_SCRAM,
    SESSION_PARKED,    /* let in; to be connected when the door holds no more */
    SESSION_CONNECTING,
    SESSION_LIVE,
    SESSION_LEAVING,   /* last words go out */
    SESSION_GONE
};

/* While it is held:  AWAITED --boundary--> INSPECTING --> HELD --rebuild--> REBUILDING --> REBUILT --release--> COLLECTING --> NONE
 * EXCUSED: it cannot move as it is; it goes on, and is looked at again at its next boundary. FAILED: its rebuild did. */
enum session_move { MOVE_NONE, MOVE_AWAITED, MOVE_INSPECTING, MOVE_EXCUSED, MOVE_HELD, MOVE_REBUILDING, MOVE_REBUILT, MOVE_FAILED, MOVE_COLLECTING };
enum session_warm { WARM_NONE, WARM_WANTED, WARM_OPENING, WARM_READY, WARM_FAILED };

struct session {
    struct session *next, *before;
    struct worker *worker;
    struct conn client;
    struct backend *server;
    struct backend *other; /* on the other side, for a switch */
    struct track track;
    enum session_stage stage;
    enum session_move move;
    enum session_warm warm;
    bool server_lost;      /* while it was held */
    bool rebuild_wanted;   /* as soon as its other connection is ready */
    bool stopped;          /* client.kept begins with a message that waits for the boundary */
    bool unnamed_away;     /* what it is, or that there is none, the twin was told alone (door_reads.h): the source has
                              another one */
    struct renumber *renumber; /* NULL: it is where its client came to, or numbers are the same */
    bool went_ahead;       /* what stood before the message went, and something of the door's behind it */
    bool direct_tls;       /* from the first byte on: then ALPN must name the protocol */
    bool scanning;         /* what is left of the client's message is text to be looked at */
    bool dropping;         /* what is left of the client's message goes nowhere */
    bool came_ready;       /* within one read of the server */
    bool swallow;          /* its held request was cancelled: dropped up to its Sync */
    bool again;            /* in worker->again */
    int64_t collect_us;    /* when its last round on its old server began */
    int64_t boundary_us;   /* when it came to its boundary, while it is held */
    const char *rebuild_how; /* what had to be done, once it was held */
    int64_t since_us;      /* of login; then of the wait while held, 0: nothing waits */
    uint32_t pid;          /* what the client was told as its key */
    uint32_t key;
    char *user;
    char *application;
    struct buf startup;    /* parameters of the first packet, without user and database: name NUL value NUL ... */
    struct buf told;       /* ParameterStatus the client was told: name NUL value NUL ... */
    struct unnamed unnamed;
    struct login *login;   /* until it is let in */
    struct secret *secret; /* what opens a server in its name; NULL: there is none */
    struct session_notes notes; /* what its texts showed */
    enum side born;        /* where it first came: the numbers of types its client knows */
    struct arena *arena;   /* of state; NULL: there is none */
    struct session_state *state; /* as inspected */
    struct arena *made_arena;    /* of made */
    struct session_state *made;  /* what `other` was made, and found to be; NULL: nothing yet */
    struct buf made_unnamed;     /* and its unnamed statement */
    bool other_used;       /* `other` is not as it was when it was opened */
    bool survey_wanted;    /* at its next boundary: inspected, and made anew beforehand */
    bool preparing;        /* counted: that is wanted, or under way */
    bool in_hand;          /* counted: under way */
    bool came_late;        /* while others were made ready: nobody waits until it is, too */
    bool unchanged;        /* nothing was passed on from its client since it was asked what it is, and it could move */
    bool inspect_kept;     /* its server has the question prepared */
    const struct custom_names *inspect_names; /* it was asked last for these, */
    size_t inspect_customs;                   /* and for so many of those in notes; */
    bool inspect_unnamed;                     /* and for its unnamed statement, too */
    struct reads *reads;   /* NULL: it is not of the share of those that read on the target */
    struct sockaddr_storage peer;
    char why[160];         /* why its move failed, or cannot be */
};

/* --- workers --- */

enum order_kind {
    ORDER_CANCEL,
    ORDER_CANCELLED,
    ORDER_HOLD,
    ORDER_RELEASE,
    ORDER_WARM,
    ORDER_SURVEY,
    ORDER_REBUILD,
    ORDER_VERIFIERS,
    ORDER_LIST,
    ORDER_DRAIN,
    ORDER_STOP,
    ORDER_READS,
    ORDER_NAMES,
    ORDER_FRESH
};

/* What all workers say to a question: each adds, the last one signals. */
struct door_list {
    pthread_mutex_t lock;
    pthread_cond_t done;
    json_t *array;
    int64_t left; /* how many more may be named */
    int pending;  /* workers */
};
enum door_list_what { LIST_UNMOVABLE, LIST_UNHELD, LIST_COLD, LIST_NOT_REBUILT, LIST_BACKENDS };

struct order {
    struct order *next;
    enum order_kind kind;
    enum side side;
    uint32_t pid;
    uint32_t key;
    uint32_t origin; /* CANCEL: the session whose client asks; 0: another process did */
    bool terminate;          /* HOLD: unmovable sessions are ended */
    enum door_list_what what; /* LIST */
    struct door_list *list;
    struct names_held *names; /* NAMES */
};

/* Whom all others waited for. */
enum door_last { LAST_HELD, LAST_REBUILT, LAST_COUNT };

struct counts {
    _Atomic int64_t clients;    /* connected, in whatever stage */
    _Atomic int64_t live;
    _Atomic int64_t unheld;     /* while holding: those that must still come to their boundary */
    _Atomic int64_t held;
    _Atomic int64_t asked;      /* while holding: those that were asked what they are */
    _Atomic int64_t warming;    /* wanted or being made */
    _Atomic int64_t warm;       /* other side ready */
    _Atomic int64_t cold;       /* it could not be made */
    _Atomic int64_t preparing;  /* wanted or under way: inspected and rebuilt beforehand */
    _Atomic int64_t rebuilding; /* asked for, not decided yet */
    _Atomic int64_t rebuilt;
    _Atomic int64_t moving;     /* release under way */
    _Atomic int64_t moved;
    _Atomic int64_t lost;       /* clients that a release could not keep */
    _Atomic int64_t orders;     /* carried out so far */
    _Atomic int64_t bytes_in;   /* from clients */
    _Atomic int64_t bytes_out;
    _Atomic int64_t reads_sessions; /* of the share */
    _Atomic int64_t reads_target;   /* answered by the target */
    _Atomic int64_t reads_waited;   /* of those: had to wait until the target was as far */
    _Atomic int64_t reads_late;     /* sent to the source: the target was not as far in time */
    _Atomic int64_t reads_replayed; /* sent to the source: the target gave an error, or was gone */
};

struct worker {
    struct door *door;
    int index;
    int epoll_fd;
    int wake_fd;
    int listen_fd;       /* its own, by SO_REUSEPORT */
    bool accepting;
    pthread_t thread;
    pthread_mutex_t lock; /* over orders */
    struct order *orders;
    struct order **orders_end;
    struct session *sessions;
    struct session *gone;   /* freed when no event of this turn can name them any more */
    struct backend *lost;
    struct backend *old;    /* swapped out; ended a few at a time, when nobody waits */
    struct canceller *cancellers;
    struct session **again; /* TLS has read more than was asked for */
    size_t again_count, again_size;
    uint32_t next_pid;
    uint32_t slice;         /* of the sessions: looked at in this tick */
    bool stopping;
    bool holding;
    bool terminate;         /* while holding: unmovable ones are ended */
    bool warming;           /* to `warm_side`, new ones too */
    bool draining;
    enum side warm_side;
    struct session *warm_next; /* from here on they may want a connection there, or to be asked */
    int connecting;         /* warm ones under way */
    int in_hand;            /* asked and made anew beforehand, under way */
    int64_t in_hand_us;     /* since one of these came or went */
    bool hurry;             /* clients wait, or are about to: all at once */
    bool prepare_due;       /* there may be room for the next */
    bool passed_over;       /* one that wanted to be asked: they are gone through once more, */
    int64_t round_us;       /* not too soon after the last time */
    pthread_mutex_t pause_lock;
    int64_t now_us;
    int64_t tick_us;        /* of the last look at the clocks */
    uint32_t *pauses_us;    /* of the last release: how long clients had to wait */
    size_t pause_count, pause_size;
    int64_t hold_us;   /* when the hold began */
    int64_t rebuild_us;       /* when the rebuild began */
    json_t *last[LAST_COUNT]; /* of this hold, under pause_lock; NULL: none yet */
    struct counts counts;
    struct names_held *names;       /* what names mean on the source; NULL: no reads go anywhere */
    struct reading_cache *readings; /* of texts seen */
    struct session *waiting;        /* reads that wait for the target */
    const struct type_map *types;   /* of both sides, as they were at its last order; NULL: not known */
    char *in;               /* what was kept, then what is read */
    size_t in_size;         /* DOOR_READ + DOOR_WHOLE, or more where types are renumbered */
};

struct cancel_key {
    uint32_t pid;
    uint32_t key;
};

struct door {
    const struct config *config;
    const struct config_store *store;
    const char *state_dir;
    char *name;              /* "shop.door.0" */
    int64_t most_clients;
    char name_now[96];       /* with its pid, once another process has its address */
    char predecessor[96];    /* the process that had the address before, while it may drain; "": none */
    pthread_mutex_t elsewhere_lock;
    struct cancel_key elsewhere[DOOR_MOST_ELSEWHERE]; /* requests to cancel that are not for this process */
    int elsewhere_count;
    int nth;
    struct door_side sides[2];
    struct config_network *trust;
    size_t trust_count;
    SSL_CTX *client_tls;     /* NULL: none is offered */
    bool require_tls;
    struct verifiers *verifiers;
    struct worker workers[DOOR_MOST_THREADS];
    int worker_count;
    _Atomic int side;        /* enum side: where new sessions go */
    _Atomic int64_t epoch;
    _Atomic int64_t clients;
    _Atomic bool draining;
    _Atomic int64_t orders;  /* given to workers so far */
    int kick_fd;             /* an eventfd of the control thread: something may be complete */
    struct control *control;
    char database[64];       /* what clients call it */
    struct type_map *types;  /* NULL: not known yet, nothing is mapped */
    pthread_mutex_t types_lock;           /* over which one that is, and over customs while they grow */
    struct custom_names *_Atomic customs; /* door_customs.c; NULL: none are known */
    struct fresh *fresh;     /* door_reads.h */
    _Atomic int64_t reads_share; /* in effect; millionths of one percent */
};

/* --- door_tls.c --- */
MUST_USE enum err door_tls_init(struct door *door, struct fault *f);
void door_tls_fini(struct door *door);
/* Whether both agreed by ALPN to speak PostgreSQL's protocol. */
bool door_tls_names_us(const SSL *tls);
/* A path of leat.yaml: a relative one is from its folder. NULL stays NULL. */
char *door_path(const struct door *door, const char *path);

/* --- door_worker.c --- */
/* All of them before any thread that could give one an order. */
MUST_USE enum err worker_init(struct worker *w, struct fault *f);
MUST_USE enum err worker_start(struct worker *w, struct fault *f);
void worker_join(struct worker *w);
/* Takes the order, which came from mem_alloc. From any thread. */
void worker_order(struct worker *w, struct order *order);
void worker_kick_control(struct worker *w);
/* w->in with room for so much. */
char *worker_room(struct worker *w, size_t n);
void worker_again(struct worker *w, struct session *s);

/* --- door_session.c --- */
void session_accept(struct worker *w, int fd, const struct sockaddr_storage *peer);
void session_event(struct session *s, uint32_t events);
/* What is known of its user may have come. */
void session_verifier(struct session *s);
void session_connect(struct session *s);
/* Its server answered: greets the client. */
void session_greet(struct session *s);
/* It is who it says: lets it in. */
void session_admit(struct session *s);
/* Says a FATAL error and ends it. */
void session_refuse(struct session *s, const char *sqlstate, const char *message, const char *hint);
/* Ends it once what waits for the client is written. */
void session_leave(struct session *s);
void session_end(struct session *s);
void session_free(struct session *s);
void session_say(struct session *s, const struct buf *b);
/* What the server it has now reports otherwise than the one before did; then what it said meanwhile. */
void session_tell_changes(struct session *s);
const char *session_peer(const struct session *s, char text[64]);

/* What its conn has kept, and behind it one more read, in worker->in. Returns how much; 0: nothing yet; -1: the other
 * end is gone. */
long session_gather(struct session *s, struct conn *c);

/* --- door_login.c --- */
void login_begin(struct session *s);
/* One whole message of type 'p'. */
void login_answer(struct session *s, const char *body, size_t n);
void login_free(struct session *s);
void login_forget(struct session *s); /* its secret, too */
void login_backend_free(struct backend *b);
/* What a server asks for. False: it cannot be given; b->error says why. */
bool login_toward(struct backend *b, uint32_t code, const char *body, size_t n);

/* --- door_backend.c --- */
void backend_open(struct session *s, enum side side); /* becomes s->server */
void backend_open_warm(struct session *s, enum side side); /* becomes s->other; hold_backend() hears of it */
void backend_open_twin(struct session *s, enum side side); /* becomes s->reads->twin; reads_opened() or reads_lost() hears of it */
void backend_event(struct backend *b, uint32_t events);
void backend_gone(struct backend *b); /* it hung up */
void backend_end(struct backend *b); /* freed at the end of the turn */
void backend_free(struct backend *b);
void backend_retire(struct backend *b); /* ended later */
void backend_end_retired(struct worker *w, int most);
/* Reads whole messages while the door talks itself. */
void backend_read(struct backend *b);
/* Says `out` and reads until so many ReadyForQuery came; then done() is called, with what was seen in b->talk. */
void backend_talk(struct backend *b, const struct buf *out, int ready, void (*done)(struct session *s, struct backend *b));
/* Goes through a list of name NUL value NUL: *at begins as 0. False at the end. */
static inline bool params_next(const struct buf *params, size_t *at, const char **ret_name, const char **ret_value)
{
    if (*at >= params->len)
        return false;
    *ret_name = params->data + *at;
    *at += strlen(*ret_name) + 1;
    *ret_value = params->data + *at;
    *at += strlen(*ret_value) + 1;
    return true;
}
/* Changes a list of name NUL value NUL; false: it is so already. */
bool params_set(struct buf *params, const char *name, const char *value);

/* --- door_pass.c --- */
void pass_client(struct session *s);
void pass_server(struct session *s);
/* What waited goes on. */
void pass_resume(struct session *s);
void pass_watch(struct session *s);
/* Takes `part` of the n bytes, all whole messages or the rest of one, and keeps the rest. Gives how many went. */
size_t pass_part(struct session *s, char *p, size_t n, size_t part);

/* --- door_hold.c --- */
void hold_order(struct worker *w, const struct order *order);
/* Holds it if it is to be held and stands at its boundary. */
void hold_look(struct session *s);
/* It was inspected; unmovable: why, or NULL. */
void hold_inspected(struct session *s, const char *unmovable);
void hold_forget(struct session *s);
void hold_cool(struct session *s);
/* A held client's request is cancelled. False: nothing of it waits here. */
bool hold_cancel(struct session *s);
/* It is being connected. */
void hold_new(struct session *s);
/* It lives now: held, or warmed, if the others are. */
void hold_live(struct session *s);
/* A session is asked and made anew beforehand: counted, and out of it again. False: it has to wait for others. */
bool hold_take_in_hand(struct session *s);
void hold_out_of_hand(struct session *s);
void hold_count_preparing(struct session *s, int by);
/* The next ones, where there is room. */
void hold_prepare_some(struct worker *w);
void hold_backend(struct backend *b); /* of the other side: ready, or lost */
/* The door may say something on its server's connection: it stands at a boundary, of messages too, and nothing of the
 * door's is under way there. */
static inline bool hold_may_talk(const struct session *s)
{
    return s->stage == SESSION_LIVE && track_at_boundary(&s->track) && !s->server->twin &&
           s->server->talk.ready_left == 0 && s->server->conn.left == 0 && s->server->conn.kept.len == 0 &&
           s->client.left == 0;
}
/* Whether what its client sends next has to wait. */
static inline bool hold_stops(const struct session *s, char type)
{
    return s->move != MOVE_NONE && (s->move >= MOVE_HELD || s->move == MOVE_INSPECTING || (s->move == MOVE_AWAITED && track_waits(&s->track, type)));
}
/* Its client waits no longer: counted, and it goes on. */
void hold_over(struct session *s);

/* --- door_move.c --- */
void move_inspect(struct session *s);
/* Adds the question to what its server is sent: one ReadyForQuery. */
void move_add_question(struct session *s, struct buf *out);
/* The same question for the connection that was made what it is: for the names it was asked for itself. */
void move_add_request(const struct session *s, struct buf *out);
/* Rebuilt on `other`, or why not. */
void move_rebuild(struct session *s);
void move_rebuilt(struct session *s, const char *why);
/* Its last notifications are fetched, then `other` becomes its server. */
void move_collect(struct session *s);
void move_collect_late(struct session *s); /* at each tick: its old server does not answer */
void move_forget(struct session *s);
/* Looks, where it stands at a boundary, whether it could move; if so, it is made anew on `other` beforehand, so that while it is held
 * there is only to be seen that it is still what it was. */
void move_survey(struct session *s);
void hold_note_last_rebuilt(const struct session *s);
/* It need not be asked again: it was made anew, and nothing was passed on since. */
static inline bool move_is_known(const struct session *s)
{
    return s->unchanged && s->made != NULL;
}
/* The same, and no function is known by now to set what it was not asked for. */
bool move_need_not_ask(const struct session *s);
void move_want_survey(struct session *s);
void move_prepare(struct session *s); /* `other` may be ready */
void move_forget_question(struct session *s); /* what was left prepared in it for asking again */
void move_cool(struct session *s); /* `other` is no more */

/* --- door_reads.c: nothing of it is called for a session that has none, but reads_consider --- */
/* It lives, or the share has changed. */
void reads_consider(struct session *s);
/* Whether it takes what the client sent: keeps it, or sends it where it belongs. */
bool reads_client(struct session *s, char *p, size_t n);
/* Whether what the server sent is not to be passed on, yet or at all. */
bool reads_server(struct session *s, char *p, size_t n);
/* Whether what goes to the client is kept: it may be sent again elsewhere. */
bool reads_hold(struct session *s, const char *p, size_t n);
void reads_answered(struct session *s); /* the server said ReadyForQuery, and the client will hear it: whoever has the
                                           answer finds it counted */
void reads_ready(struct session *s);    /* the same, when it is on its way */
/* TLS has read more of its other connection than was asked for. */
void reads_pending(struct session *s);
void reads_lost(struct session *s, struct backend *b);
void reads_opened(struct session *s, struct backend *b);
/* A switch begins: whatever waits goes to the source, and the twin away. */
void reads_stop(struct session *s);
void reads_free(struct session *s);
void reads_order(struct worker *w, struct order *order);
void reads_expire(struct worker *w);
/* Where it belongs, wherever its reads are. */
enum side session_side(const struct session *s);

/* --- door_types.c --- */
/* By one thread at a time: the settler. */
MUST_USE enum err door_types_load(struct door *door, struct fault *f);
void door_types_free(struct door *door);
/* The worker looks into those there are by now; into those of before no more. Whoever wants it to know others gives it
 * an order behind them. */
void door_types_look(struct worker *w);
struct type_way door_types_way(const struct worker *w, enum side from); /* to the other one */
struct type_way door_types_way_between(const struct worker *w, enum side from, enum side to);

/* --- door_customs.c --- */
MUST_USE enum err door_customs_load(struct door *door, struct pg *pg, struct fault *f);
void door_customs_free(struct door *door);
/* Whether it was asked for all there are by now; from now on it is. */
bool door_customs_are_asked(const struct session *s);
void door_customs_fix(struct session *s);
/* Those it was asked for, each once: a list for free(). */
const char **door_customs_asked(const struct session *s, size_t *ret_count);

/* --- door_alive.c --- */
void alive_watch(int fd, const struct patience *p);
void alive_look(struct worker *w); /* at each tick */

/* --- door_control.c --- */
struct control;
MUST_USE enum err control_open(struct door *door, struct fault *f);
/* Waits for what comes, at most `ms`. False: the door has nothing more to do. */
bool control_turn(struct door *door, int ms);
void control_close(struct door *door);
#define DOOR_SUM(door, member)                                                                                         \
    ({                                                                                                                 \
        int64_t sum_ = 0;                                                                                              \
        for (int i_ = 0; i_ < (door)->worker_count; i_++)                                                              \
            sum_ += atomic_load(&(door)->workers[i_].counts.member);                                                   \
        sum_;                                                                                                          \
    })

/* --- door_cancel.c --- */
void cancel_begin(struct session *s, uint32_t pid, uint32_t key);
void cancel_answered(struct session *s); /* s may be NULL */
void cancel_order(struct worker *w, struct session *s, const struct order *order);
void cancel_event(struct worker *w, struct conn *conn);
void cancel_sweep(struct worker *w); /* at each tick: what is over, or takes too long */

/* --- door_handover.c --- */
/* From a process that serves this door's address, if there is one: its sockets, and with them as many workers. */
MUST_USE enum err door_take_over(struct door *door, struct fault *f);
void door_cancel_elsewhere(struct door *door, uint32_t pid, uint32_t key);

/* --- door_settle.c --- */
struct authority;
/* A session of a door's own with that side, of a pair that one thread has: the one there is, or a new one. It answers
 * within seconds, or not at all; its commits are durable before they are believed. */
MUST_USE enum err door_reach(const struct door *door, struct pg *pg[2], enum side side, const char *purpose,
                             struct fault *f);
void door_hang_up(struct pg *pg[2], enum side side);
struct authority *authority_new(struct door *door);
void authority_free(struct authority *a);
enum settled { SETTLED_NOT, SETTLED_SOURCE, SETTLED_TARGET };
/* Who serves, and no attempt that was under way can be decided any more; SETTLED_NOT: nobody can tell yet. */
enum settled authority_settle(struct authority *a, int64_t *ret_epoch, char why[256]);
/* Once clients were let go by it. It may take as long as this machine's disk does. */
void authority_remember(const struct authority *a, int64_t epoch);
/* Whether that side says that it does, by reading alone. */
bool authority_serves(struct authority *a, enum side side, int64_t *ret_epoch);
/* Sessions on both sides are there and have been asked once: nobody is held while they are made. */
void authority_get_ready(struct authority *a);
/* Whether the old side's row says so, and both sides answer: what settling will need. */
bool authority_stands(struct authority *a, enum side old, int64_t epoch, int64_t attempt, char why[256]);

#endif
