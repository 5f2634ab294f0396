/* model/table.h — what leat knows of a store's tables, from its catalog. Engine-neutral; everything lives in the catalog's arena. */
#ifndef LEAT_MODEL_TABLE_H
#define LEAT_MODEL_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "model/change.h"

struct column {
    const char *name;
    const char *type;       /* as format_type gives it, with schema and modifier: "numeric(10,2)", "public.mood" */
    uint32_t type_oid;
    int32_t typmod;
    bool not_null;
    bool generated;         /* GENERATED ALWAYS AS (...) STORED: computed on either side, never sent */
    bool identity_always;   /* GENERATED ALWAYS AS IDENTITY: never in SET */
    bool key;               /* part of the replica identity */
    bool binary_stable;     /* its binary form may be copied between any two supported majors */
    const char *equals;     /* the operator rows are found by, as SQL: "OPERATOR(pg_catalog.=)"; set for the target only */
    bool bulk_safe;         /* text -> type goes through the type's input function, so casts from text[] are exact */
};

enum table_kind { TABLE_ORDINARY = 'r', TABLE_PARTITIONED = 'p' };

struct table {
    uint32_t oid;
    const char *schema;
    const char *name;
    const char *qualified;     /* quoted, schema-qualified: ready for SQL */
    const char *owner;
    enum table_kind kind;
    bool is_partition;
    bool unlogged;
    bool row_security;         /* enabled */
    enum identity identity;    /* as set (relreplident) */
    const char *identity_index; /* the index that gives the identity (quoted name), NULL: none or FULL */
    bool key_deferrable;       /* there is a primary key but it is DEFERRABLE: counts as none */
    int64_t bytes;             /* heap and toast */
    int64_t pages;             /* of the heap, where parts of it can be read by ranges of them; else 0 */
    double rows;               /* the planner's estimate; < 0 unknown */
    uint32_t relfilenode;
    uint16_t column_count;     /* live columns, in the table's order */
    struct column *columns;
};

/* A key tells rows apart only where the server keeps it unique: not the whole row of a table without one. */
static inline bool table_has_key(const struct table *t)
{
    return t->identity != IDENTITY_FULL && t->identity_index != NULL;
}

static inline uint16_t table_key_columns(const struct table *t)
{
    uint16_t n = 0;

    for (uint16_t i = 0; table_has_key(t) && i < t->column_count; i++)
        n = (uint16_t)(n + t->columns[i].key);
    return n;
}

/* "schema.name", as people and the journal have it. */
static inline bool table_is_called(const struct table *t, const char *full)
{
    size_t n = strlen(t->schema);

    return full != NULL && strncmp(full, t->schema, n) == 0 && full[n] == '.' && strcmp(full + n + 1, t->name) == 0;
}

struct sequence {
    const char *schema;
    const char *name;
    const char *qualified;
    int64_t increment;
    int64_t min_value;
    int64_t max_value;
    int64_t cache;
    bool cycle;
};

struct catalog {
    struct arena *arena;
    struct table *tables;    /* chosen ones with rows: ordinary tables and leaves, sorted by (schema, name) */
    size_t table_count;
    struct sequence *sequences;
    size_t sequence_count;
};
void catalog_free(struct catalog *c);
AUTO_DEFINE(catalog)
struct table *catalog_find(const struct catalog *c, const char *schema, const char *name); /* NULL: none */
struct table *catalog_find_oid(const struct catalog *c, uint32_t oid);                     /* NULL: none; linear */

#endif
