/* cutover/deny.c — see deny.h.
 *
 *   [step deny.SIDE: intent, with the privileges as they are] → CONNECT revoked, and written down on that server, in
 * one transaction → sessions ended until none is left → [done] ... the next switch toward that side: given back →
 * [undone]
 *
 * Each part may be done again. A door keeps no client on the side that was left, once it serves the other: until all
 * say so nobody is ended. */
#include "cutover/deny.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/world.h"
#include "cutover/bypass.h"

#define PATIENCE_US ((int64_t)10000000) /* until nobody is left */
#define LOOK_US ((int64_t)100000)
#define TRIES 5

struct denying {
    struct attempt *a;
    const char *left;    /* "source" or "target" */
    const char *serving; /* the other one */
    struct doors *doors;
    struct store_admission *at;
    json_t *told;
};

static const char *step_of(const char *side)
{
    return strcmp(side, "source") == 0 ? "deny.source" : "deny.target";
}

__attribute__((format(printf, 2, 3))) static void note(struct denying *d, const char *fmt, ...)
{
    AUTO_BUF text = {0};
    va_list args;

    va_start(args, fmt);
    buf_vaddf(&text, fmt, args);
    va_end(args);
    attempt_say(d->a->job, "%s", buf_cstr(&text));
    json_array_append_new(json_object_get(d->told, "notes"), json_string(buf_cstr(&text)));
}

static enum err record(struct attempt *a, const char *side, enum step_state state, json_t *body, struct fault *f)
{
    char *text = json_dumps(body, JSON_COMPACT);
    struct journal *j = a->job->journal;
    enum err err = j->ops->step_set(j, a->base, step_of(side), state, text, f);

    free(text);
    json_decref(body);
    return err;
}

/* --- who may connect --- */

/* A share of users reads there: the file says so, or `leat shift` at this epoch. */
static bool reads_go_there(const struct denying *d)
{
    AUTO_CHARS *path = mem_format("%s/%s.reads", d->a->job->state_dir, d->a->base);
    json_t *o = json_load_file(path, 0, NULL);
    bool said = json_integer_value(json_object_get(o, "epoch")) == d->a->epoch &&
                json_integer_value(json_object_get(o, "share")) > 0;

    json_decref(o);
    return said || d->a->job->stream->reads_share_count > 0;
}

/* Whether it is ours to shut. */
static bool may_deny(struct denying *d, const struct store_admission_facts *facts)
{
    if (facts->serves)
        note(d, "database %s of the %s stays open: another store of it serves there", facts->database, d->left);
    else if (strcmp(d->left, "target") == 0 && reads_go_there(d))
        note(d, "database %s of the target stays open: the doors send reads there", facts->database);
    else if (facts->left_out != NULL)
        note(d, "database %s of the %s stays open: %s is not moved, and its users are still to connect there",
             facts->database, d->left, facts->left_out);
    else if (!facts->acts_as_owner)
        note(d,
             "database %s of the %s stays open to everybody: leat's role is no member of %s, which owns it; an "
             "administrator may REVOKE CONNECT on it",
             facts->database, d->left, facts->owner);
    else
        return true;
    return false;
}

static enum err revoke_once(struct denying *d, bool *ret_open, struct fault *f)
{
    AUTO(arena) *arena = arena_new(4096);
    struct store_admission_facts facts;

    TRY(d->a->ops->admission_facts(d->at, arena, &facts, f));
    *ret_open = !may_deny(d, &facts);
    if (*ret_open)
        return ERR_OK;
    TRY(record(d->a, d->left, STEP_INTENT,
               json_pack("{s:s, s:s, s:s, s:I}", "database", facts.database, "privileges", facts.privileges, "owner",
                         facts.owner, "epoch", (json_int_t)d->a->epoch),
               f));
    return d->a->ops->admission_deny(d->at, &facts, f);
}

/* Privileges may be changed by somebody else in between: what is journaled is what was there. */
static enum err revoke(struct denying *d, bool *ret_open, struct fault *f)
{
    struct fault why = {0};
    enum err err = ERR_BUSY;

    for (int i = 0; i < TRIES && err == ERR_BUSY; i++) {
        fault_clear(&why);
        err = revoke_once(d, ret_open, &why);
    }
    *f = why;
    return err;
}

static enum err name_those_who_may(struct denying *d, struct fault *f)
{
    AUTO(arena) *arena = arena_new(4096);
    AUTO_BUF others = {0};
    struct store_login *list;
    size_t count;

    TRY(d->a->ops->admission_may_connect(d->at, arena, &list, &count, f));
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(json_object_get(d->told, "may_connect"), json_string(list[i].role));
        if (!list[i].superuser)
            buf_addf(&others, "%s%s", others.len > 0 ? ", " : "", list[i].role);
    }
    if (others.len > 0)
        note(d, "may still connect to the %s: %s: a role they are members of lets them in", d->left, buf_cstr(&others));
    return ERR_OK;
}

/* --- who is connected --- */

static bool has_moved(const json_t *answer, const char *serving)
{
    const char *side = json_string_value(json_object_get(answer, "side"));

    return json_is_true(json_object_get(answer, "serving")) && side != NULL && strcmp(side, serving) == 0;
}

static enum err check_doors(struct denying *d, struct fault *f)
{
    json_t *answers = NULL;
    const json_t *one;
    enum err err;
    size_t i;

    doors_free(TAKE(d->doors)); /* one may have come anew */
    TRY(doors_open(d->a->job->state_dir, d->a->base, &d->doors, f));
    if (doors_count(d->doors) < d->a->job->stream->door_count)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a door does not answer");
    err = doors_ask(d->doors, json_pack("{s:s, s:s}", "do", "backends", "side", d->left), LOOK_US * 20, &answers, f);
    json_array_foreach(answers, i, one)
    {
        if (err == ERR_OK && !has_moved(one, d->serving))
            err = fault_set(f, ERR_SWITCH_HELD_UP, "a door does not serve the %s yet", d->serving);
    }
    json_decref(answers);
    return err;
}

/* *ret_left: how many there were; *ret_refused: how many of them we may not end. */
static enum err end_those(struct denying *d, size_t *ret_left, size_t *ret_refused, struct fault *f)
{
    AUTO(arena) *arena = arena_new(16384);
    struct store_session *list;

    *ret_refused = 0;
    TRY(check_doors(d, f));
    TRY(bypass_list(d->a->ops, d->at, d->doors, d->left, 0, arena, &list, ret_left, f));
    for (size_t i = 0; i < *ret_left; i++) {
        struct fault refused = {0};
        enum err err = d->a->ops->admission_end(d->at, list[i].pid, &refused);

        *ret_refused += err == ERR_RIGHT_MISSING;
        if (err != ERR_OK && err != ERR_RIGHT_MISSING) {
            *f = refused;
            return err;
        }
    }
    json_object_set_new(d->told, "left", bypass_json(list, *ret_left));
    return ERR_OK;
}

static void say_left(struct denying *d, size_t left, size_t refused)
{
    if (refused > 0)
        note(d,
             "%zu session(s) on the %s come past the doors and cannot be ended by leat's role: end them, or GRANT "
             "pg_signal_backend to it there (a superuser's only a superuser can)",
             refused, d->left);
    else
        note(d, "%zu session(s) on the %s come past the doors again and again: `leat status` says whose they are", left,
             d->left);
}

/* Those who may come in come again: a deadline. */
static enum err end_sessions(struct denying *d, struct fault *f)
{
    int64_t until = world_mono_us() + PATIENCE_US;

    for (;;) {
        struct fault why = {0};
        size_t left = 0;
        size_t refused = 0;
        enum err err = end_those(d, &left, &refused, &why);

        if (err == ERR_OK && left == 0)
            return ERR_OK;
        if (err == ERR_OK && (left == refused || world_mono_us() > until || attempt_stopped(d->a))) {
            say_left(d, left, refused);
            return ERR_OK;
        }
        if (err != ERR_OK && (err != ERR_SWITCH_HELD_UP || world_mono_us() > until || attempt_stopped(d->a))) {
            *f = why;
            return err;
        }
        world_sleep_us(LOOK_US);
    }
}

/* --- the whole --- */

static enum err deny_side(struct denying *d, struct fault *f)
{
    bool open = true;

    TRY_WITH(revoke(d, &open, f), f, "taking CONNECT away");
    if (open)
        return ERR_OK;
    TRY(name_those_who_may(d, f));
    TRY_WITH(end_sessions(d, f), f, "ending sessions");
    return record(d->a, d->left, STEP_DONE, json_copy(d->told), f);
}

static void deny(struct attempt *a, enum store_side on, const char *left, const char *serving)
{
    struct denying d = {.a = a, .left = left, .serving = serving};
    struct fault why = {0};
    enum err err;

    if (!a->job->stream->deny)
        return;
    attempt_begins(a, SWITCH_DENY);
    if (attempt_ours(a, &why) != ERR_OK) { /* the other command may be on its way back to that side */
        log_fault(LOG_WARN, a->base, &why);
        return;
    }
    json_decref(a->report->deny);
    a->report->deny = d.told = json_pack("{s:s, s:[], s:[], s:[]}", "side", left, "may_connect", "left", "notes");
    err = a->ops->admission_open(a->store, on, &d.at, &why);
    if (err == ERR_OK)
        err = deny_side(&d, &why);
    if (err != ERR_OK)
        note(&d,
             "the %s is not shut to those who come past the doors (%s: %s); it takes no writes all the same, and `leat "
             "%s` again tries it again",
             left, why.what, why.why, strcmp(left, "source") == 0 ? "cutover" : "rollback");
    a->ops->admission_close(d.at);
    doors_free(d.doors);
    attempt_ends(a, SWITCH_DENY);
}

void switch_deny(const struct switch_job *job, int64_t epoch, struct switch_report *ret)
{
    struct attempt a = {.job = job, .report = ret, .epoch = epoch};
    enum step_state state = STEP_NONE;
    struct fault why = {0};
    enum err err;

    memset(ret, 0, sizeof *ret);
    err = attempt_open(job, &a, &why);
    if (err == ERR_OK)
        err = job->journal->ops->step_get(job->journal, a.base, step_of(a.old_side), &state, &why);
    if (err != ERR_OK)
        log_fault(LOG_WARN, job->stream->name, &why);
    else if (state != STEP_DONE)
        deny_left(&a);
    attempt_close(&a);
}

void deny_left(struct attempt *a)
{
    deny(a, STORE_SOURCE, a->old_side, a->new_side);
}

/* Doors may still be warm there: that is over. */
void deny_again(struct attempt *a)
{
    struct fault ignored = {0};

    if (!a->admitted)
        return;
    a->admitted = false;
    if (doors_ask(a->doors,
                  json_pack("{s:s, s:s, s:I}", "do", "release", "side", a->old_side, "epoch", (json_int_t)a->epoch),
                  a->deadline_us, NULL, &ignored) != ERR_OK)
        log_fault(LOG_WARN, a->base, &ignored);
    deny(a, STORE_TARGET, a->new_side, a->old_side);
}

static enum err record_state(struct journal *j, const char *base, const char *side, enum step_state state,
                             struct fault *f)
{
    return j->ops->step_set(j, base, step_of(side), state, NULL, f);
}

/* Of a side that another journal's leat denied, too. */
static enum err record_given_back(struct journal *j, const char *base, const char *side, struct fault *f)
{
    enum step_state state;

    TRY(j->ops->step_get(j, base, step_of(side), &state, f));
    if (state == STEP_NONE || state == STEP_UNDONE)
        TRY(record_state(j, base, side, STEP_INTENT, f));
    return record_state(j, base, side, STEP_UNDONE, f);
}

enum err deny_give_back(struct store *s, struct journal *j, bool *ret_was, struct fault *f)
{
    const char *side = s->store->back ? "source" : "target";
    struct store_admission *at;
    enum err err;

    *ret_was = false;
    TRY(s->ops->admission_open(s, STORE_TARGET, &at, f));
    err = s->ops->admission_give_back(at, ret_was, f);
    s->ops->admission_close(at);
    TRY_WITH(err, f, "letting clients in on the %s again", side);
    return *ret_was ? record_given_back(j, store_base(s), side, f) : ERR_OK;
}

enum err deny_admit(struct attempt *a, struct fault *f)
{
    bool was;
    enum err err = deny_give_back(a->store, a->job->journal, &was, f);

    a->admitted = a->admitted || was;
    return err;
}

enum err switch_admit_reads(const struct switch_job *job, struct fault *f)
{
    const char *base = config_stream_base(job->stream);
    AUTO(store) *store = NULL;
    enum step_state state;
    bool was;

    TRY(job->journal->ops->step_get(job->journal, base, step_of("target"), &state, f));
    if (state != STEP_INTENT && state != STEP_DONE)
        return ERR_OK;
    TRY(store_new(job->config, job->stream, job->state_dir, 0, job->stop, &store, f));
    return deny_give_back(store, job->journal, &was, f);
}
