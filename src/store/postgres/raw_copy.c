/* store/postgres/raw_copy.c — see raw_copy.h.
 *
 *   source:  Q ──> H, d d d d ..., c, C, Z          target:  Q ──> G, then d d d d ..., c ──> C, Z
 *
 * Invariants
 *  1. Only whole understanding moves on: a frame header is parsed before the frame's bytes are forwarded, and nothing but
 *     CopyData and CopyDone is ever forwarded.
 *  2. Whatever happens, each side is read to its ReadyForQuery, or its connection is reported lost. */
#include "store/postgres/raw_copy.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAW_BUFFER ((size_t)1 << 18)
#define RAW_POLL_MS 200

/* One server's socket, read through a buffer. */
struct end {
    struct pg *pg;
    int fd;
    SSL *ssl;
    char *in;          /* RAW_BUFFER bytes */
    size_t begin;
    size_t filled;
    uint64_t rows;     /* of its CommandComplete */
    bool asked;        /* our statement was sent */
    bool failed;       /* it said ErrorResponse */
    bool ready;        /* it said ReadyForQuery */
    bool inside;       /* of a CopyData whose rest will not be sent */
    struct fault fault;
    _Atomic bool *stop;
};

static enum err end_lost(struct end *e, const char *what, struct fault *f)
{
    PQfinish(e->pg->conn); /* libpq's view of the stream is no longer right: never use it again */
    e->pg->conn = NULL;
    return fault_set(f, e->pg->side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST, "%s %s: %s", side_name(e->pg->side),
                     e->pg->database, what);
}

static bool asked_to_stop(const struct end *e)
{
    return e->stop != NULL && atomic_load_explicit(e->stop, memory_order_relaxed);
}

static enum err wait_for(struct end *e, short events, struct fault *f)
{
    for (;;) {
        struct pollfd p = {.fd = e->fd, .events = events};
        int n = poll(&p, 1, RAW_POLL_MS);

        if (n > 0)
            return ERR_OK;
        if (n < 0 && errno != EINTR)
            return end_lost(e, strerror(errno), f);
        if (asked_to_stop(e)) {
            (void)end_lost(e, "asked to stop", NULL);
            return fault_set(f, ERR_INTERRUPTED, "copy asked to stop");
        }
    }
}

/* What an SSL call that did not succeed wants: to wait, or nothing any more. */
static enum err wait_for_ssl(struct end *e, int n, struct fault *f)
{
    int want = SSL_get_error(e->ssl, n);

    ERR_clear_error();
    if (want == SSL_ERROR_WANT_READ)
        return wait_for(e, POLLIN, f);
    if (want == SSL_ERROR_WANT_WRITE)
        return wait_for(e, POLLOUT, f);
    return end_lost(e, "TLS connection closed", f);
}

static enum err end_write(struct end *e, const char *p, size_t n, struct fault *f)
{
    while (n > 0) {
        ssize_t sent;
        if (e->ssl != NULL) {
            int k = SSL_write(e->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n);
            if (k <= 0) {
                TRY(wait_for_ssl(e, k, f));
                continue;
            }
            sent = k;
        } else {
            sent = send(e->fd, p, n, MSG_NOSIGNAL);
            if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
                TRY(wait_for(e, POLLOUT, f));
                continue;
            }
            if (sent < 0)
                return end_lost(e, strerror(errno), f);
        }
        p += sent;
        n -= (size_t)sent;
    }
    return ERR_OK;
}

/* Reads more behind what is buffered; the caller has made room. */
static enum err end_fill(struct end *e, struct fault *f)
{
    for (;;) {
        ssize_t got;
        ENSURE(e->filled < RAW_BUFFER);
        if (e->ssl != NULL) {
            int k = SSL_read(e->ssl, e->in + e->filled, (int)(RAW_BUFFER - e->filled));
            if (k <= 0) {
                TRY(wait_for_ssl(e, k, f));
                continue;
            }
            got = k;
        } else {
            got = recv(e->fd, e->in + e->filled, RAW_BUFFER - e->filled, 0);
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
                TRY(wait_for(e, POLLIN, f));
                continue;
            }
            if (got <= 0)
                return end_lost(e, got == 0 ? "connection closed by the server" : strerror(errno), f);
        }
        e->filled += (size_t)got;
        return ERR_OK;
    }
}

/* At least n (<= RAW_BUFFER) unread bytes stand in the buffer. */
static enum err end_need(struct end *e, size_t n, struct fault *f)
{
    while (e->filled - e->begin < n) {
        if (e->begin > 0) {
            memmove(e->in, e->in + e->begin, e->filled - e->begin);
            e->filled -= e->begin;
            e->begin = 0;
        }
        TRY(end_fill(e, f));
    }
    return ERR_OK;
}

static uint32_t read_u32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

/* The header of the next message; *ret_len is its body's length. The header is consumed. */
static enum err next_header(struct end *e, char *ret_kind, size_t *ret_len, struct fault *f)
{
    uint32_t len;

    TRY(end_need(e, 5, f));
    len = read_u32(e->in + e->begin + 1);
    if (len < 4 || len > INT32_MAX)
        return end_lost(e, "a message of impossible length", f);
    *ret_kind = e->in[e->begin];
    *ret_len = len - 4;
    e->begin += 5;
    return ERR_OK;
}

static enum err skip_body(struct end *e, size_t n, struct fault *f)
{
    while (n > 0) {
        size_t have;
        TRY(end_need(e, 1, f));
        have = e->filled - e->begin;
        if (have > n)
            have = n;
        e->begin += have;
        n -= have;
    }
    return ERR_OK;
}

/* ErrorResponse: fields of (type byte, string), a zero byte at the end. */
static void take_error(struct end *e, const char *body, size_t n)
{
    const char *state = "";
    const char *message = "";
    const char *detail = NULL;
    enum err err;

    for (size_t i = 0; i < n && body[i] != '\0';) {
        const char *text = body + i + 1;
        size_t len = strnlen(text, n - i - 1);
        if (i + 1 + len >= n)
            break;
        if (body[i] == 'C')
            state = text;
        else if (body[i] == 'M')
            message = text;
        else if (body[i] == 'D')
            detail = text;
        i += len + 2;
    }
    err = strncmp(state, "53", 2) == 0 ? ERR_BUSY : pg_class_of_state(state, e->pg->side);
    e->failed = true;
    err = fault_set(&e->fault, err, "%s %s: %s%s%s (%s)", side_name(e->pg->side), e->pg->database, message,
                    detail != NULL ? ": " : "", detail != NULL ? detail : "", state);
}

/* Reads a message that is none of copy's own (its header is consumed). */
static enum err take_other(struct end *e, char kind, size_t len, struct fault *f)
{
    char body[4096];
    size_t keep = len < sizeof body ? len : sizeof body;

    TRY(end_need(e, keep, f));
    memcpy(body, e->in + e->begin, keep);
    TRY(skip_body(e, len, f));
    if (kind == 'E')
        take_error(e, body, keep);
    else if (kind == 'Z')
        e->ready = true;
    else if (kind == 'C' && keep > 5 && strncmp(body, "COPY ", 5) == 0)
        e->rows = strtoull(body + 5, NULL, 10);
    else if (strchr("CNSAG", kind) == NULL && kind != 'H')
        return end_lost(e, "an unexpected message during COPY", f);
    return ERR_OK;
}

static enum err send_query(struct end *e, const char *sql, struct fault *f)
{
    AUTO_BUF b = {0};

    buf_addc(&b, 'Q');
    buf_add_u32be(&b, (uint32_t)(strlen(sql) + 5));
    buf_add(&b, sql, strlen(sql) + 1);
    e->asked = true;
    return end_write(e, b.data, b.len, f);
}

/* Reads until the copy has begun ('H' or 'G'), or the server is ready again after an error. */
static enum err await_copy(struct end *e, char begins, struct fault *f)
{
    for (;;) {
        char kind;
        size_t len;
        TRY(next_header(e, &kind, &len, f));
        TRY(take_other(e, kind, len, f));
        if (kind == begins || e->ready)
            return ERR_OK;
    }
}

static enum err await_ready(struct end *e, struct fault *f)
{
    while (!e->ready) {
        char kind;
        size_t len;
        TRY(next_header(e, &kind, &len, f));
        if (kind == 'd' || kind == 'c')
            TRY(skip_body(e, len, f));
        else
            TRY(take_other(e, kind, len, f));
    }
    return ERR_OK;
}

static enum err end_copy_in(struct end *target, bool good, struct fault *f)
{
    static const char done[5] = {'c', 0, 0, 0, 4};
    static const char fail[15] = {'f', 0, 0, 0, 14, 's', 'o', 'u', 'r', 'c', 'e', ' ', 'o', 'f', 0};

    return good ? end_write(target, done, sizeof done, f) : end_write(target, fail, sizeof fail, f);
}

/* Takes in what the target has to say in the middle of COPY IN: notices, or the error that ends it (e->failed). */
static enum err hear(struct end *e, struct fault *f)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};

    while (!e->failed && (e->filled > e->begin || poll(&p, 1, 0) > 0)) {
        char kind;
        size_t len;
        TRY(next_header(e, &kind, &len, f));
        TRY(take_other(e, kind, len, f));
    }
    return ERR_OK;
}

/* How many of the buffered bytes are CopyData that may go on as they stand. Complete frames, or the part of a frame larger
 * than the buffer that is here: *pending counts what of it is still to come. */
static size_t forwardable(struct end *e, size_t *pending)
{
    size_t at = e->begin;

    if (*pending > 0) {
        size_t have = e->filled - at < *pending ? e->filled - at : *pending;
        *pending -= have;
        at += have;
    }
    while (*pending == 0 && e->filled - at >= 5 && e->in[at] == 'd') {
        size_t total = (size_t)read_u32(e->in + at + 1) + 1;
        size_t have = e->filled - at;
        if (total < 5)
            break;
        if (have < total)
            *pending = total - have;
        at += have < total ? have : total;
    }
    return at - e->begin;
}

/* Pours CopyData over until the source ends it (CopyDone: *ret_good) or says an error. */
static enum err pour(struct end *source, struct end *target, _Atomic uint64_t *progress, bool *ret_good, struct fault *f)
{
    size_t pending = 0;

    for (;;) {
        size_t n = forwardable(source, &pending);
        char kind;
        size_t len;

        if (n > 0) {
            TRY(end_write(target, source->in + source->begin, n, f));
            source->begin += n;
            if (progress != NULL)
                atomic_fetch_add_explicit(progress, n, memory_order_relaxed);
            TRY(hear(target, f));
            if (asked_to_stop(source) || target->failed) {
                target->inside = pending > 0;
                *ret_good = false;
                return ERR_OK;
            }
        }
        if (pending > 0 || (source->filled > source->begin && source->in[source->begin] == 'd') || source->filled == source->begin) {
            size_t want = source->filled - source->begin + 1;
            TRY(end_need(source, want, f));
            continue;
        }
        TRY(next_header(source, &kind, &len, f));
        if (kind == 'c') {
            TRY(skip_body(source, len, f));
            *ret_good = true;
            return ERR_OK;
        }
        TRY(take_other(source, kind, len, f));
        if (source->failed || source->ready) {
            *ret_good = false;
            return ERR_OK;
        }
    }
}

static void cancel(struct pg *pg)
{
    PGcancel *c = PQgetCancel(pg->conn);
    char words[256];

    if (c != NULL) {
        (void)PQcancel(c, words, sizeof words);
        PQfreeCancel(c);
    }
}

static enum err run(const struct raw_copy *c, struct end *source, struct end *target, struct fault *f)
{
    bool good = false;

    TRY(send_query(target, c->target_sql, f));
    TRY(await_copy(target, 'G', f));
    if (target->failed)
        return ERR_OK;
    TRY(send_query(source, c->source_sql, f));
    TRY(await_copy(source, 'H', f));
    if (!source->failed)
        TRY(pour(source, target, c->progress_bytes, &good, f));
    if (!good && !source->failed)
        cancel(source->pg); /* the target refused, or we are to stop: the source need not send the rest */
    if (target->inside)
        return ERR_OK; /* it would take whatever came for the rest of the row, and so would we what the source sends: both are left */
    TRY(end_copy_in(target, good, f));
    TRY(await_ready(target, f));
    return await_ready(source, f);
}

/* Invariant 2 of an end that had no part in the failure, or stands in the middle of a row: what it has still to say nobody will read. */
static void leave(struct end *e)
{
    if (e->asked && (!e->ready || e->inside) && e->pg->conn != NULL)
        (void)end_lost(e, "left in the middle of COPY", NULL);
}

static void end_init(struct end *e, struct pg *pg, _Atomic bool *stop)
{
    memset(e, 0, sizeof *e);
    e->pg = pg;
    e->fd = PQsocket(pg->conn);
    e->ssl = PQsslInUse(pg->conn) ? PQsslStruct(pg->conn, "OpenSSL") : NULL;
    e->in = mem_alloc(RAW_BUFFER);
    e->stop = stop;
}

enum err raw_copy_run(const struct raw_copy *c, uint64_t *ret_rows, struct fault *f)
{
    struct end source;
    struct end target;
    enum err err;

    end_init(&source, c->source, c->stop);
    end_init(&target, c->target, c->stop);
    err = run(c, &source, &target, f);
    leave(&source);
    leave(&target);
    if (err == ERR_OK && asked_to_stop(&source))
        err = fault_set(f, ERR_INTERRUPTED, "copy asked to stop");
    if (err == ERR_OK && target.failed && !source.failed) {
        *f = target.fault;
        err = target.fault.code;
    } else if (err == ERR_OK && source.failed) {
        *f = target.failed && target.fault.code != ERR_BUSY && source.fault.code == ERR_BUSY ? target.fault : source.fault;
        err = f->code;
    }
    if (err == ERR_OK && source.rows != target.rows)
        err = fault_set(f, ERR_DIVERGED, "the source sent %" PRIu64 " rows and the target took %" PRIu64, source.rows, target.rows);
    if (err == ERR_OK)
        *ret_rows = source.rows;
    free(source.in);
    free(target.in);
    return err;
}
