/* cli/cmd_verify.c — leat verify: asks for an exact comparison, shows how it goes, and says what was found. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/world.h"
#include "cli/before.h"
#include "cli/cli.h"
#include "pilot/pilot.h"
#include "pilot/status.h"
#include "verify/verify.h"

#define SHOW_US ((int64_t)1000000)
#define MOST_SHOWN 10 /* rows of a table, for people */

struct asked { /* one store */
    const char *store;
    const char *id;
};

struct verifying {
    struct cli *cli;
    struct journal *journal;
    struct arena *arena;
    struct asked *asked;
    size_t count;
    int64_t shown_us;
    bool terminal;
};

static volatile sig_atomic_t left;

static void on_interrupt(int number)
{
    (void)number;
    left = 1;
}

/* --- asking --- */

/* A comparison that is under way is joined. */
static enum err ask(struct verifying *v, const char *store, struct fault *f)
{
    struct asked *one = &v->asked[v->count++];
    const char *stands;
    json_t *o;

    one->store = store;
    TRY(v->journal->ops->fact_get(v->journal, store, VERIFY_ASKED, v->arena, &stands, f));
    if (stands == NULL)
        return verify_ask(v->journal, store, v->cli->table, v->arena, &one->id, f);
    o = json_loads(stands, 0, NULL);
    one->id = arena_strdup(v->arena, json_string_value(json_object_get(o, "id")));
    json_decref(o);
    return one->id != NULL ? ERR_OK : fault_set(f, ERR_JOURNAL_BROKEN, "fact " VERIFY_ASKED " is %s", stands);
}

static enum err ask_all(struct verifying *v, struct fault *f)
{
    struct cli *c = v->cli;

    for (size_t i = 0; i < c->config->store_count; i++)
        if (c->arg_count == 0 || strcmp(c->args[0], c->config->stores[i].name) == 0)
            TRY(ask(v, c->config->stores[i].name, f));
    if (v->count == 0)
        return fault_todo(f, ERR_UNKNOWN_NAME, "the stores are those of leat.yaml", "there is no store %s", c->args[0]);
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

    fprintf(stderr, "verify: %s: %s, %lld of %lld tables, %s rows, %s rows/s", store, json_string_value(json_object_get(o, "doing")), (long long)json_integer_value(json_object_get(o, "tables_done")),
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
        if (verifying != NULL) {
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
            return fault_todo(f, ERR_INTERRUPTED, "`leat verify` shows it again", "no longer watching; the pilot in the background goes on comparing");
        if (pilot_pid(v->cli->state_dir) == 0)
            return fault_todo(f, ERR_GATE, "see `leat status`, then `leat verify` again", "the pilot in the background has ended");
        TRY(pilot_stopped_store(v->cli->config, v->cli->state_dir, f));
        (void)poll(NULL, 0, 100);
    }
    return ERR_OK;
}

static enum err wait_until_done(struct verifying *v, struct fault *f)
{
    struct cli *c = v->cli;
    struct pilot_job job = {.config = c->config, .state_dir = c->state_dir, .reached = reached, .reached_ctx = v};

    if (pilot_pid(c->state_dir) != 0)
        return wait_for_daemon(v, f);
    TRY(before_first(c, f));
    job.consent = c->yes;
    return pilot_run(&job, f);
}

/* --- telling --- */

static void tell_row(const json_t *row)
{
    char *key = json_dumps(json_object_get(row, "key"), JSON_COMPACT | JSON_ENSURE_ASCII);
    const json_t *columns = json_object_get(row, "columns");
    const json_t *c;
    size_t i;

    printf("    %-8s %s", json_string_value(json_object_get(row, "kind")), key);
    json_array_foreach(columns, i, c)
    {
        char *source = json_dumps(json_object_get(c, "source"), JSON_ENCODE_ANY);
        char *target = json_dumps(json_object_get(c, "target"), JSON_ENCODE_ANY);
        printf("%s %s: %s on the source, %s on the target", i > 0 ? ";" : "", json_string_value(json_object_get(c, "column")), source, target);
        free(source);
        free(target);
    }
    putchar('\n');
    free(key);
}

static void tell_table(const json_t *t)
{
    json_int_t n = json_integer_value(json_object_get(t, "differences"));
    const json_t *remark = json_object_get(t, "remark");
    const json_t *rows = json_object_get(t, "rows");
    const json_t *row;
    size_t i;

    if (remark != NULL)
        printf("  %s: %s\n", json_string_value(json_object_get(t, "table")), json_string_value(remark));
    if (n == 0)
        return;
    printf("  %s: %s%lld rows differ (%lld on the source, %lld on the target)\n", json_string_value(json_object_get(t, "table")), json_object_get(t, "more") != NULL ? "more than " : "", (long long)n,
           (long long)json_integer_value(json_object_get(t, "rows_source")), (long long)json_integer_value(json_object_get(t, "rows_target")));
    json_array_foreach(rows, i, row)
    {
        if (i < MOST_SHOWN)
            tell_row(row);
    }
    if (n > MOST_SHOWN)
        printf("    … and %lld more\n", (long long)n - MOST_SHOWN);
}

static void tell_store(const char *store, const json_t *report)
{
    const json_t *tables = json_object_get(report, "tables");
    const json_t *left_out = json_object_get(report, "unverifiable");
    const json_t *self_test = json_object_get(report, "self_test");
    char rows[32];
    const json_t *one;
    size_t i;

    printf("%s: %s: %zu tables, %s rows; the self-test found %lld of %lld damages\n", store, json_is_true(json_object_get(report, "clean")) ? "both sides are equal" : "NOT equal",
           json_array_size(tables), cli_count(json_integer_value(json_object_get(report, "rows")), rows), (long long)json_integer_value(json_object_get(self_test, "found")),
           (long long)json_integer_value(json_object_get(self_test, "planted")));
    json_array_foreach(tables, i, one)
        tell_table(one);
    json_array_foreach(json_object_get(report, "objects"), i, one)
        printf("  %s %s: %s\n", json_string_value(json_object_get(one, "kind")), json_string_value(json_object_get(one, "object")), json_string_value(json_object_get(one, "why")));
    json_array_foreach(left_out, i, one)
        printf("  not compared: %s: %s\n", json_string_value(json_object_get(one, "object")), json_string_value(json_object_get(one, "why")));
}

static enum err tell(struct verifying *v, bool *ret_clean, struct fault *f)
{
    json_t *stores = json_array();
    enum err err = ERR_OK;

    *ret_clean = true;
    if (v->terminal && !v->cli->json)
        fputs("\r\033[K", stderr);
    for (size_t i = 0; i < v->count && err == ERR_OK; i++) {
        json_t *report = NULL;
        err = verify_report(v->journal, v->asked[i].store, v->asked[i].id, &report, f);
        if (err != ERR_OK)
            break;
        *ret_clean = *ret_clean && json_is_true(json_object_get(report, "clean"));
        json_object_set_new(report, "name", json_string(v->asked[i].store));
        if (!v->cli->json)
            tell_store(v->asked[i].store, report);
        json_array_append_new(stores, report);
    }
    if (v->cli->json && err == ERR_OK) {
        json_t *o = cli_object(v->cli, *ret_clean);
        json_object_set(o, "stores", stores);
        cli_answer(v->cli, o, *ret_clean ? "leat status" : "leat repair");
    }
    json_decref(stores);
    return err;
}

static enum err verify(struct verifying *v, bool *ret_clean, struct fault *f)
{
    struct cli *c = v->cli;

    TRY(pilot_folders(c->state_dir, f));
    TRY(journal_sqlite_open(c->state_dir, c->config->migration, &v->journal, f));
    TRY(ask_all(v, f));
    TRY(wait_until_done(v, f));
    return tell(v, ret_clean, f);
}

int cmd_verify(struct cli *c, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct verifying v = {.cli = c, .arena = a, .terminal = isatty(STDERR_FILENO) == 1};
    bool clean = false;
    enum err err;

    v.asked = arena_zalloc(a, (c->config->store_count + 1) * sizeof *v.asked);
    err = verify(&v, &clean, f);
    if (v.journal != NULL)
        journal_free(v.journal);
    if (err != ERR_OK)
        return err_info(err)->exit_status;
    return clean ? 0 : 2;
}
