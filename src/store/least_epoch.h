/* store/least_epoch.h — STATE/STORE.least-epoch: since --force opened a side without the other one's word, no side of an older epoch serves, though it
 * come back and say so while nobody else answers. Written before that side opens, read by whoever settles. */
#ifndef LEAT_STORE_LEAST_EPOCH_H
#define LEAT_STORE_LEAST_EPOCH_H

#include "base/fault.h"

/* 0: none was ever forced. One that cannot be read is INT64_MAX: nothing is served by it until it can. */
int64_t least_epoch_read(const char *state_dir, const char *store);
/* Durable on return. */
MUST_USE enum err least_epoch_write(const char *state_dir, const char *store, int64_t epoch, struct fault *f);

#endif
