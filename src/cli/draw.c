/* cli/draw.c — see draw.h. A store is drawn as
 *
 *     shop  copying  ██████████········  54%  1.2 GB of 2.3 GB  118 MB/s  ETA 0:10
 *       14 of 328 tables · 12,345,678 rows · 3 of 40 indexes
 *       public.orders              copying  ██████····   62%     410 MB    52 MB/s  0:06    1,234,567 rows
 *       … 2 more under way, 312 planned
 *       building orders_pkey, items_idx
 *       lag 12 kB, 3 ms · spool 0 B · ledger 0 · 1,204 transactions/s
 *       waits for: ...
 *       tried again: ..., 0:03 ago
 */
#include "cli/draw.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define BOLD "\033[1m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"
#define FIXED_LINES 8 /* of a store, beside its tables */

struct brush {
    const struct draw *d;
    const struct draw_store *s;
    struct rates *rates;
    struct buf *out;
};

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static double rate_of(const struct brush *b, const char *what, int64_t value)
{
    AUTO_CHARS *name = mem_format("%s/%s", b->s->name, what);

    return rates_take(b->rates, name, value, b->d->now_us);
}

static const char *color(const struct brush *b, const char *code)
{
    return b->d->color ? code : "";
}

/* --- small pieces --- */

static void add_duration(struct buf *out, int64_t seconds)
{
    if (seconds >= 86400)
        buf_addf(out, "%lldd%02lldh", (long long)(seconds / 86400), (long long)(seconds % 86400 / 3600));
    else if (seconds >= 3600)
        buf_addf(out, "%lldh%02lldm", (long long)(seconds / 3600), (long long)(seconds % 3600 / 60));
    else
        buf_addf(out, "%lld:%02lld", (long long)(seconds / 60), (long long)(seconds % 60));
}

static double part_of(int64_t done, int64_t total)
{
    if (total <= 0 || done >= total)
        return 1;
    return done <= 0 ? 0 : (double)done / (double)total;
}

static void add_bar(struct buf *out, double part, int width)
{
    int full = (int)(part * width + 0.5);

    for (int i = 0; i < width; i++)
        buf_adds(out, i < full ? "█" : "·");
}

static void add_lag(struct buf *out, const json_t *lag)
{
    double seconds = json_number_value(lag);

    if (!json_is_number(lag))
        buf_adds(out, "not known yet");
    else if (seconds < 10)
        buf_addf(out, "%.0f ms", seconds * 1000);
    else
        add_duration(out, (int64_t)seconds);
}

/* Text of at most `width` columns, filled up with blanks; what is too long loses its middle. UTF-8 is counted by character. */
static void add_column(struct buf *out, const char *text, int width)
{
    int columns = 0;

    for (const char *p = text; *p != '\0'; p++)
        columns += ((unsigned char)*p & 0xc0) != 0x80;
    if (columns <= width) {
        buf_addf(out, "%s%*s", text, width - columns, "");
        return;
    }
    columns -= width - 1; /* so many characters go, one … comes */
    for (int at = 0; *text != '\0'; text++) {
        bool begins = ((unsigned char)*text & 0xc0) != 0x80;

        at += begins;
        if (at <= width / 2 || at > width / 2 + columns)
            buf_addc(out, *text);
        else if (begins && at == width / 2 + 1)
            buf_adds(out, "…");
    }
}

/* --- a store's parts --- */

static const char *phase_word(const struct draw_store *s)
{
    static const char *const words[][2] = {{"build", "building"}, {"copy", "copying"}, {"join", "joining"}, {"constraints", "constraints"}, {"follow", "following"}};
    const char *phase = text_of(s->status, "phase");

    if (s->status == NULL)
        return "not begun";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], phase) == 0)
            return words[i][1];
    return phase;
}

static void add_progress(const struct brush *b, const json_t *copy)
{
    int64_t done = number(copy, "bytes_done");
    int64_t total = number(copy, "bytes_total");
    double rate = rate_of(b, "bytes", done);
    char one[32];
    char two[32];

    if (number(copy, "tables_done") >= number(copy, "tables_total")) {
        buf_addf(b->out, "  %s copied", cli_size((double)total, one));
        return;
    }
    buf_adds(b->out, "  ");
    add_bar(b->out, part_of(done, total), b->d->width < 100 ? 16 : 30);
    buf_addf(b->out, " %3.0f%%  %s of %s", part_of(done, total) * 100, cli_size((double)done, one), cli_size((double)total, two));
    if (rate >= 1) {
        buf_addf(b->out, "  %s/s  ETA ", cli_size(rate, one));
        add_duration(b->out, (int64_t)((double)(total - done) / rate + 0.5));
    }
}

static void add_head(const struct brush *b)
{
    const json_t *copy = json_object_get(b->s->status, "copy");
    bool follows = json_is_true(json_object_get(b->s->status, "following"));

    buf_addf(b->out, "%s%s%s  %s%s%s", color(b, BOLD), b->s->name, color(b, PLAIN), color(b, follows && b->s->alive ? GREEN : ""), phase_word(b->s), color(b, PLAIN));
    if (b->s->status != NULL && !b->s->alive) {
        buf_addf(b->out, ", %snot running%s; last seen ", color(b, YELLOW), color(b, PLAIN));
        add_duration(b->out, (b->d->wall_us - number(b->s->status, "at_us")) / 1000000);
        buf_adds(b->out, " ago");
    }
    if (copy != NULL)
        add_progress(b, copy);
    buf_addc(b->out, '\n');
    if (text_of(b->s->status, "doing")[0] != '\0')
        buf_addf(b->out, "  %s\n", text_of(b->s->status, "doing"));
}

static void add_counts(const struct brush *b, const json_t *copy)
{
    const json_t *indexes = json_object_get(b->s->status, "indexes");
    char rows[32];

    buf_addf(b->out, "  %lld of %lld tables · %s rows · %lld of %lld indexes\n", (long long)number(copy, "tables_done"), (long long)number(copy, "tables_total"),
             cli_count(number(copy, "rows_done"), rows), (long long)number(indexes, "done"), (long long)number(indexes, "total"));
}

static void add_building(const struct brush *b)
{
    const json_t *building = json_object_get(json_object_get(b->s->status, "indexes"), "building");
    size_t count = json_array_size(building);

    if (count == 0)
        return;
    buf_adds(b->out, "  building ");
    for (size_t i = 0; i < count && i < 4; i++) {
        const char *name = json_string_value(json_array_get(building, i));

        buf_addf(b->out, "%s%s", i > 0 ? ", " : "", name != NULL ? name : "");
    }
    if (count > 4)
        buf_addf(b->out, " and %zu more", count - 4);
    buf_addc(b->out, '\n');
}

static void add_stream(const struct brush *b)
{
    const json_t *o = b->s->status;
    double rate = rate_of(b, "transactions", number(o, "txns_applied"));
    char one[32];

    buf_addf(b->out, "  lag %s, ", cli_size((double)number(o, "lag_bytes"), one));
    add_lag(b->out, json_object_get(o, "lag_seconds"));
    buf_addf(b->out, " · spool %s · ledger %s%lld%s", cli_size((double)number(o, "spool_bytes"), one), color(b, number(o, "ledger") > 0 ? YELLOW : ""),
             (long long)number(o, "ledger"), color(b, PLAIN));
    if (rate >= 1)
        buf_addf(b->out, " · %s transactions/s", cli_count((int64_t)rate, one));
    else
        buf_addf(b->out, " · %s transactions", cli_count(number(o, "txns_applied"), one));
    buf_addc(b->out, '\n');
    if (text_of(o, "ddl_pending")[0] != '\0')
        buf_addf(b->out, "  %sschema change: %s%s\n", color(b, YELLOW), text_of(o, "ddl_pending"), color(b, PLAIN));
}

static void add_waits(const struct brush *b)
{
    if (text_of(b->s->status, "waits_for")[0] != '\0')
        buf_addf(b->out, "  %swaits for: %s%s\n", color(b, YELLOW), text_of(b->s->status, "waits_for"), color(b, PLAIN));
}

/* Of an engine that runs: one that ended has its fault to say. */
static void add_trouble(const struct brush *b)
{
    const json_t *trouble = json_object_get(b->s->status, "trouble");

    if (!json_is_object(trouble) || !b->s->alive)
        return;
    buf_addf(b->out, "  %stried again: %s: %s%s, ", color(b, YELLOW), text_of(trouble, "what"), text_of(trouble, "why"), color(b, PLAIN));
    add_duration(b->out, (b->d->wall_us - number(trouble, "at_us")) / 1000000);
    buf_adds(b->out, " ago\n");
}

/* --- tables --- */

static bool is_state(const json_t *t, const char *state)
{
    return strcmp(text_of(t, "state"), state) == 0;
}

static const char *table_word(const json_t *t)
{
    return is_state(t, "open") ? "copying" : is_state(t, "copied") ? "indexes" : text_of(t, "state");
}

static void add_table(const struct brush *b, const json_t *t)
{
    int64_t total = number(t, "bytes_total");
    int64_t bytes = number(t, "bytes");
    double rate = rate_of(b, text_of(t, "table"), bytes);
    int name = b->d->width - 2 - (b->d->width < 100 ? 48 : 72);
    char text[32];

    buf_adds(b->out, "  ");
    add_column(b->out, text_of(t, "table"), name < 12 ? 12 : name > 48 ? 48 : name);
    buf_addf(b->out, " %-8s", table_word(t));
    if (is_state(t, "open")) {
        add_bar(b->out, part_of(bytes, total), b->d->width < 100 ? 8 : 16);
        buf_addf(b->out, " %3.0f%% %8s", part_of(bytes, total) * 100, cli_size((double)bytes, text));
        buf_addf(b->out, " %8s/s", rate >= 1 ? cli_size(rate, text) : "-");
        if (rate >= 1 && total > bytes) {
            buf_addc(b->out, ' ');
            add_duration(b->out, (int64_t)((double)(total - bytes) / rate + 0.5));
        }
    } else {
        buf_addf(b->out, " %8s", cli_size((double)(bytes > 0 ? bytes : total), text));
    }
    if (b->d->width >= 100)
        buf_addf(b->out, "  %s rows", cli_count(number(t, "rows"), text));
    buf_addc(b->out, '\n');
}

/* Those that are copied first, then those whose indexes are built; what there is no room for is counted. */
static void add_tables(const struct brush *b, const json_t *copy, int most)
{
    static const char *const active[] = {"open", "copied"};
    const json_t *tables = json_object_get(b->s->status, "tables");
    int64_t planned = number(copy, "tables_total") - number(copy, "tables_done");
    int hidden = 0;
    int drawn = 0;
    size_t i;
    const json_t *t;

    for (size_t a = 0; a < 2; a++)
        json_array_foreach(tables, i, t)
        {
            if (!is_state(t, active[a]))
                continue;
            planned -= a == 0;
            if (drawn++ < most)
                add_table(b, t);
            else
                hidden++;
        }
    if (hidden > 0 || planned > 0)
        buf_adds(b->out, "  …");
    if (hidden > 0)
        buf_addf(b->out, " %d more under way%s", hidden, planned > 0 ? "," : "");
    if (planned > 0)
        buf_addf(b->out, " %lld planned", (long long)planned);
    if (hidden > 0 || planned > 0)
        buf_addc(b->out, '\n');
}

/* --- the whole --- */

static void draw_store(const struct brush *b, int tables)
{
    const json_t *copy = json_object_get(b->s->status, "copy");

    add_head(b);
    if (copy != NULL) {
        add_counts(b, copy);
        add_tables(b, copy, tables);
        add_building(b);
        add_stream(b);
    }
    add_waits(b);
    add_trouble(b);
}

void draw_stores(const struct draw *d, struct rates *r, struct buf *out)
{
    int count = d->store_count > 0 ? (int)d->store_count : 1;
    int tables = d->height / count - FIXED_LINES;

    for (size_t i = 0; i < d->store_count; i++) {
        struct brush b = {d, &d->stores[i], r, out};

        draw_store(&b, tables < 1 ? 1 : tables);
    }
}

/* Bytes of one character or escape at p; *ret_columns: what it takes on the screen. */
static size_t step_over(const char *p, size_t left, int *ret_columns)
{
    size_t n = 1;

    *ret_columns = *p == '\033' ? 0 : 1;
    if (*p == '\033') {
        while (n < left && p[n] != 'm')
            n++;
        return n < left ? n + 1 : n;
    }
    while (n < left && ((unsigned char)p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

int draw_cut(const char *text, int width, int most, const char *end, struct buf *out)
{
    int lines = 0;

    for (; *text != '\0' && lines < most; lines++) {
        size_t n = strcspn(text, "\n");
        int columns = 0;

        for (size_t k = 0; k < n;) {
            int wide;
            size_t bytes = step_over(text + k, n - k, &wide);

            if (columns + wide <= width)
                buf_add(out, text + k, bytes);
            columns += wide;
            k += bytes;
        }
        buf_addf(out, "%s\n", end);
        text += n + (text[n] == '\n');
    }
    return lines;
}
