/* store/postgres/postgres.h — PostgreSQL as a store. */
#ifndef LEAT_STORE_POSTGRES_POSTGRES_H
#define LEAT_STORE_POSTGRES_POSTGRES_H

#include "store/store.h"

extern const struct store_ops store_postgres;

#endif
