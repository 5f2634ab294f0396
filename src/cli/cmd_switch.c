/* cli/cmd_switch.c — leat rehearse, cutover, rollback: the gates, the switch, and what came of it.
 *
 * The switch runs in this process; engines and doors do their part. If this process dies, nothing is undecided that the next one, or the doors
 * by themselves, cannot settle (cutover/switch.h). */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/world.h"
#include "cli/cli.h"
#include "cli/forcing.h"
#include "cli/gates.h"
#include "cli/lease_keeper.h"
#include "cutover/record.h"
#include "cutover/switch.h"
#include "pilot/pilot.h"
#include "pilot/status.h"
#include "replicate/touched.h"

#define WAY_BACK_US ((int64_t)120000000)
#define GATE_US ((int64_t)20000000)
#define WORD_US ((int64_t)5000000)
#define LEASE_TTL_US ((int64_t)60000000)
#define REBUILD_NOTABLE_US 5000
#define SAID_US ((int64_t)1500000) /* until an engine's status says what it has just done */

enum which { REHEARSE, CUTOVER, ROLLBACK };

static _Atomic bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

struct switching {
    struct cli *cli;
    enum which which;
    struct journal *journal;
    struct lease_keeper *keeper; /* of the store at hand */
    json_t *stores;              /* the answer's */
};

static void say(void *ctx, const char *text)
{
    const struct switching *w = ctx;

    if (!w->cli->json)
        fprintf(stderr, "%s\n", text);
}

static enum err ours(void *ctx, struct fault *f)
{
    return lease_keeper_check(((const struct switching *)ctx)->keeper, f);
}

/* --- gates --- */

static enum err refuse(const char *store, const json_t *gates, bool with_verify, struct fault *f)
{
    const json_t *gate;
    size_t i;

    json_array_foreach(gates, i, gate)
    {
        const char *name = json_string_value(json_object_get(gate, "name"));
        if (!json_is_true(json_object_get(gate, "ok")) && (with_verify || strcmp(name, "verify") != 0))
            return fault_set(f, ERR_GATE, "store %s: gate %s: %s", store, name, json_string_value(json_object_get(gate, "why")));
    }
    return ERR_OK;
}

/* What shuts a gate for a moment only: the lag of a burst, a comparison between two rounds. */
static bool opens_by_itself(const json_t *status)
{
    const json_t *verified = json_object_get(status, "verified");

    return json_is_true(json_object_get(status, "following")) && json_integer_value(json_object_get(status, "ledger")) == 0 && json_is_true(json_object_get(verified, "clean")) &&
           json_is_true(json_object_get(verified, "whole"));
}

/* The stream that leads to the side we go to, by what its engine said last. */
static enum err check_stream_once(const struct switching *w, const struct config_store *stream, bool with_verify, bool *ret_soon, struct fault *f)
{
    json_t *gates = json_array();
    bool alive;
    json_t *o = pilot_store_status(w->cli->state_dir, stream->name, &alive);
    enum err err;

    if (o == NULL)
        o = json_object();
    json_object_set_new(o, "name", json_string(stream->name));
    json_object_set_new(o, "running", json_boolean(alive));
    gates_of(w->cli, o, gates);
    err = refuse(stream->name, gates, with_verify, f);
    *ret_soon = alive && (!with_verify || opens_by_itself(o));
    json_decref(gates);
    json_decref(o);
    return err;
}

static enum err check_stream(const struct switching *w, const struct config_store *stream, bool with_verify, struct fault *f)
{
    int64_t began = world_mono_us();

    for (;;) {
        struct fault why = {0};
        bool soon;
        enum err err = check_stream_once(w, stream, with_verify, &soon, &why);

        if (err != ERR_GATE || world_mono_us() > began + (soon ? GATE_US : SAID_US) || atomic_load(&interrupted)) {
            *f = why;
            return err;
        }
        (void)poll(NULL, 0, 100);
    }
}

static enum err check_rehearsals(const struct switching *w, const struct config_store *store, struct fault *f)
{
    const struct config_gates *gates = &w->cli->config->gates;
    struct record_rehearsals r;

    TRY(record_rehearsals(w->journal, store->name, &r, f));
    if (r.in_a_row < gates->rehearsals)
        return fault_todo(f, ERR_GATE, "leat rehearse", "store %s: %d of %d rehearsals in a row went well", store->name, r.in_a_row, gates->rehearsals);
    return ERR_OK;
}

static enum err await_stream(const struct switching *w, const struct config_store *stream, struct fault *f)
{
    int64_t deadline = world_mono_us() + WAY_BACK_US;
    bool said = false;

    for (;;) {
        bool alive;
        json_t *o = pilot_store_status(w->cli->state_dir, stream->name, &alive);
        bool follows = alive && json_is_true(json_object_get(o, "following"));
        struct fault why;

        json_decref(o);
        if (follows)
            return ERR_OK;
        pilot_store_fault(w->cli->state_dir, stream->name, &why);
        if (why.code != ERR_OK && why.code != ERR_INTERRUPTED && !err_is_transient(why.code)) {
            *f = why;
            fault_add(f, "%s", stream->name);
            return f->code;
        }
        if (pilot_pid(w->cli->state_dir) == 0)
            return fault_todo(f, ERR_GATE, "leat start", "no pilot runs");
        if (atomic_load(&interrupted))
            return fault_set(f, ERR_INTERRUPTED, "asked to stop");
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_GATE, "%s does not follow after %d s: see `leat status`", stream->name, (int)(WAY_BACK_US / 1000000));
        if (!said && !w->cli->json)
            fprintf(stderr, "waiting until %s follows\n", stream->name);
        said = true;
        (void)poll(NULL, 0, 100);
    }
}

/* --- telling --- */

static json_t *steps_json(const struct switch_report *r)
{
    json_t *list = json_array();

    for (int i = 0; i < SWITCH_STEPS; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "name", switch_step_name((enum switch_step)i), "ms", (double)r->step_us[i] / 1000));
    return list;
}

static const char *what_came(const struct switching *w, const struct switch_report *r, enum err err)
{
    if (w->which == REHEARSE)
        return err == ERR_OK ? "rehearsed" : "not rehearsed";
    return r->unknown ? "perhaps switched" : r->decided ? "switched" : "not switched";
}

static const char *side_word(const struct switch_report *r)
{
    return r->unknown ? "unknown" : r->source_serves ? "source" : "target";
}

/* What is decided and not opened yet serves nobody; of what is not known nothing is claimed. */
static void say_who_serves(const struct switch_report *r)
{
    if (r->unknown)
        printf("it is not known which side serves until the old one's server answers again\n");
    else if (r->decided && !r->opened)
        printf("the %s is to serve, and is not open yet\n", side_word(r));
    else
        printf("the %s serves\n", side_word(r));
}

static void say_denied(const struct switch_report *r)
{
    const json_t *ended = json_object_get(r->deny, "left");

    if (r->deny != NULL && json_array_size(json_object_get(r->deny, "notes")) == 0 && json_array_size(ended) == 0)
        printf("  nobody but leat connects to the %s any more\n", json_string_value(json_object_get(r->deny, "side")));
}

/* Where a pause is long, it is most often for one client: ret names it. */
static const char *client_of(const json_t *one, char ret[256])
{
    const char *application = json_string_value(json_object_get(one, "application"));

    snprintf(ret, 256, "%s (%s, %s)", json_string_value(json_object_get(one, "client")),
             json_string_value(json_object_get(one, "user")),
             application != NULL && application[0] != '\0' ? application : "no name");
    return ret;
}

static double ms_of(const json_t *one, const char *key)
{
    return json_number_value(json_object_get(one, key));
}

static void say_last_held(const struct switch_report *r)
{
    char client[256];

    if (r->last_held != NULL)
        printf("  held last: %s, whose transaction ended %.1f ms after the hold began; held after %.1f\n",
               client_of(r->last_held, client), ms_of(r->last_held, "boundary_ms"), ms_of(r->last_held, "ms"));
}

/* Most often all were made beforehand, and nothing is left to wait for. */
static void say_last_rebuilt(const struct switch_report *r)
{
    char client[256];

    if (r->last_rebuilt != NULL && r->step_us[SWITCH_REBUILD] > REBUILD_NOTABLE_US)
        printf("  rebuilt last: %s after %.1f ms: %s\n", client_of(r->last_rebuilt, client),
               ms_of(r->last_rebuilt, "ms"), json_string_value(json_object_get(r->last_rebuilt, "how")));
}

static void tell(const struct switching *w, const struct config_store *store, const struct switch_report *r, enum err err)
{
    json_t *o =
        json_pack("{s:s, s:b, s:b, s:f, s:o, s:I, s:I, s:I, s:o, s:s, s:I, s:i, s:i}", "name", store->name, "ok",
                  (int)(err == ERR_OK), "decided", (int)r->decided, "pause_ms", (double)r->pause_us / 1000, "steps",
                  steps_json(r), "held", (json_int_t)r->held, "moved", (json_int_t)r->moved, "failed",
                  (json_int_t)r->failed, "unmovable", r->unmovable != NULL ? json_incref(r->unmovable) : json_array(),
                  "authority", side_word(r), "epoch", (json_int_t)r->epoch, "doors", r->doors, "tries", r->tries);

    json_object_set_new(o, "asked", json_integer(r->asked));
    json_object_set_new(o, "last_held", r->last_held != NULL ? json_incref(r->last_held) : json_null());
    json_object_set_new(o, "last_rebuilt", r->last_rebuilt != NULL ? json_incref(r->last_rebuilt) : json_null());
    json_object_set_new(o, "deny", r->deny != NULL ? json_incref(r->deny) : json_null());
    json_array_append_new(w->stores, o);
    if (w->cli->json)
        return;
    printf("%s: %s: pause %.1f ms; %lld held, %lld moved, %lld failed; ", store->name, what_came(w, r, err),
           (double)r->pause_us / 1000, (long long)r->held, (long long)r->moved, (long long)r->failed);
    say_who_serves(r);
    printf("  ");
    for (int i = 0; i < SWITCH_STEPS; i++)
        if (r->step_us[i] > 0)
            printf("%s %.1f  ", switch_step_name((enum switch_step)i), (double)r->step_us[i] / 1000);
    putchar('\n');
    say_last_held(r);
    say_last_rebuilt(r);
    say_denied(r);
}

/* --- one store --- */

static enum err arm(struct switching *w, const struct switch_job *job, const struct config_store *store, struct fault *f)
{
    bool armed;

    TRY(record_armed(w->journal, store->name, &armed, f));
    if (!armed)
        TRY(cli_consent(w->cli, store->name, "a trigger is made on every table: shut on the target, disabled on the source; and a slot on the target, for the way back", f));
    TRY_WITH(switch_arm(job, f), f, "arming the switch of %s", store->name);
    return await_stream(w, store->other, f);
}

/* Asked for what is done already: by whoever saw the command before end in the middle, perhaps. */
static void deny_left(const struct switch_job *job, int64_t epoch)
{
    struct switch_report report;

    switch_deny(job, epoch, &report);
    json_decref(report.deny);
}

static enum err check_direction(const struct switching *w, const struct config_store *store, bool source_serves, struct fault *f)
{
    if (w->which == CUTOVER && !source_serves)
        return fault_todo(f, ERR_GATE, "`leat rollback` goes back", "store %s: the target serves already", store->name);
    if (w->which == ROLLBACK && source_serves)
        return fault_todo(f, ERR_GATE, "`leat cutover` switches", "store %s: the source serves", store->name);
    return ERR_OK;
}

/* Until what the engines say of themselves is of after the switch, too: the next command goes by it. */
static void await_word(const struct switching *w, const struct config_store *store, bool source_serves)
{
    int64_t deadline = world_mono_us() + WORD_US;

    while ((pilot_leading(w->cli->state_dir, store) == store) != source_serves && world_mono_us() < deadline)
        (void)poll(NULL, 0, 50);
}

static enum err run_times(struct switching *w, const struct switch_job *job, const struct config_store *store, struct fault *f)
{
    int64_t times = w->which == REHEARSE && w->cli->times > 0 ? w->cli->times : 1;

    for (int64_t i = 0; i < times; i++) {
        struct switch_report report;
        enum err err = switch_run(job, &report, f);
        tell(w, store, &report, err);
        if (report.decided)
            await_word(w, store, report.source_serves);
        json_decref(report.unmovable);
        json_decref(report.last_held);
        json_decref(report.last_rebuilt);
        json_decref(report.deny);
        TRY(err);
    }
    return ERR_OK;
}

/* The pilot need not run, nor anything be rehearsed: a side is lost. */
static enum err force_store(struct switching *w, const struct switch_job *job, const struct config_store *store,
                            struct fault *f)
{
    struct switch_job that = *job;
    json_t *told = NULL;
    enum err err;

    that.stream = w->which == CUTOVER ? store : store->other;
    err = forcing_store(w->cli, &that, &told, f);
    if (err == ERR_OK)
        json_array_append(w->stores, told);
    json_decref(told);
    return err;
}

/* What a switch left half-way is carried out before anything can refuse, streams that are not followed too: nobody may
 * serve until then. Why it cannot be is said further on. */
static void carry_out_what_was_decided(const struct switching *w, const struct switch_job *job)
{
    struct fault ignored = {0};
    bool armed = false;
    bool source_serves;
    int64_t epoch;

    if (record_armed(w->journal, job->stream->name, &armed, &ignored) == ERR_OK && armed)
        (void)!switch_settle(job, &source_serves, &epoch, &ignored);
}

static enum err switch_store(struct switching *w, const struct config_store *store, struct fault *f)
{
    struct switch_job job = {.config = w->cli->config, .stream = store, .state_dir = w->cli->state_dir, .journal = w->journal, .rehearsal = w->which == REHEARSE, .no_failover = w->cli->no_failover, .stop = &interrupted, .ours = ours, .say = say, .ctx = w};
    AUTO(arena) *arena = arena_new(4096);
    bool source_serves;
    int64_t epoch;

    if (w->cli->force)
        return force_store(w, &job, store, f);
    carry_out_what_was_decided(w, &job);
    if (pilot_pid(w->cli->state_dir) == 0)
        return fault_todo(f, ERR_GATE, "leat start", "no pilot runs: the streams have to be followed while a store is switched");
    TRY(await_stream(w, store, f));
    TRY(arm(w, &job, store, f));
    TRY_WITH(switch_settle(&job, &source_serves, &epoch, f), f, "asking both sides who serves");
    job.stream = source_serves ? store->other : store;
    if (w->which != REHEARSE && (w->which == ROLLBACK) == source_serves && epoch > 0)
        deny_left(&job, epoch);
    TRY(check_direction(w, store, source_serves, f));
    job.stream = source_serves ? store : store->other;
    if (w->which == CUTOVER)
        TRY(touched_shapes(w->journal, store->name, arena, &job.shapes, f));
    TRY(check_stream(w, job.stream, w->which == CUTOVER, f));
    if (w->which == CUTOVER)
        TRY(check_rehearsals(w, store, f));
    return run_times(w, &job, store, f);
}

static enum err under_lease(struct switching *w, const struct config_store *store, struct fault *f)
{
    AUTO_CHARS *lease = mem_format("switch:%s", store->name);
    struct fault lost = {0};
    bool is_lost;
    enum err err;

    TRY(lease_keeper_start(w->journal, lease, LEASE_TTL_US, &interrupted, &w->keeper, f));
    err = switch_store(w, store, f);
    lease_keeper_stop(TAKE(w->keeper), &is_lost, &lost);
    if (!is_lost || (err != ERR_INTERRUPTED && err != ERR_SWITCH_HELD_UP))
        return err;
    *f = lost; /* nobody asked it to stop */
    fault_add(f, "%s: it went back before the decision", store->name);
    return f->code;
}

/* --- the command --- */

static enum err run_all(struct switching *w, struct fault *f)
{
    struct cli *c = w->cli;

    if (c->arg_count > 0 && config_store_find(c->config, c->args[0]) == NULL)
        return fault_todo(f, ERR_UNKNOWN_NAME, "the stores are those of leat.yaml", "there is no store %s", c->args[0]);
    TRY(journal_sqlite_open(c->state_dir, c->config->migration, &w->journal, f));
    for (size_t i = 0; i < c->config->store_count; i++)
        if (c->arg_count == 0 || strcmp(c->args[0], c->config->stores[i].name) == 0)
            TRY(under_lease(w, &c->config->stores[i], f));
    return ERR_OK;
}

/* Of one store its fields stand at the top, too. */
static void answer(struct switching *w)
{
    json_t *o = cli_object(w->cli, true);
    json_t *last = json_array_size(w->stores) > 0 ? json_array_get(w->stores, json_array_size(w->stores) - 1) : NULL;

    if (last != NULL)
        json_object_update_missing(o, last);
    json_object_set(o, "runs", w->stores);
    cli_answer(w->cli, o, w->which == REHEARSE ? "leat cutover" : w->which == CUTOVER ? "leat status\nleat rollback" : "leat status\nleat cutover");
}

static int cmd_switch(struct cli *c, enum which which, struct fault *f)
{
    struct switching w = {.cli = c, .which = which, .stores = json_array()};
    struct sigaction action = {.sa_handler = on_interrupt};
    enum err err;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    err = run_all(&w, f);
    if (err == ERR_OK && c->json)
        answer(&w);
    if (w.journal != NULL)
        journal_free(w.journal);
    json_decref(w.stores);
    return err_info(err)->exit_status;
}

int cmd_rehearse(struct cli *c, struct fault *f)
{
    return cmd_switch(c, REHEARSE, f);
}

int cmd_cutover(struct cli *c, struct fault *f)
{
    return cmd_switch(c, CUTOVER, f);
}

int cmd_rollback(struct cli *c, struct fault *f)
{
    return cmd_switch(c, ROLLBACK, f);
}
