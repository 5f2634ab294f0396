/* verify/outcome.c — see outcome.h. */
#include "verify/outcome.h"

#include <string.h>

bool outcome_names(const json_t *names, const char *full)
{
    const char *bare = strchr(full, '.');
    const json_t *one;
    size_t i;

    json_array_foreach(names, i, one)
    {
        const char *name = json_string_value(one);
        if (name != NULL && (strcmp(full, name) == 0 || (bare != NULL && strcmp(bare + 1, name) == 0)))
            return true;
    }
    return names == NULL;
}

/* What stood of other tables, and what is found of these. */
static json_t *replace(const json_t *before, const json_t *names, const json_t *now, const char *list, const char *key)
{
    json_t *all = json_array();
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(before, list), i, one)
    {
        const char *name = json_string_value(json_object_get(one, key));
        if (name == NULL || !outcome_names(names, name))
            json_array_append_new(all, json_deep_copy(one));
    }
    json_array_extend(all, json_object_get(now, list));
    return all;
}

static json_int_t sum(const json_t *differing)
{
    json_int_t n = 0;
    const json_t *one;
    size_t i;

    json_array_foreach(differing, i, one)
        n += json_integer_value(json_object_get(one, "differences"));
    return n;
}

static bool is_empty(const json_t *o, const char *list)
{
    return json_array_size(json_object_get(o, list)) == 0;
}

static void judge(json_t *o)
{
    const json_t *self_test = json_object_get(o, "self_test");

    json_object_set_new(o, "differences", json_integer(sum(json_object_get(o, "differing"))));
    json_object_set_new(o, "clean", json_boolean(is_empty(o, "differing") && is_empty(o, "unverifiable") && is_empty(o, "objects") &&
                                                 json_equal(json_object_get(self_test, "planted"), json_object_get(self_test, "found"))));
}

/* Those that are due still when these have been compared. */
static json_t *still_due(const json_t *before, const json_t *names)
{
    json_t *due = json_array();
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(before, "due"), i, one)
        if (!outcome_names(names, json_string_value(one)))
            json_array_append_new(due, json_deep_copy(one));
    return due;
}

json_t *outcome_merge(const json_t *before, const json_t *names, const json_t *now)
{
    json_t *o = json_deep_copy(now);

    json_object_set_new(o, "whole", json_boolean(names == NULL || json_is_true(json_object_get(before, "whole"))));
    if (names == NULL || before == NULL)
        return o;
    json_object_set_new(o, "differing", replace(before, names, now, "differing", "table"));
    json_object_set_new(o, "unverifiable", replace(before, names, now, "unverifiable", "object"));
    json_object_set_new(o, "objects", json_deep_copy(json_object_get(before, "objects"))); /* only a whole comparison looks at them */
    json_object_set_new(o, "not_compared", json_deep_copy(json_object_get(before, "not_compared")));
    json_object_set_new(o, "at_us", json_deep_copy(json_object_get(before, "at_us")));
    json_object_set_new(o, "rows", json_deep_copy(json_object_get(before, "rows")));
    json_object_set_new(o, "due", still_due(before, names));
    judge(o);
    return o;
}

json_t *outcome_stay(const json_t *before, json_t *differing, const json_t *due)
{
    json_t *o = json_deep_copy(before);

    json_object_set_new(o, "differing", json_array());
    json_array_extend(json_object_get(o, "differing"), json_object_get(before, "differing"));
    json_array_extend(json_object_get(o, "differing"), differing);
    json_object_set_new(o, "due", json_deep_copy(due));
    judge(o);
    return o;
}
