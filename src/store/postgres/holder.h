/* store/postgres/holder.h — the process that holds tables' snapshots, so that they outlive an engine's crash.
 *
 * One holder a store, listening on a unix socket in STATE/run. It speaks lines:
 *   open KEY TABLE   → ok SNAPSHOT_NAME SNAPSHOT | busy WHY | error WHY
 *   alive KEY NAME   → ok | gone
 *   close KEY        → ok
 *   quit             → ok, and it ends
 * KEY is "<oid>.<attempt>". A session of its own on the source for every open table: LOCK TABLE ONLY ... ACCESS SHARE, then
 * the snapshot (trap P29). It ends by itself when nobody has spoken to it for HOLDER_LONELY_S. */
#ifndef LEAT_STORE_POSTGRES_HOLDER_H
#define LEAT_STORE_POSTGRES_HOLDER_H

#include "store/store.h"

#define HOLDER_LONELY_S 60

/* The process's main: `leat holder SOCKET`; the DSN comes in LEAT_HOLDER_DSN. */
int holder_main(int argc, char **argv);

struct holder; /* the engine's end */
/* Connects to the store's holder, starting one where none answers. */
MUST_USE enum err holder_open(struct store *s, struct holder **ret, struct fault *f);
void holder_free(struct holder *h);
AUTO_DEFINE(holder)
MUST_USE enum err holder_take(struct holder *h, struct arena *a, const char *key, const char *qualified, const char **ret_name, const char **ret_snapshot, struct fault *f);
bool holder_alive(struct holder *h, const char *key, const char *name);
void holder_give_back(struct holder *h, const char *key);
/* Ends the store's holder, if one runs: all snapshots are given back. */
void holder_quit(const char *state_dir, const char *store);

#endif
