/* replicate/spool_codec.c — the bytes of the spool, written and read. Pure: no I/O, and no length is believed.
 *
 * Numbers are little-endian. Everything is sealed with XXH3-64; a block's two hashes are seeded with the seal of what
 * stands before it, so that a block verifies only in the very place it was written for: what an earlier attempt left
 * behind at the same offset does not. docs/formats/spool.md is the reference. */
#include "replicate/spool_internal.h"

#include <endian.h>
#include <xxhash.h>
#include <zstd.h>

static const char segment_magic[8] = {'L', 'E', 'A', 'T', 'S', 'P', 'L', '1'};
static const char meta_magic[8] = {'L', 'E', 'A', 'T', 'S', 'P', 'L', 'M'};
static const char block_magic[4] = {'L', 'B', 'L', 'K'};

#define FLAG_INSIDE 1u
#define FLAG_OPEN 2u

void spool_u64_encode(uint64_t v, unsigned char out[8])
{
    uint64_t le = htole64(v);

    memcpy(out, &le, sizeof le);
}

uint64_t spool_u64_decode(const char *data)
{
    uint64_t le;

    memcpy(&le, data, sizeof le);
    return le64toh(le);
}

void spool_u32_encode(uint32_t v, unsigned char out[4])
{
    uint32_t le = htole32(v);

    memcpy(out, &le, sizeof le);
}

uint32_t spool_u32_decode(const char *data)
{
    uint32_t le;

    memcpy(&le, data, sizeof le);
    return le32toh(le);
}

static uint32_t u32_at(const unsigned char *in, size_t at)
{
    return spool_u32_decode((const char *)in + at);
}

static uint64_t u64_at(const unsigned char *in, size_t at)
{
    return spool_u64_decode((const char *)in + at);
}

/* --- segment headers --- */

void spool_segment_head_encode(struct spool_segment_head *h, unsigned char out[SPOOL_SEGMENT_HEAD])
{
    memcpy(out, segment_magic, 8);
    spool_u32_encode(SPOOL_VERSION, out + 8);
    spool_u32_encode(h->inside ? FLAG_INSIDE : 0, out + 12);
    memcpy(out + 16, h->identity, SPOOL_IDENTITY_SIZE);
    spool_u64_encode(h->number, out + 32);
    spool_u64_encode(h->before.v, out + 40);
    spool_u64_encode(h->before_size, out + 48);
    spool_u64_encode(h->before_seal, out + 56);
    h->seal = XXH3_64bits(out, 64);
    spool_u64_encode(h->seal, out + 64);
}

enum spool_parse spool_segment_head_decode(const unsigned char in[SPOOL_SEGMENT_HEAD], struct spool_segment_head *ret)
{
    struct spool_segment_head h = {.number = u64_at(in, 32),
                                   .before = {u64_at(in, 40)},
                                   .before_size = u64_at(in, 48),
                                   .before_seal = u64_at(in, 56),
                                   .seal = u64_at(in, 64)};
    uint32_t flags = u32_at(in, 12);

    if (memcmp(in, segment_magic, 8) != 0 || XXH3_64bits(in, 64) != h.seal)
        return SPOOL_BAD;
    if (u32_at(in, 8) != SPOOL_VERSION)
        return u32_at(in, 8) > SPOOL_VERSION ? SPOOL_NEWER : SPOOL_BAD;
    if (h.number == 0 || (flags & ~FLAG_INSIDE) != 0)
        return SPOOL_BAD;
    memcpy(h.identity, in + 16, SPOOL_IDENTITY_SIZE);
    h.inside = (flags & FLAG_INSIDE) != 0;
    *ret = h;
    return SPOOL_PARSED;
}

/* --- block headers --- */

void spool_block_head_encode(struct spool_block_head *h, uint64_t seed, unsigned char out[SPOOL_BLOCK_HEAD])
{
    memcpy(out, block_magic, 4);
    spool_u32_encode((h->inside ? FLAG_INSIDE : 0) | (h->open ? FLAG_OPEN : 0), out + 4);
    spool_u32_encode(h->raw_len, out + 8);
    spool_u32_encode(h->stored_len, out + 12);
    spool_u64_encode(h->first_end.v, out + 16);
    spool_u64_encode(h->last_end.v, out + 24);
    spool_u64_encode(h->payload_hash, out + 32);
    h->seal = XXH3_64bits_withSeed(out, 40, seed);
    spool_u64_encode(h->seal, out + 40);
}

static bool ends_are_possible(const struct spool_block_head *h)
{
    if (h->open)
        return h->first_end.v == 0 && h->last_end.v == 0;
    return h->first_end.v != 0 && h->first_end.v <= h->last_end.v;
}

bool spool_block_head_decode(const unsigned char in[SPOOL_BLOCK_HEAD], uint64_t seed, struct spool_block_head *ret)
{
    uint32_t flags = u32_at(in, 4);
    struct spool_block_head h = {.inside = (flags & FLAG_INSIDE) != 0,
                                 .open = (flags & FLAG_OPEN) != 0,
                                 .raw_len = u32_at(in, 8),
                                 .stored_len = u32_at(in, 12),
                                 .first_end = {u64_at(in, 16)},
                                 .last_end = {u64_at(in, 24)},
                                 .payload_hash = u64_at(in, 32),
                                 .seal = u64_at(in, 40)};

    if (memcmp(in, block_magic, 4) != 0 || XXH3_64bits_withSeed(in, 40, seed) != h.seal)
        return false;
    if ((flags & ~(FLAG_INSIDE | FLAG_OPEN)) != 0 || h.raw_len == 0 || h.raw_len > SPOOL_RAW_MAX || h.stored_len == 0)
        return false;
    if (!ends_are_possible(&h))
        return false;
    *ret = h;
    return true;
}

/* --- the meta record --- */

void spool_meta_encode(const struct spool_meta *m, unsigned char out[SPOOL_META_RECORD])
{
    memcpy(out, meta_magic, 8);
    spool_u32_encode(SPOOL_VERSION, out + 8);
    spool_u32_encode(0, out + 12);
    memcpy(out + 16, m->identity, SPOOL_IDENTITY_SIZE);
    spool_u64_encode(m->serial, out + 32);
    spool_u64_encode(m->first, out + 40);
    spool_u64_encode(m->segment, out + 48);
    spool_u64_encode(m->offset, out + 56);
    spool_u64_encode(m->seal, out + 64);
    spool_u64_encode(m->end.v, out + 72);
    spool_u64_encode(m->written_end.v, out + 80);
    spool_u64_encode(XXH3_64bits(out, 88), out + 88);
}

enum spool_parse spool_meta_decode(const unsigned char in[SPOOL_META_RECORD], struct spool_meta *ret)
{
    struct spool_meta m = {.serial = u64_at(in, 32),
                           .first = u64_at(in, 40),
                           .segment = u64_at(in, 48),
                           .offset = u64_at(in, 56),
                           .seal = u64_at(in, 64),
                           .end = {u64_at(in, 72)},
                           .written_end = {u64_at(in, 80)}};

    if (memcmp(in, meta_magic, 8) != 0 || XXH3_64bits(in, 88) != u64_at(in, 88))
        return SPOOL_BAD;
    if (u32_at(in, 8) != SPOOL_VERSION)
        return u32_at(in, 8) > SPOOL_VERSION ? SPOOL_NEWER : SPOOL_BAD;
    if (m.first == 0 || (m.segment != 0 && (m.first > m.segment || m.offset < SPOOL_SEGMENT_HEAD)))
        return SPOOL_BAD;
    memcpy(m.identity, in + 16, SPOOL_IDENTITY_SIZE);
    *ret = m;
    return SPOOL_PARSED;
}

/* --- records --- */

void spool_record_head_encode(enum spool_record_kind kind, uint32_t len, unsigned char out[SPOOL_RECORD_HEAD])
{
    spool_u32_encode(len, out);
    out[4] = (unsigned char)kind;
}

void spool_begin_encode(const struct spool_begin *b, unsigned char out[SPOOL_BEGIN_SIZE])
{
    spool_u32_encode(b->xid, out);
    out[4] = b->first;
    spool_u64_encode(b->commit.v, out + 5);
    spool_u64_encode((uint64_t)b->commit_us, out + 13);
}

struct spool_begin spool_begin_decode(const char *data)
{
    return (struct spool_begin){.xid = spool_u32_decode(data),
                                .first = data[4] != 0,
                                .commit = {spool_u64_decode(data + 5)},
                                .commit_us = (int64_t)spool_u64_decode(data + 13)};
}

static bool length_fits(char kind, uint32_t len)
{
    switch (kind) {
    case SPOOL_BEGIN:
        return len == SPOOL_BEGIN_SIZE;
    case SPOOL_END:
        return len == SPOOL_END_SIZE;
    case SPOOL_RELATION:
        return len > SPOOL_RELATION_HEAD;
    case SPOOL_CHANGE:
        return len > 0;
    default:
        return false;
    }
}

bool spool_record_at(const char *payload, size_t len, size_t at, struct spool_record *ret)
{
    uint32_t record_len;

    if (at > len || len - at < SPOOL_RECORD_HEAD)
        return false;
    record_len = spool_u32_decode(payload + at);
    if (record_len > len - at - SPOOL_RECORD_HEAD || !length_fits(payload[at + 4], record_len))
        return false;
    *ret = (struct spool_record){.kind = (enum spool_record_kind)payload[at + 4],
                                 .len = record_len,
                                 .data = payload + at + SPOOL_RECORD_HEAD,
                                 .next = at + SPOOL_RECORD_HEAD + record_len};
    return true;
}

struct grammar { /* B (R | C)* E, again and again; the first may continue, the last may stay open */
    bool inside;
    struct lsn first_end;
    struct lsn last_end;
};

static bool grammar_step(struct grammar *g, const struct spool_record *r, bool want_first)
{
    struct lsn end;

    switch (r->kind) {
    case SPOOL_BEGIN:
        if (g->inside || (unsigned char)r->data[4] != (want_first ? 1 : 0))
            return false;
        g->inside = true;
        return true;
    case SPOOL_END:
        end.v = spool_u64_decode(r->data);
        if (!g->inside || end.v <= g->last_end.v)
            return false;
        g->inside = false;
        g->last_end = end;
        if (g->first_end.v == 0)
            g->first_end = end;
        return true;
    case SPOOL_RELATION:
    case SPOOL_CHANGE:
        return g->inside;
    }
    return false;
}

bool spool_payload_check(const struct spool_block_head *h, const char *payload, size_t len)
{
    struct grammar g = {0};
    struct spool_record r;

    for (size_t at = 0; at < len; at = r.next)
        if (!spool_record_at(payload, len, at, &r) || !grammar_step(&g, &r, at > 0 || !h->inside))
            return false;
    return g.inside == h->open && g.first_end.v == h->first_end.v && g.last_end.v == h->last_end.v;
}

struct lsn spool_txn_extent(const char *payload, size_t len, size_t at, uint64_t *ret_bytes)
{
    struct lsn end = LSN_ZERO;
    struct spool_record r;
    uint64_t bytes = 0;

    for (; at < len && end.v == 0; at = r.next) {
        ENSURE(spool_record_at(payload, len, at, &r));
        if (r.kind == SPOOL_CHANGE)
            bytes += r.len;
        else if (r.kind == SPOOL_END)
            end.v = spool_u64_decode(r.data);
    }
    *ret_bytes = bytes;
    return end;
}

const char *spool_block_unpack(const struct spool_block_head *h, uint64_t seed, const char *stored, char *ret_payload)
{
    size_t got;

    if (XXH3_64bits_withSeed(stored, h->stored_len, seed) != h->payload_hash)
        return "its checksum does not hold";
    got = ZSTD_decompress(ret_payload, h->raw_len, stored, h->stored_len);
    if (ZSTD_isError(got) || got != h->raw_len)
        return "it does not unpack";
    if (!spool_payload_check(h, ret_payload, h->raw_len))
        return "its records are out of order";
    return NULL;
}
