/* shift/door_move.c — one session inspected on the old side, rebuilt and verified on the new, and swapped.
 *
 * On the old connection, at a boundary:   what it is; whether its unnamed statement is one (the last Parse may have failed)
 * On the new one, in one write:           all it was; what it is now; its unnamed statement, last, for any other would destroy it
 * Each of these ends in a Sync of its own: talk.error_left says in which one the first error was. */
#include "shift/door_internal.h"

#include <string.h>

#include "shift/rebuild.h"

#define STATE_CHUNK 1024

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
    struct rebuild r = {.state = s->state, .login_user = s->user, .types = door_types_way(s->worker->door, s->server->side)};

    if (rebuild_request(&r, out, &f) != ERR_OK)
        return arena_strdup(arena, f.why);
    return NULL;
}

/* Why it cannot move; NULL: it can. */
static const char *judge(struct session *s, struct backend *b)
{
    AUTO_BUF probe = {0};
    struct fault f = {0};
    const char *why = session_notes_unmovable(&s->notes);
    bool had_unnamed = s->unnamed.len > 0;

    if (why != NULL)
        return why;
    if (s->unnamed_large)
        return "its unnamed statement is larger than the door keeps";
    if (b->talk.errors > 0 && (!had_unnamed || b->talk.error_left == 2))
        return arena_format(s->arena, "it could not be inspected: %s", buf_cstr(&b->talk.error));
    if (b->talk.errors > 0)
        buf_clear(&s->unnamed); /* it had failed */
    s->state = read_state(b, s->arena, &f);
    if (s->state == NULL)
        return arena_format(s->arena, "it could not be inspected: %s", f.why);
    why = session_unmovable(s->state, s->arena);
    return why != NULL ? why : other_request(s, &probe, s->arena);
}

static void inspected(struct session *s, struct backend *b)
{
    const char *why;

    move_forget(s);
    s->arena = arena_new(STATE_CHUNK);
    why = judge(s, b);
    if (s->move == MOVE_INSPECTING) {
        hold_inspected(s, why);
        return;
    }
    snprintf(s->why, sizeof s->why, "%s", why != NULL ? why : "");
    move_forget(s);
}

void move_inspect(struct session *s)
{
    AUTO_BUF out = {0};
    size_t begin;

    inspect_request(&out, (const char *const *)s->notes.customs, s->notes.custom_count, true);
    if (s->unnamed.len > 0) {
        begin = pgwire_begin(&out, 'D');
        buf_add(&out, "S", 2);
        pgwire_end(&out, begin);
        pgwire_sync(&out);
    }
    backend_talk(s->server, &out, s->unnamed.len > 0 ? 2 : 1, inspected);
}

void move_survey(struct session *s)
{
    if (s->stage == SESSION_LIVE && s->move == MOVE_NONE && s->server->talk.ready_left == 0 && track_at_boundary(&s->track) && s->server->conn.left == 0 &&
        s->server->conn.kept.len == 0 && s->client.left == 0)
        move_inspect(s);
}

void move_forget(struct session *s)
{
    s->state = NULL;
    if (s->arena != NULL)
        arena_free(TAKE(s->arena));
}

/* --- rebuilt --- */

void move_rebuilt(struct session *s, const char *why)
{
    struct counts *c = &s->worker->counts;

    if (s->move == MOVE_REBUILDING)
        atomic_fetch_sub(&c->rebuilding, 1);
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

static void rebuilt(struct session *s, struct backend *b)
{
    if (s->move != MOVE_REBUILDING || s->state == NULL)
        return; /* the attempt ended meanwhile */
    move_rebuilt(s, compare(s, b));
}

/* The Parse as the client sent it, in the other server's numbers. */
static enum err add_unnamed(const struct session *s, struct buf *out, struct fault *f)
{
    size_t at = out->len + PGWIRE_HEADER;

    buf_add(out, s->unnamed.data, s->unnamed.len);
    return type_map_parse(door_types_way_between(s->worker->door, s->born, s->other->side), out->data + at, s->unnamed.len - PGWIRE_HEADER, f);
}

void move_rebuild(struct session *s)
{
    AUTO_BUF out = {0};
    struct fault f = {0};
    const char *why;
    int ready = 2;

    s->rebuild_wanted = false;
    ENSURE(s->state != NULL && s->other->stage == BACKEND_READY);
    if (s->other->talk.ready_left > 0) {
        move_rebuilt(s, "its other connection is still busy with an attempt before");
        return;
    }
    why = other_request(s, &out, s->arena);
    inspect_request(&out, (const char *const *)s->notes.customs, s->notes.custom_count, false);
    if (why == NULL && s->unnamed.len > 0) {
        why = add_unnamed(s, &out, &f) == ERR_OK ? NULL : arena_strdup(s->arena, f.why);
        pgwire_sync(&out);
        ready = 3;
    }
    if (why != NULL)
        move_rebuilt(s, why);
    else
        backend_talk(s->other, &out, ready, rebuilt);
}

/* --- the swap --- */

/* What the new server reports otherwise than the old one did; then what it said meanwhile. */
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

/* Away from where its client came to: from now on its messages are renumbered. */
static void renumber_from_now(struct session *s)
{
    struct type_way up = door_types_way_between(s->worker->door, s->born, s->server->side);
    struct type_way down = door_types_way_between(s->worker->door, s->server->side, s->born);

    if (s->renumber != NULL)
        renumber_free(TAKE(s->renumber));
    if (up.map != NULL && !type_map_is_identity(up.map))
        s->renumber = renumber_new(up, down);
}

static void swap(struct session *s)
{
    struct counts *c = &s->worker->counts;

    ENSURE(s->move == MOVE_COLLECTING && s->other != NULL && s->other->stage == BACKEND_READY && s->other->conn.left == 0);
    backend_end(TAKE(s->server));
    s->server = TAKE(s->other);
    s->server->warm = false;
    hold_cool(s); /* it is no longer the other one */
    s->server_lost = false;
    renumber_from_now(s);
    atomic_fetch_add(&c->moved, 1);
    tell_changes(s);
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
    if (s->server_lost) {
        swap(s);
        return;
    }
    pgwire_sync(&out);
    backend_talk(s->server, &out, 1, collected);
}
