/* shift/reading_names.c — see reading_names.h. Sorted lists; each name stands there bare and with its schema, once. */
#include "shift/reading_names.h"

#include <stdlib.h>
#include <string.h>

#include "shift/reading.h"

#define VIEWS_DEEP 16

enum goodness { GOOD, BAD, VIEW, VIEW_BEING_READ };

struct name {
    const char *schema; /* "": bare */
    const char *name;
    const char *view;   /* of a view not read yet */
    enum goodness good;
    bool reads;         /* a user's function that only reads */
    bool takes_row;     /* and is bad */
};

struct list {
    struct name *names;
    size_t count, size;
};

struct reading_names {
    struct arena *arena;
    struct list functions;
    struct list relations;
    struct list operators;
    bool whole; /* every relation with rows of its own follows */
};

/* Of the system's own functions that are not immutable, those that give the same on both sides: of the session's settings, which are equal,
 * and of the rows given to them. Not: what a server says of itself, or looks up in its catalogs. */
static const char *const stable_good[] = {
    "age", "array_agg", "array_to_json", "array_to_string", "concat", "concat_ws", "date", "date_bin", "date_ge_timestamptz", "date_part", "date_trunc",
    "extract", "format", "generate_series", "isfinite", "json_agg", "json_build_array", "json_build_object", "json_object_agg", "json_populate_record",
    "json_populate_recordset", "json_to_record", "json_to_recordset", "jsonb_agg", "jsonb_build_array", "jsonb_build_object", "jsonb_object_agg",
    "jsonb_path_exists_tz", "jsonb_path_match_tz", "jsonb_path_query_array_tz", "jsonb_path_query_first_tz", "jsonb_path_query_tz", "jsonb_populate_record",
    "jsonb_populate_recordset", "jsonb_to_record", "jsonb_to_recordset", "make_timestamptz", "now", "phraseto_tsquery", "plainto_tsquery", "quote_literal",
    "quote_nullable", "regexp_matches", "row_to_json", "statement_timestamp", "string_agg", "text", "timestamptz", "timestamp", "timezone", "to_char", "to_date",
    "to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector", "transaction_timestamp", "ts_headline", "ts_rank", "websearch_to_tsquery", NULL};

static bool is_stable_good(const char *name)
{
    for (size_t i = 0; stable_good[i] != NULL; i++)
        if (strcmp(stable_good[i], name) == 0)
            return true;
    return false;
}

struct reading_names *reading_names_new(void)
{
    struct reading_names *n = mem_alloc(sizeof *n);

    n->arena = arena_new(64 << 10);
    n->whole = true;
    return n;
}

void reading_names_free(struct reading_names *n)
{
    if (n == NULL)
        return;
    arena_free(n->arena);
    free(n->functions.names);
    free(n->relations.names);
    free(n->operators.names);
    free(n);
}

static void add(struct list *l, struct name one)
{
    if (l->count == l->size) {
        l->size = l->size != 0 ? l->size * 2 : 256;
        l->names = mem_grow(l->names, l->size * sizeof *l->names);
    }
    l->names[l->count++] = one;
}

static void add_both(struct reading_names *n, struct list *l, const char *schema, struct name one)
{
    one.name = arena_strdup(n->arena, one.name);
    one.schema = "";
    add(l, one);
    one.schema = arena_strdup(n->arena, schema);
    add(l, one);
}

void reading_names_function(struct reading_names *n, const char *schema, const char *name, char volatility, bool takes_row)
{
    bool system = strcmp(schema, "pg_catalog") == 0;
    struct name one = {.name = name, .good = volatility == 'i' ? GOOD : BAD};

    if (volatility == 's' && system && is_stable_good(name))
        one.good = GOOD;
    one.reads = volatility == 's' && !system;
    one.takes_row = takes_row && one.good != GOOD;
    add_both(n, &n->functions, schema, one);
}

void reading_names_relation(struct reading_names *n, const char *schema, const char *name, bool follows, const char *view, bool system)
{
    struct name one = {.name = name, .view = arena_strdup(n->arena, view), .good = view != NULL && !system ? VIEW : follows ? GOOD : BAD};

    if (!system && !follows && view == NULL)
        n->whole = false;
    add_both(n, &n->relations, schema, one);
}

void reading_names_bad_operator(struct reading_names *n, const char *name)
{
    add(&n->operators, (struct name){.schema = "", .name = arena_strdup(n->arena, name), .good = BAD});
}

/* --- sealed --- */

static int by_name(const void *a, const void *b)
{
    const struct name *x = a;
    const struct name *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : strcmp(x->schema, y->schema);
}

/* Of those that are called the same the worst counts. Two views under one bare name: not good, rather than read both. */
static void join(struct name *into, const struct name *other)
{
    bool views = into->good >= VIEW || other->good >= VIEW;

    if (into->good == GOOD && other->good == GOOD)
        return;
    into->reads = !views && (into->good == GOOD || into->reads) && (other->good == GOOD || other->reads);
    into->takes_row |= other->takes_row;
    into->good = BAD;
}

static void seal_list(struct list *l)
{
    size_t kept = 0;

    if (l->count == 0)
        return;
    qsort(l->names, l->count, sizeof *l->names, by_name);
    for (size_t i = 1; i < l->count; i++)
        if (by_name(&l->names[kept], &l->names[i]) == 0)
            join(&l->names[kept], &l->names[i]);
        else
            l->names[++kept] = l->names[i];
    l->count = kept + 1;
}

static struct name *find(const struct list *l, const char *schema, const char *name)
{
    struct name key = {.schema = schema != NULL ? schema : "", .name = name};

    return l->count > 0 ? bsearch(&key, l->names, l->count, sizeof *l->names, by_name) : NULL;
}

/* A view is as good as what its text names: views among them are read first. */
static void read_view(struct reading_names *n, struct name *one)
{
    static _Thread_local int deep;
    struct reading r;

    one->good = VIEW_BEING_READ;
    if (deep < VIEWS_DEEP) {
        deep++;
        reading_of(n, one->view, strlen(one->view), &r);
        deep--;
        one->good = r.kind == READING_SELECT && !r.clock ? GOOD : BAD;
    } else {
        one->good = BAD;
    }
}

void reading_names_seal(struct reading_names *n)
{
    seal_list(&n->functions);
    seal_list(&n->relations);
    seal_list(&n->operators);
    for (size_t i = 0; i < n->functions.count; i++)
        if (n->functions.names[i].reads && n->whole)
            n->functions.names[i].good = GOOD;
    for (size_t i = 0; i < n->relations.count; i++)
        if (n->relations.names[i].good == VIEW)
            read_view(n, &n->relations.names[i]);
}

bool reading_names_function_good(const struct reading_names *n, const char *schema, const char *name)
{
    const struct name *one = find(&n->functions, schema, name);

    return one != NULL && one->good == GOOD;
}

bool reading_names_relation_known(const struct reading_names *n, const char *schema, const char *name)
{
    return find(&n->relations, schema, name) != NULL;
}

/* A view that is still to be read is met only while the list is sealed, by one thread. */
bool reading_names_relation_good(const struct reading_names *n, const char *schema, const char *name)
{
    struct name *one = find(&n->relations, schema, name);

    if (one != NULL && one->good == VIEW)
        read_view((struct reading_names *)(uintptr_t)n, one);
    return one != NULL && one->good == GOOD;
}

bool reading_names_operator_good(const struct reading_names *n, const char *name)
{
    return find(&n->operators, NULL, name) == NULL;
}

bool reading_names_column_good(const struct reading_names *n, const char *name)
{
    const struct name *one = find(&n->functions, NULL, name);

    return one == NULL || !one->takes_row || one->good == GOOD;
}

size_t reading_names_relations(const struct reading_names *n, size_t *ret_good)
{
    size_t all = 0;

    *ret_good = 0;
    for (size_t i = 0; i < n->relations.count; i++)
        if (n->relations.names[i].schema[0] != '\0') {
            all++;
            *ret_good += n->relations.names[i].good == GOOD;
        }
    return all;
}
