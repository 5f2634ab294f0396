/* shift/door_reads_order.c — what a worker does for all its sessions that read on the target: it is fresh, it took too long, names and shares change,
 * a switch begins; and the life of what a session keeps for it. */
#include "shift/door_reads.h"

/* --- those that wait --- */

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
        reads_go(s);
}

static void expire(struct session *s)
{
    if (s->worker->now_us - s->reads->since_us < s->worker->door->store->reads_wait_us)
        return;
    if (s->reads->phase == READS_ASKING)
        return; /* the source answers that, late or not */
    atomic_fetch_add(&s->worker->counts.reads_late, 1);
    reads_give_up(s);
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
        reads_unlist(s);
        r->phase = READS_HOME;
        twin_end(s);
        return;
    }
    twin_end(s);
    if (r->phase != READS_HOME)
        reads_go_home(s);
    else if (reads_owes(s) && s->stage == SESSION_LIVE && track_at_boundary(&s->track) && s->server->talk.ready_left == 0)
        reads_pay(s);
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

    reads_unlist(s);
    if (r->counted)
        atomic_fetch_sub(&s->worker->counts.reads_sessions, 1);
    if (r->home != NULL)
        backend_end(TAKE(r->home));
    twin_end(s);
    if (r->arena != NULL)
        arena_free(r->arena);
    buf_fini(&r->held);
    buf_fini(&r->batch);
    type_map_drop(r->map);
    s->reads = NULL;
    free(r);
}
