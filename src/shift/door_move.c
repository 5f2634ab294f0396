/* shift/door_move.c — one session inspected on the old side, rebuilt and verified on the new, and swapped. */
#include "shift/door_internal.h"

#include <string.h>

void move_inspect(struct session *s)
{
    hold_inspected(s, s->unnamed_large ? "its unnamed statement is larger than the door keeps" : NULL);
}

void move_forget(struct session *s)
{
    (void)s;
}

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

void move_rebuild(struct session *s)
{
    s->rebuild_wanted = false;
    move_rebuilt(s, NULL);
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

static void swap(struct session *s)
{
    struct counts *c = &s->worker->counts;

    ENSURE(s->move == MOVE_COLLECTING && s->other != NULL && s->other->stage == BACKEND_READY && s->other->conn.left == 0);
    backend_end(TAKE(s->server));
    s->server = TAKE(s->other);
    s->server->warm = false;
    hold_cool(s); /* it is no longer the other one */
    s->server_lost = false;
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
