/* cli/rates.c — see draw.h. A sample at most every SAMPLE_US; each new one counts for WEIGHT of the rate. */
#include <stdlib.h>
#include <string.h>

#include "cli/draw.h"

#define SAMPLE_US ((int64_t)500000)
#define WEIGHT 0.35

struct rate {
    char *name;
    int64_t at_us;
    int64_t value;
    double per_second;
    bool known;
};

struct rates {
    struct rate *list;
    size_t count;
    size_t size;
};

struct rates *rates_new(void)
{
    return mem_alloc(sizeof(struct rates));
}

void rates_free(struct rates *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->list[i].name);
    free(r->list);
    free(r);
}

static struct rate *find(struct rates *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->list[i].name, name) == 0)
            return &r->list[i];
    if (r->count == r->size) {
        r->size = r->size > 0 ? 2 * r->size : 16;
        r->list = mem_grow(r->list, r->size * sizeof *r->list);
    }
    r->list[r->count] = (struct rate){.name = mem_dup(name)};
    return &r->list[r->count++];
}

double rates_take(struct rates *r, const char *name, int64_t value, int64_t at_us)
{
    struct rate *x = find(r, name);
    double now;

    if (x->at_us == 0 || value < x->value) { /* first seen, or begun anew */
        x->at_us = at_us;
        x->value = value;
        x->per_second = 0;
        x->known = false;
        return 0;
    }
    if (at_us - x->at_us < SAMPLE_US)
        return x->per_second;
    now = (double)(value - x->value) * 1e6 / (double)(at_us - x->at_us);
    x->per_second = x->known ? (1 - WEIGHT) * x->per_second + WEIGHT * now : now;
    x->known = true;
    x->at_us = at_us;
    x->value = value;
    return x->per_second;
}
