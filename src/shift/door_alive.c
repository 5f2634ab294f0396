/* shift/door_alive.c — whether the other end is still there. A cable that is cut tells nobody: then its packets are
 * answered by no one.
 *
 * Where nothing is under way the kernel asks (keepalive). What was sent and not answered it sends again for a quarter
 * of an hour, and TCP_USER_TIMEOUT, which would end that sooner, ends one, too, whose other end lives and only does not
 * read: a client that thinks, a server that waits for a lock before it takes the rest of a COPY. So what the kernel
 * knows is looked at, some sessions a tick: sent again more than once, and not one packet came for so long. Who does
 * not read answers to every packet all the same. */
#include "shift/door_internal.h"

#include <netinet/tcp.h>

#include "base/log.h"

#define SLICES 16 /* of the sessions, one a tick: each is looked at every four seconds */

const struct patience alive_client = {.idle_s = 60, .interval_s = 15, .count = 4, .silent_ms = 120000};

void alive_watch(int fd, const struct patience *p)
{
    int on = p->idle_s >= 0;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (p->idle_s > 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &p->idle_s, sizeof p->idle_s);
    if (p->interval_s > 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &p->interval_s, sizeof p->interval_s);
    if (p->count > 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &p->count, sizeof p->count);
}

/* A probe of a window that is shut counts as unanswered until its answer comes: one alone means nothing. */
static bool is_silent(const struct conn *c, const struct patience *p)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    if (c->fd < 0 || p->silent_ms <= 0 || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false;
    return info.tcpi_retransmits + info.tcpi_probes > 1 && info.tcpi_last_ack_recv > (uint32_t)p->silent_ms;
}

static void look(struct session *s)
{
    const struct door *door = s->worker->door;
    char peer[64];

    if (is_silent(&s->client, &alive_client)) {
        log_line(LOG_INFO, door->name, "client %s answers no more", session_peer(s, peer));
        session_end(s);
        return;
    }
    if (s->other != NULL && is_silent(&s->other->conn, &door->sides[s->other->side].patience))
        backend_gone(s->other);
    if (s->stage == SESSION_LIVE && s->server->stage == BACKEND_READY &&
        is_silent(&s->server->conn, &door->sides[s->server->side].patience)) {
        log_line(LOG_WARN, door->name, "the %s answers no more to the session of client %s", side_name(s->server->side),
                 session_peer(s, peer));
        backend_gone(s->server);
    }
}

void alive_look(struct worker *w)
{
    struct session *next;

    w->slice = (w->slice + 1) % SLICES;
    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->pid / (uint32_t)w->door->worker_count % SLICES == w->slice)
            look(s);
    }
}
