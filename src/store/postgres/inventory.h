/* store/postgres/inventory.h — what a PostgreSQL database holds, read from its catalog in a handful of queries. */
#ifndef LEAT_STORE_POSTGRES_INVENTORY_H
#define LEAT_STORE_POSTGRES_INVENTORY_H

#include "config/config.h"
#include "model/table.h"
#include "store/postgres/pg.h"

/* All chosen ordinary tables and partition leaves (never partitioned roots: they hold no rows), permanent or unlogged,
 * with live columns in attnum order; all sequences of chosen schemas. Not: temporary, foreign, system, members of
 * extensions, the leat schema. Sorted by (schema, name). `s` NULL: everything (for the target). */
MUST_USE enum err pg_catalog_load(struct pg *pg, const struct config_store *s, struct catalog **ret, struct fault *f);

#endif
