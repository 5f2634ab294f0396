/* shift/door_reads.c — one session whose reads may go to the target: where the next thing its client sends goes, and what becomes of it.
 * States and invariants: door_reads.h. */
#include "shift/door_reads.h"

#include <strings.h>
#include <sys/epoll.h>

#include "wire/messages.h"

#define WAITED_US 5000 /* less is no waiting */
#define SAYS_MOST 1024

#define BEGIN_NAME "leat.door.begin"

static const char begin_at_source[] = "START TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY";

/* --- small --- */

enum side session_side(const struct session *s)
{
    return s->reads != NULL && s->reads->home != NULL ? s->reads->home->side : s->server->side;
}

bool reads_quiet(const struct track *t)
{
    return t->count == 0 && !t->open && !t->copying_in && !t->copying_out;
}

static bool reads_strings_plainly(const struct session *s)
{
    size_t at = 0;
    const char *name;
    const char *value;

    while (params_next(&s->told, &at, &name, &value))
        if (strcmp(name, "standard_conforming_strings") == 0)
            return strcmp(value, "on") == 0;
    return false;
}

bool reads_on(const struct session *s)
{
    const struct worker *w = s->worker;

    return !s->reads->off && w->names != NULL && !w->holding && !w->warming && s->move == MOVE_NONE && atomic_load(&w->door->side) == SIDE_SOURCE && session_side(s) == SIDE_SOURCE &&
           s->born == SIDE_SOURCE && reads_strings_plainly(s);
}

void reads_wait(struct session *s, const char *p, size_t n)
{
    conn_keep(&s->client, p, n);
    s->stopped = true;
}

/* --- those that wait, of a worker --- */

static void list(struct session *s)
{
    struct worker *w = s->worker;
    struct reads *r = s->reads;

    ENSURE(r->waiting_at == NULL);
    r->next_waiting = w->waiting;
    r->waiting_at = &w->waiting;
    if (w->waiting != NULL)
        w->waiting->reads->waiting_at = &r->next_waiting;
    w->waiting = s;
}

void reads_unlist(struct session *s)
{
    struct reads *r = s->reads;

    if (r->waiting_at == NULL)
        return;
    *r->waiting_at = r->next_waiting;
    if (r->next_waiting != NULL)
        r->next_waiting->reads->waiting_at = r->waiting_at;
    r->waiting_at = NULL;
    r->next_waiting = NULL;
}

/* --- the unnamed statement, which may be on the twin alone --- */

/* What the source is sent first takes its place, or cannot mean it. */
static bool replaces_unnamed(const char *p, size_t n)
{
    return n > 0 && (*p == 'Q' || *p == 'X' || (*p == 'P' && n > PGWIRE_HEADER && p[PGWIRE_HEADER] == '\0'));
}

bool reads_owes(const struct session *s)
{
    return s->unnamed_away;
}

/* Where there is none by now the source's, which is one of before, goes: else it could be carried out in the place of
 * one that is gone. */
static void add_unnamed(const struct session *s, struct buf *out)
{
    if (s->unnamed.text.len > 0)
        buf_add(out, s->unnamed.text.data, s->unnamed.text.len);
    else
        message_close_statement(out, "");
    pgwire_sync(out);
}

static void paid(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_LEAVING)
        return;
    if (b->talk.errors > 0)
        unnamed_none(&s->unnamed);
    s->unnamed_away = false;
    r->phase = READS_HOME;
    r->pass_once = s->stopped;
    move_survey(s);
    if (s->stopped)
        pass_resume(s);
}

void reads_pay(struct session *s)
{
    AUTO_BUF out = {0};

    s->reads->phase = READS_LEAVING;
    add_unnamed(s, &out);
    backend_talk(s->server, &out, 1, paid);
}

/* --- to the source --- */

/* What waits goes to the source, and is not looked at again. */
void reads_go_home(struct session *s)
{
    struct reads *r = s->reads;

    reads_unlist(s);
    r->phase = READS_HOME;
    r->pass_once = true;
    if (reads_owes(s) && !replaces_unnamed(s->client.kept.data, s->client.kept.len)) {
        reads_pay(s);
        return;
    }
    pass_resume(s);
}

/* Whether it may say that transactions only read from now on: the word is in every way to say so. */
static bool says_only(const char *p, size_t n)
{
    for (size_t i = 0; i + 4 <= n && i < SAYS_MOST; i++)
        if ((p[i] | 0x20) == 'o' && strncasecmp(p + i, "only", 4) == 0)
            return true;
    return false;
}

/* Nothing of its client goes to the source before that is paid. False: it goes now. */
static bool pay_first(struct session *s, const char *p, size_t n, size_t batch_len)
{
    if (!reads_owes(s) || replaces_unnamed(p, n) || hold_stops(s, *p) || s->client.left > 0 ||
        s->server->talk.ready_left > 0 || !track_at_boundary(&s->track))
        return false; /* what waits anyhow comes again; of the last three none is so: since the twin was told nothing
                         went there */
    reads_wait(s, p, n);
    s->reads->batch_len = batch_len;
    reads_pay(s);
    return true;
}

/* At once. False: the caller passes it on. */
static bool send_home(struct session *s, const char *p, size_t n, const struct batch *b)
{
    struct reads *r = s->reads;

    if (b->kind == BATCH_OTHER || b->kind == BATCH_READ_BEGIN || n > b->len)
        r->known = false;
    r->asks_begin = r->asks_begin || says_only(p, n);
    return pay_first(s, p, n, b->len);
}

/* --- there and back --- */

/* Only the pointers: whatever state the twin is in. Gives it, for it is the caller's to keep or end. */
struct backend *reads_come_back(struct session *s)
{
    struct reads *r = s->reads;
    struct backend *twin = s->server;

    ENSURE(r->home != NULL && twin->twin);
    reads_unlist(s);
    s->server = TAKE(r->home);
    r->renumber = TAKE(s->renumber);
    r->phase = READS_HOME;
    r->staging = false;
    r->left = 0;
    r->batch_len = 0;
    r->has_unnamed = false;
    buf_fini(&r->held);
    buf_fini(&r->batch);
    return twin;
}

/* What its server said meanwhile. False: it is gone, and the session with it. */
bool reads_hear_home(struct session *s)
{
    if (s->reads->home_lost) {
        session_refuse(s, "57P01", "the server ended this session while it read elsewhere", "connect again");
        return false;
    }
    if (s->server->params.len > 0 || s->server->heard.len > 0)
        session_tell_changes(s);
    return s->stage == SESSION_LIVE;
}

static void send_part(struct session *s, char *p, size_t n)
{
    struct reads *r = s->reads;
    size_t done = pass_part(s, p, n, n < r->left ? n : r->left);

    if (s->stage != SESSION_LIVE)
        return;
    r->left -= done;
    pass_watch(s);
}

/* The first batch_len bytes of what waits. */
static void send_batch(struct session *s)
{
    struct reads *r = s->reads;
    size_t n = s->client.kept.len;
    char *in = worker_room(s->worker, n);

    reads_unlist(s);
    r->phase = READS_AWAY;
    r->staging = s->track.status != 'E'; /* what fails there failed before */
    r->before = s->track;
    r->left = r->batch_len;
    buf_clear(&r->batch);
    buf_add(&r->batch, s->client.kept.data, r->batch_len);
    memcpy(in, s->client.kept.data, n);
    send_part(s, in, n);
}

void reads_go(struct session *s)
{
    struct reads *r = s->reads;

    if (s->worker->now_us - r->since_us > WAITED_US)
        atomic_fetch_add(&s->worker->counts.reads_waited, 1);
    if (r->home == NULL) {
        r->home = s->server;
        s->server = TAKE(r->twin);
        s->renumber = TAKE(r->renumber);
    }
    r->has_unnamed = r->has_unnamed || r->makes_unnamed || r->needs_unnamed;
    send_batch(s);
}

/* --- made ready --- */

static void ask_fresh(struct session *s)
{
    s->reads->phase = READS_WAITING;
    s->reads->asked = fresh_ask(s->worker->door->fresh);
}

void reads_give_up(struct session *s)
{
    if (s->reads->home != NULL)
        reads_leave(s);
    else
        reads_go_home(s);
}

static void unnamed_given(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_MAKING)
        return;
    if (b->talk.errors > 0)
        reads_give_up(s);
    else
        ask_fresh(s);
}

/* The unnamed statement of before, in the twin's numbers. */
static void give_unnamed(struct session *s, struct backend *twin)
{
    AUTO_BUF out = {0};
    struct fault f = {0};

    buf_add(&out, s->unnamed.text.data, s->unnamed.text.len);
    if (type_map_parse(door_types_way_between(s->worker, SIDE_SOURCE, SIDE_TARGET), out.data + PGWIRE_HEADER,
                       out.len - PGWIRE_HEADER, &f) != ERR_OK) {
        reads_give_up(s);
        return;
    }
    pgwire_sync(&out);
    s->reads->phase = READS_MAKING;
    backend_talk(twin, &out, 1, unnamed_given);
}

void reads_made(struct session *s, bool equal)
{
    struct reads *r = s->reads;

    if (r->phase != READS_MAKING)
        return;
    if (!equal || !reads_on(s) || r->twin == NULL)
        reads_go_home(s);
    else if (r->needs_unnamed)
        give_unnamed(s, r->twin);
    else
        ask_fresh(s);
}

/* What waits, as it is now that the session is known. */
static bool still_a_read(struct session *s)
{
    struct batch b;

    batch_of(s, s->client.kept.data, s->client.kept.len, false, &b);
    return (b.kind == BATCH_READ || b.kind == BATCH_READ_BEGIN) && b.len == s->reads->batch_len;
}

static void make(struct session *s)
{
    struct reads *r = s->reads;

    if (!r->fit || r->wanted == NULL || r->twin == NULL || r->twin->talk.ready_left > 0 || !reads_on(s)) {
        reads_go_home(s);
        return;
    }
    r->phase = READS_MAKING;
    twin_make(s);
}

static void make_if_read(struct session *s)
{
    if (reads_on(s) && still_a_read(s))
        make(s);
    else
        reads_go_home(s);
}

void reads_known(struct session *s)
{
    if (s->reads->phase == READS_ASKING)
        make_if_read(s);
    else if (s->stopped && s->reads->phase == READS_HOME)
        pass_resume(s); /* a switch began meanwhile */
}

/* --- from the client --- */

static bool twin_ready(struct session *s)
{
    struct reads *r = s->reads;
    bool fits = r->known ? r->fit : s->worker->now_us >= r->again_us;

    if (!fits)
        return false;
    if (r->twin != NULL && r->twin->stage == BACKEND_READY && r->map != s->worker->types)
        twin_end(s); /* it knows other types than there are by now */
    if (r->twin == NULL) {
        type_map_drop(r->map);
        r->map = type_map_hold(s->worker->types);
        twin_open(s);
        return false;
    }
    return r->twin->stage == BACKEND_READY && r->twin->talk.ready_left == 0;
}

static void begin(struct session *s, const char *p, size_t n, const struct batch *b)
{
    struct reads *r = s->reads;

    reads_wait(s, p, n);
    r->batch_len = b->len;
    r->needs_unnamed = b->unnamed_before;
    r->makes_unnamed = b->makes_unnamed;
    r->since_us = s->worker->now_us;
    list(s);
    if (r->known) {
        make(s);
        return;
    }
    r->phase = READS_ASKING;
    twin_ask(s);
}

static bool client_home(struct session *s, char *p, size_t n)
{
    struct reads *r = s->reads;
    struct batch b;

    if (r->pass_once) {
        r->pass_once = false;
        r->known = r->known && n <= r->batch_len;
        return false;
    }
    if (s->client.left > 0 || s->swallow || !track_at_boundary(&s->track) || s->server->talk.ready_left > 0 || !reads_on(s)) {
        r->known = false;
        return pay_first(s, p, n, n);
    }
    r->known = r->known && door_customs_are_asked(s);
    batch_of(s, p, n, false, &b);
    switch (b.kind) {
    case BATCH_MORE:
        conn_keep(&s->client, p, n);
        s->stopped = false;
        return true;
    case BATCH_READ:
    case BATCH_READ_BEGIN:
        if (!twin_ready(s))
            return send_home(s, p, n, &b);
        begin(s, p, n, &b);
        return true;
    default:
        return send_home(s, p, n, &b);
    }
}

/* Up to the end of the first Query, Sync or FunctionCall; all of it where there is none. */
static size_t first_batch(const struct session *s, const char *p, size_t n)
{
    uint32_t total = 0;
    char type = 0;

    for (size_t at = s->client.left; at < n && pgwire_frame(PGWIRE_CLIENT, p + at, n - at, &type, &total) == PGWIRE_FRAME; at += total)
        if (type == 'Q' || type == 'S' || type == 'F')
            return at + total < n ? at + total : n;
    return n;
}

/* Without asking where the target is: what is refused there anyhow, what ends the transaction, the rest of a batch. */
static bool send_on(struct session *s, char *p, size_t n, size_t len)
{
    reads_wait(s, p, n);
    s->reads->batch_len = len;
    send_batch(s);
    return true;
}

/* Within a transaction on the twin: as the first of it, each of its statements sees what was committed before. */
static bool client_in_transaction(struct session *s, char *p, size_t n)
{
    struct reads *r = s->reads;
    struct batch b;

    batch_of(s, p, n, true, &b);
    switch (b.kind) {
    case BATCH_MORE:
        conn_keep(&s->client, p, n);
        s->stopped = false;
        return true;
    case BATCH_READ_END:
        return send_on(s, p, n, b.len);
    case BATCH_READ:
        reads_wait(s, p, n);
        r->batch_len = b.len;
        r->since_us = s->worker->now_us;
        r->needs_unnamed = b.unnamed_before && !r->has_unnamed;
        r->makes_unnamed = b.makes_unnamed;
        list(s);
        if (r->needs_unnamed)
            give_unnamed(s, s->server);
        else
            ask_fresh(s);
        return true;
    default:
        reads_wait(s, p, n);
        reads_leave(s);
        return true;
    }
}

static bool client_away(struct session *s, char *p, size_t n)
{
    struct reads *r = s->reads;

    if (r->left > 0) {
        send_part(s, p, n);
        return true;
    }
    if (s->track.open && s->track.status == 'E') { /* a batch that did not end in Sync, in a transaction that has failed */
        r->left = first_batch(s, p, n);
        send_part(s, p, n);
        return true;
    }
    if (!reads_quiet(&s->track)) {
        reads_wait(s, p, n);
        return true;
    }
    if (s->track.status == 'E')
        return send_on(s, p, n, first_batch(s, p, n));
    return client_in_transaction(s, p, n);
}

bool reads_client(struct session *s, char *p, size_t n)
{
    switch (s->reads->phase) {
    case READS_HOME:
        return client_home(s, p, n);
    case READS_AWAY:
        return client_away(s, p, n);
    default:
        reads_wait(s, p, n);
        return true;
    }
}

/* --- in the middle of a transaction, to the source --- */

static void left(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_LEAVING)
        return;
    if (b->talk.errors > 1 || (b->talk.errors > 0 && b->talk.error_left == 1)) {
        session_refuse(s, "57P01", "a transaction that read on the target could not be begun on the source", "try again");
        return;
    }
    if (b->talk.errors > 0)
        unnamed_none(&s->unnamed);
    s->unnamed_away = false;
    r->phase = READS_HOME;
    s->track = (struct track){.status = 'T'};
    r->pass_once = s->stopped;
    if (s->stopped)
        pass_resume(s);
}

/* By name: a Query would destroy the unnamed statement. */
static void add_begin(struct buf *out)
{
    size_t at = message_begin(out, 'P');

    message_string(out, BEGIN_NAME);
    message_string(out, begin_at_source);
    buf_add_u16be(out, 0);
    message_end(out, at);
    at = message_begin(out, 'B');
    message_string(out, "");
    message_string(out, BEGIN_NAME);
    buf_add(out, "\0\0\0\0\0", 6); /* no formats, no parameters, no formats of a result */
    message_end(out, at);
    message_execute(out);
    message_close_statement(out, BEGIN_NAME);
    message_sync(out);
}

void reads_begin_home(struct session *s)
{
    AUTO_BUF out = {0};
    int ready = 1;

    s->reads->phase = READS_LEAVING;
    s->reads->known = false;
    s->track = (struct track){.status = 'T'};
    if (reads_owes(s)) {
        add_unnamed(s, &out);
        ready++;
    }
    add_begin(&out);
    backend_talk(s->server, &out, ready, left);
}

/* READ COMMITTED: what comes next has its own snapshot, and the source is never behind the target. */
void reads_leave(struct session *s)
{
    struct backend *twin = reads_come_back(s);

    backend_end(twin); /* its transaction ends with it */
    twin_end(s);
    if (reads_hear_home(s))
        reads_begin_home(s);
}
