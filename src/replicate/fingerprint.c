/* replicate/fingerprint.c — see fingerprint.h.
 *
 * It stops nothing: a change of columns stops where the first row of the new shape comes (bind.c); what it finds beyond that cannot
 * lose a row of a table that is followed. A table that is new is not followed until the target has it, and is then copied whole.
 *
 * Nothing is remembered between engines: every look compares what both sides are now. */
#include "replicate/fingerprint.h"

#include <stdlib.h>

#include "replicate/touched.h"

#define MOST_SHOWN 8

struct fingerprint {
    struct store *store;
    struct registry *registry;
    struct ddl *ddl;
    char sums[512];   /* at the last look at both catalogs */
    bool found;       /* something, then: look again until it is gone */
    bool looked;
};

struct findings {
    struct buf text;
    size_t count;
    bool take_up; /* the next engine would follow what this one does not */
    bool reshaped; /* the next engine would know columns and names that both sides have by now, and compare what they hold */
};

struct fingerprint *fingerprint_new(struct store *s, struct registry *r, struct ddl *d)
{
    struct fingerprint *fp = mem_alloc(sizeof *fp);

    fp->store = s;
    fp->registry = r;
    fp->ddl = d;
    return fp;
}

void fingerprint_free(struct fingerprint *fp)
{
    free(fp);
}

__attribute__((format(printf, 2, 3))) static void find(struct findings *found, const char *fmt, ...)
{
    va_list args;

    if (found->count++ >= MOST_SHOWN)
        return;
    if (found->text.len > 0)
        buf_adds(&found->text, "; ");
    va_start(args, fmt);
    buf_vaddf(&found->text, fmt, args);
    va_end(args);
}

/* --- tables --- */

static const struct column *column_of(const struct table *t, const char *name)
{
    for (uint16_t i = 0; i < t->column_count; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    return NULL;
}

static void compare_columns(const struct table *source, const struct table *target, struct findings *found)
{
    for (uint16_t i = 0; i < source->column_count; i++) {
        const struct column *c = &source->columns[i];
        const struct column *there = column_of(target, c->name);
        if (there == NULL)
            find(found, "column %s %s of %s.%s is new on the source: ALTER TABLE %s ADD COLUMN on the target", c->name, c->type, source->schema, source->name, target->qualified);
        else if (strcmp(there->type, c->type) != 0)
            find(found, "column %s of %s.%s is %s on the source and %s on the target", c->name, source->schema, source->name, c->type, there->type);
        else if (there->not_null && !c->not_null)
            find(found, "column %s of %s.%s may be NULL on the source only", c->name, source->schema, source->name);
    }
    for (uint16_t i = 0; i < target->column_count; i++)
        if (column_of(source, target->columns[i].name) == NULL)
            find(found, "column %s of %s.%s is no longer on the source", target->columns[i].name, source->schema, source->name);
}

/* Two have exchanged their names there: each finds one of its own, which is followed as the other's. */
static bool has_changed_places(const struct table *source, const struct table *there, const struct table *followed)
{
    return followed->oid != there->oid &&
           (strcmp(followed->schema, source->schema) != 0 || strcmp(followed->name, source->name) != 0);
}

/* Where both sides agree, and this engine began with something else: other columns, or another name. */
static bool is_reshaped(const struct table *source, const struct table *target, const struct rtable *known,
                        struct findings *found)
{
    size_t before = found->count;
    AUTO_CHARS *now = touched_shape(source);
    AUTO_CHARS *then = known != NULL ? touched_shape(known->source) : mem_dup(now);

    compare_columns(source, target, found);
    return found->count == before &&
           (strcmp(now, then) != 0 || (known != NULL && strcmp(known->target->qualified, target->qualified) != 0));
}

static void compare_sources(struct fingerprint *fp, const struct catalog *source, const struct catalog *target, struct findings *found)
{
    for (size_t i = 0; i < source->table_count; i++) {
        const struct table *t = &source->tables[i];
        const struct table *there = catalog_find(target, t->schema, t->name);
        const struct rtable *known = registry_find(fp->registry, t->oid);
        if (there != NULL && known != NULL && has_changed_places(t, there, known->target)) {
            find(found, "%s.%s is called %s.%s on the source by now, as another table of the target is: rename both there, while leat is stopped", known->target->schema, known->target->name, t->schema, t->name);
        } else if (there != NULL) {
            found->take_up = found->take_up || known == NULL;
            found->reshaped = found->reshaped || is_reshaped(t, there, known, found);
        } else if (known != NULL) {
            find(found, "%s.%s is called %s.%s on the source by now: rename it on the target", known->target->schema, known->target->name, t->schema, t->name);
        } else {
            find(found, "table %s.%s is new on the source: create it on the target as it is there, and it is followed by itself", t->schema, t->name);
        }
        if (known != NULL && t->identity != IDENTITY_FULL && t->identity_index == NULL)
            find(found, "%s.%s has no key any more: its UPDATEs fail on the source; ALTER TABLE %s REPLICA IDENTITY FULL there", t->schema, t->name, t->qualified);
    }
}

static void compare_dropped(struct fingerprint *fp, const struct catalog *source, const struct catalog *target, struct findings *found)
{
    for (size_t i = 0; i < fp->registry->count; i++) {
        const struct table *t = fp->registry->tables[i].target;
        if (catalog_find_oid(source, fp->registry->tables[i].source->oid) == NULL && catalog_find(source, t->schema, t->name) == NULL && catalog_find(target, t->schema, t->name) != NULL)
            find(found, "table %s.%s is no longer on the source: DROP TABLE %s on the target", t->schema, t->name, t->qualified);
    }
}

/* --- a look --- */

static enum err compare(struct fingerprint *fp, struct store_watcher *w, struct findings *found, struct fault *f)
{
    AUTO(catalog) *source = NULL;
    AUTO(catalog) *target = NULL;
    AUTO(arena) *a = arena_new(4096);
    const char *indexes;

    TRY(fp->store->ops->load(fp->store, &source, &target, f));
    compare_sources(fp, source, target, found);
    compare_dropped(fp, source, target, found);
    TRY(fp->store->ops->watcher_indexes(w, a, &indexes, f));
    if (indexes[0] != '\0')
        find(found, "indexes of the source that the target lacks: %s", indexes);
    return ERR_OK;
}

static enum err look(struct fingerprint *fp, struct store_watcher *w, struct fault *f)
{
    struct findings found = {0};
    bool first = !fp->looked;
    enum err err = compare(fp, w, &found, f);

    if (found.count > MOST_SHOWN)
        buf_addf(&found.text, "; and %zu more", found.count - MOST_SHOWN);
    if (err == ERR_OK)
        err = ddl_found(fp->ddl, buf_cstr(&found.text), f);
    fp->found = found.count > 0;
    fp->looked = true;
    buf_fini(&found.text);
    if (err == ERR_OK && found.take_up && !first) /* what was so when this engine began, another one would not take up either */
        return fault_set(f, ERR_ANEW, "to take up a table that the target has by now");
    if (err == ERR_OK && found.reshaped)
        return fault_set(f, ERR_ANEW, "to take up what both sides made of their tables");
    return err;
}

enum err fingerprint_look(struct fingerprint *fp, struct store_watcher *w, struct fault *f)
{
    char sums[sizeof fp->sums];

    TRY(fp->store->ops->watcher_schema(w, sums, sizeof sums, f));
    if (sums[0] == '\0' || (fp->looked && !fp->found && strcmp(sums, fp->sums) == 0))
        return ERR_OK;
    memcpy(fp->sums, sums, sizeof sums);
    return look(fp, w, f);
}
