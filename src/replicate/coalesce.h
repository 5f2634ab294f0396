/* replicate/coalesce.h — transactions made into a batch: one by one, or their net effect. Pure: no I/O. */
#ifndef LEAT_REPLICATE_COALESCE_H
#define LEAT_REPLICATE_COALESCE_H

#include "replicate/batch.h"

/* Where a change goes: its binding, or NULL when it does not apply (not this store's table yet, seen by the copy, leat's
 * own mark). ERR_DDL when the relation no longer fits its table. */
struct router {
    enum err (*route)(void *ctx, const struct txn *t, const struct change *c, const struct relation *r, const struct binding **ret, struct fault *f);
    void *ctx;
};

/* Makes the steps. One transaction stays as it came; several become their net effect. `rivals` mark what is late. */
MUST_USE enum err batch_finish(struct batch *b, const struct router *router, const struct batch_rivals *rivals, struct fault *f);

#endif
