/* replicate/copy.h — the rows of every table, and its indexes, from nothing to ready to join. */
#ifndef LEAT_REPLICATE_COPY_H
#define LEAT_REPLICATE_COPY_H

#include "journal/journal.h"
#include "replicate/registry.h"

struct copy;
/* Starts workers (limits.copy_workers for rows, limits.index_workers for indexes). They end when every table is INDEXED. */
MUST_USE enum err copy_start(struct store *s, struct registry *r, struct journal *j, struct copy **ret, struct fault *f);
/* ERR_OK while they work or when they are done; else the first failure. */
enum err copy_check(struct copy *c, struct fault *f);
/* Ends the workers: asked to give up what they are at. */
void copy_stop(struct copy *c);
/* The governor's brake. Slowed: no further table begins. Paused: no further range either. What is being read is read to its end. */
enum copy_pace { COPY_FREE, COPY_SLOWED, COPY_PAUSED };
void copy_set_pace(struct copy *c, enum copy_pace pace);
/* The table that has held its snapshot longest, and for how long; NULL: none does. */
const struct rtable *copy_oldest_snapshot(struct copy *c, int64_t *ret_age_us);
/* Gives up the copy of this table for now, since others wait for our lock. */
void copy_give_up(struct copy *c, uint32_t source_oid);
/* Names of the indexes being built, at most `size`; returns how many. Items live as long as the registry. */
size_t copy_building(struct copy *c, const struct build_item **items, size_t size);
/* Keys and indexes done and in all. */
void copy_index_counts(struct copy *c, size_t *ret_done, size_t *ret_total);

#endif
