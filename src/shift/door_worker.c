/* shift/door_worker.c — one thread's loop. A client belongs to it for life.
 *
 * A turn: what epoll tells, then those whose TLS has more than epoll knows, then orders, then (at most four times a second)
 * the clocks, then what ended in this turn is freed: nothing that an event of the turn may name goes before. */
#include "shift/door_reads.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/world.h"

#define MOST_EVENTS 256
#define TICK_MS 250
#define WAITING_MS 5 /* while reads wait for the target */
#define ACCEPT_AT_ONCE 64
#define RETIRED_AT_ONCE 16 /* a tick */

/* --- orders --- */

void worker_order(struct worker *w, struct order *order)
{
    uint64_t one = 1;

    order->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->orders_end = order;
    w->orders_end = &order->next;
    pthread_mutex_unlock(&w->lock);
    while (write(w->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void worker_kick_control(struct worker *w)
{
    uint64_t one = 1;

    while (write(w->door->kick_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

char *worker_room(struct worker *w, size_t n)
{
    if (n > w->in_size) {
        w->in = mem_grow(w->in, n);
        w->in_size = n;
    }
    return w->in;
}

static struct session *find(struct worker *w, uint32_t pid)
{
    for (struct session *s = w->sessions; s != NULL; s = s->next)
        if (s->pid == pid)
            return s;
    return NULL;
}

static void verifiers_came(struct worker *w)
{
    struct session *next;

    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->stage == SESSION_VERIFIER)
            session_verifier(s);
    }
}

static void listen_again(struct worker *w, bool accepting)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &w->listen_fd};

    if (w->listen_fd < 0 || w->accepting == accepting)
        return;
    if (epoll_ctl(w->epoll_fd, accepting ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, w->listen_fd, &e) == 0)
        w->accepting = accepting;
}

/* What waits in the queue of a socket that another process has, too, is that one's. */
static void stop_listening(struct worker *w)
{
    w->draining = true;
    listen_again(w, false);
    if (w->listen_fd >= 0)
        close(w->listen_fd);
    w->listen_fd = -1;
}

static void carry_out(struct worker *w, struct order *order)
{
    switch (order->kind) {
    case ORDER_CANCEL:
        cancel_order(w, find(w, order->pid), order);
        break;
    case ORDER_CANCELLED:
        cancel_answered(find(w, order->pid));
        break;
    case ORDER_VERIFIERS:
        verifiers_came(w);
        break;
    case ORDER_DRAIN:
        stop_listening(w);
        break;
    case ORDER_STOP:
        w->stopping = true;
        break;
    case ORDER_READS:
    case ORDER_NAMES:
    case ORDER_FRESH:
        reads_order(w, order);
        break;
    default:
        hold_order(w, order);
        break;
    }
    if (order->kind != ORDER_CANCEL && order->kind != ORDER_CANCELLED && order->kind != ORDER_VERIFIERS &&
        order->kind < ORDER_READS) { /* nobody waits for these */
        atomic_fetch_add(&w->counts.orders, 1);
        worker_kick_control(w); /* whatever it did may have been heard of before it counted as carried out */
    }
    free(order);
}

static void take_orders(struct worker *w)
{
    struct order *order;
    uint64_t n;

    while (read(w->wake_fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&w->lock);
    order = w->orders;
    w->orders = NULL;
    w->orders_end = &w->orders;
    pthread_mutex_unlock(&w->lock);
    door_types_look(w);
    while (order != NULL) {
        struct order *next = order->next;
        carry_out(w, order);
        order = next;
    }
}

/* --- new clients --- */

static void accept_some(struct worker *w)
{
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(w->listen_fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            session_accept(w, fd, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            listen_again(w, false); /* those who wait, wait in the kernel; the next tick looks again */
        if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
            return;
    }
}

/* --- the turn --- */

static void on_event(struct worker *w, struct epoll_event *e)
{
    struct conn *c = e->data.ptr;

    if (e->data.ptr == &w->wake_fd) {
        take_orders(w);
        return;
    }
    if (e->data.ptr == &w->listen_fd) {
        accept_some(w);
        return;
    }
    if (c->fd < 0)
        return; /* it ended earlier in this turn */
    if (c->end == END_OTHER)
        cancel_event(w, c);
    else if (c->end == END_CLIENT)
        session_event(c->owner, e->events);
    else
        backend_event(c->owner, e->events);
}

void worker_again(struct worker *w, struct session *s)
{
    if (s->again)
        return;
    s->again = true;
    if (w->again_count == w->again_size) {
        w->again_size = w->again_size != 0 ? w->again_size * 2 : 16;
        w->again = mem_grow(w->again, w->again_size * sizeof *w->again);
    }
    w->again[w->again_count++] = s;
}

/* Each once; who has still more comes again in the next turn, behind the others' events. */
static void go_on_again(struct worker *w)
{
    size_t n = w->again_count;

    for (size_t i = 0; i < n; i++) {
        struct session *s = w->again[i];

        s->again = false;
        if (s->stage == SESSION_GONE)
            continue;
        session_event(s, EPOLLIN);
        if (s->stage != SESSION_GONE && s->server != NULL && conn_pending(&s->server->conn))
            backend_event(s->server, EPOLLIN);
        if (s->stage != SESSION_GONE && s->other != NULL && conn_pending(&s->other->conn))
            backend_event(s->other, EPOLLIN);
        if (s->stage != SESSION_GONE && s->reads != NULL)
            reads_pending(s);
    }
    memmove(w->again, w->again + n, (w->again_count - n) * sizeof *w->again);
    w->again_count -= n;
}

static void look_at_clocks(struct worker *w)
{
    struct session *next;

    if (w->now_us - w->tick_us < TICK_MS * 1000)
        return;
    w->tick_us = w->now_us;
    listen_again(w, !w->draining);
    cancel_sweep(w);
    alive_look(w);
    w->prepare_due = true; /* one that is slow makes room */
    if (!w->holding)
        backend_end_retired(w, RETIRED_AT_ONCE);
    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->stage < SESSION_PARKED && w->now_us - s->since_us > DOOR_LOGIN_US)
            session_end(s);
        else if (s->stage == SESSION_CONNECTING && w->now_us - s->since_us > DOOR_CONNECT_US)
            session_refuse(s, "08006", "the server behind this door does not answer", "see `leat status`; try again");
        else if (s->stage == SESSION_LEAVING && w->now_us - s->since_us > DOOR_LOGIN_US)
            session_end(s);
        else if (s->move == MOVE_COLLECTING)
            move_collect_late(s);
    }
}

static void free_what_ended(struct worker *w)
{
    while (w->lost != NULL) {
        struct backend *b = w->lost;
        w->lost = b->next;
        backend_free(b);
    }
    while (w->gone != NULL) {
        struct session *s = w->gone;
        w->gone = s->next;
        session_free(s);
    }
}

static void turn(struct worker *w)
{
    struct epoll_event events[MOST_EVENTS];
    int n = epoll_wait(w->epoll_fd, events, MOST_EVENTS, w->again_count > 0 ? 0 : w->waiting != NULL ? WAITING_MS : TICK_MS);

    ENSURE(n >= 0 || errno == EINTR);
    w->now_us = world_mono_us();
    for (int i = 0; i < n; i++)
        on_event(w, &events[i]);
    if (w->again_count > 0)
        go_on_again(w);
    if (w->waiting != NULL)
        reads_expire(w);
    look_at_clocks(w);
    if (w->prepare_due)
        hold_prepare_some(w);
    if (w->gone != NULL || w->lost != NULL)
        free_what_ended(w);
}

static void *work(void *arg)
{
    struct worker *w = arg;

    while (!w->stopping)
        turn(w);
    while (w->sessions != NULL)
        session_end(w->sessions);
    cancel_sweep(w);
    backend_end_retired(w, INT32_MAX);
    free_what_ended(w);
    return NULL;
}

/* --- its life --- */

enum err worker_init(struct worker *w, struct fault *f)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &w->wake_fd};

    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->pause_lock, NULL);
    w->orders_end = &w->orders;
    (void)worker_room(w, DOOR_READ + DOOR_WHOLE);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->now_us = world_mono_us();
    if (w->epoll_fd < 0 || w->wake_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &e) != 0)
        return fault_set(f, ERR_SYSTEM, "cannot make a loop: %s", strerror(errno));
    return ERR_OK;
}

enum err worker_start(struct worker *w, struct fault *f)
{
    listen_again(w, true);
    if (pthread_create(&w->thread, NULL, work, w) != 0)
        return fault_set(f, ERR_SYSTEM, "cannot start a thread");
    (void)pthread_setname_np(w->thread, "clients"); /* in `top -H`, apart from those who ask the servers */
    return ERR_OK;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    close(w->epoll_fd);
    close(w->wake_fd);
    if (w->listen_fd >= 0)
        close(w->listen_fd);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->pause_lock);
    names_drop(w->names);
    reading_cache_free(w->readings);
    type_map_drop(w->types);
    free(w->again);
    free(w->pauses_us);
    for (size_t i = 0; i < LAST_COUNT; i++)
        json_decref(w->last[i]);
    free(w->in);
}
