/* replicate/lag.c — see lag.h. When it is full every second note goes: the longer the lag, the coarser. */
#include "replicate/lag.h"

void lag_note(struct lag *l, struct lsn at, int64_t clock_us)
{
    if (l->count > 0 && l->samples[l->count - 1].at.v >= at.v) { /* it stands still: there all the same as of now */
        l->samples[l->count - 1].clock_us = clock_us;
        return;
    }
    if (l->count == LAG_SAMPLES) {
        for (size_t i = 1; i < LAG_SAMPLES / 2; i++)
            l->samples[i] = l->samples[2 * i];
        l->count = LAG_SAMPLES / 2;
    }
    l->samples[l->count++] = (struct lag_sample){at, clock_us};
}

int64_t lag_of(const struct lag *l, struct lsn applied, int64_t applied_us, int64_t clock_us)
{
    int64_t known_us = applied_us;

    for (size_t i = l->count; i > 0; i--)
        if (!lsn_lt(applied, l->samples[i - 1].at)) {
            known_us = l->samples[i - 1].clock_us > known_us ? l->samples[i - 1].clock_us : known_us;
            break;
        }
    if (known_us == 0)
        return LAG_UNKNOWN;
    return clock_us > known_us ? clock_us - known_us : 0;
}
