/* shift/door_types.c — the map of both sides' types, made anew before sessions are warmed. A map that a session may have seen is kept
 * until the door ends. */
#include "shift/door_internal.h"

#include "sql_embedded.h"

static enum err add_side(struct type_map *map, enum side side, const char *dsn, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;

    TRY(pg_connect(dsn, side, "door types", &pg, f));
    TRY(pg_exec(pg, SQL_DOOR_TYPES, &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        if (!type_map_add(map, side == SIDE_SOURCE ? TYPE_SOURCE : TYPE_TARGET, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3)))
            return fault_set(f, ERR_PROTOCOL, "the %s describes a type in a way not understood: %s", side_name(side), PQgetvalue(r, i, 1));
    return ERR_OK;
}

enum err door_types_load(struct door *door, struct fault *f)
{
    AUTO(type_map) *map = type_map_new();

    TRY(add_side(map, SIDE_SOURCE, door->sides[SIDE_SOURCE].dsn, f));
    TRY(add_side(map, SIDE_TARGET, door->sides[SIDE_TARGET].dsn, f));
    type_map_seal(map);
    pthread_mutex_lock(&door->types_lock);
    if (door->map_count < DOOR_MOST_MAPS) {
        door->maps[door->map_count++] = map;
        atomic_store(&door->types, TAKE(map));
    }
    pthread_mutex_unlock(&door->types_lock);
    return ERR_OK;
}

void door_types_free(struct door *door)
{
    for (int i = 0; i < door->map_count; i++)
        type_map_free(door->maps[i]);
}

struct type_way door_types_way_between(struct door *door, enum side from, enum side to)
{
    const struct type_map *map = from == to ? NULL : atomic_load(&door->types);

    return (struct type_way){.map = map, .from = from == SIDE_SOURCE ? TYPE_SOURCE : TYPE_TARGET};
}

struct type_way door_types_way(struct door *door, enum side from)
{
    return door_types_way_between(door, from, from == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE);
}
