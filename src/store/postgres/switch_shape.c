/* store/postgres/switch_shape.c — see switch_shape.h. A change of a table that no event trigger notes is seen by the
 * stream with the first row that comes in the new shape, and by an engine that looks every few seconds: until then all
 * marks come round. Columns are two lists by name, as in rights.c; that tables have not changed places is told by the
 * numbers that were written down when each was copied. */
#include "store/postgres/switch_shape.h"

#include <stdlib.h>
#include <string.h>

#include "sql_embedded.h"

struct switch_column {
    const char *schema;
    const char *table;
    const char *name;
    const char *type;
    bool not_null;
    bool generated;
};

struct columns {
    struct switch_column *list;
    size_t count;
};

struct comparing {
    struct arena *arena;
    struct columns old;
    struct columns new;
    struct switch_obstacle *list;
    size_t count;
};

static int table_order(const struct switch_column *a, const struct switch_column *b)
{
    int n = strcmp(a->schema, b->schema);

    return n != 0 ? n : strcmp(a->table, b->table);
}

static int order(const void *left, const void *right)
{
    const struct switch_column *a = left;
    const struct switch_column *b = right;
    int n = table_order(a, b);

    return n != 0 ? n : strcmp(a->name, b->name);
}

static int order_by_table(const void *left, const void *right)
{
    return table_order(left, right);
}

static const struct switch_column *find(const struct columns *side, const struct switch_column *like)
{
    return bsearch(like, side->list, side->count, sizeof *like, order);
}

static bool has_table(const struct columns *side, const struct switch_column *like)
{
    return bsearch(like, side->list, side->count, sizeof *like, order_by_table) != NULL;
}

static enum err read_columns(struct pg *pg, const struct store *s, struct arena *a, struct columns *ret,
                             struct fault *f)
{
    AUTO_CHARS *sql = pg_fill_in(SQL_SWITCH_COLUMNS, "{generated}", pg->major >= 12 ? "a.attgenerated <> ''" : "false");
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, sql, &r, f));
    *ret = (struct columns){.list = arena_alloc(a, ((size_t)PQntuples(r) + 1) * sizeof *ret->list)};
    for (int i = 0; i < PQntuples(r); i++)
        if (config_chooses(s->store, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)))
            ret->list[ret->count++] = (struct switch_column){arena_strdup(a, PQgetvalue(r, i, 0)),
                                                             arena_strdup(a, PQgetvalue(r, i, 1)),
                                                             arena_strdup(a, PQgetvalue(r, i, 2)),
                                                             arena_strdup(a, PQgetvalue(r, i, 3)),
                                                             pg_get_bool(r, i, 4),
                                                             pg_get_bool(r, i, 5)};
    qsort(ret->list, ret->count, sizeof *ret->list, order); /* not by an order of the server's */
    return ERR_OK;
}

static void add(struct comparing *c, enum switch_hindrance hinders, const char *why)
{
    c->list[c->count++] = (struct switch_obstacle){"table", why, hinders};
}

static const char *alter(struct comparing *c, const struct switch_column *x, const char *how)
{
    return arena_format(c->arena, "ALTER TABLE %s %s", pg_quote_qualified(c->arena, x->schema, x->table), how);
}

static void compare_both(struct comparing *c, const struct switch_column *old, const struct switch_column *new)
{
    struct arena *a = c->arena;
    const char *name = pg_quote_ident(a, old->name);

    if (strcmp(old->type, new->type) != 0)
        add(c, HINDERS_CUTOVER,
            arena_format(a, "column %s of %s.%s is %s on the old side and %s on the new one: %s there", old->name,
                         old->schema, old->table, old->type, new->type,
                         alter(c, old, arena_format(a, "ALTER COLUMN %s TYPE %s", name, old->type))));
    if (new->not_null && !old->not_null)
        add(c, HINDERS_CUTOVER,
            arena_format(a, "column %s of %s.%s may be NULL on the old side only: %s on the new one", old->name,
                         old->schema, old->table,
                         alter(c, old, arena_format(a, "ALTER COLUMN %s DROP NOT NULL", name))));
    if (old->not_null && !new->not_null)
        add(c, HINDERS_NOT,
            arena_format(a, "column %s of %s.%s may be NULL on the new side only: %s there", old->name, old->schema,
                         old->table, alter(c, old, arena_format(a, "ALTER COLUMN %s SET NOT NULL", name))));
}

/* What the new side computes for itself is carried by neither stream. */
static void compare_alone(struct comparing *c, const struct switch_column *x, bool on_old)
{
    struct arena *a = c->arena;
    const char *name = pg_quote_ident(a, x->name);

    if (on_old)
        add(c, HINDERS_CUTOVER,
            arena_format(a, "column %s %s of %s.%s is new on the old side: %s on the new one, and `leat verify`",
                         x->name, x->type, x->schema, x->table,
                         alter(c, x, arena_format(a, "ADD COLUMN %s %s", name, x->type))));
    else if (!x->generated)
        add(c, HINDERS_CUTOVER,
            arena_format(a, "column %s of %s.%s is no longer on the old side: %s on the new one", x->name, x->schema,
                         x->table, alter(c, x, arena_format(a, "DROP COLUMN %s", name))));
}

static void compare_columns(struct comparing *c)
{
    for (size_t i = 0; i < c->old.count; i++) {
        const struct switch_column *x = &c->old.list[i];
        const struct switch_column *there = find(&c->new, x);

        if (there != NULL)
            compare_both(c, x, there);
        else if (has_table(&c->new, x)) /* else the table is missing, and named as that */
            compare_alone(c, x, true);
    }
    for (size_t i = 0; i < c->new.count; i++) {
        const struct switch_column *x = &c->new.list[i];

        if (find(&c->old, x) == NULL && has_table(&c->old, x))
            compare_alone(c, x, false);
    }
}

/* --- names --- */

static int oid_order(const void *key, const void *row)
{
    uint32_t oid = *(const uint32_t *)key;
    const struct fenced *t = row;

    return oid < t->oid ? -1 : oid > t->oid;
}

/* Where two tables have exchanged their names on one side alone, each finds one of its own name there, with the rows of
 * the other. */
static enum err compare_names(struct comparing *c, struct pg *new_side, const struct store *s,
                              const struct fenced *old_list, size_t old_count, struct fault *f)
{
    const char *params[] = {s->migration, s->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(new_side, SQL_SWITCH_NAMES, 2, params, &r, f));
    c->list = arena_alloc(c->arena, (2 * c->old.count + c->new.count + (size_t)PQntuples(r) + 1) * sizeof *c->list);
    for (int i = 0; i < PQntuples(r); i++) {
        uint32_t oid = (uint32_t)pg_get_int(r, i, 0);
        const struct fenced *old = bsearch(&oid, old_list, old_count, sizeof *old, oid_order);
        const char *there = pg_quote_qualified(c->arena, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2));

        if (old != NULL && strcmp(old->qualified, there) != 0)
            add(c, HINDERS_CUTOVER,
                arena_format(c->arena,
                             "%s of the old side is called %s on the new one: rename it there as it was renamed here, while leat is stopped",
                             old->qualified, there));
    }
    return ERR_OK;
}

enum err pg_switch_shape(struct pg *old_side, struct pg *new_side, const struct store *s, const struct fenced *old_list,
                         size_t old_count, struct arena *a, struct switch_obstacle **ret, size_t *ret_count,
                         struct fault *f)
{
    struct comparing c = {.arena = a};

    TRY(read_columns(old_side, s, a, &c.old, f));
    TRY(read_columns(new_side, s, a, &c.new, f));
    TRY(compare_names(&c, new_side, s, old_list, old_count, f));
    compare_columns(&c);
    *ret = c.list;
    *ret_count = c.count;
    return ERR_OK;
}
