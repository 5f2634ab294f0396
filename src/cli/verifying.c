/* cli/verifying.c — see verifying.h. */
#include "cli/verifying.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/world.h"
#include "cli/before.h"
#include "pilot/pilot.h"
#include "pilot/status.h"

#define SHOW_US ((int64_t)1000000)

static volatile sig_atomic_t left;

static void on_interrupt(int number)
{
    (void)number;
    left = 1;
}

/* --- asking --- */

enum err verifying_open(struct verifying *v, struct cli *c, struct arena *a, enum verify_does does, struct fault *f)
{
    *v = (struct verifying){.cli = c, .arena = a, .does = does, .terminal = isatty(STDERR_FILENO) == 1};
    v->asked = arena_zalloc(a, (c->config->store_count + 1) * sizeof *v->asked);
    TRY(pilot_folders(c->state_dir, f));
    return journal_sqlite_open(c->state_dir, c->config->migration, &v->journal, f);
}

void verifying_close(struct verifying *v)
{
    if (v->journal != NULL)
        journal_free(v->journal);
}

static bool same_scope(const char *one, const char *other)
{
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static void say_joined(const struct asked *one)
{
    char at[WORLD_TIME_SIZE];

    fprintf(stderr, "%s: goes on with the one asked for at %s; what somebody changed by hand since may not be in it\n", one->store, world_time_text(strtoll(one->id, NULL, 10), at));
}

static enum err ask(struct verifying *v, const char *store, struct fault *f)
{
    struct asked *one = &v->asked[v->count++];
    enum verify_does does;
    const char *table;

    one->store = store;
    TRY(verify_asked(v->journal, store, v->arena, &one->id, &does, &table, f));
    if (one->id != NULL && does == v->does && same_scope(table, v->cli->table)) {
        one->joined = true;
        if (!v->cli->json)
            say_joined(one);
        return ERR_OK;
    }
    return verify_ask(v->journal, store, v->does, v->cli->table, v->arena, &one->id, f);
}

enum err verifying_ask(struct verifying *v, bool (*wanted)(struct verifying *v, const char *store), struct fault *f)
{
    struct cli *c = v->cli;

    if (c->arg_count > 0 && config_store_find(c->config, c->args[0]) == NULL)
        return fault_todo(f, ERR_UNKNOWN_NAME, "the stores are those of leat.yaml", "there is no store %s", c->args[0]);
    for (size_t i = 0; i < c->config->store_count; i++) {
        const char *store = pilot_leading(c->state_dir, &c->config->stores[i])->name;
        if ((c->arg_count == 0 || strcmp(c->args[0], c->config->stores[i].name) == 0) && (wanted == NULL || wanted(v, store)))
            TRY(ask(v, store, f));
    }
    return ERR_OK;
}

/* --- waiting --- */

static bool still_asked(const struct verifying *v)
{
    for (size_t i = 0; i < v->count; i++) {
        AUTO(arena) *a = arena_new(4096);
        const char *stands = NULL;
        struct fault ignored = {0};
        if (v->journal->ops->fact_get(v->journal, v->asked[i].store, VERIFY_ASKED, a, &stands, &ignored) != ERR_OK || (stands != NULL && strstr(stands, v->asked[i].id) != NULL))
            return true;
    }
    return false;
}

static void show_one(const char *store, const json_t *o)
{
    double rows = (double)json_integer_value(json_object_get(o, "rows_done"));
    double expected = json_real_value(json_object_get(o, "rows_expected"));
    double seconds = json_real_value(json_object_get(o, "seconds"));
    double rate = seconds > 0 ? rows / seconds : 0;
    char done[32];
    char a_second[32];
    const char *governor = json_string_value(json_object_get(o, "governor"));

    fprintf(stderr, "%s: %s%s%s, %lld of %lld tables, %s rows, %s rows/s", store, json_string_value(json_object_get(o, "doing")), governor != NULL && governor[0] != '\0' ? ", " : "", governor != NULL ? governor : "", (long long)json_integer_value(json_object_get(o, "tables_done")),
            (long long)json_integer_value(json_object_get(o, "tables_total")), cli_count((int64_t)rows, done), cli_count((int64_t)rate, a_second));
    if (rate > 0 && expected > rows)
        fprintf(stderr, ", about %.0f s left", (expected - rows) / rate);
}

static void show(struct verifying *v)
{
    if (v->cli->json || world_mono_us() - v->shown_us < (v->terminal ? SHOW_US / 4 : SHOW_US * 5))
        return;
    v->shown_us = world_mono_us();
    for (size_t i = 0; i < v->count; i++) {
        bool alive;
        json_t *o = pilot_store_status(v->cli->state_dir, v->asked[i].store, &alive);
        const json_t *verifying = json_object_get(o, "verifying");
        const char *id = json_string_value(json_object_get(verifying, "id"));
        if (id != NULL && strcmp(id, v->asked[i].id) == 0) { /* what is said may be older than what was asked */
            fputs(v->terminal ? "\r" : "", stderr);
            show_one(v->asked[i].store, verifying);
            fputs(v->terminal ? "\033[K" : "\n", stderr);
        }
        json_decref(o);
    }
    fflush(stderr);
}

static bool reached(void *ctx)
{
    struct verifying *v = ctx;

    show(v);
    return !still_asked(v);
}

static enum err wait_for_daemon(struct verifying *v, struct fault *f)
{
    struct sigaction action = {.sa_handler = on_interrupt};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!reached(v)) {
        if (left)
            return fault_todo(f, ERR_INTERRUPTED, "the same command shows it again", "no longer watching; the pilot in the background goes on comparing");
        if (pilot_pid(v->cli->state_dir) == 0)
            return fault_todo(f, ERR_GATE, "see `leat status`, then the same command again", "the pilot in the background has ended");
        TRY(pilot_stopped_store(v->cli->config, v->cli->state_dir, f));
        (void)poll(NULL, 0, 100);
    }
    return ERR_OK;
}

enum err verifying_wait(struct verifying *v, struct fault *f)
{
    struct cli *c = v->cli;
    struct pilot_job job = {.config = c->config, .state_dir = c->state_dir, .reached = reached, .reached_ctx = v};

    if (pilot_pid(c->state_dir) != 0)
        return wait_for_daemon(v, f);
    TRY(before_first(c, f));
    job.consent = c->yes;
    return pilot_run(&job, f);
}
