/* cli/cmd_status.c — leat status: where everything is, and what to type next. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/view.h"

static const char *const phases[] = {"assess", "build", "replicate", "verify", "shift", "cutover", "decommission"};

/* The phase of the playbook an engine's own phase belongs to. */
static const char *phase_of(const json_t *o)
{
    const char *phase = json_string_value(json_object_get(o, "phase"));

    if (phase == NULL)
        return "assess";
    return strcmp(phase, "build") == 0 ? "build" : "replicate";
}

static json_t *fault_of(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", state_dir, store);

    return json_load_file(path, 0, NULL);
}

static json_t *store_json(const struct cli *c, const struct config_store *s, const char **ret_phase)
{
    bool alive;
    json_t *o = pilot_store_status(c->state_dir, s->name, &alive);

    if (o == NULL)
        o = json_pack("{s:s, s:i}", "authority", "source", "epoch", 0);
    *ret_phase = phase_of(o);
    json_object_set_new(o, "name", json_string(s->name));
    json_object_set_new(o, "running", json_boolean(alive));
    json_object_set_new(o, "verified", json_null());
    json_object_set_new(o, "sessions", json_pack("{s:n, s:n}", "bypassing", "unmovable"));
    json_object_set_new(o, "fault", alive ? json_null() : fault_of(c->state_dir, s->name));
    if (json_object_get(o, "fault") == NULL)
        json_object_set_new(o, "fault", json_null());
    return o;
}

static void add_gate(json_t *gates, const char *store, const char *name, bool ok, const char *why)
{
    json_array_append_new(gates, json_pack("{s:o, s:b, s:s}", "name", json_sprintf("%s: %s", store, name), "ok", (int)ok, "why", why));
}

static void add_gates(const struct cli *c, json_t *gates, const char *name, const json_t *o)
{
    double lag = json_number_value(json_object_get(o, "lag_seconds"));
    bool known = json_object_get(o, "lag_seconds") != NULL;
    char why[128];

    snprintf(why, sizeof why, known ? "%.3f s against %.3f s" : "not measured yet", lag, (double)c->config->gates.lag_us / 1e6);
    add_gate(gates, name, "lag", known && lag * 1e6 <= (double)c->config->gates.lag_us, why);
    snprintf(why, sizeof why, "%lld rows", (long long)json_integer_value(json_object_get(o, "ledger")));
    add_gate(gates, name, "divergence ledger is empty", json_integer_value(json_object_get(o, "ledger")) == 0, why);
    add_gate(gates, name, "replicate", json_is_true(json_object_get(o, "following")), json_is_true(json_object_get(o, "following")) ? "following" : "not yet");
}

static int rank(const char *phase)
{
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(phases[i], phase) == 0)
            return (int)i;
    return 0;
}

static json_t *collect(const struct cli *c, bool *ret_running, bool *ret_begun)
{
    json_t *stores = json_array();
    json_t *gates = json_array();
    json_t *o = cli_object(c, true);
    const char *least = NULL;

    *ret_running = pilot_pid(c->state_dir) != 0;
    *ret_begun = false;
    for (size_t i = 0; i < c->config->store_count; i++) {
        const char *phase;
        json_t *s = store_json(c, &c->config->stores[i], &phase);
        *ret_running = *ret_running || json_is_true(json_object_get(s, "running"));
        *ret_begun = *ret_begun || json_object_get(s, "phase") != NULL;
        least = least == NULL || rank(phase) < rank(least) ? phase : least;
        add_gates(c, gates, c->config->stores[i].name, s);
        json_array_append_new(stores, s);
    }
    json_object_set_new(o, "phase", json_string(least != NULL ? least : "assess"));
    json_object_set_new(o, "running", json_boolean(*ret_running));
    json_object_set_new(o, "stores", stores);
    json_object_set_new(o, "services", json_array());
    json_object_set_new(o, "gates", gates);
    return o;
}

static void print_faults(const json_t *o)
{
    size_t i;
    const json_t *s;

    json_array_foreach(json_object_get(o, "stores"), i, s)
    {
        const json_t *fault = json_object_get(s, "fault");
        if (json_is_object(fault) && strcmp(json_string_value(json_object_get(fault, "code")), "interrupted") != 0)
            printf("  %s stopped: %s: %s\n  do: %s\n", json_string_value(json_object_get(s, "name")), json_string_value(json_object_get(fault, "code")),
                   json_string_value(json_object_get(fault, "why")), json_string_value(json_object_get(fault, "todo")));
    }
}

static void print_text(struct cli *c, struct view *v, const json_t *o, const char *next)
{
    struct winsize w = {.ws_col = 120, .ws_row = 60};
    AUTO_BUF out = {0};
    size_t i;
    const json_t *gate;

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
    view_draw(v, c->config, c->state_dir, &out, w.ws_col, w.ws_row);
    printf("migration %s — phase %s%s\n%s", c->config->migration, json_string_value(json_object_get(o, "phase")), json_is_true(json_object_get(o, "running")) ? "" : ", not running", buf_cstr(&out));
    print_faults(o);
    json_array_foreach(json_object_get(o, "gates"), i, gate)
        printf("  %s %s (%s)\n", json_is_true(json_object_get(gate, "ok")) ? "✓" : "·", json_string_value(json_object_get(gate, "name")), json_string_value(json_object_get(gate, "why")));
    printf("next: %s\n", next);
}

int cmd_status(struct cli *c, struct fault *f)
{
    struct view *v = view_new(c);

    (void)f;
    for (;;) {
        bool running;
        bool begun;
        json_t *o = collect(c, &running, &begun);
        const char *next = running ? "leat status --watch" : begun ? "leat start" : "leat doctor, then leat plan and leat run";
        if (c->json) {
            cli_answer(c, o, next);
        } else {
            if (c->watch)
                fputs("\033[H\033[J", stdout);
            print_text(c, v, o, next);
            json_decref(o);
        }
        fflush(stdout);
        if (!c->watch)
            break;
        (void)poll(NULL, 0, 1000);
    }
    view_free(v);
    return 0;
}
