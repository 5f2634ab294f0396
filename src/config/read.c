/* config/read.c — the tree of leat.yaml to struct config: one walk over the schema and the nodes together.
 *
 * Invariants
 *  1. Every key of a group that stands in the file is visited once: as it is written, or absent (its default, its
 * absence if it is required). A group that does not stand there is visited, too, for its defaults; it requires nothing.
 *  2. Whatever is written ends in config->values, once, by its whole path; the bound members are set from the same
 * text.
 *  3. The first thing wrong ends the walk: there is one error, and it has a place.
 */
#include "config/internal.h"

#include <string.h>

struct reader {
    const struct config_source *source;
    struct config *config;
    size_t values_size;
};

/* Where in the file and in the config we are. */
struct spot {
    const char *path;           /* "stores.orders"; "" at the root */
    struct config_store *store; /* whose members the keys are bound to, if in a store */
};

_Static_assert(sizeof(enum ddl_policy) == sizeof(int), "a CHOICE is stored as an int");
_Static_assert(DDL_STOP == 0 && DDL_APPLY == 1, "the order of the choices in schema.def");

static enum err read_group(struct reader *r, const struct config_key *group, const struct node *node, struct spot spot,
                           struct fault *f);

#define FAIL(r, node, f, ...) config_fail((r)->source, (node)->line, (node)->column, (f), __VA_ARGS__)

static struct arena *arena_of(const struct reader *r)
{
    return r->source->arena;
}

static const char *path_below(const struct reader *r, struct spot spot, const char *name)
{
    return *spot.path != '\0' ? arena_format(arena_of(r), "%s.%s", spot.path, name) : arena_strdup(arena_of(r), name);
}

/* --- values into their places --- */

static void keep(struct reader *r, const char *path, const struct node *node, const char **items, size_t count)
{
    struct config *c = r->config;

    if (c->value_count == r->values_size) {
        size_t size = r->values_size > 0 ? r->values_size * 2 : 64;
        struct config_value *more = arena_alloc(arena_of(r), size * sizeof *more);

        if (c->value_count > 0)
            memcpy(more, c->values, c->value_count * sizeof *more);
        c->values = more;
        r->values_size = size;
    }
    c->values[c->value_count++] = (struct config_value){.path = path,
                                                        .items = items,
                                                        .count = count,
                                                        .line = node != NULL ? node->line : 0,
                                                        .column = node != NULL ? node->column : 0};
}

static char *member(const struct reader *r, const struct config_key *key, struct spot spot, size_t offset)
{
    ENSURE(key->owner != OWNER_STORE || spot.store != NULL);
    return (key->owner == OWNER_STORE ? (char *)spot.store : (char *)r->config) + offset;
}

static void set_bytes(char *to, size_t size, const void *from, size_t from_size)
{
    ENSURE(size == from_size);
    memcpy(to, from, size);
}

static void bind_one(const struct reader *r, const struct config_key *key, struct spot spot,
                     const struct config_parsed *value)
{
    int number = (int)value->number;

    if (key->owner == OWNER_NONE)
        return;
    switch (config_key_kind(key)->as) {
    case AS_TEXT:
        set_bytes(member(r, key, spot, key->offset), key->size, &value->text, sizeof value->text);
        break;
    case AS_INT:
        set_bytes(member(r, key, spot, key->offset), key->size, &number, sizeof number);
        break;
    case AS_INT64:
        set_bytes(member(r, key, spot, key->offset), key->size, &value->number, sizeof value->number);
        break;
    }
}

static void bind_list(const struct reader *r, const struct config_key *key, struct spot spot, const char **items,
                      size_t count)
{
    if (key->owner == OWNER_NONE)
        return;
    set_bytes(member(r, key, spot, key->offset), key->size, &items, sizeof items);
    set_bytes(member(r, key, spot, key->offset_count), sizeof count, &count, sizeof count);
}

/* --- single values and lists --- */

static enum err parse_item(const struct reader *r, const struct config_key *key, const struct node *node,
                           struct config_parsed *ret, struct fault *f)
{
    const char *wrong;

    if (node->kind != NODE_SCALAR)
        return FAIL(r, node, f, "\"%s\": expected one value, found a %s", config_key_name(key),
                    node->kind == NODE_LIST ? "list" : "group of keys");
    if (node->null)
        return FAIL(r, node, f, "\"%s\" has no value", config_key_name(key));
    wrong = config_key_kind(key)->parse(arena_of(r), key, node->text, ret);
    if (wrong != NULL)
        return FAIL(r, node, f, "\"%s\": %s", config_key_name(key), wrong);
    return ERR_OK;
}

static enum err read_one(struct reader *r, const struct config_key *key, const struct node *node, struct spot spot,
                         struct fault *f)
{
    struct config_parsed value = {0};
    const char **items = arena_alloc(arena_of(r), sizeof *items);

    TRY(parse_item(r, key, node, &value, f));
    items[0] = value.text;
    bind_one(r, key, spot, &value);
    keep(r, path_below(r, spot, config_key_name(key)), node, items, 1);
    return ERR_OK;
}

static enum err check_list(const struct reader *r, const struct config_key *key, const struct node *node,
                           struct fault *f)
{
    if (node->kind == NODE_SCALAR && node->null)
        return FAIL(r, node, f, "\"%s\" has no value", config_key_name(key));
    if (node->kind != NODE_LIST)
        return FAIL(r, node, f, "\"%s\": expected a %s: [one, two]", config_key_name(key), config_key_kind(key)->name);
    if (node->count == 0 && key->fallback == NULL)
        return FAIL(r, node, f, "\"%s\" is an empty list; name something, or leave the key out", config_key_name(key));
    return ERR_OK;
}

/* A list of one, written without brackets. */
static enum err read_lone(struct reader *r, const struct config_key *key, const struct node *node, struct spot spot,
                          struct fault *f)
{
    struct config_parsed value = {0};
    const char **items = arena_alloc(arena_of(r), sizeof *items);

    TRY(parse_item(r, key, node, &value, f));
    items[0] = value.text;
    bind_list(r, key, spot, items, 1);
    keep(r, path_below(r, spot, config_key_name(key)), node, items, 1);
    return ERR_OK;
}

static enum err read_list(struct reader *r, const struct config_key *key, const struct node *node, struct spot spot,
                          struct fault *f)
{
    struct config_parsed value = {.number = -1};
    const char **items;
    size_t count = 0;

    if (config_key_kind(key)->or_one && node->kind == NODE_SCALAR)
        return read_lone(r, key, node, spot, f);
    TRY(check_list(r, key, node, f));
    items = arena_alloc(arena_of(r), (node->count + 1) * sizeof *items);
    for (const struct node *item = node->first; item != NULL; item = item->next) {
        int64_t before = value.number;

        TRY(parse_item(r, key, item, &value, f));
        if (key->kind == KIND_PERCENTS && value.number <= before)
            return FAIL(r, item, f, "\"%s\": each share must be larger than the one before", config_key_name(key));
        items[count++] = value.text;
    }
    bind_list(r, key, spot, items, count);
    keep(r, path_below(r, spot, config_key_name(key)), node, items, count);
    return ERR_OK;
}

/* --- what is not there --- */

static void read_default(struct reader *r, const struct config_key *key, struct spot spot)
{
    struct config_parsed value = {0};
    bool list = config_key_kind(key)->shape == SHAPE_LIST;
    const char **items = arena_alloc(arena_of(r), sizeof *items);

    if (list) {
        ENSURE(strcmp(key->fallback, "[]") == 0);
        bind_list(r, key, spot, items, 0);
    } else {
        ENSURE(config_key_kind(key)->parse(arena_of(r), key, key->fallback, &value) == NULL);
        bind_one(r, key, spot, &value);
        items[0] = value.text;
    }
    keep(r, path_below(r, spot, config_key_name(key)), NULL, items, list ? 0 : 1);
}

static enum err read_absent(struct reader *r, const struct config_key *key, const struct node *group, struct spot spot,
                            struct fault *f)
{
    if (group != NULL && key->required && *spot.path == '\0')
        return config_fail(r->source, 1, 1, f, "the required key \"%s\" is missing", config_key_name(key));
    if (group != NULL && key->required)
        return FAIL(r, group->key, f, "\"%s\" lacks the required key \"%s\"", spot.path, config_key_name(key));
    if (config_key_kind(key)->shape == SHAPE_GROUP) {
        spot.path = path_below(r, spot, config_key_name(key));
        return read_group(r, key, NULL, spot, f);
    }
    if (key->fallback != NULL)
        read_default(r, key, spot);
    return ERR_OK;
}

/* --- groups --- */

/* "key:value" without the blank is one word to YAML. */
static const char *blank_hint(const struct node *node)
{
    return node->kind == NODE_SCALAR && strchr(node->text, ':') != NULL ? "; a blank belongs behind the colon of a key"
                                                                        : "";
}

static enum err check_map(const struct reader *r, const struct node *node, const char *name, const char *holds,
                          struct fault *f)
{
    if (node->kind == NODE_MAP || (node->kind == NODE_SCALAR && node->null))
        return ERR_OK;
    return FAIL(r, node, f, "\"%s\": expected %s, found %s%s", name, holds,
                node->kind == NODE_LIST ? "a list" : "a single value", blank_hint(node));
}

static enum err check_repeated(const struct reader *r, const struct node *map, const struct node *node,
                               const char *what, struct fault *f)
{
    for (const struct node *earlier = map->first; earlier != node; earlier = earlier->next)
        if (strcmp(earlier->key->text, node->key->text) == 0)
            return FAIL(r, node->key, f, "the %s \"%s\" is there twice, first on line %d", what, node->key->text,
                        earlier->key->line);
    return ERR_OK;
}

static enum err read_names(struct reader *r, const struct config_key *key, const struct node *node, struct spot spot,
                           struct fault *f)
{
    const struct config_key *group = config_key_find(key, "*");
    bool stores = strcmp(key->path, "stores") == 0;
    const char *what = stores ? "store" : "service";
    size_t at = 0;

    ENSURE(group != NULL);
    TRY(check_map(r, node, config_key_name(key), "names, each with its keys below it", f));
    if (node->count == 0 && key->required)
        return FAIL(r, node, f, "\"%s\" names none; there must be one at least", config_key_name(key));
    if (node->count > CONFIG_NAMES_MAX)
        return FAIL(r, node, f, "\"%s\" has more than %d names", config_key_name(key), CONFIG_NAMES_MAX);
    spot.path = path_below(r, spot, config_key_name(key));
    if (stores) {
        r->config->stores = arena_zalloc(arena_of(r), (node->count + 1) * sizeof *r->config->stores);
        r->config->store_count = node->count;
    }
    for (const struct node *one = node->first; one != NULL; one = one->next, at++) {
        const char *name = one->key->text;
        struct spot below = {.path = path_below(r, spot, name), .store = stores ? &r->config->stores[at] : NULL};

        if (!config_name_ok(name))
            return FAIL(r, one->key, f,
                        "\"%s\" cannot name a %s: a-z first, then a-z, 0-9, _ or -, at most 32 characters",
                        config_shown(arena_of(r), name), what);
        TRY(check_repeated(r, node, one, what, f));
        TRY(check_map(r, one, name, "keys", f));
        if (below.store != NULL)
            below.store->name = name;
        TRY(read_group(r, group, one, below, f));
    }
    return ERR_OK;
}

static enum err read_value(struct reader *r, const struct config_key *key, const struct node *node, struct spot spot,
                           struct fault *f)
{
    switch (config_key_kind(key)->shape) {
    case SHAPE_ONE:
        return read_one(r, key, node, spot, f);
    case SHAPE_LIST:
        return read_list(r, key, node, spot, f);
    case SHAPE_NAMED:
        return read_names(r, key, node, spot, f);
    case SHAPE_GROUP:
        TRY(check_map(r, node, config_key_name(key), "keys", f));
        spot.path = path_below(r, spot, config_key_name(key));
        return read_group(r, key, node, spot, f);
    }
    ENSURE(!"a shape");
    return ERR_BUG;
}

static enum err read_unknown(const struct reader *r, const struct config_key *group, const struct node *node,
                             struct spot spot, struct fault *f)
{
    const char *shown = config_shown(arena_of(r), node->key->text);
    const char *hint = config_key_hint(arena_of(r), group, node->key->text);

    if (*spot.path == '\0')
        return FAIL(r, node->key, f, "unknown key \"%s\"; %s", shown, hint);
    return FAIL(r, node->key, f, "unknown key \"%s\" in %s; %s", shown, spot.path, hint);
}

/* group: NULL at the root. node: NULL if the group is not in the file. */
static enum err read_group(struct reader *r, const struct config_key *group, const struct node *node, struct spot spot,
                           struct fault *f)
{
    bool *seen = arena_zalloc(arena_of(r), config_key_count * sizeof *seen);

    for (const struct node *one = node != NULL ? node->first : NULL; one != NULL; one = one->next) {
        const struct config_key *key = config_key_find(group, one->key->text);

        if (key == NULL)
            return read_unknown(r, group, one, spot, f);
        if (seen[key - config_keys])
            return check_repeated(r, node, one, "key", f);
        seen[key - config_keys] = true;
        TRY(read_value(r, key, one, spot, f));
    }
    for (size_t i = 0; i < config_key_count; i++)
        if (!seen[i] && config_key_below(group, &config_keys[i]))
            TRY(read_absent(r, &config_keys[i], node, spot, f));
    return ERR_OK;
}

/* --- what only several keys together show --- */

static enum err check_target(const struct reader *r, const struct config_store *s, const char *dsn, const char *whose,
                             struct fault *f)
{
    const char *path = arena_format(arena_of(r), "stores.%s.target", s->name);
    const struct config_value *at = config_value(r->config, path);

    ENSURE(at != NULL && at->line > 0);
    if (config_dsn_same(s->target, dsn))
        return config_fail(r->source, at->line, at->column, f, "the target of \"%s\" is the same database as %s",
                           s->name, whose);
    return ERR_OK;
}

/* A door's way to one side: as a role that is named, to that side's database and no other. `other`: the other side's.
 */
static enum err check_door(const struct reader *r, const struct config_store *s, const char *side, const char *door,
                           const char *leats, const char *other, struct fault *f)
{
    const char *path = arena_format(arena_of(r), "stores.%s.door_%s", s->name, side);
    const struct config_value *at = config_value(r->config, path);

    if (at == NULL)
        return ERR_OK;
    if (!config_dsn_names_user(door))
        return config_fail(r->source, at->line, at->column, f,
                           "door_%s of \"%s\" names no user: the doors' role is granted what it needs by its name",
                           side, s->name);
    if (config_dsn_other_database(door, leats))
        return config_fail(
            r->source, at->line, at->column, f,
            "door_%s of \"%s\" names another database than its %s: only address, role and TLS may differ", side,
            s->name, side);
    if (config_dsn_same(door, other))
        return config_fail(r->source, at->line, at->column, f, "door_%s of \"%s\" leads to the other side", side,
                           s->name);
    return ERR_OK;
}

static enum err take_doors(const struct reader *r, struct config_store *s, struct fault *f)
{
    s->door_source = s->door_source != NULL ? s->door_source : s->source;
    s->door_target = s->door_target != NULL ? s->door_target : s->target;
    TRY(check_door(r, s, "source", s->door_source, s->source, s->target, f));
    TRY(check_door(r, s, "target", s->door_target, s->target, s->source, f));
    return check_door(r, s, "target", s->door_target, s->target, s->door_source, f);
}

static enum err check_together(const struct reader *r, struct fault *f)
{
    const struct config *c = r->config;

    for (size_t i = 0; i < c->store_count; i++) {
        TRY(check_target(r, &c->stores[i], c->stores[i].source, "its source", f));
        TRY(take_doors(r, &c->stores[i], f));
        for (size_t j = 0; j < c->store_count; j++) {
            const char *name = c->stores[j].name;

            if (i != j)
                TRY(check_target(r, &c->stores[i], c->stores[j].source,
                                 arena_format(arena_of(r), "the source of \"%s\"", name), f));
            if (i > j)
                TRY(check_target(r, &c->stores[i], c->stores[j].target,
                                 arena_format(arena_of(r), "the target of \"%s\"", name), f));
        }
    }
    return ERR_OK;
}

enum err config_read(const struct config_source *s, const struct node *root, struct config **ret, struct fault *f)
{
    struct reader r = {.source = s, .config = arena_zalloc(s->arena, sizeof *r.config)};

    if (root->kind != NODE_MAP)
        return FAIL(&r, root, f, "expected keys such as \"migration: name\", found %s%s",
                    root->kind == NODE_LIST ? "a list" : "a single value", blank_hint(root));
    r.config->path = arena_strdup(s->arena, s->path);
    r.config->arena = s->arena;
    TRY(read_group(&r, NULL, root, (struct spot){.path = ""}, f));
    TRY(check_together(&r, f));
    *ret = r.config;
    return ERR_OK;
}
