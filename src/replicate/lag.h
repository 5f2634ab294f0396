/* replicate/lag.h — how far the target is behind the source, in time. Pure: no I/O.
 *
 * The source's position and clock are noted as they are looked at. What has been applied up to a position noted at T is at most
 * (now - T) behind: whether a transaction is being applied, waits for a lock, or has not come yet. The commit time of the last transaction
 * applied is another such bound, finer while much is written, and coarse after a pause: the smaller of the two holds. */
#ifndef LEAT_REPLICATE_LAG_H
#define LEAT_REPLICATE_LAG_H

#include <stdbool.h>
#include <stddef.h>

#include "model/position.h"

#define LAG_UNKNOWN ((int64_t)-1)
#define LAG_SAMPLES 512

struct lag {
    struct lag_sample {
        struct lsn at;
        int64_t clock_us; /* the source's */
    } samples[LAG_SAMPLES];
    size_t count;
};

void lag_note(struct lag *l, struct lsn at, int64_t clock_us);
/* Microseconds. applied_us: the commit time of the last transaction applied, 0 if there is none. LAG_UNKNOWN: nothing noted has been applied yet. */
int64_t lag_of(const struct lag *l, struct lsn applied, int64_t applied_us, int64_t clock_us);

#endif
