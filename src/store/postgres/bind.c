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

/* What the source calls the type; only asked when something does not fit. */
static const char *type_name(struct store *s, struct arena *a, const struct rel_column *c)
{
    AUTO(pg) *pg = NULL;
    const char *text = NULL;
    char oid[16];
    char typmod[16];
    const char *params[] = {oid, typmod};

    snprintf(oid, sizeof oid, "%u", c->type);
    snprintf(typmod, sizeof typmod, "%d", c->typmod);
    if (pg_connect(s->store->source, SIDE_SOURCE, "bind", &pg, NULL) != ERR_OK)
        return "?";
    if (pg_value(pg, a, "SELECT pg_catalog.format_type($1::oid, $2::int4)", 2, params, &text, NULL) != ERR_OK || text == NULL)
        return "?";
    return text;
}

static enum err missing_column(struct store *s, struct arena *a, const struct relation *r, const struct rel_column *c, const struct table *target, struct fault *f)
{
    const char *todo = arena_format(a, "ALTER TABLE %s ADD COLUMN %s %s; on the target, then `leat run`", target->qualified, pg_quote_ident(a, c->name), type_name(s, a, c));

    return fault_todo(f, ERR_DDL, todo, "%s.%s has a column %s on the source that the target lacks", r->schema, r->name, c->name);
}

static enum err check_extra(struct arena *a, const struct relation *r, const struct table *target, struct fault *f)
{
    for (uint16_t i = 0; i < target->column_count; i++) {
        const struct column *c = &target->columns[i];
        if (c->generated || relation_has(r, c->name))
            continue;
        return fault_todo(f, ERR_DDL, arena_format(a, "ALTER TABLE %s DROP COLUMN %s; on the target, then `leat run`", target->qualified, pg_quote_ident(a, c->name)),
                          "%s.%s has no column %s on the source any more", r->schema, r->name, c->name);
    }
    return ERR_OK;
}

/* The type as the stream has it against the type as the catalog had it: they differ after ALTER COLUMN TYPE. */
static enum err check_type(struct store *s, struct arena *a, const struct rel_column *c, const struct table *source, const struct table *target, const struct column *there, struct fault *f)
{
    int i = source != NULL ? find_column(source, c->name) : -1;
    const char *type;

    if (i >= 0 && source->columns[i].type_oid == c->type && source->columns[i].typmod == c->typmod && strcmp(source->columns[i].type, there->type) == 0)
        return ERR_OK;
    type = type_name(s, a, c);
    if (strcmp(type, there->type) == 0 || strcmp(type, "?") == 0)
        return ERR_OK;
    return fault_todo(f, ERR_DDL, arena_format(a, "ALTER TABLE %s ALTER COLUMN %s TYPE %s; on the target, then `leat run`", target->qualified, pg_quote_ident(a, c->name), type),
                      "%s.%s: column %s is %s on the source and %s on the target", target->schema, target->name, c->name, type, there->type);
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
        if (at < 0)
            return missing_column(s, a, r, &r->columns[i], target, f);
        TRY(check_type(s, a, &r->columns[i], source, target, &target->columns[at], f));
        b->column[i] = target->columns[at].generated ? BINDING_SKIP : (uint16_t)at;
        if (b->keyed && r->columns[i].key)
            b->key_operator[i] = target->columns[at].equals;
    }
    TRY(check_extra(a, r, target, f));
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
