/* verify/columns.c — see columns.h. Binary where the form is the same whatever the servers' versions, else as text. */
#include "verify/columns.h"

#include <string.h>

static const struct column *same_name(const struct table *t, const char *name)
{
    for (uint16_t i = 0; i < t->column_count; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    return NULL;
}

static void add_columns(struct row_plan *plan, const struct table *source, const struct table *target, bool keys, struct buf *missing)
{
    for (uint16_t i = 0; i < source->column_count; i++) {
        const struct column *c = &source->columns[i];
        const struct column *other = same_name(target, c->name);

        if ((table_has_key(source) && c->key) != keys)
            continue;
        if (other == NULL) {
            buf_addf(missing, "%s%s", missing->len > 0 ? ", " : "", c->name);
            continue;
        }
        plan->columns[plan->count++] =
            (struct row_column){.source = c, .target = other, .as_text = !c->binary_stable || !other->binary_stable || strcmp(c->type, other->type) != 0};
        plan->keys += keys;
    }
}

static void add_extra(const struct table *source, const struct table *target, struct buf *extra)
{
    for (uint16_t i = 0; i < target->column_count; i++)
        if (same_name(source, target->columns[i].name) == NULL)
            buf_addf(extra, "%s%s", extra->len > 0 ? ", " : "", target->columns[i].name);
}

#define FIRST_USER_OID 16384u

static void add_coarse(const struct row_plan *plan, struct buf *coarse)
{
    for (uint16_t i = 0; i < plan->count; i++)
        if (plan->columns[i].as_text && plan->columns[i].source->type_oid >= FIRST_USER_OID)
            buf_addf(coarse, "%s%s", coarse->len > 0 ? ", " : "", plan->columns[i].source->name);
}

void columns_plan(struct arena *a, const struct table *source, const struct table *target, bool coarse, struct row_plan *ret, const char **ret_remark)
{
    AUTO_BUF digits = {0};
    AUTO_BUF missing = {0};
    AUTO_BUF extra = {0};
    struct row_plan plan = {.columns = arena_zalloc(a, (source->column_count + 1u) * sizeof *plan.columns)};

    add_columns(&plan, source, target, true, &missing);
    add_columns(&plan, source, target, false, &missing);
    add_extra(source, target, &extra);
    *ret = plan;
    *ret_remark = NULL;
    if (missing.len > 0)
        *ret_remark = arena_format(a, "the target lacks columns: %s", buf_cstr(&missing));
    else if (coarse && (add_coarse(&plan, &digits), digits.len > 0))
        *ret_remark = arena_format(a, "floating-point numbers inside of these are compared to 15 digits, since only one side has 12 or newer: %s", buf_cstr(&digits));
    else if (extra.len > 0)
        *ret_remark = arena_format(a, "columns only the target has are not compared: %s", buf_cstr(&extra));
}
