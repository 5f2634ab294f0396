/* shift/door_move.c — one session inspected on the old side, rebuilt and verified on the new, and swapped.
 *
 * Twice, and the second time while it is held. Beforehand (a warm): it is inspected at a boundary, made anew on its other connection,
 * and that one asked whether it is the same. While held: it is asked again; if it is still what it was made there, nothing is to be done.
 * Else the other one is emptied (DISCARD ALL) and made anew.
 *
 * On the old connection, at a boundary:   what it is; whether its unnamed statement is one (the last Parse may have failed)
 * On the new one, in one write:           all it was; what it is now; its unnamed statement, last, for any other would destroy it
 * Each of these ends in a Sync of its own: talk.error_left says in which one the first error was. */
#include "shift/door_internal.h"

#include <stdlib.h>
#include <string.h>

#include "shift/rebuild.h"

#define STATE_CHUNK 1024
#define NO_STATEMENT "26000"
#define COLLECT_US 5000000 /* a server that lives answers within that; from one that does not nothing is to be had */

static void move_prepared(struct session *s);

/* --- inspected --- */

static struct session_state *read_state(const struct backend *b, struct arena *arena, struct fault *f)
{
    struct session_state *state = NULL;

    if (session_state_parse_row(arena, b->talk.row.data, b->talk.row.len, &state, f) != ERR_OK)
        return NULL;
    return state;
}

static const char *other_request(struct session *s, struct buf *out, struct arena *arena)
{
    struct fault f = {0};
    struct rebuild r = {.state = s->state, .login_user = s->user, .types = door_types_way(s->worker, s->server->side)};

    if (rebuild_request(&r, out, &f) != ERR_OK)
        return arena_strdup(arena, f.why);
    return NULL;
}

static bool is_error(const struct backend *b, const char *state, int left)
{
    return b->talk.errors > 0 && b->talk.error_left == left && strncmp(buf_cstr(&b->talk.error), state, 5) == 0;
}

/* Why it cannot move; NULL: it can. Its unnamed statement is known to be none only if it is still the one that was
 * asked for: its client may have sent another behind the question. */
static const char *judge(struct session *s, struct backend *b)
{
    AUTO_BUF probe = {0};
    struct fault f = {0};
    const char *why = session_notes_unmovable(&s->notes);

    if (why != NULL)
        return why;
    if (b->talk.errors > 0 && !(s->inspect_unnamed && is_error(b, NO_STATEMENT, 1)))
        return arena_format(s->arena, "it could not be inspected: %s", buf_cstr(&b->talk.error));
    if (b->talk.errors > 0 && s->unchanged)
        unnamed_none(&s->unnamed); /* it had failed */
    else if (s->unchanged)
        s->unnamed.unsure = false;
    if (s->unnamed.unknown)
        return "its unnamed statement is larger than the door keeps";
    s->state = read_state(b, s->arena, &f);
    if (s->state == NULL)
        return arena_format(s->arena, "it could not be inspected: %s", f.why);
    why = session_unmovable(s->state, s->arena);
    return why != NULL ? why : other_request(s, &probe, s->arena);
}

/* Whether the other connection is just what the session is: it was made so beforehand, and nothing has changed. */
static bool is_made(struct session *s)
{
    return s->made != NULL && session_state_changed(s->made, s->state, s->arena) == NULL;
}

static bool same_unnamed(const struct session *s)
{
    return s->unnamed.text.len == s->made_unnamed.len &&
           memcmp(buf_cstr(&s->unnamed.text), buf_cstr(&s->made_unnamed), s->unnamed.text.len) == 0;
}

/* It has worked since the other connection was made, and is what it was. Where its unnamed statement is another it is asked once more
 * when it is held: that one is the last to be made. */
static void surveyed_again(struct session *s)
{
    s->unchanged = s->unchanged && same_unnamed(s);
    move_forget(s);
    move_prepared(s);
}

/* The question was gone with its client's DISCARD ALL, or the like. Where the client has sent something behind it the
 * answers that come next are its own: then not before its next boundary. */
static void inspect_in_full(struct session *s)
{
    s->inspect_kept = false;
    if (track_at_boundary(&s->track) && s->client.left == 0)
        move_inspect(s);
    else if (s->move == MOVE_NONE && s->preparing)
        s->survey_wanted = true;
    else
        move_prepared(s);
}

/* It was asked once more while it is to be rebuilt: what it was made before is lost. */
static void inspected_late(struct session *s, const char *why)
{
    if (why != NULL)
        move_rebuilt(s, why);
    else
        move_rebuild(s);
}

static void inspected(struct session *s, struct backend *b)
{
    const char *why;

    if (s->inspect_kept && is_error(b, NO_STATEMENT, s->inspect_unnamed ? 2 : 1)) {
        inspect_in_full(s);
        return;
    }
    move_forget(s);
    s->arena = arena_new(STATE_CHUNK);
    why = judge(s, b);
    if (why != NULL)
        s->unchanged = false;
    if (s->move == MOVE_INSPECTING) {
        if (s->other == NULL || s->other->talk.ready_left == 0)
            move_prepared(s); /* it is too late for what was wanted beforehand; what is under way ends */
        hold_inspected(s, why);
        return;
    }
    if (s->move == MOVE_REBUILDING) {
        inspected_late(s, why);
        return;
    }
    if (s->warm != WARM_FAILED) /* that is why it cannot move, then */
        snprintf(s->why, sizeof s->why, "%s", why != NULL ? why : "");
    if (why != NULL || s->move != MOVE_NONE)
        move_prepared(s);
    else if (is_made(s))
        surveyed_again(s);
    else
        move_prepare(s);
}

/* It is kept prepared in the session: asked again it costs the server a third. */
void move_add_question(struct session *s, struct buf *out)
{
    const char **names;
    size_t count;

    if (s->inspect_kept && door_customs_are_asked(s)) { /* names only come, none goes */
        inspect_again(out);
        return;
    }
    door_customs_fix(s);
    names = door_customs_asked(s, &count);
    inspect_keep(out, names, count, true);
    s->inspect_kept = true;
    free(names);
}

void move_add_request(const struct session *s, struct buf *out)
{
    size_t count;
    const char **names = door_customs_asked(s, &count);

    inspect_request(out, names, count, false);
    free(names);
}

bool move_need_not_ask(const struct session *s)
{
    return move_is_known(s) && door_customs_are_asked(s);
}

void move_inspect(struct session *s)
{
    AUTO_BUF out = {0};
    size_t begin;

    move_add_question(s, &out);
    s->unchanged = true; /* from the question on */
    s->inspect_unnamed = s->unnamed.text.len > 0 || s->unnamed.unknown;
    if (s->inspect_unnamed) {
        begin = pgwire_begin(&out, 'D');
        buf_add(&out, "S", 2);
        pgwire_end(&out, begin);
        pgwire_sync(&out);
    }
    backend_talk(s->server, &out, s->inspect_unnamed ? 2 : 1, inspected);
}

static void forgotten(struct session *s, struct backend *b)
{
    (void)s;
    (void)b;
}

void move_forget_question(struct session *s)
{
    AUTO_BUF out = {0};

    if (!s->inspect_kept || s->server_lost || s->unnamed_away || !hold_may_talk(s))
        return; /* it stays until the next time */
    s->inspect_kept = false;
    inspect_forget(&out);
    backend_talk(s->server, &out, 1, forgotten);
}

void move_forget(struct session *s)
{
    s->state = NULL;
    if (s->arena != NULL)
        arena_free(TAKE(s->arena));
}

/* --- beforehand --- */

/* That part is over, however it went. */
static void move_prepared(struct session *s)
{
    s->survey_wanted = false;
    if (s->in_hand)
        hold_out_of_hand(s);
    if (!s->preparing)
        return;
    s->preparing = false;
    hold_count_preparing(s, -1);
}

void move_want_survey(struct session *s)
{
    if (s->preparing || s->stage != SESSION_LIVE || s->move != MOVE_NONE || move_need_not_ask(s))
        return;
    s->preparing = true;
    s->survey_wanted = true;
    hold_count_preparing(s, 1);
}

/* After its other connection is there, or could not be had: what it is found to be is made there at once. */
void move_survey(struct session *s)
{
    if (!s->survey_wanted || s->move != MOVE_NONE || s->unnamed_away || !hold_may_talk(s) || !hold_take_in_hand(s))
        return;
    s->survey_wanted = false;
    move_inspect(s);
}

void move_cool(struct session *s)
{
    move_prepared(s);
    s->made = NULL;
    s->other_used = false;
    if (s->made_arena != NULL)
        arena_free(TAKE(s->made_arena));
    buf_fini(&s->made_unnamed);
}

/* --- rebuilt --- */

void move_rebuilt(struct session *s, const char *why)
{
    struct counts *c = &s->worker->counts;

    if (s->move == MOVE_REBUILDING) {
        if (atomic_load(&c->rebuilding) == 1)
            hold_note_last_rebuilt(s);
        atomic_fetch_sub(&c->rebuilding, 1);
    }
    if (s->move == MOVE_REBUILT)
        atomic_fetch_sub(&c->rebuilt, 1);
    if (why == NULL) {
        atomic_fetch_add(&c->rebuilt, 1);
        s->move = MOVE_REBUILT;
    } else {
        if (s->why != why)
            snprintf(s->why, sizeof s->why, "%s", why);
        s->move = MOVE_FAILED;
    }
    worker_kick_control(s->worker);
}

static const char *compare(struct session *s, const struct backend *b)
{
    struct fault f = {0};
    struct session_state *made = NULL;

    if (b->talk.errors > 0)
        return arena_format(s->arena, "the other server refused it: %s", buf_cstr(&b->talk.error));
    made = read_state(b, s->arena, &f);
    if (made == NULL)
        return arena_format(s->arena, "it could not be inspected on the other server: %s", f.why);
    return session_state_differs(s->state, made, s->arena);
}

/* The other connection is what `state` says: from now on `state` is what it was made. */
static void note_made(struct session *s)
{
    if (s->made_arena != NULL)
        arena_free(s->made_arena);
    s->made_arena = TAKE(s->arena);
    s->made = TAKE(s->state);
}

/* Beforehand. If it is held by now, `state` is what it was found to be then: that is not what the other one was made by. */
static void prepared(struct session *s, struct backend *b)
{
    if (s->move == MOVE_NONE && s->state != NULL) {
        if (compare(s, b) == NULL)
            note_made(s);
        move_forget(s);
    }
    move_prepared(s);
    if (s->rebuild_wanted)
        move_rebuild(s);
}

static void rebuilt(struct session *s, struct backend *b)
{
    if (b != s->other)
        return; /* the attempt ended meanwhile */
    if (s->preparing) {
        prepared(s, b);
        return;
    }
    if (s->move == MOVE_REBUILDING && s->state != NULL)
        move_rebuilt(s, compare(s, b));
}

/* The Parse as the client sent it, in the other server's numbers. */
static enum err add_unnamed(const struct session *s, struct buf *out, struct fault *f)
{
    size_t at = out->len + PGWIRE_HEADER;

    buf_add(out, s->unnamed.text.data, s->unnamed.text.len);
    return type_map_parse(door_types_way_between(s->worker, s->born, s->other->side), out->data + at,
                          s->unnamed.text.len - PGWIRE_HEADER, f);
}

static void add_query(struct buf *out, const char *sql)
{
    size_t begin = pgwire_begin(out, 'Q');

    pgwire_add_string(out, sql);
    pgwire_end(out, begin);
}

/* Says all that makes the other connection what `state` is, and asks it. Why it cannot be said, or NULL. */
static const char *make_anew(struct session *s)
{
    AUTO_BUF out = {0};
    AUTO_BUF made = {0};
    struct fault f = {0};
    const char *why = other_request(s, &made, s->arena);
    int ready = s->other_used ? 3 : 2;

    s->made = NULL; /* also if it cannot be said: what was made before is not what the session is */
    if (why != NULL)
        return why;
    if (s->other_used)
        add_query(&out, "DISCARD ALL");
    buf_add(&out, made.data, made.len);
    move_add_request(s, &out);
    if (s->unnamed.text.len > 0) {
        if (add_unnamed(s, &out, &f) != ERR_OK)
            return arena_strdup(s->arena, f.why);
        pgwire_sync(&out);
        ready++;
    }
    s->other_used = true;
    buf_clear(&s->made_unnamed);
    buf_add(&s->made_unnamed, buf_cstr(&s->unnamed.text), s->unnamed.text.len);
    backend_talk(s->other, &out, ready, rebuilt);
    return NULL;
}

static bool other_is_free(const struct session *s)
{
    return s->other != NULL && s->other->stage == BACKEND_READY && s->other->talk.ready_left == 0;
}

void move_prepare(struct session *s)
{
    bool comes = s->warm == WARM_WANTED || s->warm == WARM_OPENING || s->other != NULL;

    if (s->move != MOVE_NONE || s->state == NULL || (comes && !other_is_free(s)))
        return;
    if (!comes || make_anew(s) != NULL) {
        move_forget(s);
        move_prepared(s);
    }
}

static void unnamed_made(struct session *s, struct backend *b)
{
    if (s->move == MOVE_REBUILDING && s->state != NULL)
        move_rebuilt(s, b->talk.errors > 0 ? arena_format(s->arena, "the other server refused its unnamed statement: %s", buf_cstr(&b->talk.error)) : NULL);
}

/* Of what was made beforehand only the unnamed statement is another: a simple query would have destroyed it, so does the empty one. */
static const char *make_unnamed(struct session *s)
{
    AUTO_BUF out = {0};
    struct fault f = {0};

    if (s->unnamed.text.len == 0) {
        add_query(&out, "");
    } else {
        if (add_unnamed(s, &out, &f) != ERR_OK)
            return arena_strdup(s->arena, f.why);
        pgwire_sync(&out);
    }
    backend_talk(s->other, &out, 1, unnamed_made);
    return NULL;
}

/* What it was made beforehand is what it is; or lost with that connection: then it is asked what it is, which has not
 * changed since it is held. */
static void rebuild_known(struct session *s)
{
    if (move_is_known(s) && other_is_free(s))
        move_rebuilt(s, NULL);
    else if (s->server_lost || s->server->stage != BACKEND_READY)
        move_rebuilt(s, "its server ended it while it was held, and what it was made on the other side is lost");
    else if (s->server->talk.ready_left == 0) {
        s->rebuild_how = "it was asked what it is";
        move_inspect(s);
    }
}

/* By names of settings that are not all there are by now, and it can be asked anew. */
static bool asked_too_little(const struct session *s)
{
    return !door_customs_are_asked(s) && !s->server_lost && s->server->stage == BACKEND_READY &&
           s->server->talk.ready_left == 0;
}

void move_rebuild(struct session *s)
{
    const char *why = NULL;

    if (s->state != NULL && asked_too_little(s)) {
        s->rebuild_how = "it was asked what it is: more settings are known by now";
        move_forget(s);
        move_inspect(s);
        return;
    }
    if (s->state == NULL) { /* it was not asked again */
        rebuild_known(s);
        return;
    }
    s->rebuild_wanted = s->preparing && !other_is_free(s);
    if (s->rebuild_wanted) {
        s->rebuild_how = "what was begun before it was held went on";
        return; /* that ends first */
    }
    if (!other_is_free(s))
        why = "its other connection is still busy with an attempt before";
    else if (!is_made(s)) {
        if (s->rebuild_how == NULL)
            s->rebuild_how = "it was made anew: it was not what it had been";
        why = make_anew(s);
    } else if (!same_unnamed(s)) {
        s->rebuild_how = "its unnamed statement";
        why = make_unnamed(s);
    } else
        move_rebuilt(s, NULL);
    if (why != NULL)
        move_rebuilt(s, why);
}

/* --- the swap --- */

/* Away from where its client came to: from now on its messages are renumbered. */
static void renumber_from_now(struct session *s)
{
    struct type_way up = door_types_way_between(s->worker, s->born, s->server->side);
    struct type_way down = door_types_way_between(s->worker, s->server->side, s->born);

    if (s->renumber != NULL)
        renumber_free(TAKE(s->renumber));
    if (up.map != NULL && !type_map_is_identity(up.map))
        s->renumber = renumber_new(up, down);
}

static void swap(struct session *s)
{
    struct counts *c = &s->worker->counts;

    ENSURE(s->move == MOVE_COLLECTING && s->other != NULL && s->other->stage == BACKEND_READY && s->other->conn.left == 0);
    backend_retire(TAKE(s->server));
    s->server = TAKE(s->other);
    s->inspect_kept = false;
    s->unnamed_away = false;
    s->unchanged = false;
    s->server->warm = false;
    hold_cool(s); /* it is no longer the other one */
    s->server_lost = false;
    renumber_from_now(s);
    atomic_fetch_add(&c->moved, 1);
    session_tell_changes(s);
    if (s->stage == SESSION_LIVE)
        hold_over(s);
    if (s->stage == SESSION_LIVE && s->server->conn.kept.len > 0)
        pass_server(s);
}

static void collected(struct session *s, struct backend *b)
{
    (void)b;
    if (s->move == MOVE_COLLECTING)
        swap(s);
}

void move_collect(struct session *s)
{
    AUTO_BUF out = {0};

    atomic_fetch_sub(&s->worker->counts.rebuilt, 1);
    atomic_fetch_add(&s->worker->counts.moving, 1);
    s->move = MOVE_COLLECTING;
    if (s->server_lost || (s->state != NULL ? s->state : s->made)->channel_count == 0) { /* nobody to be told of anything */
        swap(s);
        return;
    }
    s->collect_us = s->worker->now_us;
    pgwire_sync(&out);
    backend_talk(s->server, &out, 1, collected);
}

void move_collect_late(struct session *s)
{
    if (s->worker->now_us - s->collect_us > COLLECT_US)
        backend_gone(s->server);
}
