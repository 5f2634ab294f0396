/* shift/type_rewrite.c — numbers of types exchanged in whole messages, in place.
 *
 * Every message is walked twice, by the same code: first everything is read and looked up, then, if all was good,
 * written.
 *
 *   array:      i32 dimensions | i32 flags | TYPE | (i32 size, i32 lower bound)… | elements: i32 length, bytes
 *   record:     i32 columns | each: TYPE, i32 length, bytes
 *   range:      u8 flags | lower: i32 length, bytes | upper, each if the flags say so
 *   multirange: i32 count | each: i32 length, range
 *   domain:     as what it is over
 * (arrayfuncs.c, rowtypes.c, rangetypes.c, multirangetypes.c) A length of -1 is NULL. */
#include <string.h>

#include "shift/type_list.h"
#include "wire/bytes.h"
#include "wire/messages.h"

#define RECORD_OID 2249
#define RECORD_ARRAY_OID 2287
#define DIMENSIONS_MOST 6
#define DEPTH_MOST 64

enum {
    RANGE_EMPTY = 0x01,
    RANGE_LOWER_INF = 0x08,
    RANGE_UPPER_INF = 0x10,
    RANGE_LOWER_NULL = 0x20,
    RANGE_UPPER_NULL = 0x40
};

struct walk {
    struct type_way way;
    struct bytes b;
    bool write;   /* the second time */
    enum err err; /* the first time: what a look-up said */
    struct fault *f;
    int depth;
};

static void walk_value(struct walk *w, uint32_t oid, size_t len);

/* --- what all walks do --- */

static bool going(const struct walk *w)
{
    return w->b.wrong == NULL && w->err == ERR_OK;
}

/* The number that stands here; in its place the other side's is put. */
static uint32_t walk_oid(struct walk *w)
{
    char *here = (char *)(uintptr_t)w->b.at; /* the message is the caller's own, given to be written to */
    uint32_t oid = bytes_u32(&w->b);
    uint32_t other = oid;
    uint32_t big;

    if (!going(w))
        return 0;
    w->err = type_map_oid(w->way, oid, &other, w->f);
    big = htobe32(other);
    if (w->write && w->err == ERR_OK)
        memcpy(here, &big, sizeof big);
    return oid;
}

/* A length, then a value of that length, which begins here; the walk stands behind it afterwards. */
static void walk_field(struct walk *w, uint32_t oid, bool binary)
{
    int32_t len = (int32_t)bytes_u32(&w->b);

    if (len == -1 || !going(w))
        return;
    if (len < 0 || !bytes_has(&w->b, (size_t)len)) {
        bytes_fail(&w->b, "a value's length is not one");
        return;
    }
    if (binary)
        walk_value(w, oid, (size_t)len);
    else
        bytes_skip(&w->b, (size_t)len);
}

/* --- values --- */

static void walk_array(struct walk *w)
{
    uint32_t dimensions = bytes_u32(&w->b);
    uint64_t elements = dimensions > 0;
    uint32_t oid;

    bytes_u32(&w->b);
    oid = walk_oid(w);
    if (dimensions > DIMENSIONS_MOST)
        bytes_fail(&w->b, "an array has more than six dimensions");
    for (uint32_t i = 0; i < dimensions && going(w); i++) {
        uint32_t size = bytes_u32(&w->b);

        bytes_u32(&w->b);
        elements *= size;
        if (elements > (uint64_t)(w->b.end - w->b.at)) /* each has four bytes at least */
            bytes_fail(&w->b, "an array has more elements than bytes");
    }
    for (uint64_t i = 0; i < elements && going(w); i++)
        walk_field(w, oid, true);
}

static void walk_record(struct walk *w)
{
    uint32_t columns = bytes_u32(&w->b);

    for (uint32_t i = 0; i < columns && going(w); i++) {
        uint32_t oid = walk_oid(w);

        walk_field(w, oid, true);
    }
}

static void walk_range(struct walk *w, uint32_t part)
{
    uint8_t flags = bytes_u8(&w->b);

    if ((flags & (RANGE_EMPTY | RANGE_LOWER_INF | RANGE_LOWER_NULL)) == 0)
        walk_field(w, part, true);
    if ((flags & (RANGE_EMPTY | RANGE_UPPER_INF | RANGE_UPPER_NULL)) == 0)
        walk_field(w, part, true);
}

static void walk_multirange(struct walk *w, uint32_t part)
{
    uint32_t count = bytes_u32(&w->b);

    for (uint32_t i = 0; i < count && going(w); i++) {
        uint32_t len = bytes_u32(&w->b);
        const char *from = w->b.at;

        walk_range(w, part);
        if ((size_t)(w->b.at - from) != len)
            bytes_fail(&w->b, "a range is not as long as it says");
    }
}

static void walk_kind(struct walk *w, uint32_t oid, size_t len)
{
    const struct type *t = oid >= TYPE_FIRST_MOVING ? type_find(w->way.map, w->way.from, oid) : NULL;
    enum type_kind kind = t != NULL                 ? t->kind
                          : oid == RECORD_OID       ? KIND_RECORD
                          : oid == RECORD_ARRAY_OID ? KIND_ARRAY
                                                    : KIND_PLAIN;

    switch (kind) {
    case KIND_PLAIN:
        bytes_skip(&w->b, len);
        return;
    case KIND_ARRAY:
        walk_array(w);
        return;
    case KIND_RECORD:
        walk_record(w);
        return;
    case KIND_RANGE:
        walk_range(w, t->part);
        return;
    case KIND_MULTIRANGE:
        walk_multirange(w, t->part);
        return;
    case KIND_DOMAIN:
        walk_value(w, t->part, len);
        return;
    }
}

/* A value of `len` bytes in binary, all of which are there. An unknown type has been refused where its number stood, or
 * is refused here. */
static void walk_value(struct walk *w, uint32_t oid, size_t len)
{
    const char *end = w->b.end;
    const char *mine = w->b.at + len;
    uint32_t other;

    if (oid >= TYPE_FIRST_MOVING && w->err == ERR_OK)
        w->err = type_map_oid(w->way, oid, &other, w->f);
    if (w->depth == DEPTH_MOST)
        bytes_fail(&w->b, "a value is nested too deep");
    if (!going(w))
        return;
    w->depth++;
    w->b.end = mine; /* what is in it ends where it does */
    walk_kind(w, oid, len);
    w->depth--;
    if (going(w) && w->b.at != mine)
        bytes_fail(&w->b, "a value is longer than what is in it");
    w->b.end = end;
}

/* --- messages --- */

static void walk_parse(struct walk *w)
{
    uint16_t count;

    bytes_string(&w->b);
    bytes_string(&w->b);
    count = bytes_u16(&w->b);
    for (uint16_t i = 0; i < count && going(w); i++)
        walk_oid(w); /* 0: left to the server, and passes */
}

static void walk_parameters(struct walk *w)
{
    uint16_t count = bytes_u16(&w->b);

    for (uint16_t i = 0; i < count && going(w); i++)
        walk_oid(w);
}

static void walk_row_description(struct walk *w)
{
    uint16_t count = bytes_u16(&w->b);

    for (uint16_t i = 0; i < count && going(w); i++) {
        char *table;

        bytes_string(&w->b);
        table = (char *)(uintptr_t)w->b.at;
        bytes_skip(&w->b, 6); /* the table, and the column in it */
        if (w->write && going(w))
            memset(table, 0, 6);
        walk_oid(w);
        bytes_skip(&w->b, 8); /* size, modifier, format */
    }
}

struct types {
    const uint32_t *oids;
    size_t count;
};

static void walk_parameter(struct walk *w, const struct types *types, size_t i, bool binary)
{
    uint32_t oid = i < types->count ? types->oids[i] : 0;

    if (binary && oid == 0 && w->err == ERR_OK)
        w->err = fault_set(w->f, ERR_UNMOVABLE, "parameter %zu is sent in binary, and its type is not known", i + 1);
    walk_field(w, oid, binary);
}

static void walk_bind(struct walk *w, const struct types *types)
{
    const char *formats;
    uint16_t format_count;
    uint16_t count;

    bytes_string(&w->b);
    bytes_string(&w->b);
    format_count = bytes_u16(&w->b);
    formats = w->b.at;
    bytes_skip(&w->b, 2 * (size_t)format_count);
    count = bytes_u16(&w->b);
    if (format_count > 1 && format_count != count)
        bytes_fail(&w->b, "there are more or fewer formats than parameters");
    for (uint16_t i = 0; i < count && going(w); i++)
        walk_parameter(w, types, i, format_count > 0 && formats[format_count > 1 ? 2 * i + 1 : 1] != 0);
    bytes_skip(&w->b, 2 * (size_t)bytes_u16(&w->b)); /* formats of the result */
}

static void walk_data_row(struct walk *w, const struct types *types, const uint16_t *formats)
{
    uint16_t count = bytes_u16(&w->b);

    if (count != types->count)
        bytes_fail(&w->b, "a row has not as many columns as its description");
    for (uint16_t i = 0; i < count && going(w); i++)
        walk_field(w, types->oids[i], formats[i] != 0);
}

/* --- twice --- */

enum message { PARSE, BIND, PARAMETERS, ROW_DESCRIPTION, DATA_ROW };

static void walk_message(struct walk *w, enum message message, const struct types *types, const uint16_t *formats)
{
    switch (message) {
    case PARSE:
        walk_parse(w);
        break;
    case BIND:
        walk_bind(w, types);
        break;
    case PARAMETERS:
        walk_parameters(w);
        break;
    case ROW_DESCRIPTION:
        walk_row_description(w);
        break;
    case DATA_ROW:
        walk_data_row(w, types, formats);
        break;
    }
    if (going(w) && w->b.at != w->b.end)
        bytes_fail(&w->b, "something stands behind its end");
}

static enum err rewrite(struct type_way way, enum message message, const struct types *types, const uint16_t *formats,
                        char *body, size_t len, struct fault *f)
{
    struct walk look = {.way = way, .b = {.start = body, .at = body, .end = body + len}, .f = f};
    struct walk put = look;

    if (way.map == NULL)
        return ERR_OK;
    walk_message(&look, message, types, formats);
    if (look.b.wrong != NULL && look.err == ERR_OK)
        return fault_set(f, ERR_PROTOCOL, "at byte %zu of the message: %s", (size_t)(look.b.at - look.b.start),
                         look.b.wrong);
    TRY(look.err);
    put.write = true;
    walk_message(&put, message, types, formats);
    ENSURE(going(&put));
    return ERR_OK;
}

enum err type_map_parse(struct type_way way, char *body, size_t len, struct fault *f)
{
    return rewrite(way, PARSE, NULL, NULL, body, len, f);
}

enum err type_map_bind(struct type_way way, const uint32_t *types, size_t type_count, char *body, size_t len,
                       struct fault *f)
{
    return rewrite(way, BIND, &(struct types){types, type_count}, NULL, body, len, f);
}

enum err type_map_parameters(struct type_way way, char *body, size_t len, struct fault *f)
{
    return rewrite(way, PARAMETERS, NULL, NULL, body, len, f);
}

enum err type_map_row_description(struct type_way way, char *body, size_t len, struct fault *f)
{
    return rewrite(way, ROW_DESCRIPTION, NULL, NULL, body, len, f);
}

enum err type_map_data_row(struct type_way way, const uint32_t *types, const uint16_t *formats, size_t column_count,
                           char *body, size_t len, struct fault *f)
{
    return rewrite(way, DATA_ROW, &(struct types){types, column_count}, formats, body, len, f);
}
