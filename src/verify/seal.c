/* verify/seal.c — see seal.h. */
#include "verify/seal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ROWS_A_BUCKET 64.0

struct slot {
    uint64_t count;
    unsigned __int128 sum;
};

struct tally {
    uint32_t size;
    struct slot slots[];
};

static struct seal seal_of(const char *data, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(data, len);

    return (struct seal){.low = h.low64, .high = h.high64};
}

struct sealed seal_row(const struct copy_row *row, uint16_t keys)
{
    struct sealed s = {.key_bytes = row->fields, .row = seal_of(row->fields, row->len)};
    const char *at = row->fields;

    ENSURE(keys <= row->count);
    for (uint16_t i = 0; i < keys; i++)
        (void)copy_field_next(&at);
    s.key_len = keys > 0 ? (size_t)(at - row->fields) : row->len;
    s.key = keys > 0 ? seal_of(s.key_bytes, s.key_len) : s.row;
    return s;
}

static struct tally *of_size(uint32_t size)
{
    struct tally *t = mem_alloc(sizeof *t + size * sizeof t->slots[0]);

    t->size = size;
    return t;
}

struct tally *tally_new(double rows)
{
    uint32_t size = TALLY_LEAST;

    while (size < TALLY_MOST && (rows < 0 || size * ROWS_A_BUCKET < rows))
        size *= 2;
    return of_size(size);
}

struct tally *tally_like(const struct tally *t)
{
    return of_size(t->size);
}

void tally_free(struct tally *t)
{
    free(t);
}

uint32_t tally_size(const struct tally *t)
{
    return t->size;
}

void tally_clear(struct tally *t)
{
    memset(t->slots, 0, t->size * sizeof t->slots[0]);
}

void tally_add(struct tally *t, const struct sealed *s)
{
    struct slot *slot = &t->slots[tally_bucket(s->key, t->size)];

    slot->count++;
    slot->sum += (unsigned __int128)s->row.high << 64 | s->row.low;
}

void tally_merge(struct tally *into, const struct tally *from)
{
    ENSURE(into->size == from->size);
    for (uint32_t i = 0; i < into->size; i++) {
        into->slots[i].count += from->slots[i].count;
        into->slots[i].sum += from->slots[i].sum;
    }
}

uint64_t tally_rows(const struct tally *t)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < t->size; i++)
        n += t->slots[i].count;
    return n;
}

uint32_t tally_compare(const struct tally *a, const struct tally *b, uint8_t *ret)
{
    uint32_t n = 0;

    ENSURE(a->size == b->size);
    for (uint32_t i = 0; i < a->size; i++) {
        ret[i] = a->slots[i].count != b->slots[i].count || a->slots[i].sum != b->slots[i].sum;
        n += ret[i];
    }
    return n;
}
