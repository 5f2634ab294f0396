/* verify/verify.h — exact comparison of a store's two sides: asked for by a fact in the journal, carried out beside the engine, its
 * outcome in the journal.
 *
 *   a person --fact "verify" {id, tables}--> the engine's guest: the self-test and some tables a cut, then the next cut
 *      --event verify.tables a cut--> ... --event verify.done, fact "verified"--> the request's fact goes
 *
 * Invariants
 *  1. What stands in verify.tables was compared whole at that cut. An engine that starts goes on with the tables not yet there.
 *  2. The request goes only when its outcome is in the journal. */
#ifndef LEAT_VERIFY_VERIFY_H
#define LEAT_VERIFY_VERIFY_H

#include "replicate/engine.h"

/* {"id": text, "table": text or null, "does": "verify", "plan" (of a repair) or "repair"} */
#define VERIFY_ASKED "verify"
/* {"id", "clean", "whole", "at_us", "rows", "differences", "differing": [{"table", "differences"}], ...}. A comparison of some tables changes
 * what stands there of them, and leaves the rest: at_us is of the last one of all. */
#define VERIFY_OUTCOME "verified"

extern const struct engine_guest verify_guest;

enum verify_does { VERIFY_COMPARE, VERIFY_PLAN, VERIFY_REPAIR };
/* For whoever asks. table NULL: all of them (of VERIFY_PLAN: all that differ). ERR_BUSY: another request is under way. */
MUST_USE enum err verify_ask(struct journal *j, const char *store, enum verify_does does, const char *table, struct arena *a, const char **ret_id, struct fault *f);
/* The request that stands: its id, NULL if there is none. */
MUST_USE enum err verify_asked(struct journal *j, const char *store, struct arena *a, const char **ret_id, enum verify_does *ret_does, const char **ret_table, struct fault *f);
/* What came of it so far: {"tables": [...], "self_test": {...}, "unverifiable": [...], "done": bool, ...}; the caller's own. */
MUST_USE enum err verify_report(struct journal *j, const char *store, const char *id, json_t **ret, struct fault *f);

#endif
