/* cli/view.c — see view.h.
 *
 * A picture on the terminal is one write: up over the last one, every line erased to its end as it is written, what is below
 * erased last; so nothing flickers. It is never higher than the screen. Other words scroll by above it. */
#include "cli/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/world.h"
#include "cli/draw.h"
#include "pilot/status.h"

#define PLAIN_US ((int64_t)10000000) /* a line at least so often, */
#define CALM_US ((int64_t)1000000)   /* and at most so often within a phase */

struct said { /* plain: what was said of a store last */
    char phase[32];
    char doing[128];
    int64_t at_us;
};

struct view {
    bool json;
    bool terminal;
    bool color;
    bool ended; /* the last picture: of engines that were stopped because they are done */
    int lines_drawn;
    int64_t started_us;
    struct rates *rates;
    struct said *said; /* one a store */
};

struct view *view_new(const struct cli *c)
{
    struct view *v = mem_alloc(sizeof *v);
    const char *term = getenv("TERM");

    v->json = c->json;
    v->terminal = !c->json && isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    v->color = cli_colors(STDERR_FILENO);
    v->started_us = world_mono_us();
    v->rates = rates_new();
    v->said = mem_alloc((c->config->store_count + 1) * sizeof *v->said);
    return v;
}

void view_free(struct view *v)
{
    rates_free(v->rates);
    free(v->said);
    free(v);
}

/* --- pictures --- */

void view_draw(struct view *v, const struct config *c, const char *state_dir, struct buf *out, int width, int height, bool color)
{
    struct draw_store *stores = mem_alloc((c->store_count + 1) * sizeof *stores);
    struct draw d = {stores, c->store_count, width, height, color, world_mono_us(), world_wall_us()};

    for (size_t i = 0; i < c->store_count; i++) {
        stores[i].name = c->stores[i].name;
        stores[i].status = pilot_store_status(state_dir, c->stores[i].name, &stores[i].alive);
        stores[i].alive = stores[i].alive || v->ended;
    }
    draw_stores(&d, v->rates, out);
    for (size_t i = 0; i < c->store_count; i++)
        json_decref((json_t *)(uintptr_t)stores[i].status);
    free(stores);
}

static void write_all(const struct buf *text)
{
    for (size_t done = 0; done < text->len;) {
        ssize_t n = write(STDERR_FILENO, text->data + done, text->len - done);

        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

static void go_up(const struct view *v, struct buf *out)
{
    if (v->lines_drawn > 0)
        buf_addf(out, "\r\033[%dA", v->lines_drawn);
}

static void draw_terminal(struct view *v, const struct config *c, const char *state_dir)
{
    struct winsize w = {.ws_col = 80, .ws_row = 24};
    AUTO_BUF text = {0};
    AUTO_BUF out = {0};
    int64_t seconds = (world_mono_us() - v->started_us) / 1000000;

    (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &w);
    w.ws_col = w.ws_col < 20 ? 80 : w.ws_col;
    w.ws_row = w.ws_row < 4 ? 24 : w.ws_row;
    view_draw(v, c, state_dir, &text, w.ws_col - 1, w.ws_row - 2, v->color);
    buf_addf(&text, "elapsed %lld:%02lld%s\n", (long long)(seconds / 60), (long long)(seconds % 60), v->ended ? "" : " · Ctrl-C is safe: run again to go on");
    go_up(v, &out);
    v->lines_drawn = draw_cut(buf_cstr(&text), w.ws_col - 1, w.ws_row - 1, v->color ? "\033[0m\033[K" : "\033[K", &out);
    buf_adds(&out, "\033[J");
    write_all(&out);
}

/* --- lines and events --- */

static void event_json(json_t *o)
{
    if (o == NULL)
        return;
    json_object_set_new(o, "at_us", json_integer((json_int_t)world_wall_us()));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static void progress_json(const char *store, const json_t *o)
{
    static const char *const keys[] = {"phase", "doing", "waits_for", "trouble", "copy", "indexes", "lag_bytes", "lag_seconds", "spool_bytes", "ledger", "txns_applied", "following"};
    json_t *event = json_pack("{s:s, s:s}", "event", "progress", "store", store);

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(o, keys[i]) != NULL)
            json_object_set(event, keys[i], json_object_get(o, keys[i]));
    event_json(event);
}

static void progress_line(const char *store, const json_t *o)
{
    const json_t *copy = json_object_get(o, "copy");
    const json_t *lag = json_object_get(o, "lag_seconds");
    AUTO_BUF line = {0};
    char one[32];
    char two[32];

    buf_addf(&line, "%s: %s", store, text_of(o, "phase"));
    if (text_of(o, "doing")[0] != '\0')
        buf_addf(&line, ": %s", text_of(o, "doing"));
    if (copy != NULL)
        buf_addf(&line, " — %s of %s, %lld of %lld tables", cli_size((double)json_integer_value(json_object_get(copy, "bytes_done")), one),
                 cli_size((double)json_integer_value(json_object_get(copy, "bytes_total")), two), (long long)json_integer_value(json_object_get(copy, "tables_done")),
                 (long long)json_integer_value(json_object_get(copy, "tables_total")));
    if (json_is_number(lag))
        buf_addf(&line, ", lag %.0f ms", json_number_value(lag) * 1000);
    if (text_of(o, "waits_for")[0] != '\0')
        buf_addf(&line, " — waits for: %s", text_of(o, "waits_for"));
    fprintf(stderr, "%s\n", buf_cstr(&line));
}

/* At a change of phase; at another change once a second; else every ten. */
static bool is_due(const struct said *said, const char *phase, const char *doing)
{
    int64_t age = world_mono_us() - said->at_us;

    if (said->at_us == 0 || strcmp(said->phase, phase) != 0 || age > PLAIN_US)
        return true;
    return strcmp(said->doing, doing) != 0 && age > CALM_US;
}

static void show_plain(struct view *v, const struct config *c, const char *state_dir)
{
    for (size_t i = 0; i < c->store_count; i++) {
        struct said *said = &v->said[i];
        bool alive;
        json_t *o = pilot_store_status(state_dir, c->stores[i].name, &alive);
        char phase[sizeof said->phase];
        char doing[sizeof said->doing];

        snprintf(phase, sizeof phase, "%s", text_of(o, "phase"));
        snprintf(doing, sizeof doing, "%s|%s", text_of(o, "doing"), text_of(o, "waits_for"));
        if (o != NULL && alive && is_due(said, phase, doing)) {
            if (v->json)
                progress_json(c->stores[i].name, o);
            else
                progress_line(c->stores[i].name, o);
            memcpy(said->phase, phase, sizeof phase);
            memcpy(said->doing, doing, sizeof doing);
            said->at_us = world_mono_us();
        }
        json_decref(o);
    }
}

static void show(void *ctx, const struct config *c, const char *state_dir)
{
    struct view *v = ctx;

    if (v->terminal)
        draw_terminal(v, c, state_dir);
    else
        show_plain(v, c, state_dir);
}

void view_end(struct view *v, const struct config *c, const char *state_dir)
{
    v->ended = true;
    if (v->terminal && v->lines_drawn > 0)
        draw_terminal(v, c, state_dir);
}

static void on_event(void *ctx, const char *store, const char *text)
{
    struct view *v = ctx;
    AUTO_BUF out = {0};

    if (v->json) {
        event_json(json_pack("{s:s, s:s, s:s}", "event", "pilot", "store", store, "text", text));
        return;
    }
    go_up(v, &out);
    buf_addf(&out, "%s%s%s%s\n", v->terminal ? "\033[J" : "", store, store[0] != '\0' ? ": " : "", text);
    v->lines_drawn = 0;
    write_all(&out);
}

struct pilot_view view_for_pilot(struct view *v)
{
    return (struct pilot_view){show, on_event, v};
}
