/* shift/door_control.c — the control socket: STATE/run/STORE.door.N.sock, one JSON object a line each way, and the door's own
 * main loop, which answers it, settles, and writes STATE/run/STORE.door.N.json.
 *
 *   NONE --hold--> HOLDING --all held--> HELD --rebuild--> REBUILT --release--> NONE
 *     any of the middle three --deadline, or its connection lost--> SETTLING --> NONE
 *   NONE --its side no longer serves, the other does--> FOLLOWING --> NONE
 *
 * A request that takes time (warm, hold, rebuild, release) is answered when it is done; its connection hears nothing else before.
 * One is under way at a time; "status" is answered to everybody always. */
#include "shift/door_control.h"
#include "shift/door_reads.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/world.h"

#define LINE_MOST (64 << 10)
#define STATUS_EVERY_US 500000
#define PREPARE_US 500000 /* a warm waits so long while no session comes to a boundary */
#define WARM_LOOK_US 20000
#define COOL_US 3000000 /* a switch that connects anew asks again sooner */
#define NAMED_MOST 100 /* clients in an answer */
#define SEND_MOST_US 100000 /* until an answer is taken */
#define DEADLINE_MS 10000 /* of a request that names none */

/* --- a socket whose path may be longer than a sockaddr holds --- */

static int open_run(const char *state_dir)
{
    AUTO_CHARS *run = mem_format("%s/run", state_dir);

    return open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static enum err bind_socket(struct control *c, struct fault *f)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    AUTO_CHARS *name = mem_format("%s.sock", c->door->name);
    int n = snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s", c->run_fd, name);

    ENSURE(n > 0 && (size_t)n < sizeof at.sun_path);
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)unlinkat(c->run_fd, name, 0);
    if (c->listen_fd < 0 || bind(c->listen_fd, (struct sockaddr *)&at, sizeof at) != 0 || fchmodat(c->run_fd, name, 0600, 0) != 0 || listen(c->listen_fd, 16) != 0)
        return fault_set(f, ERR_STATE_DIR, "run/%s: %s", name, strerror(errno));
    return ERR_OK;
}

/* --- answers --- */

void control_answer(struct control *c, int peer, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    AUTO_BUF line = {0};

    json_decref(answer);
    if (text == NULL || peer < 0 || c->peers[peer].fd < 0) {
        free(text);
        return;
    }
    buf_addf(&line, "%s\n", text);
    free(text);
    if (send(c->peers[peer].fd, line.data, line.len, MSG_NOSIGNAL) != (ssize_t)line.len)
        (void)shutdown(c->peers[peer].fd, SHUT_RDWR); /* it does not listen: heard of next, as if it had hung up */
}

json_t *control_no(const char *why)
{
    return json_pack("{s:b, s:s}", "ok", 0, "why", why);
}

static json_t *ask_workers(struct door *door, enum door_list_what what, enum side side)
{
    struct door_list l = {.array = json_array(), .left = NAMED_MOST, .pending = door->worker_count};
    struct order order = {.kind = ORDER_LIST, .what = what, .side = side, .list = &l};

    pthread_mutex_init(&l.lock, NULL);
    pthread_cond_init(&l.done, NULL);
    control_order(door, &order);
    pthread_mutex_lock(&l.lock);
    while (l.pending > 0)
        pthread_cond_wait(&l.done, &l.lock);
    pthread_mutex_unlock(&l.lock);
    pthread_cond_destroy(&l.done);
    pthread_mutex_destroy(&l.lock);
    return l.array;
}

json_t *control_list(struct door *door, enum door_list_what what)
{
    return ask_workers(door, what, SIDE_SOURCE);
}

void control_order(struct door *door, const struct order *like)
{
    for (int i = 0; i < door->worker_count; i++) {
        struct order *one = mem_alloc(sizeof *one);

        *one = *like;
        atomic_fetch_add(&door->orders, 1);
        worker_order(&door->workers[i], one);
    }
}

bool control_all_carried_out(const struct door *door)
{
    return DOOR_SUM(door, orders) == atomic_load(&door->orders);
}

/* --- settling --- */

static void give_release(struct control *c, enum side side, int64_t epoch)
{
    struct order order = {.kind = ORDER_RELEASE, .side = side};

    atomic_store(&c->door->side, (int)side);
    atomic_store(&c->door->epoch, epoch);
    c->warmed = false;
    control_order(c->door, &order);
}

void control_release(struct control *c, enum side side, int64_t epoch)
{
    c->trouble[0] = '\0';
    c->phase = PHASE_RELEASING;
    c->settled_to = side;
    c->before_moved = DOOR_SUM(c->door, moved);
    c->before_lost = DOOR_SUM(c->door, lost);
    give_release(c, side, epoch);
}

/* Of what is pending, when the servers have said what it needs to know. */
static void refuse_pending(struct control *c, const char *why)
{
    control_answer(c, c->pending_peer, control_no(why));
    c->pending = DO_NOTHING;
    c->asks = ASK_NOTHING;
}

static void begin_warm(struct control *c)
{
    struct order order = {.kind = ORDER_WARM, .side = c->warm_side};

    c->left = -1;
    c->warmed = true;
    control_order(c->door, &order);
}

static void begin_rebuild(struct control *c)
{
    struct order order = {.kind = ORDER_REBUILD, .side = c->warm_side};

    control_order(c->door, &order);
}

/* The types of both sides are known. A rebuild that no warm came before is one itself. */
static void begin_on_other_side(struct control *c)
{
    if (c->pending == DO_REBUILD && c->phase != PHASE_HELD && c->phase != PHASE_REBUILT) {
        refuse_pending(c, "what was held is held no longer");
        return;
    }
    begin_warm(c);
    if (c->pending == DO_REBUILD)
        begin_rebuild(c);
}

static void begin_hold(struct control *c)
{
    struct order order = {.kind = ORDER_HOLD, .terminate = c->door->store->door_unmovable == UNMOVABLE_TERMINATE};

    ENSURE(c->phase == PHASE_NONE && c->pending == DO_HOLD);
    c->owner = c->pending_peer;
    c->phase = PHASE_HOLDING;
    c->before_asked = DOOR_SUM(c->door, asked);
    control_order(c->door, &order);
    if (c->hold_waits)
        return;
    control_answer(c, c->pending_peer, json_pack("{s:b, s:b}", "ok", 1, "holding", 1));
    c->pending = DO_NOTHING;
}

static void begin_settling(struct control *c, const char *why)
{
    log_line(LOG_WARN, c->door->name, "settles attempt %lld of epoch %lld by itself: %s", (long long)c->attempt, (long long)c->epoch, why);
    snprintf(c->settling_why, sizeof c->settling_why, "%s", why);
    c->phase = PHASE_SETTLING;
    c->settle_us = 0;
}

static void act_on_settled(struct control *c)
{
    struct settler *x = &c->settler;

    snprintf(c->trouble, sizeof c->trouble, "%s", x->why);
    if (x->got == SETTLED_NOT)
        return;
    control_release(c, x->got == SETTLED_SOURCE ? SIDE_SOURCE : SIDE_TARGET, x->got_epoch);
    log_line(LOG_INFO, c->door->name, "serves the %s at epoch %lld", side_name(c->settled_to), (long long)x->got_epoch);
}

static bool may_look(const struct control *c)
{
    return c->phase == PHASE_NONE && c->pending == DO_NOTHING;
}

/* The request that waited for this goes on, or is answered: no. */
static void act_on_request(struct control *c)
{
    const struct settler *x = &c->settler;

    if (x->task != c->asks || x->request != c->request)
        return;
    c->asks = ASK_NOTHING;
    if (!x->yes)
        refuse_pending(c, x->why);
    else if (x->task == ASK_TYPES)
        begin_on_other_side(c);
    else
        begin_hold(c);
}

/* An answer that comes when a release has overtaken it counts for nothing. */
static void act_on_answer(struct control *c)
{
    const struct settler *x = &c->settler;

    if (x->got != SETTLED_NOT)
        c->settled = x->got_epoch;
    if (x->task == ASK_STANDS || x->task == ASK_TYPES)
        act_on_request(c);
    else if (x->task == ASK_LOOK && may_look(c) && (int)x->old == atomic_load(&c->door->side))
        control_looked(c);
    else if (x->task == ASK_SETTLE && c->phase == PHASE_SETTLING)
        act_on_settled(c);
}

/* This machine's disk may keep the settler for long: then no hold is begun either. */
static void remember(struct control *c)
{
    control_ask(c, ASK_REMEMBER);
    c->settled = 0;
}

static void turn_settler(struct control *c)
{
    if (control_has_answer(c))
        act_on_answer(c);
    if (atomic_load(&c->settler.state) != SETTLER_IDLE)
        return;
    if (c->phase == PHASE_SETTLING && world_mono_us() >= c->settle_us)
        control_ask(c, ASK_SETTLE);
    else if (c->asks != ASK_NOTHING)
        control_ask(c, c->asks);
    else if (may_look(c) && c->settled > 0)
        remember(c);
    else if (may_look(c) && world_mono_us() >= c->look_us)
        control_ask(c, ASK_LOOK);
}

/* --- what is under way --- */

/* Answers it, with those named who kept it from being done. */
static void fail(struct control *c, enum door_list_what what)
{
    json_t *answer = json_pack("{s:b, s:o}", "ok", 0, what == LIST_COLD ? "failed" : "why", control_list(c->door, what));

    control_answer(c, c->pending_peer, answer);
    c->pending = DO_NOTHING;
}

static void succeed(struct control *c, json_t *answer)
{
    json_object_set_new(answer, "ms", json_real((double)(world_mono_us() - c->asked_us) / 1000));
    control_answer(c, c->pending_peer, answer);
    c->pending = DO_NOTHING;
}

/* A warm has all the time it takes, as long as it comes on: its deadline is that of the next session. */
static void note_progress(struct control *c)
{
    int64_t left = DOOR_SUM(c->door, warming) + DOOR_SUM(c->door, preparing);

    if (left == c->left)
        return;
    c->left = left;
    c->left_us = world_mono_us();
    c->deadline_us = c->left_us + c->patience_us;
}

/* Sessions are made anew beforehand while that goes on; one that comes to no boundary is not waited for. */
static bool still_prepares(const struct control *c)
{
    return DOOR_SUM(c->door, preparing) > 0 && world_mono_us() - c->left_us < PREPARE_US;
}

static void check_warm(struct control *c, bool late)
{
    struct door *door = c->door;
    json_t *failed;

    if (!late && (DOOR_SUM(door, warming) > 0 || still_prepares(c)))
        return;
    failed = control_list(door, LIST_COLD);
    succeed(c, json_pack("{s:b, s:I, s:o}", "ok", (int)(!late && json_array_size(failed) == 0), "warm", (json_int_t)DOOR_SUM(door, warm), "failed", failed));
}

static void check_hold(struct control *c, bool late)
{
    if (!late && DOOR_SUM(c->door, unheld) > 0)
        return;
    if (late) {
        fail(c, LIST_UNHELD);
        begin_settling(c, "not all sessions came to a boundary by the deadline");
        return;
    }
    c->phase = PHASE_HELD;
    succeed(c, json_pack("{s:b, s:I, s:I, s:o}", "ok", 1, "held", (json_int_t)DOOR_SUM(c->door, held), "asked",
                         (json_int_t)(DOOR_SUM(c->door, asked) - c->before_asked), "last",
                         control_last(c->door, LAST_HELD)));
}

static void check_rebuild(struct control *c, bool late)
{
    struct door *door = c->door;

    if (!late && DOOR_SUM(door, rebuilding) > 0)
        return;
    if (late || DOOR_SUM(door, rebuilt) < DOOR_SUM(door, held)) {
        fail(c, LIST_NOT_REBUILT);
        return;
    }
    c->phase = PHASE_REBUILT;
    succeed(c, json_pack("{s:b, s:I, s:o}", "ok", 1, "rebuilt", (json_int_t)DOOR_SUM(door, rebuilt), "last",
                         control_last(door, LAST_REBUILT)));
}

static void check_release(struct control *c)
{
    struct door *door = c->door;

    if (DOOR_SUM(door, moving) > 0)
        return;
    c->phase = PHASE_NONE;
    if (c->pending != DO_RELEASE)
        return;
    succeed(c, json_pack("{s:b, s:I, s:I, s:o}", "ok", 1, "moved", (json_int_t)(DOOR_SUM(door, moved) - c->before_moved), "failed",
                         (json_int_t)(DOOR_SUM(door, lost) - c->before_lost), "pause_ms", control_pauses(door)));
}

static void check_pending(struct control *c)
{
    bool late;

    if (!control_all_carried_out(c->door))
        return;
    if (c->pending == DO_WARM && c->asks == ASK_NOTHING)
        note_progress(c);
    late = world_mono_us() > c->deadline_us;
    if (c->phase == PHASE_RELEASING)
        check_release(c);
    if (c->asks != ASK_NOTHING) {
        if (late)
            refuse_pending(c, "a server does not answer");
    } else if (c->pending == DO_WARM)
        check_warm(c, late);
    else if (c->pending == DO_HOLD)
        check_hold(c, late);
    else if (c->pending == DO_REBUILD)
        check_rebuild(c, late);
    if (c->phase >= PHASE_HOLDING && c->phase <= PHASE_REBUILT && c->pending != DO_HOLD && world_mono_us() > c->hold_deadline_us)
        begin_settling(c, "the deadline of the hold passed");
}

/* --- requests --- */

static int64_t number(const json_t *request, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(request, name);

    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static void begin(struct control *c, int peer, enum control_do what, const json_t *request)
{
    c->pending = what;
    c->pending_peer = peer;
    c->request++;
    c->asks = ASK_NOTHING;
    c->asked_us = world_mono_us();
    c->patience_us = number(request, "deadline_ms", DEADLINE_MS) * 1000;
    c->deadline_us = c->asked_us + c->patience_us;
}

static bool read_side(const json_t *request, enum side *ret)
{
    const char *side = json_string_value(json_object_get(request, "side"));

    if (side == NULL || (strcmp(side, "source") != 0 && strcmp(side, "target") != 0))
        return false;
    *ret = strcmp(side, "target") == 0 ? SIDE_TARGET : SIDE_SOURCE;
    return true;
}

static json_t *do_warm(struct control *c, int peer, const json_t *request)
{
    enum side side;

    if (!read_side(request, &side) || (int)side == atomic_load(&c->door->side))
        return control_no("\"side\" names the side that does not serve now: source or target");
    begin(c, peer, DO_WARM, request);
    c->warmer = peer;
    c->warm_side = side;
    c->asks = ASK_TYPES;
    return NULL;
}

/* While servers are asked whether the attempt stands, sessions are asked once more what they are: fewer are left to ask
 * when clients wait. */
static json_t *do_hold(struct control *c, int peer, const json_t *request)
{
    struct order order = {.kind = ORDER_SURVEY};

    if (c->phase != PHASE_NONE)
        return control_no("an attempt is under way here already");
    c->epoch = number(request, "epoch", -1);
    c->attempt = number(request, "attempt", -1);
    if (c->epoch != atomic_load(&c->door->epoch))
        return json_pack("{s:b, s:s, s:I}", "ok", 0, "why", "this door is at another epoch", "epoch", (json_int_t)atomic_load(&c->door->epoch));
    begin(c, peer, DO_HOLD, request);
    c->hold_deadline_us = c->deadline_us;
    c->hold_waits = !json_is_false(json_object_get(request, "wait"));
    c->asks = ASK_STANDS;
    control_order(c->door, &order);
    return NULL;
}

/* The second step of a hold that did not wait. */
static json_t *do_await(struct control *c, int peer)
{
    if (c->phase != PHASE_HOLDING && c->phase != PHASE_HELD)
        return control_no("nothing is held here");
    c->pending = DO_HOLD;
    c->pending_peer = peer;
    c->asked_us = world_mono_us();
    c->deadline_us = c->hold_deadline_us;
    return NULL;
}

static json_t *do_rebuild(struct control *c, int peer, const json_t *request)
{
    if (c->phase != PHASE_HELD && c->phase != PHASE_REBUILT)
        return control_no("sessions are rebuilt while all are held");
    begin(c, peer, DO_REBUILD, request);
    if (c->deadline_us > c->hold_deadline_us)
        c->deadline_us = c->hold_deadline_us;
    if (c->warmed) {
        begin_rebuild(c);
        return NULL;
    }
    c->warm_side = atomic_load(&c->door->side) == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;
    c->asks = ASK_TYPES;
    return NULL;
}

/* A word of an attempt that is over. One of a stranger counts while nothing is held; or where the holder is gone, if it speaks of a decision. */
static const char *why_not_release(const struct control *c, int peer, int64_t epoch)
{
    int64_t ours = atomic_load(&c->door->epoch);
    bool held = c->phase >= PHASE_HOLDING && c->phase <= PHASE_SETTLING;

    if (epoch < ours)
        return "this door is at a later epoch";
    if (held && c->owner >= 0 && c->owner != peer)
        return "another connection holds here";
    if (held && c->owner < 0 && epoch == ours)
        return "the door is settling";
    return NULL;
}

static json_t *do_release(struct control *c, int peer, const json_t *request)
{
    int64_t epoch = number(request, "epoch", atomic_load(&c->door->epoch));
    const char *why;
    enum side side;

    if (!read_side(request, &side))
        return control_no("\"side\" is source or target");
    if (c->phase == PHASE_RELEASING || c->phase == PHASE_FOLLOWING)
        return control_no("a release is under way");
    why = why_not_release(c, peer, epoch);
    if (why != NULL)
        return control_no(why);
    if ((int)side != atomic_load(&c->door->side) && c->phase == PHASE_NONE && DOOR_SUM(c->door, live) > 0)
        return control_no("sessions move only from a hold");
    begin(c, peer, DO_RELEASE, request);
    control_release(c, side, epoch);
    return NULL;
}

void control_drain(struct control *c)
{
    struct order order = {.kind = ORDER_DRAIN};

    atomic_store(&c->door->draining, true);
    control_order(c->door, &order);
}

static json_t *do_drain(struct control *c)
{
    control_drain(c);
    return json_pack("{s:b}", "ok", 1);
}

/* Which of that side's sessions are this door's, so that nobody takes them for somebody who came past it. */
static json_t *do_backends(struct control *c, const json_t *request)
{
    enum side side;

    if (!read_side(request, &side))
        return control_no("\"side\" is source or target");
    return json_pack("{s:b, s:b, s:s, s:o}", "ok", 1, "serving", (int)(c->phase == PHASE_NONE), "side",
                     side_name((enum side)atomic_load(&c->door->side)), "pids",
                     ask_workers(c->door, LIST_BACKENDS, side));
}

/* From the process that has this one's address now. */
static json_t *do_cancel(struct control *c, const json_t *request)
{
    uint32_t pid = (uint32_t)number(request, "pid", 0);
    struct order *order;

    if (pid == 0)
        return control_no("\"pid\" is missing");
    order = mem_alloc(sizeof *order);
    order->kind = ORDER_CANCEL;
    order->pid = pid;
    order->key = (uint32_t)number(request, "key", 0);
    worker_order(&c->door->workers[(pid - 1) % (uint32_t)c->door->worker_count], order);
    return json_pack("{s:b}", "ok", 1);
}

/* NULL: it is answered later. */
static json_t *carry_out(struct control *c, int peer, const json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));

    if (what == NULL)
        return control_no("\"do\" is missing");
    if (strcmp(what, "status") == 0)
        return control_status(c, !json_is_false(json_object_get(request, "named")));
    if (strcmp(what, "backends") == 0)
        return do_backends(c, request);
    if (strcmp(what, "drain") == 0)
        return do_drain(c);
    if (strcmp(what, "cancel") == 0)
        return do_cancel(c, request);
    if (strcmp(what, "release") == 0) /* ends what is under way */
        return do_release(c, peer, request);
    if (c->pending != DO_NOTHING || c->phase == PHASE_SETTLING || c->phase == PHASE_RELEASING || c->phase == PHASE_FOLLOWING)
        return control_no(c->phase == PHASE_SETTLING ? "the door is settling" : "a request is under way");
    if (strcmp(what, "warm") == 0)
        return do_warm(c, peer, request);
    if (strcmp(what, "hold") == 0)
        return do_hold(c, peer, request);
    if (strcmp(what, "await") == 0)
        return do_await(c, peer);
    if (strcmp(what, "handover") == 0)
        return control_hand_over(c, peer);
    if (strcmp(what, "rebuild") == 0)
        return do_rebuild(c, peer, request);
    return control_no("it knows status, backends, warm, hold, await, rebuild, release, drain, handover");
}

/* --- connections --- */

/* What was made ready for a hold that will not come, since who asked for it died: connections nobody uses, and reads
 * that go to the source meanwhile. */
static void cool(struct control *c)
{
    if (!c->warmed || c->warmer >= 0 || !may_look(c) || world_mono_us() < c->cool_us)
        return;
    log_line(LOG_INFO, c->door->name, "who had connections made ready for a switch is gone: they are given up");
    control_release(c, (enum side)atomic_load(&c->door->side), atomic_load(&c->door->epoch));
}

static void peer_gone(struct control *c, int peer)
{
    close(c->peers[peer].fd);
    if (c->warmer == peer) {
        c->warmer = -1;
        c->cool_us = world_mono_us() + COOL_US;
    }
    c->peers[peer].fd = -1;
    buf_fini(&c->peers[peer].in);
    if (c->pending != DO_NOTHING && c->pending_peer == peer) {
        c->pending_peer = -1;
        c->asks = ASK_NOTHING;
        if (c->pending != DO_RELEASE)
            c->pending = DO_NOTHING;
    }
    if (c->owner == peer) {
        c->owner = -1;
        if (c->phase >= PHASE_HOLDING && c->phase <= PHASE_REBUILT)
            begin_settling(c, "the control connection that asked for the hold is lost");
    }
}

static void on_line(struct control *c, int peer, const char *line)
{
    json_t *request = json_loads(line, 0, NULL);
    json_t *answer = json_is_object(request) ? carry_out(c, peer, request) : control_no("a line is one JSON object");

    json_decref(request);
    if (answer != NULL)
        control_answer(c, peer, answer);
}

static void read_peer(struct control *c, int peer)
{
    struct control_peer *p = &c->peers[peer];
    char *end;
    ssize_t got;

    buf_reserve(&p->in, 4096);
    got = recv(p->fd, p->in.data + p->in.len, 4096, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || p->in.len + (size_t)got > LINE_MOST) {
        peer_gone(c, peer);
        return;
    }
    p->in.len += (size_t)got;
    p->in.data[p->in.len] = '\0';
    while (p->fd >= 0 && p->in.len > 0 && (end = memchr(p->in.data, '\n', p->in.len)) != NULL) {
        AUTO_CHARS *line = mem_format("%.*s", (int)(end - p->in.data), p->in.data);
        size_t rest = p->in.len - (size_t)(end + 1 - p->in.data);

        memmove(p->in.data, end + 1, rest);
        p->in.len = rest;
        on_line(c, peer, line);
    }
}

/* One that does not take its answers keeps the loop for a moment, once. */
static void accept_peer(struct control *c)
{
    const struct timeval most = {.tv_usec = SEND_MOST_US};
    int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    for (int i = 0; i < CONTROL_PEERS && fd >= 0; i++)
        if (c->peers[i].fd < 0) {
            c->peers[i].fd = fd;
            return;
        }
    if (fd >= 0)
        close(fd);
}

/* --- the loop --- */

static int64_t next_deadline(const struct control *c)
{
    int64_t next = c->status_us;

    if (c->pending == DO_WARM && world_mono_us() + WARM_LOOK_US < next)
        next = world_mono_us() + WARM_LOOK_US;
    if (c->pending != DO_NOTHING && c->pending != DO_RELEASE && c->deadline_us < next)
        next = c->deadline_us;
    if (c->phase >= PHASE_HOLDING && c->phase <= PHASE_REBUILT && c->hold_deadline_us < next)
        next = c->hold_deadline_us;
    if (c->phase == PHASE_SETTLING && atomic_load(&c->settler.state) == SETTLER_IDLE && c->settle_us < next)
        next = c->settle_us;
    return next;
}

static void wait_for_something(struct control *c, int most_ms)
{
    struct pollfd fds[CONTROL_PEERS + 2] = {{.fd = c->door->kick_fd, .events = POLLIN}, {.fd = c->listen_fd, .events = POLLIN}};
    int64_t wait_us = next_deadline(c) - world_mono_us();
    int wait_ms = wait_us <= 0 ? 0 : wait_us / 1000 + 1 > most_ms ? most_ms : (int)(wait_us / 1000 + 1);
    uint64_t kicks;

    if (!control_all_carried_out(c->door) && wait_ms > 1)
        wait_ms = 1;
    for (int i = 0; i < CONTROL_PEERS; i++)
        fds[i + 2] = (struct pollfd){.fd = c->peers[i].fd, .events = POLLIN};
    if (poll(fds, CONTROL_PEERS + 2, wait_ms) <= 0)
        return;
    if (fds[0].revents != 0)
        (void)!read(c->door->kick_fd, &kicks, sizeof kicks);
    for (int i = 0; i < CONTROL_PEERS; i++)
        if (fds[i + 2].revents != 0 && c->peers[i].fd == fds[i + 2].fd)
            read_peer(c, i);
    if (fds[1].revents != 0)
        accept_peer(c);
}

bool control_turn(struct door *door, int ms)
{
    struct control *c = door->control;

    wait_for_something(c, ms);
    check_pending(c);
    control_pass_cancels(c);
    turn_settler(c);
    if (c->phase == PHASE_FOLLOWING)
        control_follow(c);
    cool(c);
    if (world_mono_us() >= c->status_us) {
        c->status_us = world_mono_us() + STATUS_EVERY_US;
        reads_look_at_share(door);
        control_write_status(c);
    }
    return !(atomic_load(&door->draining) && atomic_load(&door->clients) == 0);
}

enum err control_open(struct door *door, struct fault *f)
{
    struct control *c = mem_alloc(sizeof *c);

    door->control = c;
    c->door = door;
    c->owner = -1;
    c->warmer = -1;
    c->pending_peer = -1;
    c->listen_fd = -1;
    for (int i = 0; i < CONTROL_PEERS; i++)
        c->peers[i].fd = -1;
    c->authority = authority_new(door);
    c->run_fd = open_run(door->state_dir);
    c->phase = PHASE_SETTLING; /* until it is known who serves */
    snprintf(c->settling_why, sizeof c->settling_why, "the door starts");
    if (c->run_fd < 0)
        return fault_set(f, ERR_STATE_DIR, "%s/run: %s", door->state_dir, strerror(errno));
    return bind_socket(c, f);
}

void control_close(struct door *door)
{
    struct control *c = door->control;
    const char *now = door->name_now[0] != '\0' ? door->name_now : door->name;
    AUTO_CHARS *name = mem_format("%s.sock", now);
    AUTO_CHARS *status = mem_format("%s.json", now);

    if (c == NULL)
        return;
    for (int i = 0; i < CONTROL_PEERS; i++)
        if (c->peers[i].fd >= 0) {
            close(c->peers[i].fd);
            buf_fini(&c->peers[i].in);
        }
    if (c->listen_fd >= 0) {
        close(c->listen_fd);
        (void)unlinkat(c->run_fd, name, 0);
        (void)unlinkat(c->run_fd, status, 0);
    }
    if (c->run_fd >= 0)
        close(c->run_fd);
    control_end_asking(c);
    authority_free(c->authority);
    free(c);
    door->control = NULL;
}
