/* model/table.c — see table.h. */
#include "model/table.h"

#include <stdlib.h>
#include <string.h>

void catalog_free(struct catalog *c)
{
    if (c == NULL)
        return;
    arena_free(c->arena);
    free(c);
}

struct table *catalog_find(const struct catalog *c, const char *schema, const char *name)
{
    size_t low = 0;
    size_t high = c->table_count;

    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(c->tables[mid].schema, schema);
        if (order == 0)
            order = strcmp(c->tables[mid].name, name);
        if (order == 0)
            return &c->tables[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

struct table *catalog_find_oid(const struct catalog *c, uint32_t oid)
{
    for (size_t i = 0; i < c->table_count; i++)
        if (c->tables[i].oid == oid)
            return &c->tables[i];
    return NULL;
}
