/* cutover/record.c — see record.h. Facts: "switch.armed" = "yes"; "switch.rehearsed" = the pauses, in µs, of those that went well since one did not. */
#include "cutover/record.h"

#include <stdlib.h>
#include <string.h>

#define ARMED "switch.armed"
#define REHEARSED "switch.rehearsed"
#define KEPT 100

enum err record_armed(struct journal *j, const char *store, bool *ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(256);
    const char *text;

    TRY(j->ops->fact_get(j, store, ARMED, a, &text, f));
    *ret = text != NULL;
    return ERR_OK;
}

enum err record_arm(struct journal *j, const char *store, struct fault *f)
{
    bool armed;

    TRY(record_armed(j, store, &armed, f));
    if (armed)
        return ERR_OK;
    TRY(j->ops->append(j, store, EVENT_SWITCH_ARMED, NULL, f));
    return j->ops->fact_set(j, store, ARMED, "yes", false, f);
}

static json_t *read_list(const char *text)
{
    json_t *list = text != NULL ? json_loads(text, 0, NULL) : NULL;

    if (json_is_array(list))
        return list;
    json_decref(list);
    return json_array();
}

enum err record_rehearsed(struct journal *j, const char *store, bool well, int64_t pause_us, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *before;
    json_t *list;
    char *text;
    enum err err;

    TRY(j->ops->fact_get(j, store, REHEARSED, a, &before, f));
    list = well ? read_list(before) : json_array();
    if (well)
        json_array_append_new(list, json_integer(pause_us));
    while (json_array_size(list) > KEPT)
        json_array_remove(list, 0);
    text = json_dumps(list, JSON_COMPACT);
    err = j->ops->fact_set(j, store, REHEARSED, text, false, f);
    free(text);
    json_decref(list);
    return err;
}

enum err record_rehearsals(struct journal *j, const char *store, struct record_rehearsals *ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *text;
    json_t *list;
    const json_t *one;
    size_t i;

    memset(ret, 0, sizeof *ret);
    TRY(j->ops->fact_get(j, store, REHEARSED, a, &text, f));
    list = read_list(text);
    json_array_foreach(list, i, one)
        if (json_integer_value(one) > ret->pause_us)
            ret->pause_us = json_integer_value(one);
    ret->in_a_row = (int)json_array_size(list);
    json_decref(list);
    return ERR_OK;
}
