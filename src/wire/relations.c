/* wire/relations.c — see relations.h.
 *
 * A hash table with open addressing, from the table's number to its last description. Descriptions live in an arena and
 * stay: changes point to them.
 *
 * Invariants
 *  1. A relation, once handed out, is neither changed nor moved nor freed before the cache. Its names stand in its raw.
 *  2. At most half of the slots are taken, so that a search ends.
 *  3. No two descriptions of a process have the same serial, whichever cache they are of: a description's address may come
 *     again once its cache is freed, its serial does not. */
#include "wire/relations.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BITS_AT_FIRST 6
#define BITS_MOST 31
#define COLUMN_KEY_FLAG 1

struct slot {
    uint32_t id;
    const struct relation *relation; /* NULL: free */
};

struct relations {
    struct arena *arena;
    struct slot *slots; /* 2^bits */
    unsigned bits;
    size_t count;
};

struct relations *relations_new(void)
{
    struct relations *rs = mem_alloc(sizeof *rs);

    rs->arena = arena_new((size_t)16 << 10);
    rs->bits = BITS_AT_FIRST;
    rs->slots = mem_alloc(((size_t)1 << rs->bits) * sizeof *rs->slots);
    return rs;
}

void relations_free(struct relations *rs)
{
    if (rs == NULL)
        return;
    arena_free(rs->arena);
    free(rs->slots);
    free(rs);
}

/* --- the table --- */

static struct slot *find_slot(const struct relations *rs, uint32_t id)
{
    size_t mask = ((size_t)1 << rs->bits) - 1;
    size_t at =
        (id * UINT32_C(2654435769)) >> (32 - rs->bits); /* Fibonacci hashing: the upper bits are the good ones */

    while (rs->slots[at].relation != NULL && rs->slots[at].id != id)
        at = (at + 1) & mask;
    return &rs->slots[at];
}

const struct relation *relations_find(const struct relations *rs, uint32_t id)
{
    return find_slot(rs, id)->relation;
}

static void double_slots(struct relations *rs)
{
    struct slot *old = rs->slots;
    size_t old_size = (size_t)1 << rs->bits;

    ENSURE(rs->bits < BITS_MOST);
    rs->bits++;
    rs->slots = mem_alloc(2 * old_size * sizeof *rs->slots);
    for (size_t i = 0; i < old_size; i++)
        if (old[i].relation != NULL)
            *find_slot(rs, old[i].id) = old[i];
    free(old);
}

static void keep(struct relations *rs, const struct relation *relation)
{
    struct slot *slot = find_slot(rs, relation->id);

    if (slot->relation == NULL) {
        if (2 * (rs->count + 1) > (size_t)1 << rs->bits)
            double_slots(rs);
        slot = find_slot(rs, relation->id);
        rs->count++;
    }
    *slot = (struct slot){relation->id, relation};
}

/* --- a description --- */

static enum identity read_identity(struct bytes *r)
{
    uint8_t identity = bytes_u8(r);

    switch (identity) {
    case IDENTITY_DEFAULT:
    case IDENTITY_NOTHING:
    case IDENTITY_FULL:
    case IDENTITY_INDEX:
        break;
    default:
        bytes_fail(r, "the replica identity is none that is known");
    }
    return (enum identity)identity;
}

/* All but the columns. */
static void read_relation_head(struct bytes *r, struct relation *ret)
{
    ret->id = bytes_u32(r);
    ret->schema = bytes_string(r);
    if (ret->schema[0] == '\0')
        ret->schema = "pg_catalog"; /* the protocol writes it so */
    ret->name = bytes_string(r);
    ret->identity = read_identity(r);
    ret->column_count = bytes_u16(r);
}

static void read_column(struct bytes *r, struct rel_column *ret)
{
    ret->key = (bytes_u8(r) & COLUMN_KEY_FLAG) != 0;
    ret->name = bytes_string(r);
    ret->type = bytes_u32(r);
    ret->typmod = (int32_t)bytes_u32(r);
}

void relations_check(struct bytes *r)
{
    struct relation relation = {0};
    struct rel_column column;

    read_relation_head(r, &relation);
    for (uint16_t i = 0; i < relation.column_count && r->wrong == NULL; i++)
        read_column(r, &column);
}

static struct relation *make(struct arena *arena, const char *body, size_t body_len)
{
    struct relation *relation = arena_zalloc(arena, sizeof *relation);
    static _Atomic uint64_t serials;
    char *raw = arena_alloc(arena, 1 + body_len);
    struct bytes r = {raw, raw + 1, raw + 1 + body_len, NULL};

    relation->serial = atomic_fetch_add(&serials, 1) + 1;
    raw[0] = 'R';
    memcpy(raw + 1, body, body_len);
    relation->raw = raw;
    relation->raw_len = (uint32_t)(1 + body_len);
    read_relation_head(&r, relation);
    relation->notes_schema = strcmp(relation->schema, "leat") == 0 && strcmp(relation->name, "ddl") == 0;
    relation->notes_switch = strcmp(relation->schema, "leat") == 0 && (strcmp(relation->name, "mark") == 0 || strcmp(relation->name, "turn") == 0);
    relation->columns = arena_zalloc(arena, relation->column_count * sizeof *relation->columns);
    for (uint16_t i = 0; i < relation->column_count; i++)
        read_column(&r, &relation->columns[i]);
    ENSURE(r.wrong == NULL && r.at == r.end); /* relations_check has seen the same bytes */
    return relation;
}

/* Same bytes = same fields. */
static bool says_the_same(const struct relation *relation, const char *body, size_t body_len)
{
    return relation->raw_len == 1 + body_len && memcmp(relation->raw + 1, body, body_len) == 0;
}

const struct relation *relations_learn(struct relations *rs, const char *body, size_t body_len, bool *ret_changed)
{
    struct bytes r = {body, body, body + body_len, NULL};
    const struct relation *relation = relations_find(rs, bytes_u32(&r));

    *ret_changed = relation == NULL || !says_the_same(relation, body, body_len);
    if (*ret_changed) {
        relation = make(rs->arena, body, body_len);
        keep(rs, relation);
    }
    return relation;
}
