/* shift/door_reads_twin.c — the second connection of a session, on the target, that answers its reads: opened, made equal, ended.
 *
 * It is made as a session that moves is (ADR 12): out of what the session says of itself; and it is asked in turn. Beyond that it is given what
 * decides how values look, whoever had set that on the source, and default_transaction_read_only. Statements that came since are added. */
#include "shift/door_reads.h"

#include <strings.h>

#include "shift/rebuild.h"

#define STATE_CHUNK 1024
#define READ_ONLY "default_transaction_read_only"

/* --- its life --- */

void twin_open(struct session *s)
{
    struct reads *r = s->reads;

    if (r->twin == NULL && s->worker->now_us >= r->again_us)
        backend_open_twin(s, SIDE_TARGET);
}

static void forget_made(struct reads *r)
{
    if (r->wanted == r->made) {
        r->wanted = NULL;
        r->known = false;
    }
    r->made = NULL;
    if (r->made_arena != NULL)
        arena_free(TAKE(r->made_arena));
}

void twin_end(struct session *s)
{
    struct reads *r = s->reads;

    forget_made(r);
    if (r->renumber != NULL)
        renumber_free(TAKE(r->renumber));
    if (r->twin != NULL)
        backend_end(TAKE(r->twin));
}

void reads_opened(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;
    struct type_way up = door_types_way_between(s->worker, SIDE_SOURCE, SIDE_TARGET);
    struct type_way down = door_types_way_between(s->worker, SIDE_TARGET, SIDE_SOURCE);

    ENSURE(r != NULL && r->twin == b);
    if (up.map == NULL) { /* without it numbers could not be told */
        twin_end(s);
        return;
    }
    if (!type_map_is_identity(up.map))
        r->renumber = renumber_new(up, down);
}

/* --- what it is to be --- */

static bool is_given(const char *name)
{
    return strncasecmp(name, "default_transaction_", strlen("default_transaction_")) == 0;
}

static void want(struct reads *r, const struct session_state *state)
{
    size_t most = state->setting_count + state->effective_count + 1;
    struct session_setting *all = arena_alloc(r->arena, most * sizeof *all);
    size_t n = 0;

    r->wanted = arena_alloc(r->arena, sizeof *r->wanted);
    *r->wanted = *state;
    for (size_t i = 0; i < state->setting_count; i++)
        if (!is_given(state->settings[i].name))
            all[n++] = state->settings[i];
    for (size_t i = 0; i < state->effective_count; i++)
        if (!is_given(state->effective[i].name) && session_setting_find(all, n, state->effective[i].name) == NULL)
            all[n++] = state->effective[i];
    all[n++] = (struct session_setting){READ_ONLY, "on"};
    r->wanted->settings = all;
    r->wanted->setting_count = n;
}

static bool may_have(const struct session *s, const struct session_state *state, struct arena *arena)
{
    const char *isolation = session_setting_find(state->effective, state->effective_count, "default_transaction_isolation");
    const char *read_only = session_setting_find(state->effective, state->effective_count, READ_ONLY);
    struct reads *r = s->reads;

    if (isolation == NULL || read_only == NULL || session_unmovable(state, arena) != NULL || state->channel_count > 0 ||
        s->notes.customs_lost || s->notes.calls || s->notes.dblink)
        return false;
    r->isolation = reading_isolation(isolation);
    r->read_only = strcmp(read_only, "on") == 0;
    r->asks_begin = false;
    return strcasecmp(isolation, "serializable") != 0 && strcasecmp(state->encoding, "UTF8") == 0;
}

/* Not fit: looked at again after a while only, for the question costs the source something each time. */
static void unfit(struct session *s)
{
    s->reads->fit = false;
    s->reads->again_us = s->worker->now_us + READS_AGAIN_US;
}

static void told(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;
    struct session_state *state = NULL;
    struct fault f = {0};

    if (r == NULL)
        return;
    if (s->inspect_kept && strncmp(buf_cstr(&b->talk.error), "26000", 5) == 0) { /* its client's DISCARD ALL, or the like: asked in full */
        s->inspect_kept = false;
        if (track_at_boundary(&s->track) &&
            s->client.left == 0) { /* else the answers that come next are its client's */
            twin_ask(s);
            return;
        }
    }
    r->wanted = NULL;
    if (r->arena != NULL)
        arena_free(TAKE(r->arena));
    r->arena = arena_new(STATE_CHUNK);
    r->known = true;
    r->fit = b->talk.errors == 0 && session_state_parse_row(r->arena, b->talk.row.data, b->talk.row.len, &state, &f) == ERR_OK && may_have(s, state, r->arena);
    if (r->fit)
        want(r, state);
    else
        unfit(s);
    reads_known(s);
}

void twin_ask(struct session *s)
{
    AUTO_BUF out = {0};

    move_add_question(s, &out);
    backend_talk(s->server, &out, 1, told);
}

/* --- made --- */

static struct session_state without_statements(const struct session_state *state)
{
    struct session_state copy = *state;

    copy.statement_count = 0;
    return copy;
}

static bool has_statement(const struct session_state *state, const struct session_statement *one)
{
    for (size_t i = 0; i < state->statement_count; i++)
        if (strcmp(state->statements[i].name, one->name) == 0)
            return strcmp(state->statements[i].text, one->text) == 0 && state->statements[i].from_sql == one->from_sql;
    return false;
}

/* Whether it only lacks statements: those are given. */
static bool only_lacks(const struct reads *r, struct arena *arena, struct session_state *ret_lacks)
{
    struct session_state a = without_statements(r->made);
    struct session_state b = without_statements(r->wanted);
    struct session_statement *list = arena_alloc(arena, (r->wanted->statement_count + 1) * sizeof *list);

    if (session_state_differs(&a, &b, arena) != NULL || session_state_differs(&b, &a, arena) != NULL)
        return false;
    for (size_t i = 0; i < r->made->statement_count; i++)
        if (!has_statement(r->wanted, &r->made->statements[i]))
            return false;
    *ret_lacks = *r->wanted;
    ret_lacks->statements = list;
    ret_lacks->statement_count = 0;
    for (size_t i = 0; i < r->wanted->statement_count; i++)
        if (!has_statement(r->made, &r->wanted->statements[i]))
            list[ret_lacks->statement_count++] = r->wanted->statements[i];
    return true;
}

static void made(struct session *s, struct backend *b)
{
    struct reads *r = s->reads;
    struct session_state *state = NULL;
    struct fault f = {0};
    bool equal;

    if (r == NULL || r->twin != b)
        return;
    equal = b->talk.errors == 0 && r->wanted != NULL && session_state_parse_row(r->arena, b->talk.row.data, b->talk.row.len, &state, &f) == ERR_OK &&
            session_state_differs(r->wanted, state, r->arena) == NULL;
    if (equal) { /* from now on what was wanted is what it is */
        forget_made(r);
        r->made_arena = TAKE(r->arena);
        r->made = r->wanted;
    } else {
        twin_end(s);
        unfit(s);
    }
    reads_made(s, equal);
}

static void add_query(struct buf *out, const char *sql)
{
    size_t begin = pgwire_begin(out, 'Q');

    pgwire_add_string(out, sql);
    pgwire_end(out, begin);
}

/* Settings may be what keeps it from being emptied (a role that may not); it says so then, and is ended. */
static bool make_anew(struct session *s, const struct session_state *what, bool empty)
{
    struct rebuild request = {.state = what, .login_user = s->user, .types = door_types_way(s->worker, SIDE_SOURCE)};
    struct fault f = {0};
    AUTO_BUF out = {0};

    if (empty)
        add_query(&out, "DISCARD ALL");
    if (rebuild_request(&request, &out, &f) != ERR_OK)
        return false;
    move_add_request(s, &out);
    backend_talk(s->reads->twin, &out, empty ? 3 : 2, made);
    return true;
}

void twin_make(struct session *s)
{
    struct reads *r = s->reads;
    struct session_state lacks;
    bool begun;

    if (r->made != NULL && (r->made == r->wanted || (session_state_differs(r->made, r->wanted, r->arena) == NULL && session_state_differs(r->wanted, r->made, r->arena) == NULL))) {
        reads_made(s, true);
        return;
    }
    if (r->made != NULL && only_lacks(r, r->arena, &lacks))
        begun = make_anew(s, &lacks, false);
    else
        begun = make_anew(s, r->wanted, r->made != NULL);
    if (begun)
        return;
    twin_end(s);
    unfit(s);
    reads_made(s, false);
}

const struct session_statement *twin_statement(const struct reads *r, const char *name)
{
    for (size_t i = 0; r->wanted != NULL && i < r->wanted->statement_count; i++)
        if (strcmp(r->wanted->statements[i].name, name) == 0)
            return &r->wanted->statements[i];
    return NULL;
}
