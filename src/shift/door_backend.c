/* shift/door_backend.c — a connection to a server, made and authenticated in its session's name.
 *
 *   CONNECTING --> TLS_ASKED --> TLS --> LOGIN --> READY          any of them --> LOST
 *
 * Once it is READY and its session's `server`, door_pass.c reads it. Here is read what the door hears itself: the login, the
 * answers to what the door asks (backend_talk), and whatever a connection says that is not yet the session's. */
#include "shift/door_reads.h"
#include "shift/door_verifiers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"

#define MESSAGE_MOST (64 << 20) /* of what the door itself asks for */

/* --- lists of parameters --- */

bool params_set(struct buf *params, const char *name, const char *value)
{
    struct buf fresh = {0};
    bool same = false;
    size_t at = 0;
    const char *one;
    const char *its;

    while (params_next(params, &at, &one, &its)) {
        if (strcmp(one, name) != 0) {
            pgwire_add_string(&fresh, one);
            pgwire_add_string(&fresh, its);
        } else {
            same = strcmp(its, value) == 0;
        }
    }
    pgwire_add_string(&fresh, name);
    pgwire_add_string(&fresh, value);
    buf_fini(params);
    *params = fresh;
    return !same;
}

/* --- its end --- */

void backend_free(struct backend *b)
{
    buf_fini(&b->params);
    buf_fini(&b->error);
    buf_fini(&b->heard);
    buf_fini(&b->talk.row);
    buf_fini(&b->talk.error);
    explicit_bzero(b->key, sizeof b->key);
    free(b);
}

void backend_end(struct backend *b)
{
    struct worker *w = b->session->worker;

    if (b->warm && b->stage < BACKEND_READY)
        w->connecting--;
    b->stage = BACKEND_LOST;
    login_backend_free(b);
    conn_close(&b->conn);
    b->next = w->lost;
    w->lost = b;
}

/* One that is ready. A server's process takes a millisecond to end: not just when clients that were held go on. */
void backend_retire(struct backend *b)
{
    struct worker *w = b->session->worker;

    b->stage = BACKEND_LOST;
    if (b->conn.fd >= 0)
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, b->conn.fd, NULL);
    b->conn.known = false;
    b->next = w->old;
    w->old = b;
}

void backend_end_retired(struct worker *w, int most)
{
    for (; w->old != NULL && most > 0; most--) {
        struct backend *b = w->old;

        w->old = b->next;
        conn_close(&b->conn);
        b->next = w->lost;
        w->lost = b;
    }
}

static void say_why(struct backend *b, const char *sqlstate, const char *message)
{
    const char *hint = b->side == SIDE_SOURCE ? "see `leat status`; the source is what serves" : "see `leat status`";

    if (b->error.len == 0)
        pgwire_error(&b->error, "FATAL", sqlstate, message, NULL, hint);
}

/* It is gone, or of no use. The session decides what that means; `b` may be ended when this returns. */
static void lost(struct backend *b)
{
    struct session *s = b->session;

    if (b->stage == BACKEND_LOST)
        return;
    if (b->warm && b->stage < BACKEND_READY)
        s->worker->connecting--;
    b->warm = false;
    b->stage = BACKEND_LOST;
    if (b == s->other) {
        hold_backend(b);
        return;
    }
    if (b != s->server || b->twin) {
        reads_lost(s, b);
        return;
    }
    if (s->move >= MOVE_HELD) { /* it may live on the other side */
        s->server_lost = true;
        conn_close(&b->conn);
        if (s->move == MOVE_COLLECTING)
            b->talk.done(s, b);
        return;
    }
    if (s->stage == SESSION_CONNECTING) {
        say_why(b, "08006", "the server behind this door ended the connection before it was made");
        session_say(s, &b->error);
    }
    if (s->stage == SESSION_GONE)
        return;
    conn_close(&b->conn);
    session_leave(s);
}

void backend_gone(struct backend *b)
{
    lost(b);
}

/* --- connecting --- */

static bool try_address(struct backend *b)
{
    struct door_side *side = &b->session->worker->door->sides[b->side];
    struct side_address address;
    int on = 1;
    int got;

    while (door_side_address(side, b->address, &address)) {
        b->conn.fd = socket(address.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (b->conn.fd < 0)
            return false;
        if (address.at.ss_family == AF_UNIX)
            b->plain = true;
        else
            (void)setsockopt(b->conn.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        alive_watch(b->conn.fd, &side->patience);
        got = connect(b->conn.fd, (struct sockaddr *)&address.at, address.len);
        if (got == 0 || errno == EINPROGRESS)
            return true;
        conn_close(&b->conn);
        b->address++;
    }
    return false;
}

static void connect_next(struct backend *b)
{
    char text[256];

    if (!try_address(b)) {
        atomic_store(&b->session->worker->door->sides[b->side].stale, true);
        verifiers_doubt(b->session->worker->door->verifiers);
        snprintf(text, sizeof text, "the %s behind this door cannot be reached: %s", side_name(b->side), strerror(errno));
        say_why(b, "08006", text);
        lost(b);
        return;
    }
    b->stage = BACKEND_CONNECTING;
    b->conn.wants_write = true;
    conn_watch(&b->conn, b->session->worker->epoll_fd);
}

static struct backend *make(struct session *s, enum side side, bool warm)
{
    struct backend *b = mem_alloc(sizeof *b);

    b->session = s;
    b->side = side;
    b->warm = warm;
    b->conn = (struct conn){.fd = -1, .end = END_SERVER, .owner = b, .want_read = true};
    return b;
}

void backend_open(struct session *s, enum side side)
{
    ENSURE(s->server == NULL);
    s->server = make(s, side, false);
    connect_next(s->server);
}

void backend_open_twin(struct session *s, enum side side)
{
    struct backend *b = make(s, side, false);

    b->twin = true;
    s->reads->twin = b;
    connect_next(b);
}

void backend_open_warm(struct session *s, enum side side)
{
    ENSURE(s->other == NULL);
    s->other = make(s, side, true);
    connect_next(s->other);
}

static void write_startup(struct buf *out, const struct session *s, const char *database)
{
    size_t begin = pgwire_begin_untyped(out);

    buf_add_u32be(out, PGWIRE_PROTOCOL_3);
    pgwire_add_string(out, "user");
    pgwire_add_string(out, s->user);
    pgwire_add_string(out, "database");
    pgwire_add_string(out, database);
    buf_add(out, buf_cstr(&s->startup), s->startup.len);
    buf_addc(out, '\0');
    pgwire_end_untyped(out, begin);
}

static bool say(struct backend *b, const struct buf *out)
{
    if (!conn_write(&b->conn, out->data, out->len)) {
        lost(b);
        return false;
    }
    conn_watch(&b->conn, b->session->worker->epoll_fd);
    return true;
}

static void begin_login(struct backend *b)
{
    AUTO_BUF out = {0};

    write_startup(&out, b->session, b->session->worker->door->sides[b->side].database);
    b->stage = BACKEND_LOGIN;
    (void)say(b, &out);
}

static void on_connected(struct backend *b)
{
    struct door_side *side = &b->session->worker->door->sides[b->side];
    AUTO_BUF out = {0};
    int problem = 0;
    socklen_t size = sizeof problem;

    if (getsockopt(b->conn.fd, SOL_SOCKET, SO_ERROR, &problem, &size) != 0 || problem != 0) {
        conn_close(&b->conn);
        b->address++;
        errno = problem;
        connect_next(b);
        return;
    }
    b->conn.wants_write = false;
    if (side->tls_ctx == NULL || b->plain) {
        begin_login(b);
        return;
    }
    buf_add_u32be(&out, 8);
    buf_add_u32be(&out, (1234u << 16) | 5679);
    b->stage = BACKEND_TLS_ASKED;
    (void)say(b, &out);
}

/* --- TLS --- */

static void shake_hands(struct backend *b)
{
    int got = SSL_connect(b->conn.tls);
    int why = got == 1 ? SSL_ERROR_NONE : SSL_get_error(b->conn.tls, got);
    char text[256];

    b->conn.wants_write = why == SSL_ERROR_WANT_WRITE;
    if (got == 1) {
        begin_login(b);
        return;
    }
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        conn_watch(&b->conn, b->session->worker->epoll_fd);
        return;
    }
    snprintf(text, sizeof text, "no TLS with the %s: %s", side_name(b->side), ERR_reason_error_string(ERR_peek_error()) != NULL ? ERR_reason_error_string(ERR_peek_error()) : "it hung up");
    ERR_clear_error();
    say_why(b, "08001", text);
    lost(b);
}

static void begin_tls(struct backend *b)
{
    struct door_side *side = &b->session->worker->door->sides[b->side];
    struct side_address address = {0};
    unsigned char number[16];
    bool numeric;

    (void)door_side_address(side, b->address, &address);
    numeric = inet_pton(AF_INET, address.host, number) == 1 || inet_pton(AF_INET6, address.host, number) == 1;
    b->conn.tls = SSL_new(side->tls_ctx);
    ENSURE(b->conn.tls != NULL);
    SSL_set_fd(b->conn.tls, b->conn.fd);
    if (!numeric)
        (void)SSL_set_tlsext_host_name(b->conn.tls, address.host);
    if (side->tls == TLS_VERIFY_FULL && numeric)
        (void)X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(b->conn.tls), address.host);
    else if (side->tls == TLS_VERIFY_FULL)
        (void)SSL_set1_host(b->conn.tls, address.host);
    b->stage = BACKEND_TLS;
    shake_hands(b);
}

static void on_tls_answer(struct backend *b)
{
    struct door_side *side = &b->session->worker->door->sides[b->side];
    char answer;
    long got = conn_read(&b->conn, &answer, 1);

    if (got == 0)
        return;
    if (got > 0 && answer == 'S') {
        begin_tls(b);
        return;
    }
    if (got > 0 && answer == 'N' && side->tls < TLS_REQUIRE) {
        b->plain = true;
        begin_login(b);
        return;
    }
    say_why(b, "08001", got > 0 && answer == 'N' ? "the server offers no TLS, and sslmode asks for it" : "the server did not answer to a request for TLS");
    lost(b);
}

/* --- what it says --- */

static void on_parameter(struct backend *b, const char *body, size_t n, const char *whole, size_t total)
{
    struct session *s = b->session;
    const char *value;
    const char *name = pgwire_string(body, n, &value);
    struct buf message = {.data = (char *)(uintptr_t)whole, .len = total};

    if (name == NULL)
        return;
    if (b == s->server && s->stage == SESSION_LIVE) {
        (void)params_set(&s->told, name, value);
        session_say(s, &message);
        return;
    }
    (void)params_set(&b->params, name, value);
}

static void on_key(struct backend *b, const char *body, size_t n)
{
    if (n < 8 || n > 4 + DOOR_MOST_KEY)
        return;
    b->pid = ntohl(*(const uint32_t *)memcpy(&(uint32_t){0}, body, 4));
    b->key_len = (uint32_t)n - 4;
    memcpy(b->key, body + 4, n - 4);
}

static void on_error(struct backend *b, const char *body, size_t n, const char *whole, size_t total)
{
    const char *state = pgwire_error_field(body, n, 'C');
    const char *message = pgwire_error_field(body, n, 'M');

    if (b->talk.errors++ == 0)
        b->talk.error_left = b->talk.ready_left;
    if (b->talk.error.len == 0)
        buf_addf(&b->talk.error, "%s: %s", state != NULL ? state : "?", message != NULL ? message : "?");
    if (b->stage == BACKEND_LOGIN && b->error.len == 0)
        buf_add(&b->error, whole, total);
}

static void on_row(struct backend *b, const char *body, size_t n)
{
    buf_clear(&b->talk.row);
    buf_add(&b->talk.row, body, n);
}

static void on_heard(struct backend *b, const char *whole, size_t total)
{
    struct session *s = b->session;
    struct buf message = {.data = (char *)(uintptr_t)whole, .len = total};

    if (b == s->server && s->stage == SESSION_LIVE)
        session_say(s, &message);
    else if (b->heard.len + total <= DOOR_READ)
        buf_add(&b->heard, whole, total);
}

/* False: no more is to be read in this way now. */
static bool on_message(struct backend *b, char type, const char *whole, size_t total)
{
    const char *body = whole + PGWIRE_HEADER;
    size_t n = total - PGWIRE_HEADER;
    uint32_t code = 0;

    switch (type) {
    case 'R':
        if (n >= 4)
            memcpy(&code, body, sizeof code);
        code = ntohl(code);
        if (n < 4 || !login_toward(b, code, body + 4, n - 4)) {
            lost(b);
            return false;
        }
        return b->stage != BACKEND_LOST;
    case 'S':
        on_parameter(b, body, n, whole, total);
        return b->session->stage != SESSION_GONE;
    case 'K':
        on_key(b, body, n);
        return true;
    case 'E':
        on_error(b, body, n, whole, total);
        return true;
    case 'D':
        on_row(b, body, n);
        return true;
    case 'A':
    case 'N':
        if (type == 'A' || b->stage == BACKEND_LOGIN)
            on_heard(b, whole, total);
        return b->session->stage != SESSION_GONE;
    case 'Z':
        if (b->stage == BACKEND_LOGIN || b->talk.ready_left <= 1)
            return false;
        b->talk.ready_left--;
        return true;
    default:
        return true;
    }
}

static void on_ready(struct backend *b)
{
    struct session *s = b->session;

    if (b->stage == BACKEND_LOGIN) {
        login_backend_free(b);
        b->stage = BACKEND_READY;
        if (b->warm)
            s->worker->connecting--;
        if (b == s->other) {
            hold_backend(b);
            return;
        }
        if (b->twin) {
            reads_opened(s, b);
            return;
        }
        session_say(s, &b->heard);
        buf_fini(&b->heard);
        if (s->stage != SESSION_GONE)
            session_greet(s);
        return;
    }
    if (b->talk.ready_left == 0)
        return;
    b->talk.ready_left = 0;
    b->talk.done(s, b);
    if (s->stage != SESSION_GONE && b->talk.ready_left == 0) {
        buf_fini(&b->talk.row);
        buf_fini(&b->talk.error);
    }
    if (s->stage != SESSION_LIVE || b != s->server || b->stage != BACKEND_READY)
        return;
    hold_look(s); /* a new attempt may have begun meanwhile */
    if (b->talk.ready_left == 0 && b->conn.kept.len > 0)
        pass_server(s);
}

/* Whole messages of kept, in order. Returns whether a ReadyForQuery ended it. */
static bool take_messages(struct backend *b)
{
    struct buf *kept = &b->conn.kept;
    size_t at = 0;
    bool ready = false;
    bool more = true;

    while (more) {
        uint32_t total = 0;
        char type = 0;
        enum pgwire_seen seen = pgwire_frame(PGWIRE_SERVER, kept->data + at, kept->len - at, &type, &total);

        if (seen == PGWIRE_WRONG || (seen == PGWIRE_FRAME && total > MESSAGE_MOST)) {
            say_why(b, "08P01", "what the server says is no message of the protocol");
            lost(b);
            return false;
        }
        if (seen == PGWIRE_MORE || kept->len - at < total)
            break;
        more = on_message(b, type, kept->data + at, total);
        at += total;
        ready = type == 'Z' && !more;
    }
    if (b->conn.fd >= 0 && at > 0)
        conn_keep(&b->conn, kept->data + at, kept->len - at);
    return ready && b->stage != BACKEND_LOST;
}

void backend_read(struct backend *b)
{
    struct worker *w = b->session->worker;
    long got = conn_read(&b->conn, w->in, DOOR_READ);

    if (got > 0)
        buf_add(&b->conn.kept, w->in, (size_t)got);
    if (b->conn.kept.len > 0 && take_messages(b))
        on_ready(b);
    else if (got < 0)
        lost(b);
}

void backend_talk(struct backend *b, const struct buf *out, int ready, void (*done)(struct session *s, struct backend *b))
{
    ENSURE(b->stage == BACKEND_READY && b->talk.ready_left == 0 && ready > 0);
    buf_fini(&b->talk.row);
    buf_fini(&b->talk.error);
    b->talk.errors = 0;
    b->talk.error_left = 0;
    b->talk.ready_left = ready;
    b->talk.done = done;
    (void)say(b, out);
}

static void on_readable(struct backend *b)
{
    struct session *s = b->session;

    switch (b->stage) {
    case BACKEND_CONNECTING:
        on_connected(b);
        return;
    case BACKEND_TLS_ASKED:
        on_tls_answer(b);
        return;
    case BACKEND_TLS:
        shake_hands(b);
        return;
    case BACKEND_LOGIN:
        backend_read(b);
        return;
    case BACKEND_READY:
        if (s->stage == SESSION_LEAVING && conn_read(&b->conn, s->worker->in, DOOR_READ) < 0)
            session_end(s);
        else if (s->stage == SESSION_LIVE && b == s->server && b->talk.ready_left == 0)
            pass_server(s);
        else if (s->stage != SESSION_LEAVING)
            backend_read(b);
        return;
    case BACKEND_LOST:
        return;
    }
}

void backend_event(struct backend *b, uint32_t events)
{
    struct session *s = b->session;

    if (b->stage == BACKEND_LOST)
        return;
    if ((events & EPOLLOUT) != 0 && b->stage >= BACKEND_LOGIN) {
        if (!conn_flush(&b->conn)) {
            lost(b);
            return;
        }
        if (s->stage == SESSION_LEAVING) {
            session_leave(s);
            return;
        }
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 || b->conn.wants_write)
        on_readable(b);
    if (s->stage == SESSION_GONE || b->stage == BACKEND_LOST)
        return;
    if (s->stage == SESSION_LIVE)
        pass_watch(s);
    conn_watch(&b->conn, s->worker->epoll_fd);
    if (b->conn.want_read && conn_pending(&b->conn))
        worker_again(s->worker, s);
}
