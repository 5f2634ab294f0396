/* replicate/batch.h — a batch as the dispatcher and the coalescer build it: its parcels, and what it touches. Pure: no I/O.
 *
 * What a batch touches is a set of hashes of identity keys, and a short list of tables it touches as a whole (TRUNCATE, rows
 * found by their image). A change of a later batch that touches any of it is late: it runs once the earlier batch has
 * committed. Rows only added to a table without a key touch nothing: adding commutes with adding. */
#ifndef LEAT_REPLICATE_BATCH_H
#define LEAT_REPLICATE_BATCH_H

#include "model/batch.h"

/* Earlier batches still under way. */
struct batch_rivals {
    const struct batch *list[64];
    size_t count;
};

/* Starts a batch; parcels are added with their transactions, in order, then it is finished (coalesce.h). */
struct batch *batch_new(uint64_t seq);
void batch_free(struct batch *b);
/* Takes the parcel: the batch owns it. */
void batch_add(struct batch *b, struct parcel *p);
/* Transactions and changes of its parcels, before any of them is left out. */
uint64_t batch_count_txns(const struct batch *b);
uint64_t batch_count_changes(const struct batch *b);

/* Never 0. Equal keys have equal hashes. */
uint64_t key_hash(const struct binding *b, const struct row *key);
bool key_same(const struct binding *b, const struct row *x, const struct row *y);
/* Before the first key: how many there will be at most. */
void batch_expect_keys(struct batch *b, uint64_t count);
void batch_note_key(struct batch *b, uint64_t hash);
void batch_note_table(struct batch *b, const struct table *t);
/* Whether one of the rivals touches the key, or its table as a whole. hash 0: the table only. */
bool batch_is_late(const struct batch_rivals *rivals, const struct table *t, uint64_t hash);

#endif
