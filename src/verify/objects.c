/* verify/objects.c — see objects.h. Two sorted lists, walked side by side. What only the target has is its own business. */
#include "verify/objects.h"

#include <string.h>

#include "base/world.h"

#define SEQUENCES_US ((int64_t)25000000)

static int order(const struct store_object *a, const struct store_object *b)
{
    int n = strcmp(a->schema, b->schema);

    n = n != 0 ? n : strcmp(a->relation, b->relation);
    n = n != 0 ? n : strcmp(a->kind, b->kind);
    n = n != 0 ? n : strcmp(a->name, b->name);
    return n != 0 ? n : strcmp(a->what, b->what);
}

static void add(json_t *list, const struct store_object *o)
{
    json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "object", o->name[0] != '\0' ? json_sprintf("%s.%s: %s", o->schema, o->relation, o->name) : json_sprintf("%s.%s", o->schema, o->relation),
                                          "kind", o->kind, "why", json_sprintf("the target lacks it as it is on the source: %s", o->what)));
}

enum err objects_compare(struct store *s, struct store_cutter *cutter, json_t *differences, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    struct store_objects source;
    struct store_objects target;
    size_t t = 0;

    TRY(s->ops->cutter_objects(cutter, STORE_SOURCE, a, &source, f));
    TRY(s->ops->cutter_objects(cutter, STORE_TARGET, a, &target, f));
    for (size_t i = 0; i < source.count; i++) {
        const struct store_object *o = &source.list[i];
        if (!config_chooses(s->store, o->schema, o->relation))
            continue;
        while (t < target.count && order(&target.list[t], o) < 0)
            t++;
        if (t == target.count || order(&target.list[t], o) != 0)
            add(differences, o);
    }
    return ERR_OK;
}

enum err objects_left_out(struct store *s, struct store_cutter *cutter, json_t *list, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct store_objects out;

    TRY(s->ops->cutter_left_out(cutter, a, &out, f));
    for (size_t i = 0; i < out.count; i++) {
        const struct store_object *o = &out.list[i];
        if (o->schema[0] == '\0')
            json_array_append_new(list, json_pack("{s:s, s:s}", "object", o->relation, "why", o->what));
        else if (config_chooses(s->store, o->schema, o->relation))
            json_array_append_new(list, json_pack("{s:o, s:s}", "object", json_sprintf("%s.%s", o->schema, o->relation), "why", o->what));
    }
    return ERR_OK;
}

/* --- sequences --- */

static const struct store_sequence *find(const struct store_sequence *list, size_t count, const struct store_sequence *wanted)
{
    size_t low = 0;

    for (size_t high = count; low < high;) {
        size_t middle = (low + high) / 2;
        int n = strcmp(list[middle].schema, wanted->schema);
        n = n != 0 ? n : strcmp(list[middle].name, wanted->name);
        if (n == 0)
            return &list[middle];
        low = n < 0 ? middle + 1 : low;
        high = n < 0 ? high : middle;
    }
    return NULL;
}

static bool is_ahead(const struct store_sequence *target, const struct store_sequence *source)
{
    return target != NULL && (source->increment > 0 ? target->last >= source->last : target->last <= source->last);
}

/* Those of the source that the target is not ahead of; *ret_behind: how many. With `differences` they are put there. */
static enum err look(struct store *s, struct store_cutter *cutter, const struct store_sequence *source, size_t count, json_t *differences, size_t *ret_behind, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct store_sequence *target;
    size_t target_count;

    *ret_behind = 0;
    TRY(s->ops->cutter_sequences(cutter, STORE_TARGET, a, &target, &target_count, f));
    for (size_t i = 0; i < count; i++) {
        const struct store_sequence *other = find(target, target_count, &source[i]);
        if (!config_chooses(s->store, source[i].schema, source[i].name) || is_ahead(other, &source[i]))
            continue;
        (*ret_behind)++;
        if (differences != NULL)
            json_array_append_new(differences, json_pack("{s:o, s:s, s:o}", "object", json_sprintf("%s.%s", source[i].schema, source[i].name), "kind", "sequence", "why",
                                                         json_sprintf("it stood at %lld on the source, and the target's is not beyond that", (long long)source[i].last)));
    }
    return ERR_OK;
}

/* A sequence is behind when the engine has moved them all since the source's were read, and it still is: an engine that is too busy, or
 * about to end, says nothing of them. The first of two times may have begun before. */
enum err objects_compare_sequences(struct store *s, struct store_cutter *cutter, _Atomic bool *stop, _Atomic bool *want, json_t *differences, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    int64_t deadline = world_mono_us() + SEQUENCES_US;
    int moved = 0;
    struct store_sequence *source;
    size_t count;
    size_t behind;

    TRY(s->ops->cutter_sequences(cutter, STORE_SOURCE, a, &source, &count, f));
    atomic_store(want, true);
    for (;;) {
        moved += !atomic_exchange(want, true);
        TRY(look(s, cutter, source, count, NULL, &behind, f));
        if (behind == 0)
            return ERR_OK;
        if (atomic_load(stop) || atomic_load(s->stop))
            return fault_set(f, ERR_INTERRUPTED, "stopped");
        if (world_mono_us() >= deadline)
            break;
        world_sleep_us(50000);
    }
    return moved >= 2 ? look(s, cutter, source, count, differences, &behind, f) : fault_set(f, ERR_BUSY, "the sequences of the target could not be moved for %d s", (int)(SEQUENCES_US / 1000000));
}
