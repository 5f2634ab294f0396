/* store/postgres/names.c — see names.h. */
#include "store/postgres/names.h"

#include <stdio.h>
#include <xxhash.h>

static const char *named(const struct store *s, const char *prefix, const char *suffix, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s_%s_%s%s", prefix, s->migration, store_base(s), suffix);
    for (char *p = name; *p != '\0'; p++)
        if (*p == '-')
            *p = '_';
    if (strlen(name) > 63) { /* too long for a name of PostgreSQL: cut, and kept distinct by a hash */
        unsigned long long hash = XXH3_64bits(name, strlen(name));
        snprintf(name + 46, NAME_SIZE - 46, "_%016llx", hash);
    }
    return name;
}

static const char *of_stream(const struct store *s)
{
    return s->store->back ? "leatback" : "leat";
}

const char *name_slot(const struct store *s, char name[NAME_SIZE])
{
    return named(s, of_stream(s), "", name);
}

const char *name_publication(const struct store *s, char name[NAME_SIZE])
{
    return named(s, of_stream(s), "", name);
}

const char *name_marks(const struct store *s, char name[NAME_SIZE])
{
    return named(s, of_stream(s), "_marks", name);
}

const char *name_fence(const struct store *s, char name[NAME_SIZE])
{
    return named(s, "leat_fence", "", name);
}

const char *name_stream(const struct store *s, const char *stream, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s:%s", s->name, stream);
    return name;
}

int64_t name_lock_key(const struct store *s, const char *stream, const char *lane)
{
    char text[3 * NAME_SIZE];
    int n = snprintf(text, sizeof text, "leat\n%s\n%s\n%s\n%s", s->migration, s->name, stream, lane);

    return (int64_t)(XXH3_64bits(text, (size_t)n) >> 1);
}
