/* replicate/spool.h — what cannot be applied yet, kept durably: committed changes of tables still copying, or of the
 * whole stream while the target is away. A vtable, because shared spools (NATS JetStream) will come; the one in files
 * (spool_file_open) is the only one so far, and no other code touches its files.
 *
 * The spool is a log of transactions in commit order, each a list of raw stream messages (relation descriptions come
 * before the first change that needs them, again in every segment, so that any segment can be read alone). Appended
 * transactions become durable by sync; after a crash the log ends at its last complete, checksummed block, and `end`
 * tells where. Appending: one thread; sync, trim, end and bytes: any. Readers: any number, each its own cursor, alongside. */
#ifndef LEAT_REPLICATE_SPOOL_H
#define LEAT_REPLICATE_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/change.h"

struct spool;
struct spool_cursor;

struct spool_ops {
    void (*free)(struct spool *s);
    /* 32 hex digits made when the spool was made; recorded on the target, so that a lost or foreign spool is noticed. */
    const char *(*identity)(struct spool *s);
    /* Appends (a part of) a transaction: those changes of t for which keep(ctx, change) holds. Parts of one transaction
     * follow each other; `t->last` completes it, with t->end > end(). Nothing kept = nothing written, but `end` moves.
     * ERR_SPOOL_FULL: beyond the limit or the disk is full; the spool stays as before the transaction, all parts of it.
     * A first part while another transaction is open drops what was appended of that one: its stream broke off.
     * keep is called with the writer locked: it must not wait for a thread that calls sync or trim. */
    enum err (*append)(struct spool *s, const struct txn *t, bool (*keep)(void *ctx, const struct change *c), void *ctx, struct fault *f);
    /* Everything appended so far is on disk (fsync of data and of the directory when a segment was made). */
    enum err (*sync)(struct spool *s, struct lsn *ret_durable_end, struct fault *f);
    struct lsn (*end)(struct spool *s);     /* end of the last transaction appended (kept or not); survives reopening only as far as it was synced */
    uint64_t (*bytes)(struct spool *s);     /* on disk */
    /* Drops whole segments that lie entirely at or before `upto`, are synced, and in or before which no cursor stands. */
    enum err (*trim)(struct spool *s, struct lsn upto, struct fault *f);
    /* A cursor at the first transaction with end > after; zero: at the first there is. ERR_SPOOL_DAMAGED: it was trimmed. */
    enum err (*open_cursor)(struct spool *s, struct lsn after, struct spool_cursor **ret, struct fault *f);
    /* The next parcel (at most about max_bytes of messages; a large transaction comes in parts). *ret = NULL: caught up with
     * the writer for now. Relations live as long as the cursor. ERR_SPOOL_DAMAGED names segment and offset. After an
     * error the cursor only gives that error again: open another. */
    enum err (*next)(struct spool_cursor *c, uint64_t max_bytes, struct parcel **ret, struct fault *f);
    void (*close_cursor)(struct spool_cursor *c);
};
struct spool {
    const struct spool_ops *ops;
};

/* Turns raw messages back into parcels: given by the store whose stream they are from. One per cursor. */
struct spool_decoder {
    void *(*make)(void);
    void (*drop)(void *decoder);
    /* Decodes one raw message; *ret_change NULL for a relation description. Strings point into `data`. */
    enum err (*decode)(void *decoder, struct arena *arena, const char *data, size_t len, struct change **ret_change, struct fault *f);
};

/* Opens, or makes, the spool in DIR. limit_bytes: what it may take on disk. A torn end (crash) is cut off; damage before
 * the synced end is ERR_SPOOL_DAMAGED. */
MUST_USE enum err spool_file_open(const char *dir, uint64_t limit_bytes, const struct spool_decoder *decoder, struct spool **ret, struct fault *f);

#endif
