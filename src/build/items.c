/* build/items.c — post-data as items.
 *
 * Each entry of the dump's post-data becomes an item, but for comments, which go with what they speak of. The phase
 * comes from the entry's type and from what the source's catalog says of it; then it is put off as far as what it
 * depends on demands:
 *
 *  1. An item's phase is not before the phase of anything it depends on.
 *  2. A KEY or INDEX item of a table with rows depends on nothing but pre-data, items of the same table, and indexes of
 * partitioned tables (which it does not need: a leaf's index is attached later). So a table's KEY and INDEX items, run
 * by nobody but that table's worker, find what they need. Whatever else would depend on more is put off to REST.
 *  3. Items of a phase are in the dump's order, in which everything stands behind what it depends on. */
#include <stdlib.h>

#include "build/build.h"
#include "build/foreign_key.h"
#include "build/schema.h"
#include "sql_embedded.h"

struct fact { /* a row of build_post_facts.sql */
    uint32_t class_oid;
    uint32_t oid;
    uint32_t table;
    char kind; /* relkind of the table */
    bool identity;
};

struct draft {
    const struct toc_entry *entry; /* NULL: no item, or part of another */
    enum build_phase phase;
    uint32_t table;
    char kind; /* of the table; 0: none, or not known */
    const char *name;
    const char *validate;
    struct buf sql;
};

struct drafting {
    struct arena *arena; /* the items' */
    const struct schema *schema;
    struct fact *facts; /* by class and oid */
    size_t fact_count;
    struct foreign_keys keys;
    struct draft *drafts; /* one an entry of the dump */
    struct draft **by_id; /* dump id → draft which makes it, NULL: pre-data, or nothing */
    struct pg *target;
    struct buf notes;
};

/* --- facts --- */

static enum err load_facts(struct drafting *d, struct pg *source, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(source, SQL_BUILD_POST_FACTS, &r, f));
    d->fact_count = (size_t)PQntuples(r);
    d->facts = arena_alloc(d->arena, (d->fact_count + 1) * sizeof *d->facts);
    for (int i = 0; i < PQntuples(r); i++)
        d->facts[i] = (struct fact){
            .class_oid = (uint32_t)pg_get_int(r, i, 0),
            .oid = (uint32_t)pg_get_int(r, i, 1),
            .table = (uint32_t)pg_get_int(r, i, 2),
            .kind = PQgetvalue(r, i, 3)[0],
            .identity = pg_get_bool(r, i, 4),
        };
    return ERR_OK;
}

static int by_object(const void *a, const void *b)
{
    const struct fact *x = a;
    const struct fact *y = b;

    if (x->class_oid != y->class_oid)
        return x->class_oid < y->class_oid ? -1 : 1;
    return x->oid < y->oid ? -1 : x->oid > y->oid;
}

/* NULL: the entry is no object, or the source has dropped it since the dump. */
static const struct fact *find_fact(const struct drafting *d, const struct toc_entry *e)
{
    struct fact key = {.class_oid = e->class_oid, .oid = e->oid};

    return d->fact_count > 0 ? bsearch(&key, d->facts, d->fact_count, sizeof *d->facts, by_object) : NULL;
}

/* --- phases --- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static enum build_phase index_phase(const struct draft *draft, const struct fact *fact)
{
    if (draft->kind == 'p')
        return BUILD_INDEX;
    if (draft->kind != 'r') /* a materialized view's, or gone from the source */
        return BUILD_REST;
    return fact->identity ? BUILD_KEY : BUILD_INDEX;
}

static enum build_phase phase_of(const struct draft *draft, const struct fact *fact)
{
    static const struct {
        const char *type;
        enum build_phase phase;
    } known[] = {
        {"INDEX ATTACH", BUILD_INDEX},          {"FK CONSTRAINT", BUILD_FOREIGN_KEY},
        {"EVENT TRIGGER", BUILD_LAST},          {"PUBLICATION", BUILD_LAST},
        {"PUBLICATION TABLE", BUILD_LAST},      {"PUBLICATION TABLES IN SCHEMA", BUILD_LAST},
        {"SUBSCRIPTION", BUILD_LAST},           {"SUBSCRIPTION TABLE", BUILD_LAST},
        {"MATERIALIZED VIEW DATA", BUILD_LAST},
    };
    const struct toc_entry *e = draft->entry;

    if (toc_is(e, "INDEX") || (toc_is(e, "CONSTRAINT") && strstr(e->sql, "\" NOT NULL \"") == NULL))
        return index_phase(draft, fact);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (toc_is(e, known[i].type))
            return known[i].phase;
    return BUILD_REST;
}

static bool is_key(const struct draft *d)
{
    return d->phase <= BUILD_INDEX && d->kind == 'r';
}

/* Invariants 1 and 2. */
static void put_off(struct drafting *d, struct draft *draft)
{
    for (size_t i = 0; i < draft->entry->depend_count; i++) {
        int id = draft->entry->depends[i];
        const struct draft *on = (size_t)id < d->schema->whole->toc.by_id_size ? d->by_id[id] : NULL;
        if (on == NULL || on == draft)
            continue;
        if (on->phase > draft->phase)
            draft->phase = on->phase;
        if (is_key(draft) && on->table != draft->table && on->kind != 'p')
            draft->phase = BUILD_REST;
    }
}

/* --- making drafts --- */

/* What only a superuser can make, and the copy can do without. */
static bool beyond_us(const struct drafting *d, const struct toc_entry *e)
{
    if (d->schema->party->superuser)
        return false;
    return toc_is(e, "EVENT TRIGGER") || begins(e->type, "SUBSCRIPTION") || toc_is(e, "PUBLICATION TABLES IN SCHEMA") ||
           (toc_is(e, "PUBLICATION") && strstr(e->sql, " FOR ALL TABLES") != NULL);
}

/* The item that a comment, or the like, goes with; NULL: none. */
static struct draft *goes_with(const struct drafting *d, const struct toc_entry *e)
{
    if (!toc_is(e, "COMMENT") && !toc_is(e, "SECURITY LABEL"))
        return NULL;
    for (size_t i = 0; i < e->depend_count; i++)
        if ((size_t)e->depends[i] < d->schema->whole->toc.by_id_size && d->by_id[e->depends[i]] != NULL)
            return d->by_id[e->depends[i]];
    return NULL;
}

/* What speaks of, or belongs to, something that is not made. */
static bool of_nothing(const struct drafting *d, const struct toc_entry *e)
{
    if (!toc_is(e, "COMMENT") && !toc_is(e, "SECURITY LABEL") && !begins(e->type, "PUBLICATION ") &&
        !begins(e->type, "SUBSCRIPTION "))
        return false;
    for (size_t i = 0; i < e->depend_count; i++) {
        const struct toc_entry *on = toc_find(&d->schema->whole->toc, e->depends[i]);
        if (on != NULL && on->post && d->by_id[on->id] == NULL)
            return true;
    }
    return false;
}

static void add_sql(struct draft *draft, const char *sql)
{
    if (*sql != '\0')
        buf_addf(&draft->sql, "%s%s", draft->sql.len > 0 ? "\n" : "", sql);
}

/* False: it is left out, and said. */
static bool draft_foreign_key(struct drafting *d, struct draft *draft, const char *sql)
{
    const struct foreign_key *key = foreign_key_find(&d->keys, draft->entry->oid);
    struct foreign_key_sql made = foreign_key_statements(d->arena, key, sql, d->target->major);

    if (made.add == NULL) {
        buf_addf(&d->notes, "%s is left out: %s is not copied, and the target cannot take it unchecked\n", draft->name,
                 key->uncopied);
        return false;
    }
    if (key != NULL && key->uncopied != NULL)
        draft->name = arena_format(d->arena, "%s (left NOT VALID: %s is not copied)", draft->name, key->uncopied);
    draft->validate = made.validate;
    add_sql(draft, made.add);
    return true;
}

/* An owner must itself have the right to create such a thing where it is, or the server refuses to make it one. */
static enum err may_hold(struct drafting *d, const struct toc_entry *e, bool *ret, struct fault *f)
{
    bool in_schema = strcmp(e->schema, "-") != 0;
    const char *params[] = {e->owner, e->schema};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(d->target,
                 in_schema ? "SELECT pg_catalog.has_schema_privilege($1, $2, 'CREATE')"
                           : "SELECT pg_catalog.has_database_privilege($1, pg_catalog.current_database(), 'CREATE')",
                 in_schema ? 2 : 1, params, &r, f));
    *ret = pg_get_bool(r, 0, 0);
    return ERR_OK;
}

static enum err draft_owner(struct drafting *d, struct draft *draft, size_t i, struct fault *f)
{
    const char *stays;
    const char *sql = schema_owner_sql(d->schema, i, &stays);
    bool fits = false;

    if (*sql != '\0')
        TRY(may_hold(d, draft->entry, &fits, f));
    if (fits)
        add_sql(draft, sql);
    else if (*sql != '\0' || stays != NULL)
        buf_addf(&d->notes, "%s belongs to leat's role on the target, not to %s\n", draft->name, draft->entry->owner);
    return ERR_OK;
}

static bool draft_sql(struct drafting *d, struct draft *draft, size_t i)
{
    const char *sql = schema_sql(d->schema, i);

    if (toc_is(draft->entry, "FK CONSTRAINT"))
        return draft_foreign_key(d, draft, sql);
    add_sql(draft, sql);
    if (toc_is(draft->entry, "SUBSCRIPTION"))
        draft->name = arena_format(d->arena, "%s (disabled)", draft->name);
    return draft->sql.len > 0;
}

static enum err draft_entry(struct drafting *d, size_t i, struct fault *f)
{
    const struct toc_entry *e = schema_entry(d->schema, i);
    struct draft *draft = &d->drafts[i];
    struct draft *with = goes_with(d, e);
    const struct fact *fact = find_fact(d, e);

    if (!e->post || e->left_out || toc_is(e, "DEFAULT ACL") || of_nothing(d, e))
        return ERR_OK;
    if (with != NULL) {
        add_sql(with, schema_sql(d->schema, i));
        return ERR_OK;
    }
    draft->entry = e;
    draft->name = archive_what(d->arena, e);
    draft->table = fact != NULL ? fact->table : toc_is(e, "ROW SECURITY") ? e->oid : 0;
    draft->kind = fact != NULL ? fact->kind : 0;
    if (beyond_us(d, e) || !draft_sql(d, draft, i)) {
        if (beyond_us(d, e))
            buf_addf(&d->notes, "not made, leat's role is no superuser on the target: %s: %s\n", draft->name, e->sql);
        draft->entry = NULL;
        return ERR_OK;
    }
    TRY(draft_owner(d, draft, i, f));
    draft->phase = phase_of(draft, fact);
    d->by_id[e->id] = draft;
    put_off(d, draft);
    return ERR_OK;
}

/* An ATTACH belongs to the partitioned table whose index it completes. */
static void place_attach(struct drafting *d, struct draft *draft)
{
    for (size_t i = 0; i < draft->entry->depend_count && draft->table == 0; i++) {
        int id = draft->entry->depends[i];
        const struct draft *on = (size_t)id < d->schema->whole->toc.by_id_size ? d->by_id[id] : NULL;
        if (on != NULL && on->kind == 'p') {
            draft->table = on->table;
            draft->kind = 'p';
        }
    }
}

/* --- items --- */

static void add_item(struct build_post *post, struct build_item item)
{
    post->items[post->count++] = item;
}

static void add_phase(struct drafting *d, enum build_phase phase, struct build_post *post)
{
    for (size_t i = 0; i < schema_count(d->schema); i++) {
        const struct draft *draft = &d->drafts[i];
        if (draft->entry == NULL || draft->phase != phase)
            continue;
        add_item(post, (struct build_item){.phase = phase,
                                           .name = draft->name,
                                           .sql = arena_strdup(d->arena, buf_cstr(&draft->sql)),
                                           .table_oid = draft->table,
                                           .validate = draft->validate});
    }
}

/* A dump without data has no REFRESH: the source says which views hold rows, and in which order they can be filled. */
static void add_refreshes(struct drafting *d, const struct config_store *s, const PGresult *r, struct build_post *post)
{
    for (int i = 0; i < PQntuples(r); i++) {
        const char *schema = PQgetvalue(r, i, 1);
        const char *name = PQgetvalue(r, i, 2);
        if (config_chooses(s, schema, name))
            add_item(post, (struct build_item){
                               .phase = BUILD_LAST,
                               .name = arena_format(d->arena, "contents of materialized view %s.%s", schema, name),
                               .sql = arena_format(d->arena, "REFRESH MATERIALIZED VIEW %s;",
                                                   pg_quote_qualified(d->arena, schema, name)),
                               .table_oid = (uint32_t)pg_get_int(r, i, 0)});
    }
}

static enum err make_items(struct drafting *d, const struct config_store *s, struct pg *source, struct build_post *post,
                           struct fault *f)
{
    AUTO_RESULT *views = NULL;

    TRY(load_facts(d, source, f));
    TRY(foreign_keys_load(source, s, d->arena, &d->keys, f));
    TRY(pg_exec(source, SQL_BUILD_MATVIEWS, &views, f));
    for (size_t i = 0; i < schema_count(d->schema); i++) {
        TRY(draft_entry(d, i, f));
        if (d->drafts[i].entry != NULL && toc_is(d->drafts[i].entry, "INDEX ATTACH"))
            place_attach(d, &d->drafts[i]);
    }
    post->items = arena_alloc(d->arena, (schema_count(d->schema) + (size_t)PQntuples(views) + 1) * sizeof *post->items);
    for (enum build_phase phase = BUILD_KEY; phase < BUILD_LAST; phase++)
        add_phase(d, phase, post);
    add_refreshes(d, s, views, post);
    add_phase(d, BUILD_LAST, post);
    post->notes = arena_strdup(d->arena, buf_cstr(&d->notes));
    return ERR_OK;
}

static void drafting_fini(struct drafting *d)
{
    for (size_t i = 0; i < schema_count(d->schema); i++)
        buf_fini(&d->drafts[i].sql);
    free(d->drafts);
    free(d->by_id);
    buf_fini(&d->notes);
}

enum err build_post_load(const struct config_store *s, const char *dir, struct pg *source, struct build_post **ret,
                         struct fault *f)
{
    AUTO(pg) *target = NULL;
    AUTO(schema) *schema = NULL;
    AUTO(build_post) *post = mem_alloc(sizeof *post);
    struct drafting d = {0};
    enum err err;

    post->arena = arena_new(65536);
    TRY(pg_connect(s->target, SIDE_TARGET, "schema", &target, f));
    AUTO_BUF spaces = {0}; /* said when pre-data was made */
    TRY(schema_load(dir, target, &spaces, &schema, f));
    d = (struct drafting){.arena = post->arena, .schema = schema, .target = target};
    d.drafts = mem_alloc((schema_count(schema) + 1) * sizeof *d.drafts);
    d.by_id = mem_alloc((schema->whole->toc.by_id_size + 1) * sizeof *d.by_id);
    err = make_items(&d, s, source, post, f);
    drafting_fini(&d);
    if (err != ERR_OK) {
        fault_add(f, "reading what comes after the rows of %s", s->name);
        return err;
    }
    *ret = TAKE(post);
    return ERR_OK;
}

void build_post_free(struct build_post *p)
{
    if (p == NULL)
        return;
    arena_free(p->arena);
    free(p);
}
