/* verify/seal.h — what rows are compared by: seals, and tallies of them by bucket. Pure: no I/O.
 *
 * A row comes as COPY's binary form gives it: its fields in one order on both sides, each with its length, -1 for NULL, so that
 * neither an exchange of columns nor "12"+"3" against "1"+"23" nor NULL against "" can look alike. Its seal is XXH3-128 over all
 * of that. A tally is (count, sum of seals mod 2^128) a bucket: sums, because exclusive-or cancels two equal rows out and
 * because they do not care for an order. The bucket is chosen by the hash of the key's bytes, never by an order of the server's. */
#ifndef LEAT_VERIFY_SEAL_H
#define LEAT_VERIFY_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "wire/copy_rows.h"

struct seal {
    uint64_t low;
    uint64_t high;
};
static inline bool seal_same(struct seal a, struct seal b)
{
    return a.low == b.low && a.high == b.high;
}

/* A row told apart from all others, and what it holds. The key is the first `keys` fields; 0: the row is its own key. */
struct sealed {
    struct seal key;
    struct seal row;
    const char *key_bytes; /* of the row */
    size_t key_len;
};
struct sealed seal_row(const struct copy_row *row, uint16_t keys);

struct tally; /* TALLY_LEAST to TALLY_MOST buckets, a power of two */
#define TALLY_LEAST 16u
#define TALLY_MOST 65536u
struct tally *tally_new(double rows); /* as many buckets as suit that many rows; < 0: not known */
struct tally *tally_like(const struct tally *t); /* empty, of the same size */
void tally_free(struct tally *t);
AUTO_DEFINE(tally)
uint32_t tally_size(const struct tally *t);
void tally_clear(struct tally *t);
void tally_add(struct tally *t, const struct sealed *s);
/* What `from` counted, too. Both have the same size. */
void tally_merge(struct tally *into, const struct tally *from);
uint64_t tally_rows(const struct tally *t);
/* ret[i] = 1 for every bucket that differs, of tally_size bytes; gives their number. Both have the same size. */
uint32_t tally_compare(const struct tally *a, const struct tally *b, uint8_t *ret);
/* Which bucket of `size` a key falls into. */
static inline uint32_t tally_bucket(struct seal key, uint32_t size)
{
    return (uint32_t)key.low & (size - 1);
}

#endif
