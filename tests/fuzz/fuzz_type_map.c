/* tests/fuzz/fuzz_type_map.c — messages whose types are renumbered, from a peer nobody vouches for.
 *
 * The first byte chooses the message, the second the types of its columns or parameters; the rest is its body, in a
 * block of its own size. What is refused is left as it was. What is accepted and mapped back is what it was (but for
 * the tables' numbers in RowDescription). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/type_world.h"

#define COLUMNS_MOST 64

struct columns {
    uint32_t forth[COLUMNS_MOST];
    uint32_t back[COLUMNS_MOST];
    uint16_t formats[COLUMNS_MOST];
    size_t count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void choose(struct columns *c, uint8_t seed)
{
    static const uint32_t types[] = {
        MOODS, PLACE, 25, DOMAIN_OF_MOODS, MOOD_RANGE, PLACE_RANGE, PLACE_RANGES, PLACES, 2249, 2287, MOOD, 1009};

    c->count = COLUMNS_MOST;
    for (size_t i = 0; i < c->count; i++) {
        c->forth[i] = types[(seed + i) % (sizeof types / sizeof *types)];
        c->back[i] = c->forth[i] < TYPE_FIRST_MOVING ? c->forth[i] : c->forth[i] + TARGET_SHIFT;
        c->formats[i] = seed < 128 || i % 2 == 0;
    }
}

static enum err map_it(int kind, struct type_way way, const uint32_t *types, const struct columns *c, char *body,
                       size_t len, struct fault *f)
{
    size_t count = len >= 2 ? (size_t)(unsigned char)body[0] << 8 | (unsigned char)body[1] : 0;

    switch (kind) {
    case 0:
        return type_map_parse(way, body, len, f);
    case 1:
        return type_map_bind(way, types, c->count, body, len, f);
    case 2:
        return type_map_parameters(way, body, len, f);
    case 3:
        return type_map_row_description(way, body, len, f);
    default:
        return type_map_data_row(way, types, c->formats, count < c->count ? count : c->count, body, len, f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct type_map *map;
    struct columns c;
    struct fault f = {0};
    AUTO_CHARS *body = NULL;
    int kind = size > 0 ? data[0] % 5 : 0;
    size_t len = size - 2;
    enum err err;

    if (size < 2)
        return 0;
    map = map != NULL ? map : type_world();
    choose(&c, data[1]);
    body = malloc(len > 0 ? len : 1);
    ENSURE(body != NULL);
    memcpy(body, data + 2, len);
    err = map_it(kind, (struct type_way){map, TYPE_SOURCE}, c.forth, &c, body, len, &f);
    if (err != ERR_OK) {
        ENSURE((err == ERR_PROTOCOL || err == ERR_UNMOVABLE) && f.why[0] != '\0' && memcmp(body, data + 2, len) == 0);
        return 0;
    }
    ENSURE(map_it(kind, (struct type_way){map, TYPE_TARGET}, c.back, &c, body, len, &f) == ERR_OK);
    ENSURE(kind == 3 || memcmp(body, data + 2, len) == 0);
    return 0;
}
