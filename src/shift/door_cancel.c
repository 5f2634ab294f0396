/* shift/door_cancel.c — a request to cancel, on its way: client → the worker that has the session → the server it is on now → back.
 *
 * The client's connection is closed when the server has closed ours: until then it has not acted, and a client that goes on too early
 * could see its next statement cancelled. */
#include "shift/door_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CANCEL_US 10000000

struct canceller {
    struct conn conn;
    struct canceller *next;
    uint32_t origin; /* whose client waits */
    int64_t until_us;
    bool said;
    bool over;
    struct buf packet;
};

static void answer(struct door *door, uint32_t origin)
{
    struct order *order = mem_alloc(sizeof *order);

    order->kind = ORDER_CANCELLED;
    order->pid = origin;
    worker_order(&door->workers[(origin - 1) % (uint32_t)door->worker_count], order);
}

void cancel_begin(struct session *s, uint32_t pid, uint32_t key)
{
    struct door *door = s->worker->door;
    struct order *order = mem_alloc(sizeof *order);

    order->kind = ORDER_CANCEL;
    order->pid = pid;
    order->key = key;
    order->origin = s->pid;
    s->stage = SESSION_LEAVING;
    worker_order(&door->workers[(pid - 1) % (uint32_t)door->worker_count], order);
}

void cancel_answered(struct session *s)
{
    if (s != NULL && s->stage == SESSION_LEAVING && s->server == NULL)
        session_end(s);
}

/* --- toward the server --- */

static void over(struct worker *w, struct canceller *c)
{
    if (c->over)
        return;
    c->over = true;
    conn_close(&c->conn);
    if (c->origin != 0)
        answer(w->door, c->origin);
}

static bool begin(struct worker *w, const struct backend *b, uint32_t origin)
{
    struct side_address address;
    struct canceller *c;
    int fd;

    if (b->key_len == 0 || !door_side_address(&w->door->sides[b->side], b->address, &address))
        return false;
    fd = socket(address.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (struct sockaddr *)&address.at, address.len) != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    c = mem_alloc(sizeof *c);
    c->conn = (struct conn){.fd = fd, .end = END_OTHER, .owner = c, .want_read = true, .wants_write = true};
    c->origin = origin;
    c->until_us = w->now_us + CANCEL_US;
    buf_add_u32be(&c->packet, 12 + b->key_len);
    buf_add_u32be(&c->packet, (1234u << 16) | 5678);
    buf_add_u32be(&c->packet, b->pid);
    buf_add(&c->packet, b->key, b->key_len);
    c->next = w->cancellers;
    w->cancellers = c;
    conn_watch(&c->conn, w->epoll_fd);
    return true;
}

void cancel_event(struct worker *w, struct conn *conn)
{
    struct canceller *c = conn->owner;
    char byte;

    if (!c->said) {
        c->said = true;
        conn->wants_write = false;
        if (!conn_write(conn, c->packet.data, c->packet.len)) {
            over(w, c);
            return;
        }
    }
    if (!conn_flush(conn) || conn_read(conn, &byte, 1) < 0)
        over(w, c);
    else
        conn_watch(conn, w->epoll_fd);
}

void cancel_sweep(struct worker *w)
{
    for (struct canceller **at = &w->cancellers; *at != NULL;) {
        struct canceller *c = *at;

        if (w->now_us > c->until_us || w->stopping)
            over(w, c);
        if (!c->over) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        buf_fini(&c->packet);
        free(c);
    }
}

/* --- the worker that has the session --- */

/* The door itself asks, and nothing of the client is under way. */
static bool asks_alone(const struct session *s)
{
    return s->server->talk.ready_left > 0 && track_at_boundary(&s->track);
}

/* A wrong key is answered by nothing, as the server does. */
void cancel_order(struct worker *w, struct session *s, const struct order *order)
{
    bool under_way = false;

    if (s == NULL || s->key != order->key)
        door_cancel_elsewhere(w->door, order->pid, order->key);
    else if (s->stage == SESSION_LIVE && !hold_cancel(s) && s->server != NULL && s->server->stage == BACKEND_READY &&
             !asks_alone(s))
        under_way = begin(w, s->server, order->origin);
    if (!under_way && order->origin != 0)
        answer(w->door, order->origin);
}
