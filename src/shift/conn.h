/* shift/conn.h — one end of a session: a non-blocking socket, with or without TLS, watched by its worker's epoll.
 *
 * Memory: a conn that has nothing to keep owns no buffer. What the kernel did not take stands in `out`, what came and may not go
 * on yet in `kept`; both are given back when they are empty. */
#ifndef LEAT_SHIFT_CONN_H
#define LEAT_SHIFT_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define CONN_OUT_HIGH (256 << 10) /* so much waiting: the other side is not read until it is gone */
#define CONN_OUT_MOST (64 << 20)  /* what the door itself says beside it never comes near */

enum conn_end { END_CLIENT, END_SERVER, END_OTHER };

struct conn {
    int fd;             /* -1: none */
    uint8_t end;        /* enum conn_end; for the owner */
    bool known;         /* epoll has it */
    bool want_read;     /* set by its owner; conn_watch tells epoll */
    bool wants_write;    /* besides what waits: a connect, or OpenSSL, which has to write to read on */
    uint32_t watched;   /* what epoll was told */
    uint32_t left;      /* of the message that passes: bytes still to come */
    SSL *tls;
    void *owner;
    struct buf out;
    size_t out_at;      /* up to here it is gone */
    struct buf kept;    /* read, and not passed on yet */
    size_t need;        /* so much has to be kept before it is looked at again: a message that has to be whole */
};

/* n > 0: so many bytes; 0: none now; -1: the other end is gone, or what it sent is no TLS. */
long conn_read(struct conn *c, char *p, size_t n);
/* Whether more can be read without waiting, unknown to epoll. */
bool conn_pending(const struct conn *c);
/* Writes now what can be written, keeps the rest. False: it is gone. */
bool conn_write(struct conn *c, const void *p, size_t n);
bool conn_flush(struct conn *c);
static inline size_t conn_waiting(const struct conn *c)
{
    return c->out.len - c->out_at;
}
/* Tells epoll what is wanted now. */
void conn_watch(struct conn *c, int epoll_fd);
void conn_close(struct conn *c);
void conn_keep(struct conn *c, const char *p, size_t n); /* replaces what was kept; p may lie in it */
void conn_keep_until(struct conn *c, const char *p, size_t n, size_t need);

#endif
