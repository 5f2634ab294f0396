/* verify/ranges.c — see ranges.h. */
#include "verify/ranges.h"

#include <string.h>

#define PARTS 8 /* what took too long is divided into so many */

struct ranges {
    const char **bounds; /* count - 1 of them */
    size_t count;
    size_t at;           /* the one to be compared next */
    uint64_t rows[2];    /* found in those before it */
    uint64_t differences;
    bool more;
    struct named_row *named;
    size_t named_count;
    int64_t us;
};

static void set_part(struct compared *t)
{
    const struct ranges *r = t->ranges;

    t->part = (struct row_part){.ranged = true, .from = r->at > 0 ? r->bounds[r->at - 1] : NULL, .to = r->at + 1 < r->count ? r->bounds[r->at] : NULL};
}

static struct ranges *begin(const struct compare *c)
{
    struct ranges *r = arena_zalloc(c->arena, sizeof *r);

    r->count = 1;
    r->named = arena_zalloc(c->arena, (c->named_most + 1) * sizeof *r->named);
    return r;
}

/* Between those that bound the range at hand. */
static void insert(const struct compare *c, struct ranges *r, const char *const *bounds, size_t count)
{
    const char **all = arena_alloc(c->arena, (r->count + count) * sizeof *all);

    if (r->at > 0)
        memcpy(all, r->bounds, r->at * sizeof *all);
    memcpy(all + r->at, bounds, count * sizeof *all);
    if (r->count - 1 > r->at)
        memcpy(all + r->at + count, r->bounds + r->at, (r->count - 1 - r->at) * sizeof *all);
    r->bounds = all;
    r->count += count;
}

enum err ranges_divide(struct compare *c, struct compared *t, bool *ret, struct fault *f)
{
    const struct store_ops *ops = c->store->ops;
    struct store_rows *rows = NULL;
    const char **bounds;
    size_t count = 0;
    enum err err;

    *ret = false;
    t->too_long = false;
    if (t->part.count > 0)
        return ERR_OK;
    TRY(ops->rows_open(c->store, STORE_SOURCE, &rows, f));
    err = ops->rows_bounds(rows, t->source, &t->plan, &t->part, PARTS - 1, c->arena, &bounds, &count, f);
    ops->rows_close(rows);
    TRY(err);
    if (count > 0 && t->part.from != NULL && strcmp(bounds[0], t->part.from) == 0) { /* nothing is before it */
        bounds++;
        count--;
    }
    if (count == 0) {
        t->late++;
        return ERR_OK;
    }
    t->late = 0;
    if (t->ranges == NULL)
        t->ranges = begin(c);
    insert(c, t->ranges, bounds, count);
    set_part(t);
    *ret = true;
    return ERR_OK;
}

static void add_up(const struct compare *c, struct ranges *r, const struct compared *t)
{
    r->rows[0] += t->rows[0];
    r->rows[1] += t->rows[1];
    r->differences += t->differences;
    r->more = r->more || t->more;
    r->us += t->us;
    for (size_t i = 0; i < t->named_count && r->named_count < c->named_most; i++)
        r->named[r->named_count++] = t->named[i];
}

void ranges_take(const struct compare *c, struct compared *t)
{
    struct ranges *r = t->ranges;

    if (r == NULL || !t->done || t->failed != NULL)
        return;
    add_up(c, r, t);
    if (++r->at < r->count) {
        set_part(t);
        t->done = false;
        t->differences = 0;
        t->named_count = 0;
        t->more = false;
        return;
    }
    t->rows[0] = r->rows[0];
    t->rows[1] = r->rows[1];
    t->differences = r->differences;
    t->more = r->more;
    t->named = r->named;
    t->named_count = r->named_count;
    t->us = r->us;
    t->remark = arena_format(c->arena, "%s%scompared in %zu ranges of its key, each at a cut of its own", t->remark != NULL ? t->remark : "", t->remark != NULL ? "; " : "", r->count);
}
