/* store/least_epoch.h — STATE/STORE.least-epoch: what this machine knows to have served. No side of an older epoch
 * serves, though it say so while nobody else answers: one that was left by --force and is back, one that was restored
 * from before a switch, one whose row of authority is gone. Read by whoever settles; written by --force before the side
 * opens, by a switch after its side did and clients were let go, and by whoever settled. It only grows; a --force that
 * certainly failed takes back what it wrote. One writer at a time: flock on its folder. In it: the epoch in decimal
 * digits, and a newline. */
#ifndef LEAT_STORE_LEAST_EPOCH_H
#define LEAT_STORE_LEAST_EPOCH_H

#include <stdint.h>

#include "base/fault.h"

/* 0: nothing but the source ever served. One that cannot be read is INT64_MAX: nothing is served by it until it can. */
int64_t least_epoch_read(const char *state_dir, const char *store);
/* Durable on return. 0: as if none was ever written. */
MUST_USE enum err least_epoch_write(const char *state_dir, const char *store, int64_t epoch, struct fault *f);
/* As write; where it is that or more already, or cannot be read, it stays. */
MUST_USE enum err least_epoch_raise(const char *state_dir, const char *store, int64_t epoch, struct fault *f);
/* Raised by whoever settled or switched, for when neither side's row would say so any more: a row may go with its
 * schema, or come back from before. Nothing fails by it: where it cannot be written that is logged, and whoever settles
 * next says it again. */
void least_epoch_remember(const char *state_dir, const char *store, int64_t epoch);

#endif
