/* store/postgres/bind.c — how a relation of the stream lands on a table of the target: by name, never by position. */
#include <stdlib.h>

#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/prepare.h"

static int find_column(const struct table *t, const char *name)
{
    for (uint16_t i = 0; i < t->column_count; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return i;
    return -1;
}

static bool relation_has(const struct relation *r, const char *name)
{
    for (uint16_t i = 0; i < r->column_count; i++)
        if (strcmp(r->columns[i].name, name) == 0)
            return true;
    return false;
}

/* The source's word on a column of the relation, asked only when something does not fit: what an engine read when it began may be
 * older than the stream. *ret_then: the type the stream means; *ret_now: the type the column has now, NULL: there is none. */
static enum err ask_source(struct store *s, struct arena *a, const struct relation *r, const char *name, const struct rel_column *c, const char **ret_then, const char **ret_now, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO_CHARS *oid = mem_format("%u", r->id);
    AUTO_CHARS *type = mem_format("%u", c != NULL ? c->type : 0);
    AUTO_CHARS *typmod = mem_format("%d", c != NULL ? c->typmod : -1);
    const char *of_type[] = {type, typmod};
    const char *of_column[] = {oid, name};

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "bind", &pg, f));
    TRY(pg_value(pg, a, "SELECT pg_catalog.format_type($1::oid, $2::int4)", 2, of_type, ret_then, f));
    return pg_value(pg, a, "SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attname = $2 AND attnum > 0 AND NOT attisdropped", 2,
                    of_column, ret_now, f);
}

static enum err missing_column(struct store *s, struct arena *a, const struct relation *r, const struct rel_column *c, const struct table *target, struct fault *f)
{
    const char *then;
    const char *now;

    TRY(ask_source(s, a, r, c->name, c, &then, &now, f));
    if (now == NULL && !(c->key && r->identity != IDENTITY_FULL))
        return ERR_OK; /* dropped on both sides since */
    if (now == NULL)
        return fault_todo(f, ERR_DDL, arena_format(a, "put column %s back on %s, on the target; then `leat resume %s`", pg_quote_ident(a, c->name), target->qualified, store_base(s)),
                          "%s.%s: rows still to come are told apart by column %s, which the target has no longer", r->schema, r->name, c->name);
    return fault_todo(f, ERR_DDL, arena_format(a, "ALTER TABLE %s ADD COLUMN %s %s; on the target, then `leat resume %s`", target->qualified, pg_quote_ident(a, c->name), then, store_base(s)),
                      "%s.%s has a column %s on the source that the target lacks", r->schema, r->name, c->name);
}

static enum err check_extra(struct store *s, struct arena *a, const struct relation *r, const struct table *target, struct fault *f)
{
    for (uint16_t i = 0; i < target->column_count; i++) {
        const struct column *c = &target->columns[i];
        const char *then;
        const char *now;
        if (c->generated || relation_has(r, c->name))
            continue;
        TRY(ask_source(s, a, r, c->name, NULL, &then, &now, f));
        if (now != NULL)
            continue; /* added on both sides since: these rows get its default, as they did there */
        return fault_todo(f, ERR_DDL, arena_format(a, "ALTER TABLE %s DROP COLUMN %s; on the target, then `leat resume %s`", target->qualified, pg_quote_ident(a, c->name), store_base(s)),
                          "%s.%s has no column %s on the source any more", r->schema, r->name, c->name);
    }
    return ERR_OK;
}

/* Both sides' text is the same for every value the first can hold. */
static bool same_words(const char *before, const char *after)
{
    static const char *const integers[] = {"smallint", "integer", "bigint"};
    int from = -1;
    int to = -1;

    for (int i = 0; i < 3; i++) {
        from = strcmp(before, integers[i]) == 0 ? i : from;
        to = strcmp(after, integers[i]) == 0 ? i : to;
    }
    if (from >= 0 && (to >= from || strcmp(after, "numeric") == 0 || strcmp(after, "text") == 0))
        return true;
    return strncmp(before, "character varying", 17) == 0 && (strcmp(after, "text") == 0 || strncmp(after, "character varying", 17) == 0);
}

/* The type as the stream has it against the type as the catalog had it: they differ after ALTER COLUMN TYPE. */
static enum err check_type(struct store *s, struct arena *a, const struct relation *r, const struct rel_column *c, const struct table *source, const struct table *target,
                           const struct column *there, struct fault *f)
{
    int i = find_column(source, c->name);
    const char *then;
    const char *now;

    if (i >= 0 && source->columns[i].type_oid == c->type && source->columns[i].typmod == c->typmod && strcmp(source->columns[i].type, there->type) == 0)
        return ERR_OK;
    TRY(ask_source(s, a, r, c->name, c, &then, &now, f));
    if (then == NULL || strcmp(then, there->type) == 0)
        return ERR_OK;
    if (now == NULL || strcmp(now, there->type) != 0)
        return fault_todo(f, ERR_DDL, arena_format(a, "ALTER TABLE %s ALTER COLUMN %s TYPE %s; on the target, then `leat resume %s`", target->qualified, pg_quote_ident(a, c->name), then, store_base(s)),
                          "%s.%s: column %s is %s on the source and %s on the target", target->schema, target->name, c->name, then, there->type);
    if (same_words(then, now))
        return ERR_OK;
    return fault_todo(f, ERR_DDL, arena_format(a, "take the change of type back on the target and set `ddl: apply` for this store; then `leat resume %s`", store_base(s)),
                      "%s.%s: rows of the time when column %s was %s come with the change to %s, which only the stream's own order can convert", target->schema, target->name, c->name, then, now);
}

static bool is_bulk(const struct binding *b)
{
    if (!b->keyed)
        return false;
    for (uint16_t i = 0; i < b->relation->column_count; i++) {
        const struct column *c;
        if (b->column[i] == BINDING_SKIP)
            continue;
        c = &b->table->columns[b->column[i]];
        if (!c->bulk_safe || (c->identity_always && b->key_operator[i] == NULL))
            return false;
    }
    return true;
}

static const uint8_t *whole_shape(struct arena *a, const struct binding *b)
{
    uint8_t *shape = arena_zalloc(a, b->relation->column_count + 1u);

    for (uint16_t i = 0; i < b->relation->column_count; i++)
        shape[i] = b->column[i] != BINDING_SKIP && b->key_operator[i] == NULL;
    return shape;
}

enum err pg_store_bind(struct store *s, struct arena *a, const struct relation *r, const struct table *source, const struct table *target, uint32_t serial,
                       struct binding **ret, struct fault *f)
{
    struct binding *b = arena_zalloc(a, sizeof *b);

    b->serial = serial;
    b->relation = r;
    b->table = target;
    b->keyed = r->identity != IDENTITY_FULL && r->identity != IDENTITY_NOTHING;
    b->column = arena_alloc(a, (r->column_count + 1u) * sizeof *b->column);
    b->key_operator = arena_zalloc(a, (r->column_count + 1u) * sizeof *b->key_operator);
    for (uint16_t i = 0; i < r->column_count; i++) {
        int at = find_column(target, r->columns[i].name);
        if (at < 0) {
            TRY(missing_column(s, a, r, &r->columns[i], target, f));
            b->column[i] = BINDING_SKIP;
            continue;
        }
        TRY(check_type(s, a, r, &r->columns[i], source, target, &target->columns[at], f));
        b->column[i] = target->columns[at].generated ? BINDING_SKIP : (uint16_t)at;
        if (b->keyed && r->columns[i].key)
            b->key_operator[i] = target->columns[at].equals;
    }
    TRY(check_extra(s, a, r, target, f));
    b->shape = whole_shape(a, b);
    b->bulk = is_bulk(b);
    *ret = b;
    return ERR_OK;
}

bool pg_store_own_mark(struct store *s, const struct change *c, const char **ret_note, size_t *ret_len)
{
    const struct relation *r = c->relation;
    char stream[NAME_SIZE];
    bool ours = true;

    *ret_note = NULL;
    if (r == NULL || strcmp(r->schema, "leat") != 0)
        return false;
    if (strcmp(r->name, "progress") != 0 || c->new == NULL)
        return true;
    name_stream(s, STREAM_HEARTBEAT, stream);
    for (uint16_t i = 0; i < r->column_count; i++) {
        const struct value *v = &c->new->values[i];
        const char *want = strcmp(r->columns[i].name, "migration") == 0 ? s->migration : strcmp(r->columns[i].name, "stream") == 0 ? stream : NULL;
        if (want != NULL && (v->len != (int32_t)strlen(want) || memcmp(v->data, want, (size_t)v->len) != 0))
            ours = false;
        if (strcmp(r->columns[i].name, "note") == 0 && v->len > 0) {
            *ret_note = v->data;
            *ret_len = (size_t)v->len;
        }
    }
    if (!ours)
        *ret_note = NULL;
    return true;
}
