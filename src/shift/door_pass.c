/* shift/door_pass.c — the data path: bytes of a client to its server and back, headers looked at, bodies passed on as read.
 *
 * One read, one write: what was read stands in the worker's buffer and goes out from there; only what the kernel does not take is
 * copied (conn.out), only a message that must be whole, or must wait, is kept (conn.kept). A side is not read while more than
 * CONN_OUT_HIGH waits for the other. */
#include "shift/door_internal.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "wire/bytes.h"

#define FUNCTION 4            /* its number, which a FunctionCall begins with */
#define FIRST_OF_INITDB 10000 /* FirstGenbkiObjectId */

/* --- who is read --- */

void pass_watch(struct session *s)
{
    struct conn *client = &s->client;
    struct conn *server = &s->server->conn;

    client->want_read = conn_waiting(server) < CONN_OUT_HIGH && !(s->stopped && client->kept.len > 0);
    server->want_read = conn_waiting(client) < CONN_OUT_HIGH;
    conn_watch(client, s->worker->epoll_fd);
    conn_watch(server, s->worker->epoll_fd);
}

/* --- from the client --- */

/* Messages whose bodies are looked at. */
static bool client_whole(char type)
{
    return type == 'Q' || type == 'P' || type == 'C';
}

/* A Query, or Close. The twin has reads only: there it is the first of what goes, and never skipped. */
static void on_unnamed_gone(struct session *s)
{
    bool had = unnamed_is_any(&s->unnamed) || s->unnamed_away;

    if (s->server->twin)
        unnamed_none(&s->unnamed);
    else if (!s->track.deaf)
        unnamed_drop(&s->unnamed, s->track.sent + 1);
    s->unnamed_away = s->server->twin && had;
}

static void on_parse(struct session *s, const char *whole, size_t total, size_t have)
{
    if (have <= PGWIRE_HEADER || whole[PGWIRE_HEADER] != '\0')
        return;
    if (s->server->twin && s->track.status == 'E') {
        on_unnamed_gone(s); /* in a transaction that has failed it fails, too, unless it ends that: then it is not worth
                               being kept */
        return;
    }
    s->unnamed_away = s->server->twin;
    if (total <= have)
        unnamed_parse(&s->unnamed, s->track.sent + 1, whole, total);
    else
        unnamed_parse_unknown(&s->unnamed, s->track.sent + 1); /* its name is at the beginning all the same */
}

/* Where the text begins: behind the name of a Parse. */
static void scan(struct session *s, char type, const char *whole, size_t total, size_t have)
{
    const char *text = whole + PGWIRE_HEADER;
    size_t n = have - PGWIRE_HEADER;
    size_t name = type == 'P' ? strnlen(text, n) + 1 : 0;
    enum session_text how = name > 1 ? SESSION_TEXT_PREPARED : SESSION_TEXT_ONCE;

    s->scanning = have < total;
    if (s->scanning)
        session_notes_piece(&s->notes, text, n, how, true); /* with the name, wherever it ends */
    else if (name < n)
        session_notes_text(&s->notes, text + name, n - name, how);
}

/* What the session's state needs to be known of a message that goes on. */
static void note_client(struct session *s, char type, const char *whole, size_t total, size_t have)
{
    switch (type) {
    case 'P':
        on_parse(s, whole, total, have);
        scan(s, type, whole, total, have);
        break;
    case 'Q':
        on_unnamed_gone(s);
        scan(s, type, whole, total, have);
        break;
    case 'C':
        if (have >= PGWIRE_HEADER + 2 && whole[PGWIRE_HEADER] == 'S' && whole[PGWIRE_HEADER + 1] == '\0')
            on_unnamed_gone(s);
        break;
    default:
        break;
    }
}

enum verdict { PASS, STOP, DROP, BAD, QUIT };

/* How large a message may be that has to be whole. */
static size_t whole_most(const struct session *s)
{
    return s->renumber != NULL ? DOOR_RENUMBER_MOST : DOOR_WHOLE;
}

/* How much of a message has to be there before it goes on: of one too large to be looked at, the name it may begin
 * with. */
static size_t client_needs(const struct session *s, char type, size_t total)
{
    if (type == 'F' && total >= PGWIRE_HEADER + FUNCTION)
        return PGWIRE_HEADER + FUNCTION;
    if (!client_whole(type) && (s->renumber == NULL || !renumber_client_whole(type)))
        return 0;
    return total <= whole_most(s) ? total : PGWIRE_HEADER + 1;
}

static bool forward(struct session *s, struct conn *to, const char *p, size_t n)
{
    if (n > 0 && to == &s->server->conn)
        s->unchanged = false;
    if (n == 0 || (s->reads != NULL && to == &s->client && reads_hold(s, p, n)) || conn_write(to, p, n))
        return true;
    if (to == &s->server->conn && s->server->twin)
        return true; /* it is gone, and that is heard of next */
    session_leave(s);
    return false;
}

static enum verdict cannot_renumber(struct session *s, const char *why)
{
    session_refuse(s, "0A000", why, "connect again: a new session knows the numbers of the server it is on");
    return QUIT;
}

/* The numbers of types in it, for a session away from the side its client came to. `ahead`: what stands before it, and goes first. */
static enum verdict renumber_up(struct session *s, char type, char *whole, size_t total, size_t have, const char *ahead, size_t ahead_len)
{
    AUTO_BUF before = {0};
    struct fault f = {0};
    enum renumbered got;

    if (renumber_client_whole(type) && have < total)
        return cannot_renumber(s, "a message is larger than this door can renumber the types of");
    got = renumber_client(s->renumber, type, whole + PGWIRE_HEADER, have > PGWIRE_HEADER ? have - PGWIRE_HEADER : 0, &before, &f);
    if (got == RENUMBER_REFUSE)
        return cannot_renumber(s, f.why);
    if (before.len > 0 && (!forward(s, &s->server->conn, ahead, ahead_len) || !forward(s, &s->server->conn, before.data, before.len)))
        return QUIT;
    s->went_ahead = before.len > 0;
    if (before.len > 0)
        track_client(&s->track, 'D'); /* the door's: it is answered before the session can be at a boundary */
    return got == RENUMBER_WAIT ? STOP : PASS;
}

/* Other servers have other functions by the numbers that initdb and users' functions are given. */
static enum verdict on_function_call(struct session *s, const char *whole, size_t have)
{
    struct bytes b = {.start = whole, .at = whole + PGWIRE_HEADER, .end = whole + have};
    uint32_t function = bytes_u32(&b);

    if (b.wrong != NULL)
        return PASS; /* the server refuses it itself */
    session_notes_call(&s->notes, function);
    if (function < FIRST_OF_INITDB || s->server->twin || s->server->side == s->born)
        return PASS;
    session_refuse(
        s, "0A000",
        "a FunctionCall names its function by a number of the server that this session came to, and it has moved",
        "connect again: a new session knows the numbers of the server it is on");
    return QUIT;
}

/* A cancelled request is dropped up to the message that ends it; then its client hears that the server is ready. */
static enum verdict swallow(struct session *s, char type)
{
    AUTO_BUF b = {0};

    if (type == 'X')
        return QUIT;
    if (type == 'Q' || type == 'F' || type == 'S') {
        s->swallow = false;
        pgwire_ready(&b, 'I');
        session_say(s, &b);
    }
    return DROP;
}

static enum verdict on_client(struct session *s, char type, char *whole, size_t total, size_t have, const char *ahead, size_t ahead_len)
{
    enum verdict verdict = PASS;

    s->went_ahead = false;
    if (s->swallow)
        return swallow(s, type);
    if ((type != 'X' && hold_stops(s, type)) || (track_full(&s->track) && type != 'X' && type != 'd')) {
        if (s->since_us == 0 && s->move != MOVE_NONE)
            s->since_us = s->worker->now_us;
        return STOP;
    }
    if (type == 'p')
        return BAD; /* nobody asked for a password */
    note_client(s, type, whole, total, have);
    if (type == 'F')
        verdict = on_function_call(s, whole, have);
    if (verdict == PASS && s->renumber != NULL)
        verdict = renumber_up(s, type, whole, total, have, ahead, ahead_len);
    if (verdict != PASS)
        return verdict;
    track_client(&s->track, type);
    return type == 'X' ? QUIT : PASS;
}

/* Goes through the bytes; *ret_done: so many are done with, gone to the server or dropped. */
static enum verdict take_client(struct session *s, char *p, size_t n, size_t *ret_done)
{
    struct conn *client = &s->client;
    enum verdict verdict = PASS;
    size_t from = 0; /* from here on it goes to the server */
    size_t at = 0;

    client->need = 0;
    while (at < n && verdict == PASS) {
        size_t have = n - at;
        uint32_t total = 0;
        char type = 0;
        enum pgwire_seen seen;

        if (client->left > 0) {
            size_t take = have < client->left ? have : client->left;
            if (s->scanning) /* a text larger than what is gathered: in the pieces it comes in */
                session_notes_piece(&s->notes, p + at, take, SESSION_TEXT_PREPARED, take < client->left);
            client->left -= (uint32_t)take;
            at += take;
            if (s->dropping)
                from = at;
            continue;
        }
        s->dropping = false;
        s->scanning = false;
        seen = pgwire_frame(PGWIRE_CLIENT, p + at, have, &type, &total);
        if (seen == PGWIRE_WRONG)
            verdict = BAD;
        if (seen == PGWIRE_FRAME && have < client_needs(s, type, total))
            client->need = client_needs(s, type, total);
        if (seen != PGWIRE_FRAME || client->need > 0)
            break;
        if (have > total)
            have = total;
        verdict = on_client(s, type, p + at, total, have, p + from, at - from);
        if (s->went_ahead)
            from = at;
        if (verdict == STOP || verdict == BAD)
            break;
        if (verdict == DROP) {
            if (!forward(s, &s->server->conn, p + from, at - from))
                return QUIT;
            from = at + have;
            s->dropping = true;
            verdict = s->stage == SESSION_LIVE ? PASS : QUIT;
        }
        at += have;
        client->left = total - (uint32_t)have;
    }
    if (s->stage != SESSION_LIVE || !forward(s, &s->server->conn, p + from, at - from))
        return QUIT;
    *ret_done = at;
    return verdict;
}

static void client_ended(struct session *s)
{
    session_leave(s);
}

/* It may have come to its boundary: also where the last thing to come was the rest of a message. */
static void look(struct session *s)
{
    if (s->move == MOVE_AWAITED)
        hold_look(s);
    else if (s->survey_wanted)
        move_survey(s);
}

size_t pass_part(struct session *s, char *p, size_t n, size_t part)
{
    size_t done = 0;
    enum verdict verdict = take_client(s, p, part, &done);

    if (s->stage != SESSION_LIVE)
        return 0;
    switch (verdict) {
    case QUIT:
        client_ended(s);
        return 0;
    case BAD:
        session_refuse(s, "08P01", "what the client says is no message of the protocol", NULL);
        return 0;
    default:
        break;
    }
    s->stopped = verdict == STOP || part < n;
    if (done < n || s->client.kept.len > 0)
        conn_keep_until(&s->client, p + done, n - done, s->client.need);
    if (s->move == MOVE_EXCUSED && done > 0)
        s->move = MOVE_AWAITED; /* it did something: it may be movable at its next boundary */
    atomic_fetch_add_explicit(&s->worker->counts.bytes_in, (int64_t)done, memory_order_relaxed);
    look(s);
    return done;
}

static void handle_client(struct session *s, char *p, size_t n)
{
    if (s->reads == NULL || !reads_client(s, p, n))
        (void)pass_part(s, p, n, n);
}

void pass_client(struct session *s)
{
    long n;

    if (conn_waiting(&s->server->conn) >= CONN_OUT_HIGH || (s->stopped && s->client.kept.len > 0))
        return;
    n = session_gather(s, &s->client);
    if (n < 0)
        client_ended(s);
    else if (n > 0)
        handle_client(s, s->worker->in, (size_t)n);
}

void pass_resume(struct session *s)
{
    size_t n = s->client.kept.len;

    if (s->stage != SESSION_LIVE)
        return;
    if (n > 0) {
        char *in = worker_room(s->worker, n);

        memcpy(in, s->client.kept.data, n);
        handle_client(s, in, n);
    } else {
        s->stopped = false;
    }
    if (s->stage == SESSION_LIVE)
        pass_watch(s);
}

/* --- from the server --- */

static bool server_whole(char type)
{
    return type == 'Z' || type == 'S' || type == 'A' || type == 'N';
}

static bool server_needs_whole(const struct session *s, char type, size_t total)
{
    return (server_whole(type) || (s->renumber != NULL && renumber_server_whole(s->renumber, type))) &&
           total <= whole_most(s);
}

static void on_ready(struct session *s, const char *whole)
{
    bool failed = s->track.failed;

    track_server(&s->track, 'Z', whole[PGWIRE_HEADER]);
    if (!failed)
        unnamed_done(&s->unnamed, s->track.done);
    unnamed_over(&s->unnamed, s->track.done);
    if (whole[PGWIRE_HEADER] == 'I')
        session_notes_idle(&s->notes);
    if (s->reads != NULL)
        reads_answered(s);
    s->came_ready = true;
}

static void on_parameter(struct session *s, const char *whole, size_t have)
{
    const char *value;
    const char *name = pgwire_string(whole + PGWIRE_HEADER, have - PGWIRE_HEADER, &value);

    if (name != NULL)
        (void)params_set(&s->told, name, value);
}

static void on_server(struct session *s, char type, const char *whole, size_t have, uint32_t total)
{
    switch (type) {
    case 'Z':
        if (total == PGWIRE_HEADER + 1)
            on_ready(s, whole);
        return;
    case 'S':
        if (have == total)
            on_parameter(s, whole, have);
        return;
    case 'E':
        if (s->renumber != NULL && track_skips(&s->track))
            renumber_skip(s->renumber);
        track_server(&s->track, type, 0);
        return;
    case '1':
    case '3':
        track_server(&s->track, type, 0);
        unnamed_done(&s->unnamed, s->track.done);
        return;
    case 'D':
        return;
    default:
        track_server(&s->track, type, 0);
        return;
    }
}

static enum verdict renumber_down(struct session *s, char type, char *whole, size_t total, size_t have)
{
    struct fault f = {0};

    if (renumber_server_whole(s->renumber, type) && have < total)
        return cannot_renumber(s, "a message is larger than this door can renumber the types of");
    switch (renumber_server(s->renumber, type, whole + PGWIRE_HEADER, have > PGWIRE_HEADER ? have - PGWIRE_HEADER : 0, &f)) {
    case RENUMBER_DROP:
        return DROP;
    case RENUMBER_REFUSE:
        return cannot_renumber(s, f.why);
    default:
        return PASS;
    }
}

/* Sends on what goes to the client; *ret_done: so many bytes are done with. BAD: it is no message of the protocol. */
static enum verdict take_server(struct session *s, char *p, size_t n, size_t *ret_done)
{
    struct conn *server = &s->server->conn;
    enum verdict verdict = PASS;
    size_t from = 0;
    size_t at = 0;

    server->need = 0;
    while (at < n) {
        size_t have = n - at;
        uint32_t total = 0;
        char type = 0;
        enum pgwire_seen seen;

        if (server->left > 0) {
            size_t take = have < server->left ? have : server->left;
            server->left -= (uint32_t)take;
            at += take;
            continue;
        }
        seen = pgwire_frame(PGWIRE_SERVER, p + at, have, &type, &total);
        if (seen == PGWIRE_WRONG)
            return BAD;
        if (seen == PGWIRE_FRAME && have < total && server_needs_whole(s, type, total))
            server->need = total;
        if (seen == PGWIRE_MORE || server->need > 0)
            break;
        if (have > total)
            have = total;
        if (s->renumber != NULL)
            verdict = renumber_down(s, type, p + at, total, have);
        if (verdict == QUIT)
            return QUIT;
        if (verdict == DROP) {
            if (!forward(s, &s->client, p + from, at - from))
                return QUIT;
            from = at + have;
            track_server(&s->track, type, 0); /* of what the door asked itself */
        } else {
            on_server(s, type, p + at, have, total);
        }
        at += have;
        server->left = total - (uint32_t)have;
    }
    *ret_done = at;
    return forward(s, &s->client, p + from, at - from) ? PASS : QUIT;
}

void pass_server(struct session *s)
{
    struct conn *server = &s->server->conn;
    bool waited = s->renumber != NULL && renumber_waits(s->renumber);
    long n;
    size_t done = 0;

    if (conn_waiting(&s->client) >= CONN_OUT_HIGH)
        return;
    n = session_gather(s, server);
    if (n < 0) { /* its last words are with the client, or on their way */
        backend_gone(s->server);
        return;
    }
    if (n == 0)
        return;
    if (s->reads != NULL && reads_server(s, s->worker->in, (size_t)n))
        return;
    switch (take_server(s, s->worker->in, (size_t)n, &done)) {
    case PASS:
        break;
    case BAD:
        session_refuse(s, "08P01", "what the server says is no message of the protocol", NULL);
        return;
    default:
        return;
    }
    if (done < (size_t)n || server->kept.len > 0)
        conn_keep_until(server, s->worker->in + done, (size_t)n - done, server->need);
    atomic_fetch_add_explicit(&s->worker->counts.bytes_out, (int64_t)done, memory_order_relaxed);
    if (!s->came_ready && !(waited && !renumber_waits(s->renumber))) {
        look(s);
        return;
    }
    if (s->reads != NULL && s->came_ready)
        reads_ready(s);
    s->came_ready = false;
    if (s->stage != SESSION_LIVE)
        return;
    look(s);
    if (s->stopped && s->stage == SESSION_LIVE)
        pass_resume(s);
}
