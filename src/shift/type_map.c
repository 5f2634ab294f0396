/* shift/type_map.c — the two lists, and what can be asked of them; the messages are in type_rewrite.c.
 *
 * Invariant, once sealed: each list is in the order of numbers, and a->twin == b exactly if b->twin == a. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shift/type_list.h"

#define CHUNK 16384
#define DEPTH_MOST 32 /* a domain over an array of a composite …: deeper than that is taken to be deep */

struct side_list {
    struct type *types;
    size_t count;
    size_t size;
};

struct type_map {
    struct arena *arena; /* the names */
    struct side_list sides[2];
    bool sealed;
    bool identity;
    _Atomic int holders; /* beside its maker */
};

struct type_map *type_map_new(void)
{
    struct type_map *map = mem_alloc(sizeof *map);

    map->arena = arena_new(CHUNK);
    return map;
}

void type_map_free(struct type_map *map)
{
    if (map == NULL || atomic_fetch_sub(&map->holders, 1) > 0)
        return;
    arena_free(map->arena);
    free(map->sides[TYPE_SOURCE].types);
    free(map->sides[TYPE_TARGET].types);
    free(map);
}

const struct type_map *type_map_hold(const struct type_map *map)
{
    if (map != NULL)
        atomic_fetch_add(&((struct type_map *)(uintptr_t)map)->holders, 1);
    return map;
}

void type_map_drop(const struct type_map *map)
{
    type_map_free((struct type_map *)(uintptr_t)map);
}

/* --- filling --- */

static bool read_oid(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long v;

    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    v = strtoul(text, &end, 10);
    *ret = (uint32_t)v;
    return errno == 0 && (*end == '\0' || *end == ' ') && v > 0 && v <= UINT32_MAX;
}

static bool kind_of(const char *kind, enum type_kind *ret)
{
    static const char letters[] = "bepadrmc";
    static const enum type_kind kinds[] = {KIND_PLAIN,  KIND_PLAIN, KIND_PLAIN,      KIND_ARRAY,
                                           KIND_DOMAIN, KIND_RANGE, KIND_MULTIRANGE, KIND_RECORD};
    const char *at = kind != NULL && kind[0] != '\0' && kind[1] == '\0' ? strchr(letters, kind[0]) : NULL;

    if (at == NULL)
        return false;
    *ret = kinds[at - letters];
    return true;
}

static struct type *add_type(struct side_list *list)
{
    if (list->count == list->size) {
        list->size = list->size > 0 ? list->size * 2 : 64;
        list->types = mem_grow(list->types, list->size * sizeof *list->types);
    }
    return &list->types[list->count++];
}

bool type_map_add(struct type_map *map, enum type_side side, const char *oid, const char *name, const char *kind,
                  const char *parts)
{
    struct type t = {0};

    ENSURE(!map->sealed);
    if (!read_oid(oid, &t.oid) || !kind_of(kind, &t.kind) || name == NULL)
        return false;
    if (t.kind != KIND_PLAIN && t.kind != KIND_RECORD && !read_oid(parts, &t.part))
        return false; /* a record names the types of its columns itself, in every value */
    t.name = arena_strdup(map->arena, name);
    *add_type(&map->sides[side]) = t;
    return true;
}

/* --- pairing --- */

static int by_oid(const void *a, const void *b)
{
    uint32_t x = ((const struct type *)a)->oid;
    uint32_t y = ((const struct type *)b)->oid;

    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct type *const *)a)->name, (*(struct type *const *)b)->name);
}

static struct type **names_of(struct side_list *list)
{
    struct type **sorted = mem_alloc((list->count + 1) * sizeof *sorted);

    for (size_t i = 0; i < list->count; i++)
        sorted[i] = &list->types[i];
    qsort(sorted, list->count, sizeof *sorted, by_name);
    return sorted;
}

static void pair(struct side_list *source, struct side_list *target)
{
    struct type **a = names_of(source);
    struct type **b = names_of(target);
    size_t i = 0;
    size_t k = 0;

    while (i < source->count && k < target->count) {
        int order = strcmp(a[i]->name, b[k]->name);

        if (order == 0 && a[i]->kind == b[k]->kind) {
            a[i]->twin = b[k];
            b[k]->twin = a[i];
        }
        i += order <= 0;
        k += order >= 0;
    }
    free(a);
    free(b);
}

static bool all_same(const struct side_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->types[i].twin == NULL || list->types[i].twin->oid != list->types[i].oid)
            return false;
    return true;
}

void type_map_seal(struct type_map *map)
{
    ENSURE(!map->sealed);
    map->sealed = true;
    for (int side = 0; side < 2; side++)
        if (map->sides[side].count > 0)
            qsort(map->sides[side].types, map->sides[side].count, sizeof(struct type), by_oid);
    pair(&map->sides[TYPE_SOURCE], &map->sides[TYPE_TARGET]);
    map->identity = all_same(&map->sides[TYPE_SOURCE]) && all_same(&map->sides[TYPE_TARGET]);
}

/* --- asking --- */

const struct type *type_find(const struct type_map *map, enum type_side side, uint32_t oid)
{
    const struct side_list *list = &map->sides[side];
    struct type key = {.oid = oid};

    ENSURE(map->sealed);
    return list->count > 0 ? bsearch(&key, list->types, list->count, sizeof key, by_oid) : NULL;
}

bool type_map_is_identity(const struct type_map *map)
{
    ENSURE(map->sealed);
    return map->identity;
}

static bool same_type(const struct type *a, const struct type *b)
{
    if (a->oid != b->oid || a->part != b->part || a->kind != b->kind || strcmp(a->name, b->name) != 0)
        return false;
    return (a->twin != NULL ? a->twin->oid : 0) == (b->twin != NULL ? b->twin->oid : 0);
}

static bool same_list(const struct side_list *a, const struct side_list *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (!same_type(&a->types[i], &b->types[i]))
            return false;
    return a->count == b->count;
}

bool type_map_equal(const struct type_map *a, const struct type_map *b)
{
    ENSURE(a->sealed && b->sealed);
    return same_list(&a->sides[TYPE_SOURCE], &b->sides[TYPE_SOURCE]) &&
           same_list(&a->sides[TYPE_TARGET], &b->sides[TYPE_TARGET]);
}

enum err type_map_oid(struct type_way way, uint32_t oid, uint32_t *ret, struct fault *f)
{
    const struct type *t;

    if (way.map == NULL || oid < TYPE_FIRST_MOVING) {
        *ret = oid;
        return ERR_OK;
    }
    t = type_find(way.map, way.from, oid);
    if (t == NULL)
        return fault_set(f, ERR_UNMOVABLE, "type number %u is not known; it may have been made just now", oid);
    if (t->twin == NULL)
        return fault_set(f, ERR_UNMOVABLE, "type %s is not on the %s, or is of another kind there", t->name,
                         way.from == TYPE_SOURCE ? "target" : "source");
    *ret = t->twin->oid;
    return ERR_OK;
}

bool type_map_is_deep(struct type_way way, uint32_t oid)
{
    for (int depth = 0; way.map != NULL && depth < DEPTH_MOST; depth++) {
        const struct type *t = oid >= TYPE_FIRST_MOVING ? type_find(way.map, way.from, oid) : NULL;

        if (oid < TYPE_FIRST_MOVING)
            return oid == 2249 || oid == 2287; /* record, record[] */
        if (t == NULL || t->kind == KIND_ARRAY || t->kind == KIND_RECORD)
            return true;
        if (t->kind == KIND_PLAIN)
            return false;
        oid = t->part;
    }
    return way.map != NULL;
}
