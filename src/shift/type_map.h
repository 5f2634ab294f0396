/* shift/type_map.h — types of users have other numbers on the other side; drivers remember numbers. Pure: no I/O.
 *
 * A client keeps, for its life, the numbers of the side it connected to. While its session is on the other side,
 * numbers are exchanged by the types' names in the messages that carry them, and inside binary values: arrays and
 * records name their parts' types by number. Numbers below TYPE_FIRST_MOVING are the same everywhere and pass untouched
 * (those that initdb gives, row types of the system's own catalogs, differ between majors, too; they are not mapped).
 *
 * What is not mapped: values of type oid and regtype; a client that asks pg_type by a number of before finds nothing
 * there. A table's number in RowDescription becomes 0 ("no column of a table"): a driver would look it up on a server
 * where it means another table.
 *
 * Every function rewrites one whole message in place (numbers have four bytes on both sides), given without kind and
 * length, and leaves it as it was if it fails: ERR_PROTOCOL, it is malformed; ERR_UNMOVABLE, it names a type that the
 * other side has not, or that was made after the map was. */
#ifndef LEAT_SHIFT_TYPE_MAP_H
#define LEAT_SHIFT_TYPE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

#define TYPE_FIRST_MOVING 16384

enum type_side { TYPE_SOURCE, TYPE_TARGET };

struct type_map;
/* Made by one thread; once sealed any number may read it. */
struct type_map *type_map_new(void);
void type_map_free(struct type_map *map);
AUTO_DEFINE(type_map)
/* Whoever looks into it beside the one that made it: it goes with the last of them. From any thread; NULL is none. */
const struct type_map *type_map_hold(const struct type_map *map);
void type_map_drop(const struct type_map *map);
/* A row of sql/door_types.sql, asked on that side. False: it is not as it should be. */
bool type_map_add(struct type_map *map, enum type_side side, const char *oid, const char *name, const char *kind,
                  const char *parts);
void type_map_seal(struct type_map *map);

/* Both say the same of every type. */
bool type_map_equal(const struct type_map *a, const struct type_map *b);
/* Every type of either side has the same number on the other: nothing need be rewritten, ever. */
bool type_map_is_identity(const struct type_map *map);

/* From which side's numbers to the other's. map NULL: both are the same, and everything passes. */
struct type_way {
    const struct type_map *map;
    enum type_side from;
};

MUST_USE enum err type_map_oid(struct type_way way, uint32_t oid, uint32_t *ret, struct fault *f);
/* Whether a binary value of this type (of the `from` side) has numbers inside that may have to be exchanged. An unknown
 * type may. */
bool type_map_is_deep(struct type_way way, uint32_t oid);

/* Client to server. */
MUST_USE enum err type_map_parse(struct type_way way, char *body, size_t len, struct fault *f);
/* types: the statement's parameters, in numbers of the `from` side; 0, or beyond type_count: not known, and then a
 * binary value is refused. */
MUST_USE enum err type_map_bind(struct type_way way, const uint32_t *types, size_t type_count, char *body, size_t len,
                                struct fault *f);
/* Server to client. */
MUST_USE enum err type_map_parameters(struct type_way way, char *body, size_t len, struct fault *f);
MUST_USE enum err type_map_row_description(struct type_way way, char *body, size_t len, struct fault *f);
/* types: as RowDescription had them before it was rewritten; formats: 0 text, 1 binary, from there or from Bind. Both
 * have column_count. */
MUST_USE enum err type_map_data_row(struct type_way way, const uint32_t *types, const uint16_t *formats,
                                    size_t column_count, char *body, size_t len, struct fault *f);

#endif
