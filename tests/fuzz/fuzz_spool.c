/* tests/fuzz/fuzz_spool.c — the spool's decoders, given bytes that nobody vouches for. The first byte says which:
 *
 *   'h'  headers of segment and block, the meta record: whatever is accepted is encoded again to the same bytes
 *   'p'  flags, then a payload: the check must say the same as the reading of the format below, which shares no code
 *        with it; what is accepted is walked to its end
 *   's'  a segment: block after block with its checksums made right, so that what stands behind them is reached: the
 *        packed bytes, the records
 *
 * Everything stands in a block of exactly its size, so that reading one byte past it is seen by ASan. */
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "replicate/spool_internal.h"

#define RAW_MOST ((uint32_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the format, read once more --- */

struct reading {
    bool good;
    bool open;
    uint64_t first_end;
    uint64_t last_end;
    size_t records;
};

static uint64_t little(const uint8_t *p, int bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

static bool read_end(struct reading *r, const uint8_t *p)
{
    uint64_t end = little(p, 8);

    if (!r->open || end <= r->last_end)
        return false;
    r->open = false;
    r->last_end = end;
    if (r->first_end == 0)
        r->first_end = end;
    return true;
}

static bool read_record(struct reading *r, char kind, const uint8_t *p, size_t len, bool continues)
{
    r->records++;
    if (kind == 'B') {
        if (len != 21 || r->open || p[4] != (continues ? 0 : 1))
            return false;
        r->open = true;
        return true;
    }
    if (kind == 'E')
        return len == 8 && read_end(r, p);
    return r->open && ((kind == 'R' && len > 4) || (kind == 'C' && len > 0));
}

static struct reading read_payload(const uint8_t *p, size_t len, bool inside)
{
    struct reading r = {.good = true};
    size_t at = 0;

    while (r.good && at < len) {
        size_t record = len - at >= 5 ? (size_t)little(p + at, 4) : SIZE_MAX;
        r.good = len - at >= 5 && record <= len - at - 5 &&
                 read_record(&r, (char)p[at + 4], p + at + 5, record, inside && at == 0);
        at += 5 + record;
    }
    return r;
}

/* --- payloads --- */

static void walk(const char *payload, size_t len, const struct reading *expected)
{
    struct spool_record r;
    size_t records = 0;
    uint64_t bytes;
    uint64_t sum = 0;

    for (size_t at = 0; at < len; at = r.next, records++) {
        ENSURE(spool_record_at(payload, len, at, &r));
        ENSURE(r.data >= payload && r.data + r.len <= payload + len && r.next > at && r.next <= len);
        sum += XXH3_64bits(r.data, r.len);
        if (r.kind == SPOOL_BEGIN)
            ENSURE(spool_txn_extent(payload, len, at, &bytes).v <= expected->last_end && bytes <= len);
    }
    ENSURE(records == expected->records);
    ENSURE(sum != 1); /* reads them */
}

static void try_payload(const uint8_t *data, size_t size)
{
    uint8_t flags = size > 0 ? data[0] : 0;
    size_t len = size > 0 ? size - 1 : 0;
    char *payload = mem_alloc(len);
    struct spool_block_head h = {.inside = flags & 1};
    struct reading r;

    if (len > 0)
        memcpy(payload, data + 1, len);
    r = read_payload((const uint8_t *)payload, len, h.inside);
    h.open = ((flags & 2) != 0) != r.open; /* flags 2, 4, 8: something does not agree */
    h.first_end.v = r.first_end + ((flags & 4) != 0);
    h.last_end.v = r.last_end + ((flags & 8) != 0);
    ENSURE(spool_payload_check(&h, payload, len) == (r.good && (flags & 14) == 0));
    if (r.good)
        walk(payload, len, &r);
    free(payload);
}

/* --- headers --- */

static void try_segment_head(const uint8_t *in)
{
    unsigned char again[SPOOL_SEGMENT_HEAD];
    unsigned char bytes[SPOOL_SEGMENT_HEAD];
    struct spool_segment_head h;

    memcpy(bytes, in, sizeof bytes);
    for (int repaired = 0; repaired < 2; repaired++) {
        if (spool_segment_head_decode(bytes, &h) == SPOOL_PARSED) {
            spool_segment_head_encode(&h, again);
            ENSURE(memcmp(again, bytes, sizeof again) == 0);
        }
        spool_u64_encode(XXH3_64bits(bytes, sizeof bytes - 8), bytes + sizeof bytes - 8);
    }
}

static void try_meta(const uint8_t *in)
{
    unsigned char again[SPOOL_META_RECORD];
    unsigned char bytes[SPOOL_META_RECORD];
    struct spool_meta m;

    memcpy(bytes, in, sizeof bytes);
    for (int repaired = 0; repaired < 2; repaired++) {
        memset(bytes + 12, 0, 4); /* nothing yet */
        if (spool_meta_decode(bytes, &m) == SPOOL_PARSED) {
            spool_meta_encode(&m, again);
            ENSURE(memcmp(again, bytes, sizeof again) == 0);
        }
        spool_u64_encode(XXH3_64bits(bytes, sizeof bytes - 8), bytes + sizeof bytes - 8);
    }
}

static void try_block_head(const uint8_t *in)
{
    unsigned char again[SPOOL_BLOCK_HEAD];
    unsigned char bytes[SPOOL_BLOCK_HEAD];
    struct spool_block_head h;

    memcpy(bytes, in, sizeof bytes);
    for (int repaired = 0; repaired < 2; repaired++) {
        if (spool_block_head_decode(bytes, 7, &h)) {
            spool_block_head_encode(&h, 7, again);
            ENSURE(memcmp(again, bytes, sizeof again) == 0);
        }
        spool_u64_encode(XXH3_64bits_withSeed(bytes, sizeof bytes - 8, 7), bytes + sizeof bytes - 8);
    }
}

static void try_heads(const uint8_t *data, size_t size)
{
    if (size >= SPOOL_SEGMENT_HEAD)
        try_segment_head(data);
    if (size >= SPOOL_META_RECORD)
        try_meta(data);
    if (size >= SPOOL_BLOCK_HEAD)
        try_block_head(data);
}

/* --- segments --- */

static void try_unpack(const struct spool_block_head *h, uint64_t seed, const uint8_t *stored)
{
    char *payload = mem_alloc(h->raw_len);
    char *exact = mem_alloc(h->stored_len);
    struct reading r;

    memcpy(exact, stored, h->stored_len);
    if (spool_block_unpack(h, seed, exact, payload) == NULL) {
        r = read_payload((const uint8_t *)payload, h->raw_len, h->inside);
        ENSURE(r.good && r.open == h->open && r.first_end == h->first_end.v && r.last_end == h->last_end.v);
        walk(payload, h->raw_len, &r);
    }
    exact[0] ^= 1;
    ENSURE(spool_block_unpack(h, seed, exact, payload) != NULL);
    free(exact);
    free(payload);
}

static void try_segment(const uint8_t *data, size_t size)
{
    unsigned char head[SPOOL_BLOCK_HEAD];
    struct spool_block_head h;
    uint64_t seed = 3;

    while (size >= sizeof head) {
        size_t stored = (size_t)little(data + 12, 4);
        if (stored > size - sizeof head)
            stored = size - sizeof head;
        memcpy(head, data, sizeof head);
        spool_u32_encode((uint32_t)stored, head + 12);
        spool_u64_encode(XXH3_64bits_withSeed(data + sizeof head, stored, seed), head + 32);
        spool_u64_encode(XXH3_64bits_withSeed(head, 40, seed), head + 40);
        if (!spool_block_head_decode(head, seed, &h))
            return;
        ENSURE(!spool_block_head_decode(head, seed + 1, &h));
        if (h.raw_len > RAW_MOST)
            return;
        try_unpack(&h, seed, data + sizeof head);
        seed = h.seal;
        data += sizeof head + stored;
        size -= sizeof head + stored;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'h')
        try_heads(data + 1, size - 1);
    else if (data[0] == 'p')
        try_payload(data + 1, size - 1);
    else if (data[0] == 's')
        try_segment(data + 1, size - 1);
    return 0;
}
