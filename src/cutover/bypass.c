/* cutover/bypass.c — see bypass.h. */
#include "cutover/bypass.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_US ((int64_t)2000000)
#define SETTLED_S 1.0 /* a session that is younger may be a door's that does not know its number yet */

/* --- those of the doors --- */

struct pids {
    int64_t *list;
    size_t count;
};

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static bool is_among(const struct pids *p, int64_t pid)
{
    return p->count > 0 && bsearch(&pid, p->list, p->count, sizeof pid, by_number) != NULL;
}

static void take_pids(const json_t *answers, struct arena *a, struct pids *ret)
{
    const json_t *answer;
    const json_t *pid;
    size_t count = 0;
    size_t i;
    size_t k;

    json_array_foreach(answers, i, answer) count += json_array_size(json_object_get(answer, "pids"));
    ret->list = arena_alloc(a, (count + 1) * sizeof *ret->list);
    ret->count = 0;
    json_array_foreach(answers, i, answer)
    {
        json_array_foreach(json_object_get(answer, "pids"), k, pid) ret->list[ret->count++] = json_integer_value(pid);
    }
    qsort(ret->list, ret->count, sizeof *ret->list, by_number);
}

static enum err ask_doors(struct doors *doors, const char *side, struct arena *a, struct pids *ret, struct fault *f)
{
    json_t *answers = NULL;
    enum err err = doors_ask(doors, json_pack("{s:s, s:s}", "do", "backends", "side", side), ANSWER_US, &answers, f);

    if (err == ERR_OK)
        take_pids(answers, a, ret);
    json_decref(answers);
    return err;
}

enum err bypass_list(const struct store_ops *ops, struct store_admission *at, struct doors *doors, const char *side,
                     double least_s, struct arena *a, struct store_session **ret, size_t *ret_count, struct fault *f)
{
    struct store_session *list;
    struct pids before;
    struct pids after;
    size_t count;
    size_t n = 0;

    TRY(ask_doors(doors, side, a, &before, f));
    TRY(ops->admission_sessions(at, a, &list, &count, f));
    TRY(ask_doors(doors, side, a, &after, f));
    for (size_t i = 0; i < count; i++)
        if (list[i].age_s >= least_s && !is_among(&before, list[i].pid) && !is_among(&after, list[i].pid))
            list[n++] = list[i];
    *ret = list;
    *ret_count = n;
    return ERR_OK;
}

/* --- telling --- */

static bool is_alike(const json_t *one, const struct store_session *s)
{
    return strcmp(json_string_value(json_object_get(one, "user")), s->user) == 0 &&
           strcmp(json_string_value(json_object_get(one, "application")), s->application) == 0 &&
           strcmp(json_string_value(json_object_get(one, "address")), s->address) == 0;
}

static json_t *find_alike(const json_t *list, const struct store_session *s)
{
    json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        if (is_alike(one, s))
            return one;
    }
    return NULL;
}

json_t *bypass_json(const struct store_session *list, size_t count)
{
    json_t *told = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *one = find_alike(told, &list[i]);
        if (one != NULL)
            json_integer_set(json_object_get(one, "count"), json_integer_value(json_object_get(one, "count")) + 1);
        else
            json_array_append_new(told, json_pack("{s:s, s:s, s:s, s:i}", "user", list[i].user, "application",
                                                  list[i].application, "address", list[i].address, "count", 1));
    }
    return told;
}

static enum err look(const struct store *s, struct store_admission *at, struct doors *doors, enum store_side on,
                     json_t **ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    const char *side = on == STORE_SOURCE ? "source" : "target";
    struct store_session *list;
    size_t count;
    json_t *one;
    size_t i;

    TRY(bypass_list(s->ops, at, doors, side, SETTLED_S, a, &list, &count, f));
    *ret = bypass_json(list, count);
    json_array_foreach(*ret, i, one) json_object_set_new(one, "side", json_string(side));
    return ERR_OK;
}

enum err bypass_look(const struct config *config, const struct config_store *store, const char *state_dir,
                     enum store_side on, json_t **ret, struct fault *f)
{
    AUTO(doors) *doors = NULL;
    AUTO(store) *s = NULL;
    struct store_admission *at;
    enum err err;

    TRY(doors_open(state_dir, store->name, &doors, f));
    if (doors_count(doors) < store->door_count)
        return fault_set(f, ERR_SWITCH_HELD_UP, "%zu of %zu doors answer", doors_count(doors), store->door_count);
    TRY(store_new(config, store, state_dir, 0, NULL, &s, f));
    TRY(s->ops->admission_open(s, on, &at, f));
    err = look(s, at, doors, on, ret, f);
    s->ops->admission_close(at);
    return err;
}
