/* shift/door_types.c — the map of both sides' types, made anew before sessions are warmed. One that is replaced lives
 * as long as a worker, or a session that is renumbered by it, looks into it. */
#include "shift/door_internal.h"

#include "sql_embedded.h"

static enum err add_side(struct door *door, struct type_map *map, enum side side, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;

    TRY(pg_connect(door->sides[side].dsn, side, "door types", &pg, f));
    TRY(pg_exec(pg, SQL_DOOR_TYPES, &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        if (!type_map_add(map, side == SIDE_SOURCE ? TYPE_SOURCE : TYPE_TARGET, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3)))
            return fault_set(f, ERR_PROTOCOL, "the %s describes a type in a way not understood: %s", side_name(side), PQgetvalue(r, i, 1));
    return door_customs_load(door, pg, f);
}

/* Under types_lock. Types are nearly always what they were: then the map there is stays. */
static void take(struct door *door, struct type_map **map)
{
    if (door->types != NULL && type_map_equal(door->types, *map))
        return;
    type_map_free(door->types); /* it lives as long as somebody looks into it */
    door->types = TAKE(*map);
}

enum err door_types_load(struct door *door, struct fault *f)
{
    AUTO(type_map) *map = type_map_new();

    TRY(add_side(door, map, SIDE_SOURCE, f));
    TRY(add_side(door, map, SIDE_TARGET, f));
    type_map_seal(map);
    pthread_mutex_lock(&door->types_lock);
    take(door, &map);
    pthread_mutex_unlock(&door->types_lock);
    return ERR_OK;
}

void door_types_free(struct door *door)
{
    type_map_free(door->types);
}

void door_types_look(struct worker *w)
{
    const struct type_map *before = w->types;

    pthread_mutex_lock(&w->door->types_lock);
    w->types = type_map_hold(w->door->types);
    pthread_mutex_unlock(&w->door->types_lock);
    type_map_drop(before);
}

struct type_way door_types_way_between(const struct worker *w, enum side from, enum side to)
{
    return (struct type_way){.map = from == to ? NULL : w->types,
                             .from = from == SIDE_SOURCE ? TYPE_SOURCE : TYPE_TARGET};
}

struct type_way door_types_way(const struct worker *w, enum side from)
{
    return door_types_way_between(w, from, from == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE);
}
