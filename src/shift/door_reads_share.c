/* shift/door_reads_share.c — who is of the share whose reads go to the target, and how large it is.
 *
 * `leat shift` writes it to STATE/STORE.reads, with the epoch it was said at; every door looks there twice a second. After a switch, and after the
 * way back, another epoch serves, and reads stay where the session is until it is said anew. Before anything was said: the first of reads.share.
 *
 * Somebody is of a share by a hash of role, application and host: the same at every door, again when it comes again, and in every larger share. */
#include "shift/door_reads.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <xxhash.h>

static bool is_named(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static uint64_t hash_of(const struct session *s)
{
    const struct sockaddr_in *v4 = (const void *)&s->peer;
    const struct sockaddr_in6 *v6 = (const void *)&s->peer;
    AUTO_BUF key = {0};

    buf_add(&key, s->worker->door->config->migration, strlen(s->worker->door->config->migration) + 1);
    buf_add(&key, s->user, strlen(s->user) + 1);
    buf_add(&key, s->application != NULL ? s->application : "", s->application != NULL ? strlen(s->application) + 1 : 1);
    if (s->peer.ss_family == AF_INET)
        buf_add(&key, &v4->sin_addr, sizeof v4->sin_addr);
    else if (s->peer.ss_family == AF_INET6)
        buf_add(&key, &v6->sin6_addr, sizeof v6->sin6_addr);
    return XXH3_64bits(key.data, key.len);
}

bool reads_in_share(const struct session *s)
{
    const struct config_store *store = s->worker->door->store;
    int64_t share = atomic_load(&s->worker->door->reads_share);

    if (share <= 0)
        return false;
    if (is_named(store->reads_users, store->reads_user_count, s->user) || (s->application != NULL && is_named(store->reads_applications, store->reads_application_count, s->application)))
        return true;
    return (int64_t)(hash_of(s) % (uint64_t)READS_ALL) < share;
}

/* --- how large --- */

static int64_t of_config(const struct door *door)
{
    int64_t share = 0;

    if (door->store->reads_share_count > 0)
        (void)config_parse_percent(door->store->reads_share[0], &share);
    return share;
}

/* What was said, if it was said at the epoch that serves now. */
static int64_t wanted(const struct door *door)
{
    AUTO_CHARS *path = mem_format("%s/%s.reads", door->state_dir, door->store->name);
    json_t *o = json_load_file(path, 0, NULL);
    int64_t epoch = atomic_load(&door->epoch);
    int64_t share = epoch == 0 ? of_config(door) : 0;

    if (o != NULL)
        share = json_integer_value(json_object_get(o, "epoch")) == epoch ? json_integer_value(json_object_get(o, "share")) : 0;
    json_decref(o);
    return atomic_load(&door->side) == SIDE_SOURCE ? share : 0;
}

void reads_look_at_share(struct door *door)
{
    int64_t share = wanted(door);

    if (share == atomic_load(&door->reads_share))
        return;
    atomic_store(&door->reads_share, share);
    fresh_set(door->fresh, share > 0);
    for (int i = 0; i < door->worker_count; i++) {
        struct order *order = mem_alloc(sizeof *order);

        order->kind = ORDER_READS;
        worker_order(&door->workers[i], order);
    }
}

json_t *reads_status(struct door *door)
{
    char trouble[160] = "";

    if (door->fresh != NULL && atomic_load(&door->reads_share) > 0)
        fresh_trouble(door->fresh, trouble);
    text_tidy(trouble);
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "share", (double)atomic_load(&door->reads_share) / (double)(READS_ALL / 100), "millionths", (json_int_t)atomic_load(&door->reads_share), "sessions", (json_int_t)DOOR_SUM(door, reads_sessions), "target",
                     (json_int_t)DOOR_SUM(door, reads_target), "waited", (json_int_t)DOOR_SUM(door, reads_waited), "late", (json_int_t)DOOR_SUM(door, reads_late), "replayed",
                     (json_int_t)DOOR_SUM(door, reads_replayed), "trouble", trouble);
}
