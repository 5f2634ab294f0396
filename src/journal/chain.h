/* journal/chain.h — the hash chain, as bytes: pure, so that another program can do the same (docs/formats/journal.md).
 */
#ifndef LEAT_JOURNAL_CHAIN_H
#define LEAT_JOURNAL_CHAIN_H

#include "journal/journal.h"

#define CHAIN_HASH_SIZE 65 /* 64 lower-case hex digits and a NUL */

/* What stands before the first event of a migration's journal. */
void chain_start(const char *migration, char ret_hash[CHAIN_HASH_SIZE]);
/* The hash of `e` (its own `hash` is not looked at) after an event, or start, with hash `previous`. */
void chain_next(const char *previous, const struct event *e, char ret_hash[CHAIN_HASH_SIZE]);

#endif
