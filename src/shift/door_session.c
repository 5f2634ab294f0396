/* shift/door_session.c — a client from its first packet until it is let in, and its end.
 *
 *   FIRST --SSLRequest--> TLS --> FIRST          FIRST --CancelRequest--> the worker that has the session, and gone
 *   FIRST --startup--> VERIFIER | PASSWORD | SCRAM --> (let in) --> CONNECTING | PARKED --> LIVE --> LEAVING --> GONE
 *
 * The door speaks protocol 3.0: what a client asks beyond it is answered by NegotiateProtocolVersion. */
#include "shift/door_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/world.h"

#define PASSWORD_MOST 8192

/* --- its beginning and end --- */

static void quicken(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    alive_watch(fd, &alive_client);
}

void session_accept(struct worker *w, int fd, const struct sockaddr_storage *peer)
{
    struct session *s;

    if (atomic_load(&w->door->clients) > w->door->most_clients + w->door->most_clients / 4 + 50) {
        close(fd); /* far beyond: not even words for it */
        return;
    }
    s = mem_alloc(sizeof *s);
    quicken(fd);
    s->worker = w;
    s->peer = *peer;
    s->since_us = w->now_us;
    s->client = (struct conn){.fd = fd, .end = END_CLIENT, .owner = s, .want_read = true};
    s->pid = (w->next_pid++ * (uint32_t)w->door->worker_count + (uint32_t)w->index) % 0x7ffffffe + 1;
    world_random(&s->key, sizeof s->key);
    s->next = w->sessions;
    if (s->next != NULL)
        s->next->before = s;
    w->sessions = s;
    atomic_fetch_add(&w->counts.clients, 1);
    atomic_fetch_add(&w->door->clients, 1);
    conn_watch(&s->client, w->epoll_fd);
}

void session_end(struct session *s)
{
    struct worker *w = s->worker;

    if (s->stage == SESSION_GONE)
        return;
    hold_forget(s);
    if (s->stage == SESSION_LIVE)
        atomic_fetch_sub(&w->counts.live, 1);
    s->stage = SESSION_GONE;
    conn_close(&s->client);
    if (s->server != NULL)
        backend_end(TAKE(s->server));
    if (s->other != NULL)
        backend_end(TAKE(s->other));
    if (s->reads != NULL)
        reads_free(s);
    if (s->before != NULL)
        s->before->next = s->next;
    else
        w->sessions = s->next;
    if (s->next != NULL)
        s->next->before = s->before;
    s->next = w->gone;
    w->gone = s;
    atomic_fetch_sub(&w->counts.clients, 1);
    atomic_fetch_sub(&w->door->clients, 1);
}

void session_free(struct session *s)
{
    struct worker *w = s->worker;

    for (size_t i = 0; s->again && i < w->again_count; i++)
        if (w->again[i] == s)
            w->again[i--] = w->again[--w->again_count];
    login_forget(s);
    free(s->user);
    free(s->application);
    buf_fini(&s->startup);
    buf_fini(&s->told);
    unnamed_fini(&s->unnamed);
    session_notes_fini(&s->notes);
    renumber_free(s->renumber);
    free(s);
}

void session_leave(struct session *s)
{
    if (s->stage == SESSION_GONE)
        return;
    if (conn_waiting(&s->client) == 0 && (s->server == NULL || conn_waiting(&s->server->conn) == 0)) {
        session_end(s);
        return;
    }
    hold_forget(s);
    if (s->stage == SESSION_LIVE)
        atomic_fetch_sub(&s->worker->counts.live, 1);
    s->stage = SESSION_LEAVING;
    s->since_us = s->worker->now_us;
    s->client.want_read = true;
    conn_watch(&s->client, s->worker->epoll_fd);
    if (s->server != NULL)
        conn_watch(&s->server->conn, s->worker->epoll_fd);
}

void session_say(struct session *s, const struct buf *b)
{
    if (s->stage == SESSION_GONE || b->len == 0)
        return;
    if (!conn_write(&s->client, b->data, b->len)) {
        session_end(s);
        return;
    }
    conn_watch(&s->client, s->worker->epoll_fd);
}

void session_tell_changes(struct session *s)
{
    AUTO_BUF b = {0};
    size_t at = 0;
    const char *name;
    const char *value;

    while (params_next(&s->server->params, &at, &name, &value))
        if (params_set(&s->told, name, value))
            pgwire_parameter(&b, name, value);
    buf_fini(&s->server->params);
    buf_add(&b, buf_cstr(&s->server->heard), s->server->heard.len);
    buf_fini(&s->server->heard);
    session_say(s, &b);
}

void session_refuse(struct session *s, const char *sqlstate, const char *message, const char *hint)
{
    AUTO_BUF b = {0};

    pgwire_error(&b, "FATAL", sqlstate, message, NULL, hint);
    session_say(s, &b);
    session_leave(s);
}

const char *session_peer(const struct session *s, char text[64])
{
    const struct sockaddr_in *v4 = (const void *)&s->peer;
    const struct sockaddr_in6 *v6 = (const void *)&s->peer;
    char host[INET6_ADDRSTRLEN] = "?";

    if (s->peer.ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
    else if (s->peer.ss_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    snprintf(text, 64, "%s:%u", host, ntohs(s->peer.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port));
    return text;
}

/* --- the first packet --- */

static void pass_cancel(struct session *s, const struct pgwire_startup *packet)
{
    uint32_t key;

    if (packet->key_len != sizeof key || packet->pid == 0) {
        session_end(s);
        return;
    }
    memcpy(&key, packet->key, sizeof key);
    cancel_begin(s, packet->pid, key);
}

/* 'S' and the handshake, or 'N'. What was sent behind the request in clear is not to be taken for what TLS protects. */
static void answer_tls(struct session *s, size_t behind)
{
    SSL_CTX *ctx = s->worker->door->client_tls;

    if (behind > 0) {
        session_refuse(s, "08P01", "bytes were sent behind a request for TLS, before it was answered", NULL);
        return;
    }
    if (ctx != NULL && s->client.tls != NULL) {
        session_refuse(s, "08P01", "TLS was asked for twice", NULL);
        return;
    }
    if (!conn_write(&s->client, ctx != NULL ? "S" : "N", 1)) {
        session_end(s);
        return;
    }
    if (ctx != NULL) {
        s->client.tls = SSL_new(ctx);
        ENSURE(s->client.tls != NULL);
        SSL_set_fd(s->client.tls, s->client.fd);
        s->stage = SESSION_TLS;
    }
}

static void negotiate(struct session *s, const struct pgwire_startup *packet)
{
    AUTO_BUF names = {0};
    AUTO_BUF b = {0};
    uint32_t count = 0;
    uint32_t at = 0;
    const char *name;
    const char *value;
    size_t begin;

    while (pgwire_startup_next(packet, &at, &name, &value))
        if (strncmp(name, "_pq_.", 5) == 0) {
            pgwire_add_string(&names, name);
            count++;
        }
    if (packet->version == PGWIRE_PROTOCOL_3 && count == 0)
        return;
    begin = pgwire_begin(&b, 'v');
    buf_add_u32be(&b, PGWIRE_PROTOCOL_3);
    buf_add_u32be(&b, count);
    buf_add(&b, buf_cstr(&names), names.len);
    pgwire_end(&b, begin);
    session_say(s, &b);
}

static void remember(struct session *s, const struct pgwire_startup *packet)
{
    uint32_t at = 0;
    const char *name;
    const char *value;

    while (pgwire_startup_next(packet, &at, &name, &value)) {
        if (strcmp(name, "user") == 0 || strcmp(name, "database") == 0 || strcmp(name, "replication") == 0 || strncmp(name, "_pq_.", 5) == 0)
            continue;
        pgwire_add_string(&s->startup, name);
        pgwire_add_string(&s->startup, value);
        if (strcmp(name, "application_name") == 0) {
            free(s->application);
            s->application = mem_dup(value);
        }
    }
}

/* As the server reads a boolean: anything that is not a way to say no. */
static bool wants_replication(const char *value)
{
    static const char *const no[] = {"", "0", "f", "fa", "fal", "fals", "false", "n", "no", "of", "off"};

    for (size_t i = 0; value != NULL && i < sizeof no / sizeof *no; i++)
        if (strcasecmp(value, no[i]) == 0)
            return false;
    return value != NULL;
}

static void begin_session(struct session *s, const struct pgwire_startup *packet)
{
    struct door *door = s->worker->door;
    const char *user = pgwire_startup_param(packet, "user");
    const char *database = pgwire_startup_param(packet, "database");
    char text[512];

    if (door->require_tls && s->client.tls == NULL) {
        session_refuse(s, "28000", "this door asks for TLS", "connect with sslmode=require or better");
        return;
    }
    negotiate(s, packet);
    if (user == NULL || *user == '\0') {
        session_refuse(s, "28000", "no user was named", NULL);
        return;
    }
    if (wants_replication(pgwire_startup_param(packet, "replication"))) {
        session_refuse(s, "0A000", "a replication connection cannot pass through this door: its position is one of one server only",
                       "connect to the server itself");
        return;
    }
    if (database == NULL || *database == '\0')
        database = user;
    if (strcmp(database, door->database) != 0) {
        snprintf(text, sizeof text, "this door leads to the database \"%s\" only, not to \"%.200s\"", door->database, database);
        session_refuse(s, "3D000", text, "correct the database's name, or connect to its server itself");
        return;
    }
    if (atomic_load(&door->clients) > door->most_clients) {
        session_refuse(
            s, "53300", "this door has as many clients as limits.door_clients, or the files it may open, allow",
            "raise limits.door_clients in leat.yaml, or what its log says of files, and start the door anew");
        return;
    }
    s->user = mem_dup(user);
    remember(s, packet);
    if (s->stage != SESSION_GONE)
        login_begin(s);
}

static void first_packet(struct session *s, const char *p, size_t n)
{
    struct pgwire_startup packet;

    conn_keep(&s->client, p, 0);
    switch (pgwire_startup(p, n, &packet)) {
    case STARTUP_MORE:
        conn_keep(&s->client, p, n);
        return;
    case STARTUP_WRONG:
        session_end(s); /* a scanner of ports, or something that speaks another protocol: no words for it */
        return;
    case STARTUP_OLD:
        session_refuse(s, "0A000", "this protocol is older than 3.0", NULL);
        return;
    case STARTUP_TLS:
        answer_tls(s, n - packet.total);
        return;
    case STARTUP_GSS:
        if (n > packet.total)
            session_end(s);
        else if (!conn_write(&s->client, "N", 1))
            session_end(s);
        return;
    case STARTUP_CANCEL:
        pass_cancel(s, &packet);
        return;
    case STARTUP_SESSION:
        if (n > packet.total) /* a client that does not wait for an answer: kept for later */
            conn_keep(&s->client, p + packet.total, n - packet.total);
        begin_session(s, &packet);
        return;
    }
}

/* TLS from the first byte on, without a request before it (17): a handshake begins with 22. */
static bool begins_with_tls(struct session *s)
{
    unsigned char first;

    if (s->client.tls != NULL || s->client.kept.len > 0 || s->worker->door->client_tls == NULL)
        return false;
    return recv(s->client.fd, &first, 1, MSG_PEEK) == 1 && first == 22;
}

/* --- until it is let in --- */

/* A large message, added to what is kept of it; given when it is whole: what is copied at each read is that read. */
static long gather_more(struct session *s, struct conn *c)
{
    char *in = worker_room(s->worker, DOOR_READ);
    long got = conn_read(c, in, DOOR_READ);

    if (got <= 0)
        return got;
    buf_add(&c->kept, in, (size_t)got);
    if (c->kept.len < c->need)
        return 0;
    memcpy(worker_room(s->worker, c->kept.len), c->kept.data, c->kept.len);
    return (long)c->kept.len;
}

long session_gather(struct session *s, struct conn *c)
{
    size_t kept = c->kept.len;
    char *in;
    long got;

    if (kept < c->need)
        return gather_more(s, c);
    in = worker_room(s->worker, kept + DOOR_READ);
    if (kept > 0)
        memcpy(in, c->kept.data, kept);
    got = conn_read(c, in + kept, DOOR_READ);
    if (got < 0)
        return -1;
    return (long)kept + got;
}

static void read_first(struct session *s)
{
    long n;

    if (begins_with_tls(s)) {
        s->client.tls = SSL_new(s->worker->door->client_tls);
        ENSURE(s->client.tls != NULL);
        SSL_set_fd(s->client.tls, s->client.fd);
        s->direct_tls = true;
        s->stage = SESSION_TLS;
        session_event(s, EPOLLIN);
        return;
    }
    n = session_gather(s, &s->client);
    if (n < 0)
        session_end(s);
    else if (n > 0)
        first_packet(s, s->worker->in, (size_t)n);
}

static void shake_hands(struct session *s)
{
    int got = SSL_accept(s->client.tls);
    int why;

    if (got == 1 && s->direct_tls && !door_tls_names_us(s->client.tls)) {
        session_end(s);
        return;
    }
    if (got == 1) {
        s->client.wants_write = false;
        s->stage = SESSION_FIRST;
        read_first(s);
        return;
    }
    why = SSL_get_error(s->client.tls, got);
    ERR_clear_error();
    s->client.wants_write = why == SSL_ERROR_WANT_WRITE;
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        session_end(s);
}

static void read_answer(struct session *s)
{
    long n = session_gather(s, &s->client);
    char *in = s->worker->in;
    uint32_t total;
    char type;

    if (n < 0) {
        session_end(s);
        return;
    }
    switch (pgwire_frame(PGWIRE_CLIENT, in, (size_t)n, &type, &total)) {
    case PGWIRE_MORE:
        conn_keep(&s->client, in, (size_t)n);
        return;
    case PGWIRE_WRONG:
        session_end(s);
        return;
    case PGWIRE_FRAME:
        break;
    }
    if (type != 'p' || total > PASSWORD_MOST) {
        session_refuse(s, "08P01", "an answer to the request for a password was expected", NULL);
        return;
    }
    if ((size_t)n < total) {
        conn_keep(&s->client, in, (size_t)n);
        return;
    }
    conn_keep(&s->client, in + total, (size_t)n - total);
    login_answer(s, in + PGWIRE_HEADER, total - PGWIRE_HEADER);
    explicit_bzero(in, total);
}

/* Before it is live it has nothing to say; what it says all the same waits. */
static void read_early(struct session *s)
{
    long n = session_gather(s, &s->client);

    if (n < 0) {
        session_end(s);
        return;
    }
    conn_keep(&s->client, s->worker->in, (size_t)n);
    s->client.want_read = n == 0;
}

static void read_and_drop(struct session *s)
{
    if (conn_read(&s->client, s->worker->in, DOOR_READ) < 0)
        session_end(s);
}

static void on_readable(struct session *s)
{
    switch (s->stage) {
    case SESSION_FIRST:
        read_first(s);
        return;
    case SESSION_TLS:
        shake_hands(s);
        return;
    case SESSION_PASSWORD:
    case SESSION_SCRAM:
        read_answer(s);
        return;
    case SESSION_VERIFIER:
    case SESSION_PARKED:
    case SESSION_CONNECTING:
        read_early(s);
        return;
    case SESSION_LIVE:
        pass_client(s);
        return;
    case SESSION_LEAVING:
        read_and_drop(s);
        return;
    case SESSION_GONE:
        return;
    }
}

void session_event(struct session *s, uint32_t events)
{
    if ((events & EPOLLOUT) != 0 && s->stage != SESSION_TLS) {
        if (!conn_flush(&s->client)) {
            session_end(s);
            return;
        }
        if (s->stage == SESSION_LEAVING)
            session_leave(s);
    }
    if (s->stage != SESSION_GONE && ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 || s->client.wants_write))
        on_readable(s);
    if (s->stage == SESSION_GONE)
        return;
    if (s->stage == SESSION_LIVE)
        pass_watch(s);
    else
        conn_watch(&s->client, s->worker->epoll_fd);
    if (s->client.want_read && conn_pending(&s->client))
        worker_again(s->worker, s);
}

/* --- let in --- */

void session_admit(struct session *s)
{
    AUTO_BUF b = {0};

    pgwire_auth(&b, 0, "", 0);
    session_say(s, &b);
    if (s->stage == SESSION_GONE)
        return;
    s->since_us = 0;
    s->stage = SESSION_PARKED;
    if (!s->worker->holding)
        session_connect(s);
}

void session_connect(struct session *s)
{
    s->stage = SESSION_CONNECTING;
    s->since_us = s->worker->now_us;
    hold_new(s);
    s->born = (enum side)atomic_load(&s->worker->door->side);
    backend_open(s, s->born);
}

void session_greet(struct session *s)
{
    AUTO_BUF b = {0};
    size_t begin;
    size_t at = 0;
    const char *name;
    const char *value;

    while (params_next(&s->server->params, &at, &name, &value))
        pgwire_parameter(&b, name, value);
    begin = pgwire_begin(&b, 'K');
    buf_add_u32be(&b, s->pid);
    buf_add(&b, &s->key, sizeof s->key);
    pgwire_end(&b, begin);
    pgwire_ready(&b, 'I');
    buf_fini(&s->told);
    s->told = s->server->params;
    s->server->params = (struct buf){0};
    s->track.status = 'I';
    s->since_us = 0;
    s->stage = SESSION_LIVE;
    atomic_fetch_add(&s->worker->counts.live, 1);
    session_say(s, &b);
    if (s->stage == SESSION_GONE)
        return;
    hold_live(s);
    if (atomic_load(&s->worker->door->reads_share) > 0)
        reads_consider(s);
    pass_resume(s);
}
