/* store/postgres/ddl.c — see ddl.h.
 *
 * What is stored, and why: a change's tag and objects with what they look like afterwards (so that fitting can be seen without having
 * run anything), its text (to be shown and, under `ddl: apply`, run), the role, search_path and settings it ran under. The text is not
 * kept where it speaks of a password; commands on servers, user mappings and subscriptions are not noted at all, and commands on
 * roles and databases fire no event triggers. Only leat's role may read the table.
 *
 * The text is the client's whole string and may hold several statements, or a call of a function that changes the schema. The statement
 * meant is picked out of it only when that is beyond doubt (ddl_text.h). */
#include "store/postgres/ddl.h"

#include <jansson.h>

#include "sql_embedded.h"
#include "store/postgres/ddl_text.h"
#include "store/postgres/lane_internal.h"

/* --- noting --- */

static bool is_note(const struct change *c)
{
    return c->kind == CHANGE_INSERT && c->relation->notes_schema;
}

/* `text` with every {slot} replaced. */
static const char *filled(struct arena *a, const char *text, const char *slot, const char *by)
{
    AUTO_BUF b = {0};

    for (const char *at; (at = strstr(text, slot)) != NULL; text = at + strlen(slot)) {
        buf_add(&b, text, (size_t)(at - text));
        buf_adds(&b, by);
    }
    buf_adds(&b, text);
    return arena_strdup(a, buf_cstr(&b));
}

static const char *table_expression(struct arena *a, const struct pg *pg)
{
    return filled(a, SQL_DDL_DESCRIBE_TABLE, "{generated}", pg->major >= 12 ? "a.attgenerated <> ''" : "false");
}

enum err pg_ddl_arm(struct pg *pg, bool *ret_made, struct fault *f)
{
    AUTO(arena) *a = arena_new(32768);
    AUTO_RESULT *r = NULL;
    const char *sql;

    TRY(pg_exec(pg, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", &r, f));
    *ret_made = PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
    if (!*ret_made)
        return ERR_OK;
    sql = filled(a, filled(a, SQL_DDL_TRIGGER, "{table}", table_expression(a, pg)), "{type}", SQL_DDL_DESCRIBE_TYPE);
    return pg_exec_patiently(pg, sql, 100, 30000000, f);
}

/* --- reading --- */

static const char *text_of(struct arena *a, const json_t *o, const char *key)
{
    return arena_strdup(a, json_string_value(json_object_get(o, key)));
}

static void read_columns(struct arena *a, const json_t *list, struct ddl_object *ret)
{
    ret->columns = arena_zalloc(a, (json_array_size(list) + 1) * sizeof *ret->columns);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        const char *name = text_of(a, c, "name");
        const char *type = text_of(a, c, "type");
        if (name != NULL && type != NULL)
            ret->columns[ret->column_count++] = (struct ddl_column){name, type, json_is_true(json_object_get(c, "null")), json_is_true(json_object_get(c, "made"))};
    }
}

static void read_limits(struct arena *a, const json_t *list, struct ddl_object *ret)
{
    ret->limits = arena_zalloc(a, (json_array_size(list) + 1) * sizeof *ret->limits);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)))
            ret->limits[ret->limit_count++] = arena_strdup(a, json_string_value(json_array_get(list, i)));
}

static void read_object(struct arena *a, const json_t *o, struct ddl_object *ret)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));

    memset(ret, 0, sizeof *ret);
    ret->oid = (uint32_t)json_integer_value(json_object_get(o, "oid"));
    ret->kind = kind != NULL ? kind[0] : '-';
    ret->schema = text_of(a, o, "schema");
    ret->name = text_of(a, o, "name");
    if (ret->name == NULL)
        ret->name = "";
    ret->gone = json_is_true(json_object_get(o, "gone"));
    read_columns(a, json_object_get(o, "columns"), ret);
    read_limits(a, json_object_get(o, "limits"), ret);
}

/* A source that is SQL_ASCII sends bytes as they are (stream.c): here they are made text. */
static const char *column_text(struct arena *a, struct schema_change *sc, const char *name)
{
    const struct change *c = sc->change;

    for (uint16_t i = 0; i < c->relation->column_count; i++)
        if (strcmp(c->relation->columns[i].name, name) == 0 && c->new->values[i].len >= 0) {
            char *text = arena_format(a, "%.*s", (int)c->new->values[i].len, c->new->values[i].data);
            sc->garbled = text_tidy(text) || sc->garbled;
            return text;
        }
    return NULL;
}

enum err pg_ddl_read(struct store *s, struct arena *a, struct change *c, struct schema_change **ret, struct fault *f)
{
    struct schema_change *sc;
    const char *id;
    const char *objects;
    json_t *list;

    (void)s;
    *ret = NULL;
    if (!is_note(c))
        return ERR_OK;
    sc = arena_zalloc(a, sizeof *sc);
    sc->change = c;
    id = column_text(a, sc, "id");
    objects = column_text(a, sc, "objects");
    sc->id = id != NULL ? strtoll(id, NULL, 10) : 0;
    sc->tag = column_text(a, sc, "tag");
    sc->command = column_text(a, sc, "command");
    sc->role = column_text(a, sc, "role");
    sc->path = column_text(a, sc, "path");
    sc->settings = column_text(a, sc, "settings");
    sc->of = 1;
    list = objects != NULL ? json_loads(objects, 0, NULL) : NULL;
    if (sc->tag == NULL || !json_is_array(list)) {
        json_decref(list);
        return fault_set(f, ERR_PROTOCOL, "row %s of leat.ddl cannot be read", id != NULL ? id : "?");
    }
    sc->objects = arena_zalloc(a, (json_array_size(list) + 1) * sizeof *sc->objects);
    for (size_t i = 0; i < json_array_size(list); i++)
        read_object(a, json_array_get(list, i), &sc->objects[sc->count++]);
    json_decref(list);
    *ret = sc;
    return ERR_OK;
}

/* --- holding it against the target --- */

struct comparing {
    struct arena *arena;
    struct pg *source;
    struct pg *target;
    struct buf why;
    struct buf mend; /* statements made from the differences, where the text itself cannot be used */
};

/* What the object is on that side now; *ret NULL: it is not there. By oid on the source, by name on the target. */
static enum err describe(struct comparing *c, struct pg *pg, const struct ddl_object *o, struct ddl_object **ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    AUTO_BUF sql = {0};
    char oid[16];
    const char *params[] = {pg->side == SIDE_SOURCE ? oid : o->schema, o->name};
    const char *by = pg->side == SIDE_SOURCE ? "oid = $1" : "name = $2 AND n.nspname = $1";
    json_t *found;

    snprintf(oid, sizeof oid, "%u", o->oid);
    if (o->kind == 'y')
        buf_addf(&sql, "SELECT %s FROM pg_catalog.pg_type y JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace WHERE y.%s%s", SQL_DDL_DESCRIBE_TYPE,
                 pg->side == SIDE_SOURCE ? "" : "typ", by);
    else
        buf_addf(&sql, "SELECT %s FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.%s%s",
                 table_expression(c->arena, pg), pg->side == SIDE_SOURCE ? "" : "rel", by);
    *ret = NULL;
    TRY(pg_query(pg, buf_cstr(&sql), pg->side == SIDE_SOURCE ? 1 : 2, params, &r, f));
    if (PQntuples(r) == 0)
        return ERR_OK;
    found = json_loads(PQgetvalue(r, 0, 0), 0, NULL);
    *ret = arena_zalloc(c->arena, sizeof **ret);
    read_object(c->arena, found, *ret);
    json_decref(found);
    return ERR_OK;
}

static const struct ddl_column *find_column(const struct ddl_object *o, const char *name)
{
    for (size_t i = 0; o != NULL && i < o->column_count; i++)
        if (strcmp(o->columns[i].name, name) == 0)
            return &o->columns[i];
    return NULL;
}

static bool has_limit(const struct ddl_object *o, const char *name)
{
    for (size_t i = 0; o != NULL && i < o->limit_count; i++)
        if (strcmp(o->limits[i], name) == 0)
            return true;
    return false;
}

static const char *qualified(struct comparing *c, const struct ddl_object *o)
{
    return o->schema != NULL ? pg_quote_qualified(c->arena, o->schema, o->name) : o->name;
}

__attribute__((format(printf, 4, 5))) static void differs(struct comparing *c, const struct ddl_object *o, const char *mend, const char *fmt, ...)
{
    va_list args;

    buf_addf(&c->why, "%s%s.%s: ", c->why.len > 0 ? "; " : "", o->schema != NULL ? o->schema : "", o->name);
    va_start(args, fmt);
    buf_vaddf(&c->why, fmt, args);
    va_end(args);
    if (mend != NULL && o->kind != 'y')
        buf_addf(&c->mend, "%s%s", c->mend.len > 0 ? "; " : "", mend);
}

static void compare_column(struct comparing *c, const struct ddl_object *o, const struct ddl_column *want, const struct ddl_column *now, bool gone_now, const struct ddl_column *there)
{
    const char *table = qualified(c, o);
    const char *name = pg_quote_ident(c->arena, want->name);

    if (there == NULL) {
        if (!gone_now)
            differs(c, o, arena_format(c->arena, "ALTER TABLE %s ADD COLUMN %s %s%s", table, name, want->type, want->null ? "" : " NOT NULL"), "the target lacks %s %s", want->name, want->type);
        return;
    }
    if (strcmp(there->type, want->type) != 0 && (now == NULL || strcmp(there->type, now->type) != 0))
        differs(c, o, arena_format(c->arena, "ALTER TABLE %s ALTER COLUMN %s TYPE %s", table, name, want->type), "%s is %s on the source and %s on the target", want->name, want->type, there->type);
    else if (there->made != want->made && (now == NULL || there->made != now->made))
        differs(c, o, NULL, "%s is computed on one side only", want->name);
    else if (!there->null && want->null && (now == NULL || now->null))
        differs(c, o, arena_format(c->arena, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", table, name), "%s may be NULL on the source only", want->name);
}

static void compare_present(struct comparing *c, const struct ddl_object *o, const struct ddl_object *now, const struct ddl_object *there)
{
    for (size_t i = 0; i < o->column_count; i++) {
        const struct ddl_column *of_now = find_column(now, o->columns[i].name);
        compare_column(c, o, &o->columns[i], of_now, now == NULL || of_now == NULL, find_column(there, o->columns[i].name));
    }
    for (size_t i = 0; i < there->column_count; i++) {
        const char *name = there->columns[i].name;
        if (find_column(o, name) == NULL && find_column(now, name) == NULL)
            differs(c, o, arena_format(c->arena, "ALTER TABLE %s DROP COLUMN %s", qualified(c, o), pg_quote_ident(c->arena, name)), "%s is no longer on the source", name);
    }
    for (size_t i = 0; i < there->limit_count; i++)
        if (!has_limit(o, there->limits[i]) && !has_limit(now, there->limits[i]))
            differs(c, o, NULL, "%s is no longer on the source, and could refuse rows on the target", there->limits[i]);
}

static enum err query_true(struct pg *pg, const char *sql, const struct ddl_object *o, bool *ret, struct fault *f)
{
    const char *params[] = {o->schema, o->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, sql, 2, params, &r, f));
    *ret = PQntuples(r) > 0;
    return ERR_OK;
}

static enum err compare_gone(struct comparing *c, const struct ddl_object *o, struct fault *f)
{
    static const char table[] = "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";
    static const char unique[] = "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid"
                                 " WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique";
    const char *sql = o->kind == 'i' ? unique : table;
    bool there;
    bool again = false; /* another of its name was made since */

    TRY(query_true(c->target, sql, o, &there, f));
    if (there)
        TRY(query_true(c->source, sql, o, &again, f));
    if (there && !again)
        differs(c, o, arena_format(c->arena, "DROP %s %s", o->kind == 'i' ? "INDEX" : "TABLE", qualified(c, o)), "it is no longer on the source");
    return ERR_OK;
}

static enum err compare(struct comparing *c, const struct ddl_object *o, struct fault *f)
{
    struct ddl_object *now;
    struct ddl_object *there;

    if (o->gone)
        return compare_gone(c, o, f);
    TRY(describe(c, c->source, o, &now, f));
    TRY(describe(c, c->target, o, &there, f));
    if (there != NULL)
        compare_present(c, o, now, there);
    else if (now != NULL && o->kind != 'y') /* a type nobody uses yet hinders nothing */
        differs(c, o, NULL, "it is not on the target");
    return ERR_OK;
}

static bool decides(const struct ddl_object *o)
{
    return o->chosen && o->kind != '-' && o->schema != NULL;
}

static const char *with_path(struct arena *a, const struct schema_change *c, const char *statement)
{
    if (c->path == NULL || c->path[0] == '\0' || strcmp(c->path, "\"$user\", public") == 0 || strcmp(c->path, "public") == 0)
        return statement;
    return arena_format(a, "SET search_path = %s; %s", c->path, statement);
}

static void say(struct comparing *c, const struct schema_change *sc, struct ddl_misfit *ret)
{
    struct arena *a = c->arena;
    const char *own = sc->command != NULL && !sc->garbled ? ddl_text_pick(a, sc->command, sc->tag, sc->nth, sc->of) : NULL;

    ret->why = arena_strdup(a, buf_cstr(&c->why));
    if (own != NULL)
        ret->statement = with_path(a, sc, own);
    else
        ret->statement = c->mend.len > 0 ? arena_strdup(a, buf_cstr(&c->mend)) : arena_format(a, "the same %s", sc->tag);
    ret->remark = NULL;
    if (own != NULL && ddl_text_computes(own))
        ret->remark = "it computes values for rows already there, which would differ from the source's: those have to be brought over after it";
    else if (sc->garbled)
        ret->remark = "its text holds bytes that are no UTF-8; made here from the difference";
    else if (own == NULL && sc->command != NULL)
        ret->remark = "it was given within a larger text or by a function; made here from the difference";
}

enum err pg_ddl_misfit(struct store *s, struct store_lane *l, struct arena *a, const struct schema_change *sc, struct ddl_misfit *ret, struct fault *f)
{
    AUTO(pg) *source = NULL;
    AUTO(pg) *target = NULL;
    struct comparing c = {.arena = a};
    enum err err = ERR_OK;

    memset(ret, 0, sizeof *ret);
    TRY(pg_connect(s->store->source, SIDE_SOURCE, "schema change", &source, f));
    if (l == NULL)
        TRY(pg_connect(s->store->target, SIDE_TARGET, "schema change", &target, f));
    c.source = source;
    c.target = l != NULL ? l->pg : target;
    for (size_t i = 0; i < sc->count && err == ERR_OK; i++)
        if (decides(&sc->objects[i]))
            err = compare(&c, &sc->objects[i], f);
    if (err == ERR_OK && c.why.len > 0)
        say(&c, sc, ret);
    buf_fini(&c.why);
    buf_fini(&c.mend);
    return err;
}
