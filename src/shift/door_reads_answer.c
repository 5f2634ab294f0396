/* shift/door_reads_answer.c — what the target says to a read: passed on, or sent once more to the source; and what becomes of it when the target goes. */
#include "shift/door_reads.h"

#include <sys/epoll.h>

/* --- once more --- */

/* Once more, at the source, as if it had never been sent. twin: NULL: it is gone. */
static void replay(struct session *s, struct backend *twin)
{
    struct reads *r = s->reads;
    AUTO_BUF again = {0};
    bool in_transaction = r->before.status == 'T';

    atomic_fetch_add(&s->worker->counts.reads_replayed, 1);
    batch_refuse(s, buf_cstr(&r->batch), r->batch.len);
    buf_add(&again, buf_cstr(&r->batch), r->batch.len - r->left);
    buf_add(&again, buf_cstr(&s->client.kept), s->client.kept.len);
    s->track = r->before;
    buf_clear(&s->unnamed.sent); /* it is sent again */
    (void)reads_come_back(s);
    if (twin != NULL)
        backend_end(twin);
    twin_end(s);
    s->client.left = 0;
    reads_wait(s, again.data, again.len);
    if (!reads_hear_home(s))
        return;
    if (in_transaction)
        reads_begin_home(s);
    else
        reads_go_home(s);
}

/* What it says to its client must be in the client's numbers. */
static bool numbers_known(const struct session *s, char type, const char *body, size_t n)
{
    struct type_way down = door_types_way_between(s->worker, SIDE_TARGET, SIDE_SOURCE);
    AUTO_BUF copy = {0};
    struct fault f = {0};

    if (s->renumber == NULL)
        return true;
    buf_add(&copy, body, n);
    return (type == 'T' ? type_map_row_description(down, copy.data, n, &f) : type_map_parameters(down, copy.data, n, &f)) == ERR_OK;
}

enum look { LOOK_ON, LOOK_GOOD, LOOK_BAD };

static enum look look_at(const struct session *s, char type, const char *body, size_t n)
{
    const char *state;

    switch (type) {
    case 'E':
        state = pgwire_error_field(body, n, 'C');
        return state != NULL && strcmp(state, "57014") == 0 ? LOOK_GOOD : LOOK_BAD; /* a cancel, or a time that ran out, is its answer */
    case 'T':
    case 't':
        return numbers_known(s, type, body, n) ? LOOK_ON : LOOK_BAD;
    case '1':
    case '2':
    case '3':
    case 'n':
    case 'N':
    case 'S':
    case 'A':
        return LOOK_ON;
    default:
        return LOOK_GOOD;
    }
}

/* Whether an answer has begun, or failed to. */
static enum look look(const struct session *s, const char *p, size_t n)
{
    uint32_t total = 0;
    char type = 0;

    for (size_t at = 0; at < n; at += total) {
        enum look seen;

        if (pgwire_frame(PGWIRE_SERVER, p + at, n - at, &type, &total) != PGWIRE_FRAME)
            return LOOK_ON;
        if (n - at < total && type != 'D')
            return total > DOOR_WHOLE ? LOOK_GOOD : LOOK_ON;
        seen = look_at(s, type, p + at + PGWIRE_HEADER, (n - at < total ? n - at : total) - PGWIRE_HEADER);
        if (seen != LOOK_ON)
            return seen;
    }
    return LOOK_ON;
}

bool reads_server(struct session *s, char *p, size_t n)
{
    struct reads *r = s->reads;

    if (r->phase != READS_AWAY || !r->staging)
        return false;
    switch (look(s, p, n)) {
    case LOOK_BAD:
        replay(s, s->server);
        return true;
    case LOOK_GOOD:
        r->staging = false;
        session_say(s, &r->held);
        buf_fini(&r->held);
        return s->stage != SESSION_LIVE;
    case LOOK_ON:
        break;
    }
    if (s->renumber != NULL) /* it answers what the door itself asked, too; what is the client's is held */
        return false;
    conn_keep(&s->server->conn, p, n);
    return true;
}

bool reads_hold(struct session *s, const char *p, size_t n)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_AWAY || !r->staging)
        return false;
    buf_add(&r->held, p, n);
    return true;
}

static void keep_twin(struct session *s, struct backend *twin)
{
    s->reads->twin = twin;
    twin->conn.want_read = true;
    conn_watch(&twin->conn, s->worker->epoll_fd);
}

static void over(struct session *s)
{
    keep_twin(s, reads_come_back(s));
    if (!reads_hear_home(s))
        return;
    if (!reads_on(s))
        twin_end(s);
    if (s->worker->holding || s->worker->warming) {
        if (reads_owes(s))
            reads_pay(s);
        hold_live(s);
    }
}

void reads_pending(struct session *s)
{
    struct backend *b = s->reads->home != NULL ? s->reads->home : s->reads->twin;

    if (b != NULL && conn_pending(&b->conn))
        backend_event(b, EPOLLIN);
}

static bool is_over(const struct session *s)
{
    return s->reads->phase == READS_AWAY && track_at_boundary(&s->track);
}

void reads_answered(struct session *s)
{
    if (is_over(s))
        atomic_fetch_add(&s->worker->counts.reads_target, 1);
}

void reads_ready(struct session *s)
{
    if (is_over(s))
        over(s);
}

/* --- lost --- */

static void lost_away(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r->staging) {
        replay(s, b);
    } else if (reads_quiet(&s->track) && s->track.status == 'T') {
        r->phase = READS_AWAY;
        reads_leave(s);
    } else if (s->client.left > 0 || b->conn.left > 0) {
        conn_close(&b->conn);
        session_leave(s);
    } else {
        session_refuse(s, "57P01", "the target ended the connection in the middle of an answer", "connect again");
    }
}

void reads_lost(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL) {
        backend_end(b);
        return;
    }
    if (b == r->home) {
        r->home_lost = true;
        conn_close(&b->conn);
        return;
    }
    r->again_us = s->worker->now_us + READS_AGAIN_US;
    if (b == s->server) {
        if (s->stage == SESSION_LIVE)
            lost_away(s, b);
        else
            conn_close(&b->conn);
        return;
    }
    twin_end(s);
    if (r->phase == READS_MAKING || r->phase == READS_WAITING)
        reads_go_home(s);
}
