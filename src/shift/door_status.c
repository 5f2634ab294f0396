/* shift/door_status.c — what the door says of itself: to whoever asks, and in STATE/run/STORE.door.N.json. */
#include "shift/door_control.h"
#include "shift/door_reads.h"

#include <string.h>
#include <unistd.h>

#include "base/world.h"

static const char *phase_word(enum control_phase phase)
{
    static const char *const words[] = {"serving", "holding", "held", "rebuilt", "settling", "releasing", "following"};

    return words[phase];
}

json_t *control_status(struct control *c, bool named)
{
    struct door *door = c->door;
    int64_t live = DOOR_SUM(door, live);
    int64_t held = DOOR_SUM(door, held);
    json_t *o = json_pack("{s:b, s:i, s:s, s:{s:I, s:s}, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "pid", (int)getpid(), "phase", phase_word(c->phase), "view", "epoch",
                          (json_int_t)atomic_load(&door->epoch), "side", side_name((enum side)atomic_load(&door->side)), "clients", (json_int_t)atomic_load(&door->clients), "active",
                          (json_int_t)live, "held", (json_int_t)held, "warm", (json_int_t)DOOR_SUM(door, warm), "moved", (json_int_t)DOOR_SUM(door, moved), "bytes_in",
                          (json_int_t)DOOR_SUM(door, bytes_in), "bytes_out", (json_int_t)DOOR_SUM(door, bytes_out));

    ENSURE(o != NULL);
    json_object_set_new(o, "idle", json_integer(atomic_load(&door->clients) - live));
    json_object_set_new(o, "reads", reads_status(door));
    json_object_set_new(o, "draining", json_boolean(atomic_load(&door->draining)));
    if (c->phase == PHASE_SETTLING) {
        text_tidy(c->trouble);
        json_object_set_new(o, "settling", json_pack("{s:s, s:s}", "why", c->settling_why, "trouble", c->trouble));
    }
    if (named)
        json_object_set_new(o, "unmovable", control_list(door, LIST_UNMOVABLE));
    return o;
}

void control_write_status(struct control *c)
{
    const char *name = c->door->name_now[0] != '\0' ? c->door->name_now : c->door->name;
    AUTO_CHARS *path = mem_format("%s/run/%s.json", c->door->state_dir, name);
    AUTO_CHARS *fresh = mem_format("%s.new", path);
    json_t *o = control_status(c, c->phase == PHASE_NONE); /* workers have other things to do while clients wait */

    json_object_set_new(o, "at_us", json_integer(world_wall_us()));
    json_object_set_new(o, "store", json_string(c->door->store->name));
    json_object_set_new(o, "address", json_string(c->door->store->door[c->door->nth]));
    if (json_dump_file(o, fresh, JSON_COMPACT) == 0)
        (void)rename(fresh, path);
    json_decref(o);
}

/* --- how long clients waited, and for whom --- */

static double ms_of(const json_t *one)
{
    return json_number_value(json_object_get(one, "ms"));
}

json_t *control_last(struct door *door, enum door_last which)
{
    json_t *last = NULL;

    for (int i = 0; i < door->worker_count; i++) {
        struct worker *w = &door->workers[i];
        json_t *one;

        pthread_mutex_lock(&w->pause_lock);
        one = TAKE(w->last[which]);
        pthread_mutex_unlock(&w->pause_lock);
        if (last == NULL || ms_of(one) > ms_of(last)) {
            json_decref(last);
            last = one;
        } else {
            json_decref(one);
        }
    }
    return last != NULL ? last : json_null();
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double at_rank(const uint32_t *sorted, size_t n, double rank)
{
    size_t at = (size_t)(rank * (double)n);

    return n == 0 ? 0.0 : (double)sorted[at < n ? at : n - 1] / 1000;
}

json_t *control_pauses(struct door *door)
{
    AUTO_BUF all = {0};
    const uint32_t *sorted;
    size_t n;

    for (int i = 0; i < door->worker_count; i++) {
        struct worker *w = &door->workers[i];

        pthread_mutex_lock(&w->pause_lock);
        if (w->pause_count > 0)
            buf_add(&all, w->pauses_us, w->pause_count * sizeof *w->pauses_us);
        w->pause_count = 0;
        pthread_mutex_unlock(&w->pause_lock);
    }
    n = all.len / sizeof(uint32_t);
    if (n > 0)
        qsort(all.data, n, sizeof(uint32_t), by_size);
    sorted = (const void *)all.data;
    return json_pack("{s:f, s:f, s:f}", "p50", at_rank(sorted, n, 0.5), "p99", at_rank(sorted, n, 0.99), "max", n > 0 ? (double)sorted[n - 1] / 1000 : 0.0);
}
