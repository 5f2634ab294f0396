/* verify/sift.c — see sift.h. A set of keys by open addressing over their 128-bit seals; the entries stand in the order in which
 * they came. */
#include "verify/sift.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct seal key;
    struct seal rows[2];    /* the last seen of either side */
    uint64_t counts[2];
    const char *key_bytes;
    size_t key_len;
};

struct sift {
    const uint8_t *chosen;
    uint32_t buckets;
    struct arena *arena;
    struct entry *entries;
    size_t count;
    size_t size;
    uint32_t *slots;        /* entry + 1; 0: free */
    size_t slot_count;      /* a power of two, more than twice as many as entries */
    struct difference *differences;
    bool overflowed;
};

const char *difference_name(enum difference_kind kind)
{
    static const char *const names[] = {[DIFFERENCE_MISSING] = "missing", [DIFFERENCE_EXTRA] = "extra", [DIFFERENCE_CHANGED] = "changed"};

    return names[kind];
}

struct sift *sift_new(const uint8_t *chosen, uint32_t buckets)
{
    struct sift *s = mem_alloc(sizeof *s);

    s->chosen = chosen;
    s->buckets = buckets;
    s->arena = arena_new((size_t)256 << 10);
    s->slot_count = 1024;
    s->slots = mem_alloc(s->slot_count * sizeof *s->slots);
    return s;
}

void sift_free(struct sift *s)
{
    if (s == NULL)
        return;
    arena_free(s->arena);
    free(s->entries);
    free(s->slots);
    free(s->differences);
    free(s);
}

/* The slot that holds the key, or the free one where it belongs. The bucket took the low bits: these are others. */
static uint32_t *slot_of(const struct sift *s, struct seal key)
{
    size_t i = key.high & (s->slot_count - 1);

    while (s->slots[i] != 0 && !seal_same(s->entries[s->slots[i] - 1].key, key))
        i = (i + 1) & (s->slot_count - 1);
    return &s->slots[i];
}

static void grow(struct sift *s)
{
    s->size = s->size > 0 ? s->size * 2 : 256;
    s->entries = mem_grow(s->entries, s->size * sizeof *s->entries);
    if (s->slot_count > 2 * s->size)
        return;
    free(s->slots);
    s->slot_count = 4 * s->size;
    s->slots = mem_alloc(s->slot_count * sizeof *s->slots);
    for (size_t i = 0; i < s->count; i++)
        *slot_of(s, s->entries[i].key) = (uint32_t)i + 1;
}

static struct entry *entry_for(struct sift *s, const struct sealed *row)
{
    uint32_t *slot = slot_of(s, row->key);

    if (*slot != 0)
        return &s->entries[*slot - 1];
    if (s->count >= 2 * SIFT_MOST || arena_bytes(s->arena) + row->key_len > SIFT_BYTES)
        return NULL;
    if (s->count == s->size) {
        grow(s);
        slot = slot_of(s, row->key);
    }
    s->entries[s->count] = (struct entry){.key = row->key, .key_len = row->key_len, .key_bytes = arena_copy(s->arena, row->key_bytes, row->key_len)};
    *slot = (uint32_t)++s->count;
    return &s->entries[s->count - 1];
}

void sift_add(struct sift *s, enum sift_side side, const struct sealed *row)
{
    struct entry *e;

    if (!s->chosen[tally_bucket(row->key, s->buckets)])
        return;
    e = entry_for(s, row);
    if (e == NULL) {
        s->overflowed = true;
        return;
    }
    e->rows[side] = row->row;
    e->counts[side]++;
}

bool sift_overflowed(const struct sift *s)
{
    return s->overflowed;
}

static bool difference_of(const struct entry *e, struct difference *ret)
{
    uint64_t source = e->counts[SIFT_SOURCE];
    uint64_t target = e->counts[SIFT_TARGET];

    *ret = (struct difference){.key = e->key_bytes, .key_len = e->key_len, .source = e->rows[SIFT_SOURCE], .target = e->rows[SIFT_TARGET]};
    if (source != target) {
        ret->kind = source > target ? DIFFERENCE_MISSING : DIFFERENCE_EXTRA;
        ret->count = source > target ? source - target : target - source;
        return true;
    }
    ret->kind = DIFFERENCE_CHANGED;
    ret->count = source;
    return !seal_same(ret->source, ret->target);
}

void sift_differences(struct sift *s, const struct difference **ret, size_t *ret_count)
{
    *ret_count = 0;
    s->differences = mem_grow(s->differences, (s->count + 1) * sizeof *s->differences);
    for (size_t i = 0; i < s->count; i++)
        *ret_count += difference_of(&s->entries[i], &s->differences[*ret_count]);
    *ret = s->differences;
}
