/* journal/record.h — what a transaction on the journal writes and reads: events, steps, facts. All within a transaction
 * of the caller's where they write (db_begin_write). */
#ifndef LEAT_JOURNAL_RECORD_H
#define LEAT_JOURNAL_RECORD_H

#include "journal/chain.h"
#include "journal/db.h"

struct head {
    int64_t seq; /* of the last event; 0: none yet */
    char hash[CHAIN_HASH_SIZE];
};
/* The head; *ret_migration, if wanted, is to be freed. ERR_JOURNAL_BROKEN if there is none. */
MUST_USE enum err record_head(struct db *db, struct head *ret, char **ret_migration, struct fault *f);
/* body is compact JSON already. */
MUST_USE enum err record_event(struct db *db, const char *store, enum event_kind kind, const char *body,
                               struct fault *f);
MUST_USE enum err record_step(struct db *db, const char *store, const char *step, enum step_state state,
                              const char *body, struct fault *f);
MUST_USE enum err record_step_get(struct db *db, const char *store, const char *step, enum step_state *ret,
                                  struct fault *f);
MUST_USE enum err record_fact(struct db *db, const char *store, const char *name, const char *value, bool quiet,
                              struct fault *f);
MUST_USE enum err record_fact_get(struct db *db, const char *store, const char *name, struct arena *a, const char **ret,
                                  struct fault *f);

#endif
