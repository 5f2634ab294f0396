/* model/position.h — where a stream stands, and which transaction that was. */
#ifndef LEAT_MODEL_POSITION_H
#define LEAT_MODEL_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* A position in a store's log of commits. PostgreSQL: an LSN; the position of a transaction is the end of its commit. */
struct lsn {
    uint64_t v;
};
#define LSN_TEXT_SIZE 24
#define LSN_ZERO ((struct lsn){0})
static inline bool lsn_le(struct lsn a, struct lsn b)
{
    return a.v <= b.v;
}
static inline bool lsn_lt(struct lsn a, struct lsn b)
{
    return a.v < b.v;
}
static inline struct lsn lsn_max(struct lsn a, struct lsn b)
{
    return a.v < b.v ? b : a;
}
static inline struct lsn lsn_min(struct lsn a, struct lsn b)
{
    return a.v < b.v ? a : b;
}
const char *lsn_text(struct lsn lsn, char text[LSN_TEXT_SIZE]); /* "16/B374D848" */
bool lsn_parse(const char *text, struct lsn *ret);

/* What a snapshot sees, by transaction visibility and nothing else. Ids are epoch-extended (64 bit), xip is sorted. */
struct snapshot {
    uint64_t xmin;
    uint64_t xmax;
    size_t xip_count;
    uint64_t *xip;
};
/* "xmin:xmax:xip,xip" as pg_current_snapshot() and txid_current_snapshot() give it. xip is malloc'd: snapshot_fini. */
MUST_USE enum err snapshot_parse(const char *text, struct snapshot *ret, struct fault *f);
void snapshot_fini(struct snapshot *s);
/* Extends the stream's 32-bit xid to the epoch nearest to the snapshot's xmax (they lie within 2^31 of each other). */
uint64_t snapshot_extend(const struct snapshot *s, uint32_t xid);
/* Whether committed top-level transaction `xid` is in the snapshot. */
bool snapshot_sees(const struct snapshot *s, uint32_t xid);

#endif
