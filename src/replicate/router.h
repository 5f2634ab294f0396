/* replicate/router.h — which changes apply, and to what: bindings of relations to tables, made once and kept. */
#ifndef LEAT_REPLICATE_ROUTER_H
#define LEAT_REPLICATE_ROUTER_H

#include "replicate/coalesce.h"
#include "replicate/registry.h"

struct router_state; /* thread-safe */
struct router_state *router_new(struct store *s, struct registry *r);
void router_free(struct router_state *rs);
/* The table's binding for this description; *ret NULL: a table of leat's own, or one that was dropped. ERR_DDL: a table leat does not know, or one that
 * no longer fits. */
MUST_USE enum err router_bind(struct router_state *rs, const struct relation *rel, const struct binding **ret, struct rtable **ret_table, struct fault *f);

#endif
