/* cli/draw.h — one picture of the stores' progress, as text: pure, given what the engines said, the size and the time. */
#ifndef LEAT_CLI_DRAW_H
#define LEAT_CLI_DRAW_H

#include <jansson.h>

#include "base/mem.h"

/* Rates of what grows, by name, from one picture to the next. */
struct rates;
struct rates *rates_new(void);
void rates_free(struct rates *r);
AUTO_DEFINE(rates)
/* Takes a value seen at a moment (monotonic us); gives units a second, 0 while not known. It is smoothed over a few seconds. */
double rates_take(struct rates *r, const char *name, int64_t value, int64_t at_us);

struct draw_store {
    const char *name;
    const json_t *status; /* STATE/run/STORE.json, or NULL */
    bool alive;
};

struct draw {
    const struct draw_store *stores;
    size_t store_count;
    int width;     /* columns; no line is longer */
    int height;    /* lines there are for all stores together */
    bool color;
    int64_t now_us; /* monotonic, for rates */
    int64_t wall_us;
};
/* Adds lines, each ended by a newline. */
void draw_stores(const struct draw *d, struct rates *r, struct buf *out);
/* Cuts every line of `text` to `width` columns (UTF-8 characters; escapes count nothing) and puts `end` before each newline.
 * Gives how many lines came out, at most `most`. */
int draw_cut(const char *text, int width, int most, const char *end, struct buf *out);

#endif
