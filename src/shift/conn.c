/* shift/conn.c — see conn.h. */
#include "shift/conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>


static long tls_result(struct conn *c, int got)
{
    int why;

    if (got > 0)
        return got;
    why = SSL_get_error(c->tls, got);
    ERR_clear_error();
    c->wants_write = why == SSL_ERROR_WANT_WRITE;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

long conn_read(struct conn *c, char *p, size_t n)
{
    ssize_t got;

    if (c->tls != NULL)
        return tls_result(c, SSL_read(c->tls, p, n > INT32_MAX ? INT32_MAX : (int)n));
    do
        got = recv(c->fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return got;
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}

bool conn_pending(const struct conn *c)
{
    return c->tls != NULL && SSL_pending(c->tls) > 0;
}

static long write_some(struct conn *c, const char *p, size_t n)
{
    ssize_t put;

    if (c->tls != NULL)
        return tls_result(c, SSL_write(c->tls, p, n > INT32_MAX ? INT32_MAX : (int)n));
    do
        put = send(c->fd, p, n, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put >= 0)
        return put;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
}

bool conn_flush(struct conn *c)
{
    while (conn_waiting(c) > 0) {
        long put = write_some(c, c->out.data + c->out_at, conn_waiting(c));

        if (put < 0)
            return false;
        if (put == 0)
            return true;
        c->out_at += (size_t)put;
    }
    buf_fini(&c->out);
    c->out_at = 0;
    return true;
}

bool conn_write(struct conn *c, const void *p, size_t n)
{
    const char *at = p;

    while (conn_waiting(c) == 0 && n > 0) {
        long put = write_some(c, at, n);

        if (put < 0)
            return false;
        if (put == 0)
            break;
        at += put;
        n -= (size_t)put;
    }
    if (n == 0)
        return true;
    if (conn_waiting(c) + n > CONN_OUT_MOST)
        return false;
    if (c->out_at > c->out.len / 2) {
        memmove(c->out.data, c->out.data + c->out_at, conn_waiting(c));
        c->out.len -= c->out_at;
        c->out_at = 0;
    }
    buf_add(&c->out, at, n);
    return true;
}

void conn_watch(struct conn *c, int epoll_fd)
{
    struct epoll_event e = {.data.ptr = c};

    if (c->fd < 0)
        return;
    e.events = (c->want_read ? EPOLLIN : 0u) | (conn_waiting(c) > 0 || c->wants_write ? EPOLLOUT : 0u);
    if (c->known && e.events == c->watched)
        return;
    if (e.events == 0) { /* epoll always tells of a hang-up: who wants nothing must not be there */
        if (c->known)
            (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        c->known = false;
        c->watched = 0;
        return;
    }
    if (epoll_ctl(epoll_fd, c->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e) == 0) {
        c->known = true;
        c->watched = e.events;
    }
}

void conn_close(struct conn *c)
{
    if (c->tls != NULL) {
        (void)SSL_shutdown(c->tls);
        ERR_clear_error();
        SSL_free(c->tls);
        c->tls = NULL;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->known = false;
    buf_fini(&c->out);
    buf_fini(&c->kept);
    c->out_at = 0;
    c->left = 0;
    c->need = 0;
}

void conn_keep(struct conn *c, const char *p, size_t n)
{
    struct buf fresh = {0};

    if (n > 0)
        buf_add(&fresh, p, n);
    buf_fini(&c->kept);
    c->kept = fresh;
    c->need = 0;
}

void conn_keep_until(struct conn *c, const char *p, size_t n, size_t need)
{
    conn_keep(c, p, n);
    c->need = need;
}
