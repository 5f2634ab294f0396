/* shift/door_reads.c — one session whose reads may go to the target: where the next thing its client sends goes, and what becomes of it.
 * States and invariants: door_reads.h. */
#include "shift/door_reads.h"

#include <strings.h>
#include <sys/epoll.h>

#define WAITED_US 5000 /* less is no waiting */
#define SAYS_MOST 1024

static const char begin_at_source[] = "START TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY";

static void leave(struct session *s);

/* --- small --- */

enum side session_side(const struct session *s)
{
    return s->reads != NULL && s->reads->home != NULL ? s->reads->home->side : s->server->side;
}

static bool is_quiet(const struct track *t)
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

static void wait_here(struct session *s, const char *p, size_t n)
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

static void unlist(struct session *s)
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
    return n > 0 && (*p == 'Q' || (*p == 'P' && n > PGWIRE_HEADER && p[PGWIRE_HEADER] == '\0'));
}

static bool owes(struct session *s)
{
    return s->reads->owes_unnamed && s->unnamed.len > 0;
}

static void paid(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_LEAVING)
        return;
    if (b->talk.errors > 0)
        buf_clear(&s->unnamed);
    r->owes_unnamed = false;
    r->phase = READS_HOME;
    r->pass_once = s->stopped;
    move_survey(s);
    if (s->stopped)
        pass_resume(s);
}

static void pay(struct session *s)
{
    AUTO_BUF out = {0};

    s->reads->phase = READS_LEAVING;
    buf_add(&out, s->unnamed.data, s->unnamed.len);
    pgwire_sync(&out);
    backend_talk(s->server, &out, 1, paid);
}

/* --- to the source --- */

/* What waits goes to the source, and is not looked at again. */
static void go_home(struct session *s)
{
    struct reads *r = s->reads;

    unlist(s);
    r->phase = READS_HOME;
    r->pass_once = true;
    if (owes(s) && !replaces_unnamed(s->client.kept.data, s->client.kept.len)) {
        pay(s);
        return;
    }
    r->owes_unnamed = false;
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

/* At once. False: the caller passes it on. */
static bool send_home(struct session *s, const char *p, size_t n, const struct batch *b)
{
    struct reads *r = s->reads;

    if (b->kind == BATCH_OTHER || b->kind == BATCH_READ_BEGIN || n > b->len)
        r->known = false;
    r->asks_begin = r->asks_begin || says_only(p, n);
    if (owes(s) && !replaces_unnamed(p, n)) {
        wait_here(s, p, n);
        r->batch_len = b->len;
        pay(s);
        return true;
    }
    r->owes_unnamed = false;
    return false;
}

/* --- there and back --- */

static void tell_changes(struct session *s)
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

/* Only the pointers: whatever state the twin is in. Gives it, for it is the caller's to keep or end. */
static struct backend *come_back(struct session *s)
{
    struct reads *r = s->reads;
    struct backend *twin = s->server;

    ENSURE(r->home != NULL && twin->twin);
    unlist(s);
    s->server = TAKE(r->home);
    r->renumber = TAKE(s->renumber);
    r->phase = READS_HOME;
    r->staging = false;
    r->left = 0;
    r->batch_len = 0;
    buf_fini(&r->held);
    buf_fini(&r->batch);
    return twin;
}

/* What its server said meanwhile. False: it is gone, and the session with it. */
static bool hear_home(struct session *s)
{
    if (s->reads->home_lost) {
        session_refuse(s, "57P01", "the server ended this session while it read elsewhere", "connect again");
        return false;
    }
    if (s->server->params.len > 0 || s->server->heard.len > 0)
        tell_changes(s);
    return s->stage == SESSION_LIVE;
}

static void keep_twin(struct session *s, struct backend *twin)
{
    s->reads->twin = twin;
    twin->conn.want_read = true;
    conn_watch(&twin->conn, s->worker->epoll_fd);
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

    unlist(s);
    r->phase = READS_AWAY;
    r->staging = s->track.status != 'E'; /* what fails there failed before */
    r->before = s->track;
    r->left = r->batch_len;
    buf_clear(&r->batch);
    buf_add(&r->batch, s->client.kept.data, r->batch_len);
    memcpy(in, s->client.kept.data, n);
    send_part(s, in, n);
}

static void go(struct session *s)
{
    struct reads *r = s->reads;

    if (s->worker->now_us - r->since_us > WAITED_US)
        atomic_fetch_add(&s->worker->counts.reads_waited, 1);
    if (r->home == NULL) {
        r->home = s->server;
        s->server = TAKE(r->twin);
        s->renumber = TAKE(r->renumber);
    }
    r->owes_unnamed = r->owes_unnamed || r->makes_unnamed || r->needs_unnamed;
    send_batch(s);
}

/* --- made ready --- */

static void ask_fresh(struct session *s)
{
    s->reads->phase = READS_WAITING;
    s->reads->asked = fresh_ask(s->worker->door->fresh);
}

static void give_up(struct session *s)
{
    if (s->reads->home != NULL)
        leave(s);
    else
        go_home(s);
}

static void unnamed_given(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_MAKING)
        return;
    if (b->talk.errors > 0)
        give_up(s);
    else
        ask_fresh(s);
}

/* The unnamed statement of before, in the twin's numbers. */
static void give_unnamed(struct session *s, struct backend *twin)
{
    AUTO_BUF out = {0};
    struct fault f = {0};

    buf_add(&out, s->unnamed.data, s->unnamed.len);
    if (type_map_parse(door_types_way_between(s->worker->door, SIDE_SOURCE, SIDE_TARGET), out.data + PGWIRE_HEADER, out.len - PGWIRE_HEADER, &f) != ERR_OK) {
        give_up(s);
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
        go_home(s);
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
        go_home(s);
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
        go_home(s);
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
    if (r->twin != NULL && r->twin->stage == BACKEND_READY && r->map != atomic_load(&s->worker->door->types))
        twin_end(s); /* it knows other types than there are by now */
    if (r->twin == NULL) {
        r->map = atomic_load(&s->worker->door->types);
        twin_open(s);
        return false;
    }
    return r->twin->stage == BACKEND_READY && r->twin->talk.ready_left == 0;
}

static void begin(struct session *s, const char *p, size_t n, const struct batch *b)
{
    struct reads *r = s->reads;

    wait_here(s, p, n);
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
        return false;
    }
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
    wait_here(s, p, n);
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
        wait_here(s, p, n);
        r->batch_len = b.len;
        r->since_us = s->worker->now_us;
        r->needs_unnamed = b.unnamed_before && !r->owes_unnamed;
        r->makes_unnamed = b.makes_unnamed;
        list(s);
        if (r->needs_unnamed)
            give_unnamed(s, s->server);
        else
            ask_fresh(s);
        return true;
    default:
        wait_here(s, p, n);
        leave(s);
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
    if (!is_quiet(&s->track)) {
        wait_here(s, p, n);
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
        wait_here(s, p, n);
        return true;
    }
}

/* --- in the middle of a transaction, to the source --- */

static void left(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r == NULL || r->phase != READS_LEAVING)
        return;
    if (b->talk.errors > 0 && b->talk.error_left == 1) {
        session_refuse(s, "57P01", "a transaction that read on the target could not be begun on the source", "try again");
        return;
    }
    r->owes_unnamed = false;
    r->phase = READS_HOME;
    s->track = (struct track){.status = 'T'};
    r->pass_once = s->stopped;
    if (s->stopped)
        pass_resume(s);
}

static void begin_home(struct session *s)
{
    AUTO_BUF out = {0};
    size_t begin;
    int ready = 1;

    s->reads->phase = READS_LEAVING;
    s->reads->known = false;
    s->track = (struct track){.status = 'T'};
    if (owes(s)) {
        buf_add(&out, s->unnamed.data, s->unnamed.len);
        pgwire_sync(&out);
        ready++;
    }
    begin = pgwire_begin(&out, 'Q');
    pgwire_add_string(&out, begin_at_source);
    pgwire_end(&out, begin);
    backend_talk(s->server, &out, ready, left);
}

/* READ COMMITTED: what comes next has its own snapshot, and the source is never behind the target. */
static void leave(struct session *s)
{
    struct backend *twin = come_back(s);

    backend_end(twin); /* its transaction ends with it */
    twin_end(s);
    if (hear_home(s))
        begin_home(s);
}

/* --- from the server --- */

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
    (void)come_back(s);
    if (twin != NULL)
        backend_end(twin);
    twin_end(s);
    s->client.left = 0;
    wait_here(s, again.data, again.len);
    if (!hear_home(s))
        return;
    if (in_transaction)
        begin_home(s);
    else
        go_home(s);
}

/* What it says to its client must be in the client's numbers. */
static bool numbers_known(const struct session *s, char type, const char *body, size_t n)
{
    struct type_way down = door_types_way_between(s->worker->door, SIDE_TARGET, SIDE_SOURCE);
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

static void over(struct session *s)
{
    atomic_fetch_add(&s->worker->counts.reads_target, 1);
    keep_twin(s, come_back(s));
    if (!hear_home(s))
        return;
    if (!reads_on(s))
        twin_end(s);
    if (s->worker->holding || s->worker->warming) {
        if (owes(s))
            pay(s);
        hold_live(s);
    }
}

void reads_pending(struct session *s)
{
    struct backend *b = s->reads->home != NULL ? s->reads->home : s->reads->twin;

    if (b != NULL && conn_pending(&b->conn))
        backend_event(b, EPOLLIN);
}

void reads_ready(struct session *s)
{
    if (s->reads->phase == READS_AWAY && track_at_boundary(&s->track))
        over(s);
}

/* --- lost --- */

static void lost_away(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;

    if (r->staging) {
        replay(s, b);
    } else if (is_quiet(&s->track) && s->track.status == 'T') {
        r->phase = READS_AWAY;
        leave(s);
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
        go_home(s);
}

/* --- orders, clocks, its life --- */

static void look_again(struct worker *w, void (*what)(struct session *s))
{
    struct session *next;

    for (struct session *s = w->waiting; s != NULL; s = next) {
        next = s->reads->next_waiting;
        what(s);
    }
}

static void go_if_fresh(struct session *s)
{
    if (s->reads->phase == READS_WAITING && s->reads->asked <= fresh_reached(s->worker->door->fresh))
        go(s);
}

static void expire(struct session *s)
{
    if (s->worker->now_us - s->reads->since_us < s->worker->door->store->reads_wait_us)
        return;
    if (s->reads->phase == READS_ASKING)
        return; /* the source answers that, late or not */
    atomic_fetch_add(&s->worker->counts.reads_late, 1);
    give_up(s);
}

void reads_expire(struct worker *w)
{
    look_again(w, expire);
}

static void take_names(struct worker *w, struct names_held *names)
{
    reading_cache_free(TAKE(w->readings));
    names_drop(w->names);
    w->names = names;
}

static void consider_all(struct worker *w)
{
    struct session *next;

    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->stage == SESSION_LIVE)
            reads_consider(s);
    }
}

void reads_order(struct worker *w, struct order *order)
{
    if (order->kind == ORDER_FRESH)
        look_again(w, go_if_fresh);
    else if (order->kind == ORDER_NAMES)
        take_names(w, order->names);
    else
        consider_all(w);
}

void reads_stop(struct session *s)
{
    struct reads *r = s->reads;

    if (r->home != NULL || r->phase == READS_LEAVING)
        return; /* it ends where it is */
    if (r->phase == READS_ASKING) { /* what waits goes on when the source has answered: reads_known() */
        unlist(s);
        r->phase = READS_HOME;
        twin_end(s);
        return;
    }
    twin_end(s);
    if (r->phase != READS_HOME)
        go_home(s);
    else if (owes(s) && s->stage == SESSION_LIVE && track_at_boundary(&s->track) && s->server->talk.ready_left == 0)
        pay(s);
}

static struct reads *reads_new(void)
{
    struct reads *r = mem_alloc(sizeof *r);

    r->asks_begin = true;
    return r;
}

void reads_consider(struct session *s)
{
    bool in = s->stage == SESSION_LIVE && reads_in_share(s);

    if (s->reads == NULL && in)
        s->reads = reads_new();
    if (s->reads == NULL)
        return;
    if (s->reads->counted != in)
        atomic_fetch_add(&s->worker->counts.reads_sessions, in ? 1 : -1);
    s->reads->counted = in;
    s->reads->off = !in;
    if (!in)
        reads_stop(s);
}

void reads_free(struct session *s)
{
    struct reads *r = s->reads;

    unlist(s);
    if (r->counted)
        atomic_fetch_sub(&s->worker->counts.reads_sessions, 1);
    if (r->home != NULL)
        backend_end(TAKE(r->home));
    twin_end(s);
    if (r->arena != NULL)
        arena_free(r->arena);
    buf_fini(&r->held);
    buf_fini(&r->batch);
    s->reads = NULL;
    free(r);
}
