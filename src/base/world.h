/* base/world.h — the seam to what cannot be repeated: clocks, randomness, sleeping. Tests put their own in its place. */
#ifndef LEAT_BASE_WORLD_H
#define LEAT_BASE_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct world_ops {
    int64_t (*mono_us)(void);              /* never goes back; for intervals and deadlines */
    int64_t (*wall_us)(void);              /* microseconds since 1970-01-01 UTC; for people and the record only */
    void (*random)(void *p, size_t size);  /* unpredictable bytes */
    void (*sleep_us)(int64_t us);          /* only for back-off; never to wait for a condition that can be waited on */
};

const struct world_ops *world_set(const struct world_ops *ops); /* NULL: the real one. Returns the previous. */
int64_t world_mono_us(void);
int64_t world_wall_us(void);
/* Of the wall clock, "2026-01-31T12:00:00.000Z". */
#define WORLD_TIME_SIZE 80
const char *world_time_text(int64_t wall_us, char text[WORLD_TIME_SIZE]);
/* The same within a sentence: "2026-01-31 12:00:00 UTC". */
const char *world_time_words(int64_t wall_us, char text[WORLD_TIME_SIZE]);
void world_random(void *p, size_t size);
void world_sleep_us(int64_t us);

#endif
