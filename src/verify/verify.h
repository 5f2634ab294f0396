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

#define VERIFY_ASKED "verify"    /* {"id": text, "table": text or null} */
#define VERIFY_OUTCOME "verified" /* {"id", "clean", "at_us", "rows", "differences"} */

extern const struct engine_guest verify_guest;

/* For whoever asks. table NULL: all of them. ERR_BUSY: another comparison is under way. */
MUST_USE enum err verify_ask(struct journal *j, const char *store, const char *table, struct arena *a, const char **ret_id, struct fault *f);
/* What came of it so far: {"tables": [...], "self_test": {...}, "unverifiable": [...], "done": bool, ...}; the caller's own. */
MUST_USE enum err verify_report(struct journal *j, const char *store, const char *id, json_t **ret, struct fault *f);

#endif
