/* wire/bytes.h — reads big-endian numbers and names out of bytes that nobody vouches for.
 *
 * Reading stops at the first thing wrong: from then on everything reads as 0 or "", so that a codec can read a whole
 * message straight through and ask once, at its end, whether it was good.
 *
 * Invariants
 *  1. `at` never passes `end`.
 *  2. `at` does not move once something is wrong: it tells where that was. */
#ifndef LEAT_WIRE_BYTES_H
#define LEAT_WIRE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const char *start;
    const char *at;
    const char *end;
    const char *wrong; /* the first thing wrong, a literal; NULL: nothing so far */
};

static inline void bytes_fail(struct bytes *b, const char *wrong)
{
    if (b->wrong == NULL)
        b->wrong = wrong;
}

/* Whether all was good so far and n more bytes are there; if not, that is wrong. */
static inline bool bytes_has(struct bytes *b, size_t n)
{
    if (__builtin_expect(b->wrong == NULL && (size_t)(b->end - b->at) >= n, 1))
        return true;
    bytes_fail(b, "it ends too soon");
    return false;
}

static inline void bytes_take(struct bytes *b, void *ret, size_t n)
{
    if (!bytes_has(b, n)) {
        memset(ret, 0, n);
        return;
    }
    memcpy(ret, b->at, n);
    b->at += n;
}

static inline void bytes_skip(struct bytes *b, size_t n)
{
    if (bytes_has(b, n))
        b->at += n;
}

static inline uint8_t bytes_u8(struct bytes *b)
{
    uint8_t v;

    bytes_take(b, &v, sizeof v);
    return v;
}

static inline uint16_t bytes_u16(struct bytes *b)
{
    uint16_t v;

    bytes_take(b, &v, sizeof v);
    return be16toh(v);
}

static inline uint32_t bytes_u32(struct bytes *b)
{
    uint32_t v;

    bytes_take(b, &v, sizeof v);
    return be32toh(v);
}

static inline uint64_t bytes_u64(struct bytes *b)
{
    uint64_t v;

    bytes_take(b, &v, sizeof v);
    return be64toh(v);
}

/* Up to and with its NUL; points into the bytes. */
static inline const char *bytes_string(struct bytes *b)
{
    const char *s = b->at;
    const char *nul = bytes_has(b, 1) ? memchr(s, '\0', (size_t)(b->end - s)) : NULL;

    if (nul == NULL) {
        bytes_fail(b, "a name does not end");
        return "";
    }
    b->at = nul + 1;
    return s;
}

#endif
