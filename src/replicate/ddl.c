/* replicate/ddl.c — see ddl.h.
 *
 *   stream --transaction with notes of schema changes--> held against the target
 *              fits: the change was carried out there (or concerns nothing that is followed): go on
 *              does not: `ddl: stop` stops exactly before the transaction, with the statement;
 *                        `ddl: apply` carries the transaction out whole (ddl_apply.c), or stops there with the reason
 *
 * The target's catalog is the only record of whether a change was carried out: there is nothing to acknowledge and nothing that can be
 * acknowledged wrongly. A target may be ahead: what the source has become since counts as fitting. What does not touch the rows' way
 * (indexes, views, functions, grants, comments) never stops; it is noted in the journal, once, and under `apply` run where that can be.
 *
 * Facts of the store: ddl.pending (what a person is waited for; for show), ddl.noted (the last change noted), ddl.reloaded (the last
 * change for which an engine began anew: it does so at most once for each). */
#include "replicate/ddl_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"

#define LONGEST_SHOWN 700

/* --- the record --- */

static enum err fact_number(struct ddl *d, const char *name, int64_t *ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(256);
    const char *text;

    TRY(d->journal->ops->fact_get(d->journal, d->store->name, name, a, &text, f));
    *ret = text != NULL ? strtoll(text, NULL, 10) : 0;
    return ERR_OK;
}

static enum err set_number(struct ddl *d, const char *name, int64_t value, struct fault *f)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, value);
    return d->journal->ops->fact_set(d->journal, d->store->name, name, text, true, f);
}

static enum err load(struct ddl *d, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    const char *text;

    TRY(fact_number(d, "ddl.noted", &d->noted, f));
    TRY(fact_number(d, "ddl.reloaded", &d->reloaded, f));
    TRY(d->journal->ops->fact_get(d->journal, d->store->name, "ddl.pending", a, &text, f));
    snprintf(d->pending, sizeof d->pending, "%s", text != NULL ? text : "");
    return ERR_OK;
}

enum err ddl_new(struct store *s, struct registry *r, struct touched *touched, struct journal *j, struct ddl **ret, struct fault *f)
{
    AUTO(ddl) *d = mem_alloc(sizeof *d);

    d->store = s;
    d->registry = r;
    d->touched = touched;
    d->journal = j;
    pthread_mutex_init(&d->lock, NULL);
    TRY(load(d, f));
    *ret = TAKE(d);
    return ERR_OK;
}

void ddl_free(struct ddl *d)
{
    if (d == NULL)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

bool ddl_has_run(struct ddl *d)
{
    return atomic_load(&d->has_run);
}

void ddl_pending(struct ddl *d, char *ret, size_t size)
{
    pthread_mutex_lock(&d->lock);
    snprintf(ret, size, "%s", d->pending);
    pthread_mutex_unlock(&d->lock);
}

static bool is_pending(struct ddl *d, const char *text)
{
    bool same;

    pthread_mutex_lock(&d->lock);
    same = strncmp(d->pending, text, sizeof d->pending - 1) == 0;
    pthread_mutex_unlock(&d->lock);
    return same;
}

static enum err set_pending(struct ddl *d, const char *text, struct fault *f)
{
    bool same;

    pthread_mutex_lock(&d->lock);
    same = strcmp(d->pending, text) == 0;
    snprintf(d->pending, sizeof d->pending, "%s", text);
    pthread_mutex_unlock(&d->lock);
    return same ? ERR_OK : d->journal->ops->fact_set(d->journal, d->store->name, "ddl.pending", text[0] != '\0' ? text : NULL, false, f);
}

void ddl_show(struct ddl *d, const char *text)
{
    pthread_mutex_lock(&d->lock);
    snprintf(d->pending, sizeof d->pending, "%s", text);
    pthread_mutex_unlock(&d->lock);
}

enum err ddl_found(struct ddl *d, const char *text, struct fault *f)
{
    json_t *o;
    char *body;
    enum err err = ERR_OK;

    if (is_pending(d, text))
        return ERR_OK;
    o = json_pack("{s:s}", "found", text);
    body = json_dumps(o, JSON_COMPACT);
    err = d->journal->ops->append(d->journal, d->store->name, text[0] != '\0' ? EVENT_DDL_SEEN : EVENT_DDL_DONE, body, f);
    json_decref(o);
    free(body);
    return err == ERR_OK ? set_pending(d, text, f) : err;
}

enum err ddl_note(struct ddl *d, enum event_kind kind, const struct schema_change *c, const char *statement, const char *why, struct fault *f)
{
    json_t *o = json_pack("{s:I, s:s, s:s*, s:s*, s:s*, s:s*}", "id", (json_int_t)c->id, "tag", c->tag, "object", c->count > 0 ? c->objects[0].name : NULL, "command", c->command, "statement",
                          statement, "not_run", why);
    char *body = json_dumps(o, JSON_COMPACT);
    enum err err = d->journal->ops->append(d->journal, d->store->name, kind, body, f);

    json_decref(o);
    free(body);
    return err;
}

/* Once, however often the stream brings it. */
static enum err note_seen(struct ddl *d, const struct schema_change *c, const char *statement, struct fault *f)
{
    if (c->id <= d->noted)
        return ERR_OK;
    TRY(ddl_note(d, EVENT_DDL_SEEN, c, statement, NULL, f));
    d->noted = c->id;
    return set_number(d, "ddl.noted", c->id, f);
}

/* --- what it is about --- */

static bool chosen(const struct ddl *d, const struct ddl_object *o)
{
    if (o->kind == 'y' || (o->kind == 'i' && o->gone))
        return true; /* whoever uses it; it decides nothing where the target has none of its name */
    if (o->schema == NULL || (o->kind != 'r' && o->kind != 'p'))
        return false;
    return registry_find(d->registry, o->oid) != NULL || config_chooses(d->store->store, o->schema, o->name);
}

static bool same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Several statements may have come as one text: which of them is whose is told by their number. */
static void number(struct met *m)
{
    for (size_t i = 0; i < m->count; i++) {
        m->list[i]->nth = 0;
        m->list[i]->of = 0;
        for (size_t k = 0; k < m->count; k++) {
            bool same = same_text(m->list[i]->command, m->list[k]->command) && strcmp(m->list[i]->tag, m->list[k]->tag) == 0;
            m->list[i]->of += same;
            m->list[i]->nth += same && k < i;
        }
    }
}

static enum err read_notes(struct ddl *d, const struct txn *t, struct met *m, struct fault *f)
{
    m->list = arena_alloc(m->arena, (t->change_count + 1) * sizeof *m->list);
    for (struct change *c = t->changes; c != NULL; c = c->next) {
        struct schema_change *sc = NULL;
        if (c->relation != NULL)
            TRY(d->store->ops->ddl_read(d->store, m->arena, c, &sc, f));
        if (sc == NULL)
            continue;
        for (size_t i = 0; i < sc->count; i++)
            sc->objects[i].chosen = chosen(d, &sc->objects[i]);
        m->list[m->count++] = sc;
    }
    number(m);
    return ERR_OK;
}

bool ddl_concerns(const struct schema_change *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->objects[i].chosen)
            return true;
    return false;
}

/* --- stopping --- */

/* A statement too long for a line stands in a file of its own. */
static enum err statement_file(struct ddl *d, const struct schema_change *c, const char *statement, char **ret_path, struct fault *f)
{
    AUTO_CHARS *dir = mem_format("%s/ddl", d->store->state_dir);
    AUTO_CHARS *path = mem_format("%s/%s-%" PRId64 ".sql", dir, d->store->name, c->id);
    FILE *file;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", dir, strerror(errno));
    file = fopen(path, "we");
    if (file == NULL)
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
    fprintf(file, "%s;\n", statement);
    if (fclose(file) != 0)
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
    *ret_path = TAKE(path);
    return ERR_OK;
}

enum err ddl_stop(struct ddl *d, const struct schema_change *c, const struct ddl_misfit *m, const char *why, struct fault *f)
{
    AUTO_CHARS *path = NULL;
    AUTO_CHARS *todo = NULL;

    if (strlen(m->statement) > LONGEST_SHOWN)
        TRY(statement_file(d, c, m->statement, &path, f));
    if (path != NULL)
        todo = mem_format("psql -1 -f %s on the target, then `leat resume %s`", path, store_base(d->store));
    else
        todo = mem_format("%s; on the target, then `leat resume %s`", m->statement, store_base(d->store));
    if (d->store->store->ddl == DDL_STOP)
        TRY(note_seen(d, c, m->statement, f));
    else if (!is_pending(d, todo)) /* not counted as noted: what was rolled back with it is still to be carried out */
        TRY(ddl_note(d, EVENT_DDL_SEEN, c, m->statement, why, f));
    TRY(set_pending(d, todo, f));
    why = why != NULL ? why : m->remark;
    return fault_todo(f, ERR_DDL, todo, "%s: %s%s%s", c->tag, m->why, why != NULL ? "; " : "", why != NULL ? why : "");
}

/* --- going on --- */

static bool loaded_has(const struct table *t, const struct ddl_column *c)
{
    for (uint16_t i = 0; i < t->column_count; i++)
        if (strcmp(t->columns[i].name, c->name) == 0)
            return strcmp(t->columns[i].type, c->type) == 0;
    return false;
}

/* Whether the catalogs this engine began with already hold what the change made. */
static bool knows(const struct ddl *d, const struct ddl_object *o)
{
    const struct rtable *t = registry_find(d->registry, o->oid);
    size_t found = 0;

    if (o->gone || o->kind != 'r' || !o->chosen)
        return true;
    if (t == NULL || strcmp(t->target->name, o->name) != 0 || strcmp(t->target->schema, o->schema) != 0)
        return false;
    for (size_t i = 0; i < o->column_count; i++)
        found += loaded_has(t->target, &o->columns[i]);
    return found == o->column_count && found == t->target->column_count;
}

static enum err pass(struct ddl *d, const struct schema_change *c, struct fault *f)
{
    for (size_t i = 0; i < c->count; i++)
        if (!knows(d, &c->objects[i]) && c->id > d->reloaded) {
            TRY(set_number(d, "ddl.reloaded", c->id, f));
            return fault_set(f, ERR_ANEW, "to take up what %s made of %s", c->tag, c->objects[i].name);
        }
    return ERR_OK;
}

static enum err meet_one(struct ddl *d, struct arena *a, const struct schema_change *c, const char *why_not, struct fault *f)
{
    struct ddl_misfit misfit;

    if (!ddl_concerns(c))
        return note_seen(d, c, NULL, f);
    TRY(d->store->ops->ddl_misfit(d->store, NULL, a, c, &misfit, f));
    if (misfit.why != NULL)
        return ddl_stop(d, c, &misfit, why_not, f);
    TRY(note_seen(d, c, NULL, f));
    return pass(d, c, f);
}

/* --- carrying out --- */

static bool in_store(const struct ddl *d, const struct ddl_object *o)
{
    if (d->store->store->include_count == 0 && d->store->store->exclude_count == 0)
        return true;
    for (size_t i = 0; o->schema != NULL && i < d->registry->count; i++)
        if (strcmp(d->registry->tables[i].source->schema, o->schema) == 0)
            return o->kind == '-' || o->chosen;
    return false;
}

bool ddl_wanted(const struct ddl *d, const struct schema_change *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->id > d->noted && in_store(d, &c->objects[i]) && (c->objects[i].chosen || c->objects[i].kind == '-'))
            return true;
    return false;
}

/* Whether it can be carried out here: *ret_why_not says why a person has to. */
static bool can_apply(const struct ddl *d, const struct txn *t, const char **ret_why_not)
{
    *ret_why_not = NULL;
    if (d->store->store->ddl != DDL_APPLY)
        return false;
    if (!t->first || !t->last)
        *ret_why_not = "it came in a transaction too large to hold";
    return *ret_why_not == NULL;
}

static enum err wants_anything(struct ddl *d, const struct met *m, bool *ret, struct fault *f)
{
    for (size_t i = 0; i < m->count && !*ret; i++) {
        struct ddl_misfit misfit = {0};
        if (ddl_concerns(m->list[i]))
            TRY(d->store->ops->ddl_misfit(d->store, NULL, m->arena, m->list[i], &misfit, f));
        *ret = misfit.why != NULL || ddl_wanted(d, m->list[i]);
    }
    return ERR_OK;
}

/* Carries the whole transaction out, if there is anything to. Then the engine begins anew with what the target is now. */
static enum err carry_out(struct ddl *d, const struct txn *t, const struct met *m, struct fault *f)
{
    bool any = false;

    TRY(wants_anything(d, m, &any, f));
    if (!any)
        return ERR_OK;
    TRY(ddl_apply(d, t, m, f));
    TRY(set_pending(d, "", f));
    return fault_set(f, ERR_ANEW, "to take up what %s made of %s", m->list[0]->tag, m->list[0]->count > 0 ? m->list[0]->objects[0].name : "?");
}

/* Its rows are not the dispatcher's to apply; and what was altered may have been written anew on either side, by whoever runs the statement. */
static enum err touch(struct ddl *d, const struct txn *t, const struct met *m, struct fault *f)
{
    TRY(touched_txn(d->touched, t, f));
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 0; k < m->list[i]->count; k++) {
            const struct rtable *table = registry_find(d->registry, m->list[i]->objects[k].oid);
            if (table != NULL)
                TRY(touched_table(d->touched, table, f));
        }
    return ERR_OK;
}

enum err ddl_meet(struct ddl *d, const struct txn *t, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct met m = {.arena = a};
    const char *why_not;
    bool waited;

    TRY(read_notes(d, t, &m, f));
    TRY(touch(d, t, &m, f));
    if (can_apply(d, t, &why_not))
        TRY(carry_out(d, t, &m, f));
    for (size_t i = 0; i < m.count; i++)
        TRY(meet_one(d, a, m.list[i], why_not, f));
    pthread_mutex_lock(&d->lock);
    waited = d->pending[0] != '\0';
    pthread_mutex_unlock(&d->lock);
    if (waited && m.count > 0)
        TRY(ddl_note(d, EVENT_DDL_DONE, m.list[m.count - 1], NULL, NULL, f));
    return waited ? set_pending(d, "", f) : ERR_OK;
}
