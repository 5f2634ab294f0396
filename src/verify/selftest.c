/* verify/selftest.c — see selftest.h. What is planted stands in sql/scratch_target.sql, one row each, 1 to 10. */
#include "verify/selftest.h"

#include <stdlib.h>

#include "verify/columns.h"

static struct table scratch(struct arena *a)
{
    static const struct column columns[] = {
        {.name = "id", .type = "bigint", .type_oid = 20, .typmod = -1, .not_null = true, .key = true, .binary_stable = true, .equals = "OPERATOR(pg_catalog.=)"},
        {.name = "a", .type = "text", .type_oid = 25, .typmod = -1, .binary_stable = true},
        {.name = "b", .type = "text", .type_oid = 25, .typmod = -1, .binary_stable = true},
        {.name = "n", .type = "double precision", .type_oid = 701, .typmod = -1, .binary_stable = true},
        {.name = "at", .type = "timestamp with time zone", .type_oid = 1184, .typmod = -1, .binary_stable = true},
    };

    return (struct table){.schema = "leat",
                          .name = "scratch",
                          .qualified = "leat.scratch",
                          .kind = TABLE_ORDINARY,
                          .identity = IDENTITY_INDEX,
                          .identity_index = "none",
                          .rows = 200,
                          .column_count = sizeof columns / sizeof *columns,
                          .columns = arena_copy(a, columns, sizeof columns)};
}

void selftest_table(struct arena *a, struct compared *ret)
{
    struct table t = scratch(a);

    *ret = (struct compared){.source = arena_copy(a, &t, sizeof t), .target = arena_copy(a, &t, sizeof t)};
    columns_plan(a, ret->source, ret->target, false, &ret->plan, &ret->remark);
}

static enum difference_kind planted(long id)
{
    return id == 2 || id == 5 ? DIFFERENCE_EXTRA : id == 3 ? DIFFERENCE_MISSING : DIFFERENCE_CHANGED;
}

int selftest_found(const struct compared *t)
{
    bool seen[SELFTEST_PLANTED + 1] = {false};
    int found = 0;

    for (size_t i = 0; i < t->named_count; i++) {
        const struct named_row *row = &t->named[i];
        const char *const *values = row->source != NULL ? row->source : row->target;
        long id = values != NULL && values[0] != NULL ? strtol(values[0], NULL, 10) : 0;

        if (id < 1 || id > SELFTEST_PLANTED || seen[id])
            return 0;
        seen[id] = row->kind == planted(id);
        found += seen[id];
    }
    return found;
}
