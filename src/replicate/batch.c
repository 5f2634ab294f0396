/* replicate/batch.c — see batch.h. The keys are a set of hashes by open addressing: two keys with one hash make a change wait
 * that need not, never the other way round. */
#include "replicate/batch.h"

#include <stdlib.h>
#include <xxhash.h>

/* --- its life --- */

struct batch *batch_new(uint64_t seq)
{
    struct batch *b = mem_alloc(sizeof *b);

    b->seq = seq;
    b->arena = arena_new((size_t)256 << 10);
    b->tail = &b->steps;
    return b;
}

void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->parcel_count && !b->borrows; i++)
        parcel_free(b->parcels[i]);
    arena_free(b->arena);
    free(b->parcels);
    free(b->keys);
    free(b->whole);
    free(b);
}

void batch_add(struct batch *b, struct parcel *p)
{
    if (b->parcel_count == b->parcel_size) {
        b->parcel_size = b->parcel_size > 0 ? b->parcel_size * 2 : 16;
        b->parcels = mem_grow(b->parcels, b->parcel_size * sizeof *b->parcels);
    }
    if (b->parcel_count == 0)
        b->begins = p->txns == NULL || p->txns->first;
    b->parcels[b->parcel_count++] = p;
    b->bytes += p->bytes;
    b->completes = true;
    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        b->txn_count += t->last;
        b->completes = t->last;
        if (t->last) {
            ENSURE(lsn_le(b->end, t->end));
            b->end = t->end;
            b->commit_us = t->commit_us;
        }
    }
}

uint64_t batch_count_changes(const struct batch *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->parcel_count; i++)
        n += b->parcels[i]->change_count;
    return n;
}

uint64_t batch_count_txns(const struct batch *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->parcel_count; i++)
        n += b->parcels[i]->txn_count;
    return n;
}

/* --- what it touches --- */

uint64_t key_hash(const struct binding *b, const struct row *key)
{
    XXH64_hash_t h = b->table->oid;

    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL) {
            const struct value *v = &key->values[i];
            h = XXH3_64bits_withSeed(v->len > 0 ? v->data : "", v->len > 0 ? (size_t)v->len : 0, h * 31 + (uint64_t)(int64_t)v->len);
        }
    return h == 0 ? 1 : h;
}

bool key_same(const struct binding *b, const struct row *x, const struct row *y)
{
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL && !value_same(&x->values[i], &y->values[i]))
            return false;
    return true;
}

void batch_expect_keys(struct batch *b, uint64_t count)
{
    b->key_slots = 64;
    while (b->key_slots < 2 * count + 2)
        b->key_slots *= 2;
    b->keys = mem_alloc(b->key_slots * sizeof *b->keys);
}

/* The slot that holds the hash, or the free one where it belongs. */
static size_t key_slot(const struct batch *b, uint64_t hash)
{
    size_t i = hash & (b->key_slots - 1);

    while (b->keys[i] != 0 && b->keys[i] != hash)
        i = (i + 1) & (b->key_slots - 1);
    return i;
}

void batch_note_key(struct batch *b, uint64_t hash)
{
    b->keys[key_slot(b, hash)] = hash;
}

void batch_note_table(struct batch *b, const struct table *t)
{
    for (uint32_t i = 0; i < b->whole_count; i++)
        if (b->whole[i] == t)
            return;
    b->whole = mem_grow(b->whole, (b->whole_count + 1) * sizeof *b->whole);
    b->whole[b->whole_count++] = t;
}

static bool touches(const struct batch *b, const struct table *t, uint64_t hash)
{
    for (uint32_t i = 0; i < b->whole_count; i++)
        if (b->whole[i] == t)
            return true;
    return hash != 0 && b->key_slots > 0 && b->keys[key_slot(b, hash)] != 0;
}

bool batch_is_late(const struct batch_rivals *rivals, const struct table *t, uint64_t hash)
{
    for (size_t i = 0; i < rivals->count; i++)
        if (touches(rivals->list[i], t, hash))
            return true;
    return false;
}
