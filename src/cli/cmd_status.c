/* cli/cmd_status.c — leat status: where everything is, which gates hold, and what to type next.
 *
 * It reads what the engines said last (STATE/run) and needs nobody to be alive. The JSON fields are those scripts rely on. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/draw.h"
#include "cli/gates.h"
#include "cli/serving.h"
#include "cli/view.h"
#include "pilot/pilot.h"
#include "pilot/status.h"

#define SAMPLE_MS 700 /* between two looks, for a rate */

static const char *const phases[] = {"assess", "build", "replicate", "verify", "shift", "cutover", "decommission"};

/* --- a store --- */

/* The phase of the playbook an engine's own phase belongs to. */
static const char *phase_of(const json_t *o)
{
    const char *phase = json_string_value(json_object_get(o, "phase"));

    if (phase == NULL)
        return "assess";
    return strcmp(phase, "build") == 0 ? "build" : "replicate";
}

static void set_absent(json_t *o, const char *key, json_t *value)
{
    if (json_object_get(o, key) == NULL)
        json_object_set_new(o, key, value);
    else
        json_decref(value);
}

static json_t *store_json(const struct cli *c, const struct config_store *store)
{
    const char *name = store->name;
    bool alive;
    json_t *o = pilot_store_status(c->state_dir, name, &alive);
    json_t *fault = serving_fault(c->state_dir, name, alive);

    if (o == NULL)
        o = json_object();
    json_object_set_new(o, "name", json_string(name));
    json_object_set_new(o, "running", json_boolean(alive));
    json_object_set_new(o, "fault", fault);
    set_absent(o, "authority", json_string("source"));
    set_absent(o, "epoch", json_integer(0));
    set_absent(o, "copy", json_pack("{s:i, s:i, s:i, s:i, s:i}", "tables_done", 0, "tables_total", 0, "bytes_done", 0, "bytes_total", 0, "rows_done", 0));
    set_absent(o, "lag_bytes", json_null());
    set_absent(o, "lag_seconds", json_null());
    set_absent(o, "spool_bytes", json_integer(0));
    set_absent(o, "ledger", json_integer(0));
    set_absent(o, "following", json_false());
    set_absent(o, "verified", json_null());
    gates_date(json_object_get(o, "verified"));
    serving_add(c, store, o);
    return o;
}

/* --- the whole --- */

static size_t rank(const char *phase)
{
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(phases[i], phase) == 0)
            return i;
    return 0;
}

static bool any(const json_t *stores, const char *key)
{
    size_t i;
    const json_t *s;

    json_array_foreach(stores, i, s)
    {
        const json_t *value = json_object_get(s, key);

        if (value != NULL && !json_is_null(value) && !json_is_false(value))
            return true;
    }
    return false;
}

/* What opens the gates that are shut, one line each whatever the number of stores. */
static void add_running_next(struct buf *next, const json_t *stores)
{
    static const char *const order[] = {"leat repair", "leat verify"};

    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        size_t i;
        const json_t *s;
        bool wanted = false;

        json_array_foreach(stores, i, s)
            wanted = wanted || (gates_next(s) != NULL && strcmp(gates_next(s), order[k]) == 0);
        if (wanted)
            buf_addf(next, "%s\n", order[k]);
    }
    buf_adds(next, "leat status --watch\n");
}

static void add_todo(struct buf *next, const json_t *store, const json_t *fault, const char *whose)
{
    const char *todo = json_string_value(json_object_get(fault, "todo"));

    if (todo != NULL && todo[0] != '\0')
        buf_addf(next, "%s%s: %s\n", json_string_value(json_object_get(store, "name")), whose, todo);
}

static void add_next(struct buf *next, const json_t *stores, bool running)
{
    size_t i;
    const json_t *s;

    json_array_foreach(stores, i, s)
    {
        add_todo(next, s, json_object_get(s, "fault"), "");
        add_todo(next, s, json_object_get(json_object_get(s, "way_back"), "fault"), ", its way back");
    }
    if (!any(stores, "phase") && next->len == 0)
        buf_adds(next, "leat doctor\nleat plan\nleat run\n");
    else if (!running)
        buf_adds(next, "leat start\n");
    else
        add_running_next(next, stores);
}

static json_t *collect(const struct cli *c, struct buf *next)
{
    json_t *stores = json_array();
    json_t *gates = json_array();
    json_t *o = cli_object(c, true);
    bool daemon = pilot_pid(c->state_dir) != 0;
    size_t least = sizeof phases / sizeof *phases - 1;
    bool running;

    for (size_t i = 0; i < c->config->store_count; i++) {
        json_t *s = store_json(c, &c->config->stores[i]);

        least = rank(phase_of(s)) < least ? rank(phase_of(s)) : least;
        gates_of(c, s, gates);
        json_array_append_new(stores, s);
    }
    running = daemon || any(stores, "running");
    add_next(next, stores, running);
    json_object_set_new(o, "migration", json_string(c->config->migration));
    json_object_set_new(o, "phase", json_string(phases[least]));
    json_object_set_new(o, "running", json_boolean(running));
    json_object_set_new(o, "pilot", daemon ? json_integer(pilot_pid(c->state_dir)) : json_null());
    json_object_set_new(o, "stores", stores);
    json_object_set_new(o, "services", json_array());
    json_object_set_new(o, "gates", gates);
    return o;
}

/* --- for people --- */

static void add_faults(const json_t *o, struct buf *out)
{
    size_t i;
    const json_t *s;

    json_array_foreach(json_object_get(o, "stores"), i, s)
    {
        const json_t *fault = json_object_get(s, "fault");

        if (!json_is_object(fault))
            continue;
        buf_addf(out, "\n%s has stopped: %s: %s\n  %s\n", json_string_value(json_object_get(s, "name")), json_string_value(json_object_get(fault, "code")),
                 json_string_value(json_object_get(fault, "what")), json_string_value(json_object_get(fault, "why")));
    }
}

static void add_gate_lines(const struct cli *c, const json_t *o, struct buf *out)
{
    size_t i;
    const json_t *gate;

    buf_adds(out, "\ngates\n");
    json_array_foreach(json_object_get(o, "gates"), i, gate)
    {
        buf_addf(out, "  %s ", json_is_true(json_object_get(gate, "ok")) ? "✓" : "·");
        if (c->config->store_count > 1)
            buf_addf(out, "%s ", json_string_value(json_object_get(gate, "store")));
        buf_addf(out, "%s: %s\n", json_string_value(json_object_get(gate, "name")), json_string_value(json_object_get(gate, "why")));
    }
}

static void add_next_lines(const struct buf *next, struct buf *out)
{
    buf_adds(out, "\n");
    for (const char *line = buf_cstr(next); line[0] != '\0'; line += strcspn(line, "\n") + 1)
        buf_addf(out, "next: %.*s\n", (int)strcspn(line, "\n"), line);
}

static void size_of_terminal(int *ret_width, int *ret_height)
{
    struct winsize w = {0};

    *ret_width = 120;
    *ret_height = 200;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20 && w.ws_row >= 4) {
        *ret_width = w.ws_col - 1;
        *ret_height = w.ws_row;
    }
}

static void print_text(const struct cli *c, struct view *v, const json_t *o, const struct buf *next)
{
    AUTO_BUF text = {0};
    AUTO_BUF out = {0};
    int width;
    int height;
    bool color = cli_colors(STDOUT_FILENO);

    size_of_terminal(&width, &height);
    buf_addf(&text, "migration %s, phase %s%s\n\n", c->config->migration, json_string_value(json_object_get(o, "phase")),
             json_is_true(json_object_get(o, "running")) ? "" : ", not running");
    view_draw(v, c->config, c->state_dir, &text, width, height - 8 - 3 * (int)c->config->store_count, color);
    serving_lines(json_object_get(o, "stores"), &text);
    add_faults(o, &text);
    add_gate_lines(c, o, &text);
    add_next_lines(next, &text);
    if (!c->watch) {
        fputs(buf_cstr(&text), stdout);
        return;
    }
    (void)draw_cut(buf_cstr(&text), width, height - 1, color ? "\033[0m\033[K" : "\033[K", &out);
    printf("\033[H%s\033[J", buf_cstr(&out));
}

/* A first look for the rates, where rows move. */
static void sample(const struct cli *c, struct view *v)
{
    AUTO_BUF ignored = {0};
    bool copying = false;

    for (size_t i = 0; i < c->config->store_count; i++) {
        bool alive;
        json_t *o = pilot_store_status(c->state_dir, c->config->stores[i].name, &alive);

        copying = copying || (alive && json_object_get(o, "copy") != NULL);
        json_decref(o);
    }
    if (!copying)
        return;
    view_draw(v, c->config, c->state_dir, &ignored, 120, 200, false);
    (void)poll(NULL, 0, SAMPLE_MS);
}

static void show(const struct cli *c, struct view *v)
{
    AUTO_BUF next = {0};
    json_t *o = collect(c, &next);

    if (c->json) {
        cli_answer(c, o, buf_cstr(&next));
    } else {
        print_text(c, v, o, &next);
        json_decref(o);
    }
    fflush(stdout);
}

int cmd_status(struct cli *c, struct fault *f)
{
    struct view *v = view_new(c);

    (void)f;
    if (!c->json)
        sample(c, v);
    if (c->watch && !c->json)
        fputs("\033[2J", stdout);
    for (show(c, v); c->watch && !ferror(stdout); show(c, v))
        (void)poll(NULL, 0, 1000);
    view_free(v);
    return 0;
}
