/* base/world.c — see world.h. */
#include "base/world.h"

#include <sys/random.h>
#include <time.h>

#include "base/fault.h"

static int64_t real_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t real_mono_us(void)
{
    return real_clock(CLOCK_MONOTONIC);
}

static int64_t real_wall_us(void)
{
    return real_clock(CLOCK_REALTIME);
}

static void real_random(void *p, size_t size)
{
    ENSURE(getrandom(p, size, 0) == (ssize_t)size);
}

static void real_sleep_us(int64_t us)
{
    struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    nanosleep(&ts, NULL);
}

static const struct world_ops real = {real_mono_us, real_wall_us, real_random, real_sleep_us};
static const struct world_ops *world = &real;

const struct world_ops *world_set(const struct world_ops *ops)
{
    const struct world_ops *previous = world;

    world = ops != NULL ? ops : &real;
    return previous;
}

int64_t world_mono_us(void)
{
    return world->mono_us();
}

int64_t world_wall_us(void)
{
    return world->wall_us();
}

void world_random(void *p, size_t size)
{
    world->random(p, size);
}

void world_sleep_us(int64_t us)
{
    world->sleep_us(us);
}

const char *world_time_text(int64_t wall_us, char text[WORLD_TIME_SIZE])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    snprintf(text, WORLD_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_us / 1000 % 1000));
    return text;
}

const char *world_time_words(int64_t wall_us, char text[WORLD_TIME_SIZE])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    strftime(text, WORLD_TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return text;
}
