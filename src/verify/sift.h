/* verify/sift.h — the rows of buckets that differ, from both sides, and which of them do not agree. Pure: no I/O.
 *
 * Each side puts in every row whose bucket differs; what agrees leaves again, what is left are the differences. Rows are told apart
 * by their key; a table without one is a multiset of whole rows, of which there may be several. Bounded: past SIFT_MOST rows
 * there is no point in naming them one by one. */
#ifndef LEAT_VERIFY_SIFT_H
#define LEAT_VERIFY_SIFT_H

#include "verify/seal.h"

#define SIFT_MOST 100000u /* rows of one side kept at most */
#define SIFT_BYTES ((size_t)16 << 20)

enum sift_side { SIFT_SOURCE, SIFT_TARGET };
enum difference_kind { DIFFERENCE_MISSING, DIFFERENCE_EXTRA, DIFFERENCE_CHANGED };
const char *difference_name(enum difference_kind kind); /* "missing": on the target */

struct difference {
    enum difference_kind kind;
    uint64_t count;    /* 1, or more of a row that its table may hold several times */
    const char *key;   /* the key's fields (a table without one: the whole row) in COPY's binary form; the sift's */
    size_t key_len;
    struct seal source; /* what was seen, of the sides that have it */
    struct seal target;
};

struct sift;
/* chosen: a byte a bucket, as tally_compare gave them; used as long as the sift lives. */
struct sift *sift_new(const uint8_t *chosen, uint32_t buckets);
void sift_free(struct sift *s);
AUTO_DEFINE(sift)
void sift_add(struct sift *s, enum sift_side side, const struct sealed *row);
/* Some rows were left out: what it gives is not all there is. */
bool sift_overflowed(const struct sift *s);
/* The differences, in the sift's own memory, in the order in which their keys came. */
void sift_differences(struct sift *s, const struct difference **ret, size_t *ret_count);

#endif
