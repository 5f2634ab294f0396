/* cli/view.c — see view.h. */
#include "cli/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/world.h"

#define MOST_STORES 64
#define PLAIN_US ((int64_t)10000000)
#define RATE_WINDOW_US ((int64_t)2000000)

struct sample { /* for rates: what was done at the beginning of the window */
    int64_t at_us;
    int64_t bytes;
    double rate;
};

struct view {
    bool json;
    bool terminal;
    int lines_drawn;
    int64_t started_us;
    int64_t plain_us;
    char last[MOST_STORES][128]; /* plain: what was said of each store */
    struct sample samples[MOST_STORES];
};

struct view *view_new(const struct cli *c)
{
    struct view *v = mem_alloc(sizeof *v);

    v->json = c->json;
    v->terminal = !c->json && isatty(STDERR_FILENO) && getenv("TERM") != NULL && strcmp(getenv("TERM"), "dumb") != 0;
    v->started_us = world_mono_us();
    return v;
}

void view_free(struct view *v)
{
    free(v);
}

/* --- reading a status --- */

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static double rate_of(struct view *v, size_t i, int64_t bytes)
{
    struct sample *s = &v->samples[i % MOST_STORES];
    int64_t now = world_mono_us();

    if (s->at_us == 0 || bytes < s->bytes) {
        *s = (struct sample){now, bytes, 0};
    } else if (now - s->at_us > RATE_WINDOW_US) {
        s->rate = (double)(bytes - s->bytes) * 1e6 / (double)(now - s->at_us);
        s->at_us = now;
        s->bytes = bytes;
    }
    return s->rate;
}

static void add_duration(struct buf *out, int64_t seconds)
{
    if (seconds >= 3600)
        buf_addf(out, "%lldh%02lldm", (long long)(seconds / 3600), (long long)(seconds % 3600 / 60));
    else
        buf_addf(out, "%lld:%02lld", (long long)(seconds / 60), (long long)(seconds % 60));
}

static void add_bar(struct buf *out, double part, int width)
{
    int full = (int)(part * width + 0.5);

    buf_addc(out, '[');
    for (int i = 0; i < width; i++)
        buf_adds(out, i < full ? "█" : "·");
    buf_addc(out, ']');
}

/* --- drawing --- */

static void draw_head(struct view *v, size_t i, const char *name, const json_t *o, bool alive, struct buf *out)
{
    const json_t *copy = json_object_get(o, "copy");
    int64_t done = number(copy, "bytes_done");
    int64_t total = number(copy, "bytes_total");
    double rate = rate_of(v, i, done);
    char one[32];
    char two[32];
    char three[32];

    buf_addf(out, "%s  %s%s", name, o == NULL ? "not begun" : text_of(o, "phase"), o != NULL && !alive ? " (not running)" : "");
    if (text_of(o, "doing")[0] != '\0')
        buf_addf(out, ": %s", text_of(o, "doing"));
    buf_addc(out, '\n');
    if (copy == NULL)
        return;
    buf_adds(out, "  ");
    add_bar(out, total > 0 ? (double)done / (double)total : 1, 24);
    buf_addf(out, " %s of %s, %lld of %lld tables, %lld rows", cli_size((double)done, one), cli_size((double)total, two), (long long)number(copy, "tables_done"),
             (long long)number(copy, "tables_total"), (long long)number(copy, "rows_done"));
    if (rate > 0 && done < total) {
        buf_addf(out, ", %s/s, ETA ", cli_size(rate, three));
        add_duration(out, (int64_t)((double)(total - done) / rate));
    }
    buf_addc(out, '\n');
}

static void draw_state(const json_t *o, struct buf *out)
{
    const json_t *indexes = json_object_get(o, "indexes");
    double lag = json_number_value(json_object_get(o, "lag_seconds"));
    char one[32];
    char two[32];

    buf_addf(out, "  indexes %lld of %lld", (long long)number(indexes, "done"), (long long)number(indexes, "total"));
    for (size_t i = 0; i < json_array_size(json_object_get(indexes, "building")) && i < 2; i++)
        buf_addf(out, ", building %s", json_string_value(json_array_get(json_object_get(indexes, "building"), i)));
    buf_addf(out, "\n  lag %s, %.0f ms   spool %s   applied %lld transactions, %lld changes   ledger %lld\n", cli_size((double)number(o, "lag_bytes"), one), lag * 1000,
             cli_size((double)number(o, "spool_bytes"), two), (long long)number(o, "txns_applied"), (long long)number(o, "changes_applied"), (long long)number(o, "ledger"));
    if (text_of(o, "waits_for")[0] != '\0')
        buf_addf(out, "  waits for: %s\n", text_of(o, "waits_for"));
}

static bool is_active(const json_t *t)
{
    const char *state = text_of(t, "state");

    return strcmp(state, "open") == 0 || strcmp(state, "copied") == 0;
}

static void draw_tables(const json_t *o, struct buf *out, int most)
{
    const json_t *tables = json_object_get(o, "tables");
    size_t planned = 0;
    int drawn = 0;

    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *t = json_array_get(tables, i);
        int64_t total = number(t, "bytes_total");
        int64_t bytes = number(t, "bytes");
        char one[32];
        planned += strcmp(text_of(t, "state"), "planned") == 0;
        if (!is_active(t) || drawn == most)
            continue;
        buf_addf(out, "    %-32.60s %-7s ", text_of(t, "table"), strcmp(text_of(t, "state"), "open") == 0 ? "copying" : "indexes");
        add_bar(out, total > 0 && bytes < total ? (double)bytes / (double)total : 1, 12);
        buf_addf(out, " %s, %lld rows\n", cli_size((double)bytes, one), (long long)number(t, "rows"));
        drawn++;
    }
    if (planned > 0)
        buf_addf(out, "    … and %zu more planned\n", planned);
}

void view_draw(struct view *v, const struct config *c, const char *state_dir, struct buf *out, int width, int height)
{
    int room = height / (int)c->store_count - 6;

    (void)width;
    for (size_t i = 0; i < c->store_count; i++) {
        bool alive;
        json_t *o = pilot_store_status(state_dir, c->stores[i].name, &alive);
        draw_head(v, i, c->stores[i].name, o, alive, out);
        if (o != NULL && json_object_get(o, "copy") != NULL) {
            draw_state(o, out);
            draw_tables(o, out, room > 1 ? room : 1);
        }
        json_decref(o);
    }
}

/* Cuts each line to the width, so that none wraps and the cursor goes up as many lines as were drawn. */
static void print_cut(const char *text, int width, int *ret_lines)
{
    *ret_lines = 0;
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        int columns = 0;
        size_t k = 0;
        while (k < n && columns < width - 1) {
            k++;
            while (k < n && ((unsigned char)text[k] & 0xc0) == 0x80)
                k++;
            columns++;
        }
        fprintf(stderr, "\033[K%.*s\n", (int)k, text);
        ++*ret_lines;
        text += n + (text[n] == '\n');
    }
}

static void draw_terminal(struct view *v, const struct config *c, const char *state_dir)
{
    struct winsize w = {.ws_col = 80, .ws_row = 24};
    AUTO_BUF out = {0};
    int lines;

    (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &w);
    view_draw(v, c, state_dir, &out, w.ws_col, w.ws_row);
    buf_adds(&out, "  elapsed ");
    add_duration(&out, (world_mono_us() - v->started_us) / 1000000);
    buf_adds(&out, "   Ctrl-C is safe: run again to go on\n");
    if (v->lines_drawn > 0)
        fprintf(stderr, "\033[%dA", v->lines_drawn);
    print_cut(buf_cstr(&out), w.ws_col, &lines);
    for (int i = lines; i < v->lines_drawn; i++)
        fputs("\033[K\n", stderr);
    v->lines_drawn = lines > v->lines_drawn ? lines : v->lines_drawn;
}

/* --- plain lines and events --- */

static void event_json(const char *store, json_t *o)
{
    json_object_set_new(o, "store", json_string(store));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

static void say_plain(struct view *v, const char *store, const json_t *o)
{
    const json_t *copy = json_object_get(o, "copy");
    char one[32];
    char two[32];

    if (v->json) {
        event_json(store, json_pack("{s:s, s:s, s:s, s:O?}", "event", "progress", "phase", text_of(o, "phase"), "doing", text_of(o, "doing"), "copy", copy));
        return;
    }
    fprintf(stderr, "%s: %s%s%s", store, text_of(o, "phase"), text_of(o, "doing")[0] != '\0' ? ": " : "", text_of(o, "doing"));
    if (copy != NULL)
        fprintf(stderr, " — %s of %s, %lld of %lld tables, lag %.0f ms", cli_size((double)number(copy, "bytes_done"), one), cli_size((double)number(copy, "bytes_total"), two),
                (long long)number(copy, "tables_done"), (long long)number(copy, "tables_total"), json_number_value(json_object_get(o, "lag_seconds")) * 1000);
    if (text_of(o, "waits_for")[0] != '\0')
        fprintf(stderr, " — waits for: %s", text_of(o, "waits_for"));
    fputc('\n', stderr);
}

static void draw_plain(struct view *v, const struct config *c, const char *state_dir)
{
    bool due = world_mono_us() - v->plain_us > PLAIN_US;

    for (size_t i = 0; i < c->store_count && i < MOST_STORES; i++) {
        bool alive;
        json_t *o = pilot_store_status(state_dir, c->stores[i].name, &alive);
        char now[128];
        snprintf(now, sizeof now, "%.30s|%.60s", text_of(o, "phase"), text_of(o, "doing"));
        if (o != NULL && alive && (due || strcmp(now, v->last[i]) != 0)) {
            say_plain(v, c->stores[i].name, o);
            snprintf(v->last[i], sizeof v->last[i], "%s", now);
            v->plain_us = world_mono_us();
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
        draw_plain(v, c, state_dir);
}

static void on_event(void *ctx, const char *store, const char *text)
{
    struct view *v = ctx;

    if (v->json) {
        event_json(store, json_pack("{s:s, s:s}", "event", "engine", "text", text));
        return;
    }
    v->lines_drawn = 0;
    fprintf(stderr, "%s: %s\n", store, text);
}

struct pilot_view view_for_pilot(struct view *v)
{
    return (struct pilot_view){show, on_event, v};
}
