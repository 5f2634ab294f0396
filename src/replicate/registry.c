/* replicate/registry.c — see registry.h. */
#include "replicate/registry.h"

#include <stdlib.h>
#include <time.h>

#include "base/world.h"

const char *table_state_name(enum table_state state)
{
    static const char *const names[] = {"planned", "open", "copied", "indexed", "joined"};

    ENSURE((size_t)state < sizeof names / sizeof *names);
    return names[state];
}

static void index_tables(struct registry *r)
{
    r->slot_count = 64;
    while (r->slot_count < 2 * r->count)
        r->slot_count *= 2;
    r->slots = arena_zalloc(r->arena, r->slot_count * sizeof *r->slots);
    for (size_t i = 0; i < r->count; i++) {
        size_t at = r->tables[i].source->oid * 2654435761u & (r->slot_count - 1);
        while (r->slots[at] != 0)
            at = (at + 1) & (r->slot_count - 1);
        r->slots[at] = i + 1;
    }
}

struct rtable *registry_named(const struct registry *r, const char *full)
{
    for (size_t i = 0; i < r->count; i++)
        if (table_is_called(r->tables[i].source, full))
            return &r->tables[i];
    return NULL;
}

struct rtable *registry_find(const struct registry *r, uint32_t oid)
{
    size_t at = oid * 2654435761u & (r->slot_count - 1);

    for (; r->slots[at] != 0; at = (at + 1) & (r->slot_count - 1))
        if (r->tables[r->slots[at] - 1].source->oid == oid)
            return &r->tables[r->slots[at] - 1];
    return NULL;
}

/* "schema.name" of a record against a table of the target. */
static const struct table *find_recorded(const struct catalog *target, const char *recorded)
{
    for (size_t i = 0; recorded != NULL && i < target->table_count; i++) {
        const struct table *t = &target->tables[i];
        size_t n = strlen(t->schema);
        if (strncmp(recorded, t->schema, n) == 0 && recorded[n] == '.' && strcmp(recorded + n + 1, t->name) == 0)
            return t;
    }
    return NULL;
}

static const struct copy_record *find_record(const struct copy_records *records, uint32_t oid)
{
    for (size_t i = 0; i < records->count; i++)
        if (records->list[i].table_oid == oid)
            return &records->list[i];
    return NULL;
}

static void add_table(struct registry *r, const struct table *source, const struct table *target)
{
    struct rtable *t = &r->tables[r->count++];

    t->source = source;
    t->target = target;
    t->attempt = 1;
}

static bool has_target(const struct registry *r, const struct table *target)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->tables[i].target == target)
            return true;
    return false;
}

/* Dropped on the source since: its rows stay followed up to the drop, if it had joined and no other table took its name. */
static void add_dropped(struct registry *r, const struct catalog *target, const struct copy_record *record)
{
    const struct table *there = find_recorded(target, record->table_name);
    struct table *source;

    if (record->joined.v == 0 || there == NULL || has_target(r, there)) {
        r->gone[r->gone_count++] = record->table_oid;
        return;
    }
    source = arena_copy(r->arena, there, sizeof *there);
    source->oid = record->table_oid;
    add_table(r, source, there);
}

enum err registry_new(const struct catalog *source, const struct catalog *target, const struct copy_records *records, struct registry **ret, struct fault *f)
{
    AUTO(registry) *r = mem_alloc(sizeof *r);
    pthread_condattr_t attr;

    (void)f;
    r->arena = arena_new(65536);
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    r->tables = arena_zalloc(r->arena, (source->table_count + records->count + 1) * sizeof *r->tables);
    r->gone = arena_zalloc(r->arena, (records->count + 1) * sizeof *r->gone);
    for (size_t i = 0; i < source->table_count; i++) {
        const struct table *t = &source->tables[i];
        const struct table *there = catalog_find(target, t->schema, t->name);
        const struct copy_record *record = there == NULL ? find_record(records, t->oid) : NULL;
        if (there == NULL && record != NULL)
            there = find_recorded(target, record->table_name);
        if (there == NULL)
            continue;
        add_table(r, t, there);
        r->tables[r->count - 1].late = records->count > 0 && find_record(records, t->oid) == NULL;
    }
    for (size_t i = 0; i < records->count; i++)
        if (catalog_find_oid(source, records->list[i].table_oid) == NULL)
            add_dropped(r, target, &records->list[i]);
    index_tables(r);
    *ret = TAKE(r);
    return ERR_OK;
}

bool registry_gone(const struct registry *r, uint32_t oid)
{
    for (size_t i = 0; i < r->gone_count; i++)
        if (r->gone[i] == oid)
            return true;
    return false;
}

void registry_free(struct registry *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->count; i++)
        snapshot_fini(&r->tables[i].snapshot);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    arena_free(r->arena);
    free(r);
}

enum err rtable_set_record(struct registry *r, struct rtable *t, const struct copy_record *record, struct fault *f)
{
    struct snapshot snapshot;

    TRY(snapshot_parse(record->snapshot, &snapshot, f));
    snapshot_fini(&t->snapshot);
    t->snapshot = snapshot;
    t->has_snapshot = true;
    t->record = *record;
    t->record.snapshot = arena_strdup(r->arena, record->snapshot);
    t->record.snapshot_name = arena_strdup(r->arena, record->snapshot_name);
    t->record.ranges_done = arena_zalloc(r->arena, (size_t)record->ranges + 1);
    if (record->ranges_done != NULL)
        memcpy(t->record.ranges_done, record->ranges_done, (size_t)record->ranges);
    t->attempt = record->attempt;
    return ERR_OK;
}

void rtable_move(struct registry *r, struct rtable *t, enum table_state state)
{
    atomic_store_explicit(&t->state, (int)state, memory_order_release);
    if (state == TABLE_JOINED)
        atomic_fetch_add(&r->joined_count, 1);
    pthread_cond_broadcast(&r->changed);
}

void rtable_reset(struct registry *r, struct rtable *t, int64_t pause_us)
{
    ENSURE(rtable_state(t) == TABLE_OPEN || rtable_state(t) == TABLE_PLANNED);
    t->attempt++;
    t->has_snapshot = false;
    t->not_before_us = world_mono_us() + pause_us;
    atomic_store(&t->bytes, 0);
    atomic_store(&t->rows, 0);
    atomic_store(&t->give_up, false);
    rtable_move(r, t, TABLE_PLANNED);
}

/* The state a record stands for. OPEN only says so: whether its snapshot still lives is the copy's to find out. */
static void restore_one(struct registry *r, struct rtable *t)
{
    const struct copy_record *c = &t->record;

    t->pass = c->pass;
    t->joined = c->joined;
    atomic_store(&t->rows, (uint64_t)c->rows);
    if (c->copied)
        atomic_store(&t->bytes, (uint64_t)t->source->bytes);
    if (c->pass > r->last_pass)
        r->last_pass = c->pass;
    if (c->joined.v != 0)
        rtable_move(r, t, TABLE_JOINED);
    else if (c->indexed)
        rtable_move(r, t, TABLE_INDEXED);
    else if (c->copied)
        rtable_move(r, t, TABLE_COPIED);
    else
        rtable_move(r, t, TABLE_OPEN);
}

enum err registry_restore(struct registry *r, const struct copy_records *records, struct fault *f)
{
    for (size_t i = 0; i < records->count; i++) {
        struct rtable *t = registry_find(r, records->list[i].table_oid);
        if (t == NULL)
            continue; /* dropped on the source since */
        t->built = records->list[i].built;
        if (records->list[i].snapshot[0] == '\0') { /* to be copied: PLANNED, as the attempt it says */
            t->attempt = records->list[i].attempt;
            continue;
        }
        TRY(rtable_set_record(r, t, &records->list[i], f));
        restore_one(r, t);
    }
    if (records->last_pass > r->last_pass)
        r->last_pass = records->last_pass;
    return ERR_OK;
}

static struct rtable *item_table(const struct registry *r, const struct build_item *item)
{
    struct rtable *t = item->table_oid != 0 ? registry_find(r, item->table_oid) : NULL;

    return t != NULL && !(t->built && rtable_state(t) < TABLE_INDEXED) ? t : NULL; /* copied again: they stand */
}

static void add_items(struct registry *r, const struct build_post *post, enum build_phase phase)
{
    for (size_t i = 0; i < post->count; i++) {
        struct rtable *t = post->items[i].phase == phase ? item_table(r, &post->items[i]) : NULL;
        if (t != NULL)
            t->items[t->item_count++] = &post->items[i];
    }
}

void registry_items(struct registry *r, const struct build_post *post)
{
    for (size_t i = 0; i < post->count; i++) {
        struct rtable *t = item_table(r, &post->items[i]);
        if (t != NULL)
            t->key_count++;
    }
    for (size_t i = 0; i < r->count; i++) {
        struct rtable *t = &r->tables[i];
        t->items = arena_alloc(r->arena, (t->key_count + 1) * sizeof *t->items);
    }
    add_items(r, post, BUILD_KEY);
    for (size_t i = 0; i < r->count; i++)
        r->tables[i].key_count = r->tables[i].item_count;
    add_items(r, post, BUILD_INDEX);
}

bool registry_all(const struct registry *r, enum table_state at_least)
{
    return registry_count(r, at_least) == r->count;
}

size_t registry_count(const struct registry *r, enum table_state at_least)
{
    size_t n = 0;

    for (size_t i = 0; i < r->count; i++)
        n += rtable_state(&r->tables[i]) >= at_least;
    return n;
}
