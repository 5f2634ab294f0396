/* shift/door_hold.c — one worker's part in a switch: sessions held at their boundary, warmed, and let go.
 *
 * Counting: a session that is being connected or lives, and is to be held, is in exactly one of unheld (AWAITED, INSPECTING, EXCUSED)
 * and held (HELD and all after it). Whoever waits to be let in counts for neither: it has no session on any server. */
#include "shift/door_reads.h"

#include <string.h>

#include "base/world.h"

#define AT_ONCE_OF 256   /* sessions: of so many one is in hand at one time, beforehand; */
#define SLOW_US 100000   /* and one more where none of those came to an end for so long */
#define ROUND_US 10000      /* at least, from one round through all sessions to the next */
#define HURRY_AT_ONCE 16 /* connections a worker makes at one time while clients wait */
#define MOST_PAUSES (1 << 20)

/* --- being held --- */

static void await(struct session *s)
{
    s->move = MOVE_AWAITED;
    atomic_fetch_add(&s->worker->counts.unheld, 1);
}

/* As the server was told last, else as the client began. */
static const char *application(const struct session *s)
{
    size_t at = 0;
    const char *name;
    const char *value;

    while (params_next(&s->told, &at, &name, &value))
        if (strcmp(name, "application_name") == 0)
            return value;
    return s->application != NULL ? s->application : "";
}

static json_t *name_client(const struct session *s)
{
    char peer[64];
    AUTO_CHARS *user = mem_dup(s->user);
    AUTO_CHARS *name = mem_dup(application(s));

    text_tidy(user); /* in whatever encoding its client has */
    text_tidy(name);
    return json_pack("{s:s, s:s, s:s}", "client", session_peer(s, peer), "user", user, "application", name);
}

static void keep_last(struct worker *w, enum door_last which, json_t *one)
{
    pthread_mutex_lock(&w->pause_lock);
    json_decref(w->last[which]);
    w->last[which] = one;
    pthread_mutex_unlock(&w->pause_lock);
}

static double ms_since(int64_t us)
{
    return (double)(world_mono_us() - us) / 1000;
}

static void note_last_held(const struct session *s)
{
    json_t *one = name_client(s);

    json_object_set_new(one, "boundary_ms", json_real((double)(s->boundary_us - s->worker->hold_us) / 1000));
    json_object_set_new(one, "ms", json_real(ms_since(s->worker->hold_us)));
    keep_last(s->worker, LAST_HELD, one);
}

void hold_note_last_rebuilt(const struct session *s)
{
    json_t *one = name_client(s);

    json_object_set_new(one, "how", json_string(s->rebuild_how != NULL ? s->rebuild_how : ""));
    json_object_set_new(one, "ms", json_real(ms_since(s->worker->rebuild_us)));
    keep_last(s->worker, LAST_REBUILT, one);
}

static void count_held(struct session *s)
{
    struct counts *c = &s->worker->counts;

    s->move = MOVE_HELD;
    atomic_fetch_add(&c->held, 1);
    if (atomic_load(&c->unheld) == 1)
        note_last_held(s); /* before it is known that all are held */
    if (atomic_fetch_sub(&c->unheld, 1) == 1)
        worker_kick_control(s->worker);
}

void hold_look(struct session *s)
{
    if (s->move != MOVE_AWAITED || !hold_may_talk(s))
        return;
    if (s->unnamed_away) { /* then it is looked at again */
        reads_pay(s);
        return;
    }
    s->move = MOVE_INSPECTING;
    s->boundary_us = world_mono_us();
    if (move_need_not_ask(s)) {
        hold_inspected(s, NULL);
        return;
    }
    atomic_fetch_add(&s->worker->counts.asked, 1);
    move_inspect(s);
}

static void terminate(struct session *s)
{
    char text[256];

    snprintf(text, sizeof text, "this session cannot be moved to another server: %s", s->why);
    session_refuse(s, "57P01", text, "connect again: the new session is on the server that serves");
}

void hold_inspected(struct session *s, const char *unmovable)
{
    if (s->move != MOVE_INSPECTING)
        return;
    snprintf(s->why, sizeof s->why, "%s", unmovable != NULL ? unmovable : "");
    if (unmovable == NULL) {
        count_held(s);
        return;
    }
    if (s->worker->terminate) {
        terminate(s);
        return;
    }
    s->move = MOVE_EXCUSED;
    pass_resume(s);
}

void hold_new(struct session *s)
{
    if (s->worker->holding && s->move == MOVE_NONE)
        await(s);
}

static void note_pause(struct session *s)
{
    struct worker *w = s->worker;
    int64_t us = s->since_us != 0 ? world_mono_us() - s->since_us : 0;

    s->since_us = 0;
    pthread_mutex_lock(&w->pause_lock);
    if (w->pause_count < MOST_PAUSES) {
        if (w->pause_count == w->pause_size) {
            w->pause_size = w->pause_size != 0 ? w->pause_size * 2 : 64;
            w->pauses_us = mem_grow(w->pauses_us, w->pause_size * sizeof *w->pauses_us);
        }
        w->pauses_us[w->pause_count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    }
    pthread_mutex_unlock(&w->pause_lock);
}

/* Out of whichever count it is in. */
static void uncount(struct session *s)
{
    struct counts *c = &s->worker->counts;
    enum session_move was = s->move;

    s->move = MOVE_NONE;
    s->rebuild_wanted = false;
    if (was == MOVE_NONE)
        return;
    if (was == MOVE_REBUILDING)
        atomic_fetch_sub(&c->rebuilding, 1);
    if (was == MOVE_REBUILT)
        atomic_fetch_sub(&c->rebuilt, 1);
    if (was == MOVE_COLLECTING)
        atomic_fetch_sub(&c->moving, 1);
    atomic_fetch_sub(was >= MOVE_HELD ? &c->held : &c->unheld, 1);
    worker_kick_control(s->worker);
}

void hold_over(struct session *s)
{
    if (s->move >= MOVE_HELD || s->move == MOVE_INSPECTING)
        note_pause(s);
    uncount(s);
    move_forget(s);
    pass_resume(s);
}

bool hold_cancel(struct session *s)
{
    AUTO_BUF b = {0};

    if ((s->move < MOVE_HELD && s->move != MOVE_INSPECTING) || !s->stopped || s->client.kept.len == 0 || s->swallow)
        return false;
    pgwire_error(&b, "ERROR", "57014", "canceling statement due to user request", "It had not been sent to a server: the door holds its sessions.", NULL);
    s->swallow = true;
    s->since_us = 0;
    session_say(s, &b);
    if (s->stage == SESSION_LIVE)
        pass_resume(s);
    return true;
}

/* --- warm ---
 *
 * A server takes ten to twenty milliseconds of a processor for a session: a connection, what it is, what it is made.
 * Beforehand that is spread out, one after the other, for the sake of those who work meanwhile (ADR 18). */

static bool has_room(const struct worker *w, int hurried)
{
    int64_t most = 1 + atomic_load(&w->counts.live) / AT_ONCE_OF;

    if (w->hurry)
        return hurried < HURRY_AT_ONCE;
    return w->connecting + w->in_hand < most || w->now_us - w->in_hand_us > SLOW_US;
}

/* What a warm waits for: not those who came after it had begun, or it would have no end where clients come and go. */
static void count_warming(const struct session *s, int by)
{
    if (!s->came_late)
        atomic_fetch_add(&s->worker->counts.warming, by);
}

void hold_count_preparing(struct session *s, int by)
{
    if (!s->came_late && atomic_fetch_add(&s->worker->counts.preparing, by) + by == 0)
        worker_kick_control(s->worker);
}

/* The next warm is theirs, too. */
static void count_late(struct session *s)
{
    if (!s->came_late)
        return;
    s->came_late = false;
    count_warming(s, s->warm == WARM_WANTED || s->warm == WARM_OPENING);
    hold_count_preparing(s, s->preparing);
}

bool hold_take_in_hand(struct session *s)
{
    struct worker *w = s->worker;

    if (s->in_hand)
        return true;
    if (!w->hurry && (s->warm == WARM_WANTED || s->warm == WARM_OPENING))
        return false;
    if (!has_room(w, 0)) {
        w->passed_over = true;
        return false;
    }
    s->in_hand = true;
    w->in_hand++;
    w->in_hand_us = w->now_us;
    return true;
}

void hold_out_of_hand(struct session *s)
{
    struct worker *w = s->worker;

    s->in_hand = false;
    w->in_hand--;
    w->in_hand_us = w->now_us;
    w->prepare_due = true;
}

static void open_warm(struct session *s)
{
    struct worker *w = s->worker;

    s->warm = WARM_OPENING;
    w->connecting++;
    w->in_hand_us = w->now_us;
    backend_open_warm(s, w->warm_side);
}

void hold_prepare_some(struct worker *w)
{
    w->prepare_due = false;
    if (w->warm_next == NULL && w->passed_over && w->now_us - w->round_us > ROUND_US) {
        w->warm_next = w->sessions;
        w->passed_over = false;
        w->round_us = w->now_us;
    }
    while ((w->warming || w->holding) && w->warm_next != NULL && has_room(w, w->connecting)) {
        struct session *s = w->warm_next;

        w->warm_next = s->next;
        if (s->warm == WARM_WANTED)
            open_warm(s);
        else
            move_survey(s);
    }
}

static void want_warm(struct session *s)
{
    struct worker *w = s->worker;

    if (s->warm != WARM_NONE || (s->stage != SESSION_LIVE && s->stage != SESSION_CONNECTING))
        return;
    s->warm = WARM_WANTED;
    count_warming(s, 1);
    w->warm_next = w->sessions;
    w->prepare_due = true;
}

/* A client that a release cannot keep. */
static void lose(struct session *s, const char *why)
{
    atomic_fetch_add(&s->worker->counts.lost, 1);
    session_refuse(s, "57P01", why, "connect again");
}

void hold_backend(struct backend *b)
{
    struct session *s = b->session;
    struct worker *w = s->worker;

    if (s->warm == WARM_OPENING)
        count_warming(s, -1);
    if (b->stage == BACKEND_READY) {
        s->warm = WARM_READY;
        atomic_fetch_add(&w->counts.warm, 1);
        if (s->rebuild_wanted)
            move_rebuild(s);
        else if (s->state != NULL)
            move_prepare(s);
        else
            move_survey(s);
    } else {
        const char *why = b->error.len > PGWIRE_HEADER ? pgwire_error_field(b->error.data + PGWIRE_HEADER, b->error.len - PGWIRE_HEADER, 'M') : NULL;

        if (s->warm == WARM_READY)
            atomic_fetch_sub(&w->counts.warm, 1);
        if (s->warm != WARM_FAILED)
            atomic_fetch_add(&w->counts.cold, 1);
        s->warm = WARM_FAILED;
        snprintf(s->why, sizeof s->why, "%s", why != NULL ? why : "the other server hung up");
        s->other = NULL;
        move_cool(s);
        backend_end(b);
        if (s->move == MOVE_REBUILDING || s->move == MOVE_REBUILT)
            move_rebuilt(s, s->why);
        else if (s->move == MOVE_COLLECTING)
            lose(s, "the new server ended this session before it had moved");
    }
    w->prepare_due = true;
    worker_kick_control(w);
}

/* The other connection is of no use any more, or has become the session's. */
void hold_cool(struct session *s)
{
    struct counts *c = &s->worker->counts;
    enum session_warm was = s->warm;

    s->warm = WARM_NONE;
    if (was == WARM_WANTED || was == WARM_OPENING)
        count_warming(s, -1);
    else if (was == WARM_READY)
        atomic_fetch_sub(&c->warm, 1);
    else if (was == WARM_FAILED)
        atomic_fetch_sub(&c->cold, 1);
    move_cool(s);
    if (s->other == NULL)
        return;
    if (s->other->stage == BACKEND_READY)
        backend_retire(TAKE(s->other));
    else
        backend_end(TAKE(s->other));
}

void hold_forget(struct session *s)
{
    if (s->worker->warm_next == s)
        s->worker->warm_next = s->next;
    uncount(s);
    hold_cool(s);
    move_forget(s);
}

/* --- orders --- */

static void hold(struct worker *w, bool unmovable_end)
{
    struct session *next;

    w->holding = true;
    w->hurry = true;
    w->hold_us = world_mono_us();
    keep_last(w, LAST_HELD, NULL);
    keep_last(w, LAST_REBUILT, NULL);
    w->terminate = unmovable_end;
    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->reads != NULL)
            reads_stop(s); /* which may find its server gone */
        if (s->move == MOVE_NONE && (s->stage == SESSION_LIVE || s->stage == SESSION_CONNECTING))
            await(s);
    }
    for (struct session *s = w->sessions; s != NULL; s = next) { /* all are counted: the last one is known as such */
        next = s->next;
        hold_look(s);
    }
}

static void rebuild_one(struct session *s)
{
    if (s->warm == WARM_READY) {
        move_rebuild(s);
        return;
    }
    if (s->warm == WARM_FAILED)
        hold_cool(s);
    s->rebuild_wanted = true;
    s->rebuild_how = "its connection to the other side was made";
    want_warm(s);
}

static void rebuild(struct worker *w, enum side side)
{
    struct session *next;

    w->warm_side = side;
    w->rebuild_us = world_mono_us();
    for (struct session *s = w->sessions; s != NULL; s = s->next) { /* all are counted: the last one is known as such */
        if (s->move != MOVE_HELD && s->move != MOVE_FAILED)
            continue;
        s->move = MOVE_REBUILDING;
        s->rebuild_how = NULL;
        s->rebuild_wanted = false;
        atomic_fetch_add(&w->counts.rebuilding, 1);
    }
    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->move == MOVE_REBUILDING)
            rebuild_one(s);
    }
}

static void release_here(struct session *s)
{
    hold_cool(s);
    move_forget_question(s);
    if (s->server_lost) {
        session_refuse(s, "57P01", "the server ended this session while it was held", "connect again");
        return;
    }
    hold_over(s);
}

static void release_there(struct session *s)
{
    if (s->move == MOVE_REBUILT) {
        move_collect(s);
        return;
    }
    if (s->stage != SESSION_LIVE && s->stage != SESSION_CONNECTING)
        return;
    lose(s, "the server behind this door has changed, and this session had not been rebuilt on the new one");
}

static void connect_parked(struct worker *w)
{
    struct session *next;

    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->stage == SESSION_PARKED)
            session_connect(s);
    }
}

static void release(struct worker *w, enum side side)
{
    struct session *next;

    w->holding = false;
    w->warming = false;
    w->hurry = false;
    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->server == NULL || session_side(s) == side)
            release_here(s);
        else
            release_there(s);
    }
    connect_parked(w);
    worker_kick_control(w);
}

static void warm(struct worker *w, enum side side)
{
    struct session *next;

    w->warming = true;
    w->hurry = w->holding;
    w->warm_side = side;
    backend_end_retired(w, INT32_MAX); /* their places are wanted */
    for (struct session *s = w->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->server == NULL || session_side(s) == side)
            continue;
        if (s->reads != NULL)
            reads_stop(s);
        count_late(s);
        if (s->warm == WARM_FAILED && s->move == MOVE_NONE)
            hold_cool(s); /* what was in its way may have been mended */
        want_warm(s);
        move_want_survey(s);
    }
    w->warm_next = w->sessions;
    w->prepare_due = true;
}

/* Those that worked since are asked again, while it is not known yet whether they are to be held. */
static void survey(struct worker *w)
{
    struct session *next;

    w->hurry = true;
    for (struct session *s = w->sessions; w->warming && s != NULL; s = next) {
        next = s->next;
        if (s->server == NULL || session_side(s) == w->warm_side || s->reads != NULL)
            continue;
        move_want_survey(s);
        move_survey(s);
    }
}

void hold_live(struct session *s)
{
    struct worker *w = s->worker;

    hold_look(s);
    if (!w->warming || s->stage != SESSION_LIVE || session_side(s) == w->warm_side)
        return;
    s->came_late = s->came_late || (s->warm == WARM_NONE && !s->preparing);
    want_warm(s);
    move_want_survey(s);
    move_survey(s);
}

/* --- who, and why --- */

static const char *why_unheld(const struct session *s, char text[200])
{
    char status = s->track.status;

    if (s->move == MOVE_EXCUSED)
        snprintf(text, 200, "cannot move: %s", s->why);
    else if (s->track.copying_in || s->track.copying_out)
        snprintf(text, 200, "in the middle of COPY");
    else if (s->stage == SESSION_CONNECTING)
        snprintf(text, 200, "its server connection is being made");
    else if (s->track.count == 0 && (status == 'T' || status == 'E'))
        snprintf(text, 200, "idle in a transaction");
    else if (status == 'T' || status == 'E')
        snprintf(text, 200, "a statement in a transaction");
    else if (s->track.open)
        snprintf(text, 200, "messages without Sync");
    else
        snprintf(text, 200, "a statement runs");
    return text;
}

static bool is_meant(const struct session *s, enum door_list_what what)
{
    switch (what) {
    case LIST_UNMOVABLE:
        return s->stage == SESSION_LIVE && (s->track.copying_in || s->track.copying_out || (s->why[0] != '\0' && s->move != MOVE_FAILED && s->warm != WARM_FAILED));
    case LIST_UNHELD:
        return s->move == MOVE_AWAITED || s->move == MOVE_INSPECTING || s->move == MOVE_EXCUSED;
    case LIST_COLD:
        return s->warm == WARM_FAILED;
    case LIST_NOT_REBUILT:
        return s->move == MOVE_FAILED || s->move == MOVE_REBUILDING;
    case LIST_BACKENDS:
        break;
    }
    return false;
}

static json_t *describe(const struct session *s, enum door_list_what what)
{
    char text[200];
    const char *why =
        what == LIST_UNHELD || (what == LIST_UNMOVABLE && s->why[0] == '\0') ? why_unheld(s, text) : s->why;
    AUTO_CHARS *reason = mem_dup(why[0] != '\0' ? why : "its answer is awaited");
    json_t *one = name_client(s);

    text_tidy(reason);
    json_object_set_new(one, what == LIST_UNHELD ? "what" : "why", json_string(reason));
    return one;
}

static void add_backend(const struct backend *b, enum side side, json_t *to)
{
    if (b != NULL && b->side == side && b->pid != 0)
        json_array_append_new(to, json_integer(b->pid));
}

/* Every connection to that side, by the number its server gave it; those about to be ended, too. */
static void list_backends(const struct worker *w, enum side side, json_t *to)
{
    for (const struct session *s = w->sessions; s != NULL; s = s->next) {
        add_backend(s->server, side, to);
        add_backend(s->other, side, to);
        if (s->reads != NULL) {
            add_backend(s->reads->twin, side, to);
            add_backend(s->reads->home, side, to);
        }
    }
    for (const struct backend *b = w->old; b != NULL; b = b->next)
        add_backend(b, side, to);
}

static void list(struct worker *w, const struct order *order)
{
    struct door_list *l = order->list;

    pthread_mutex_lock(&l->lock);
    if (order->what == LIST_BACKENDS)
        list_backends(w, order->side, l->array);
    for (struct session *s = w->sessions; s != NULL && l->left > 0; s = s->next) {
        json_t *one = is_meant(s, order->what) ? describe(s, order->what) : NULL;

        if (one == NULL)
            continue;
        json_array_append_new(l->array, one);
        l->left--;
    }
    if (--l->pending == 0)
        pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
}

void hold_order(struct worker *w, const struct order *order)
{
    switch (order->kind) {
    case ORDER_HOLD:
        hold(w, order->terminate);
        break;
    case ORDER_WARM:
        warm(w, order->side);
        break;
    case ORDER_SURVEY:
        survey(w);
        break;
    case ORDER_REBUILD:
        rebuild(w, order->side);
        break;
    case ORDER_RELEASE:
        release(w, order->side);
        break;
    case ORDER_LIST:
        list(w, order);
        break;
    default:
        break;
    }
}
