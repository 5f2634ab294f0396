/* shift/type_list.h — the types of both sides, and each one's namesake. Only type_map*.c includes it. */
#ifndef LEAT_SHIFT_TYPE_LIST_H
#define LEAT_SHIFT_TYPE_LIST_H

#include "shift/type_map.h"

enum type_kind { KIND_PLAIN, KIND_ARRAY, KIND_DOMAIN, KIND_RANGE, KIND_MULTIRANGE, KIND_RECORD };

struct type {
    uint32_t oid;
    uint32_t part; /* of an array, a domain, a range, a multirange: what it is made of */
    enum type_kind kind;
    const char *name;
    const struct type *twin; /* of that name on the other side, and of the same build; NULL: there is none */
};

/* NULL: no such type of a user. */
const struct type *type_find(const struct type_map *map, enum type_side side, uint32_t oid);

#endif
