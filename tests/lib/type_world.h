/* type_world.h — a few types on both sides of a type_map, for its tests: on the target each has the source's number and
 * TARGET_SHIFT. */
#ifndef LEAT_TESTS_TYPE_WORLD_H
#define LEAT_TESTS_TYPE_WORLD_H

#include <stdio.h>

#include "shift/type_map.h"

#define TARGET_SHIFT 100000

enum { MOOD = 20000, MOODS, DOMAIN_OF_MOODS, PLACE, MOOD_RANGE, PLACE_RANGE, PLACE_RANGES, PLACES, MISSING };

static inline void type_world_add(struct type_map *map, int oid, const char *name, const char *kind, int part)
{
    for (int side = 0; side < (oid == MISSING ? 1 : 2); side++) {
        char number[16];
        char parts[16];

        snprintf(number, sizeof number, "%d", oid + side * TARGET_SHIFT);
        snprintf(parts, sizeof parts, "%d", part + side * TARGET_SHIFT);
        ENSURE(type_map_add(map, (enum type_side)side, number, name, kind, part > 0 ? parts : NULL));
    }
}

static inline struct type_map *type_world(void)
{
    struct type_map *map = type_map_new();

    type_world_add(map, PLACE_RANGES, "public.place_ranges", "m", PLACE); /* out of order */
    type_world_add(map, MOOD, "public.mood", "e", 0);
    type_world_add(map, MOODS, "public.mood[]", "a", MOOD);
    type_world_add(map, DOMAIN_OF_MOODS, "public.moods", "d", MOODS);
    type_world_add(map, PLACE, "public.place", "c", 0);
    type_world_add(map, MOOD_RANGE, "public.mood_range", "r", MOOD);
    type_world_add(map, PLACE_RANGE, "public.place_range", "r", PLACE);
    type_world_add(map, PLACES, "public.place[]", "a", PLACE);
    type_world_add(map, MISSING, "public.missing", "b", 0);
    type_map_seal(map);
    return map;
}

#endif
