/* store/postgres/inventory.c — the catalog of a database in four queries, whatever the number of its tables.
 *
 * Tables, columns, types and sequences are read each at once, in one read-only snapshot, and put together here: columns by
 * table oid, types by type oid. What differs by version is one expression, put into the query's text ({keys}, {generated}).
 *
 * Invariants
 *  1. identity_index is set iff the server itself would use that index for old rows: REPLICA IDENTITY USING INDEX, or the
 *     default with a primary key that is valid and not DEFERRABLE (trap P34).
 *  2. binary_stable is an allow-list: a type not known to be stable is copied as text.
 *  3. No lock is waited for longer than SIZE_LOCK_MS (sizes take ACCESS SHARE on each table). */
#include "store/postgres/inventory.h"

#include <stdlib.h>

#include "sql_embedded.h"

#define SIZE_LOCK_MS 10000

struct type_fact {
    uint32_t oid;
    bool binary_stable;
    bool bulk_safe;
};

struct loading {
    struct pg *pg;
    const struct config_store *store; /* NULL: everything is chosen */
    struct catalog *catalog;
    struct arena *arena;  /* the catalog's */
    struct table **by_oid;
    const char **keys;    /* of by_oid[i]: the identity's attribute numbers, "{1,3}"; scratch */
    struct type_fact *types;
    size_t type_count;
    struct arena *scratch;
};

/* SQL with {slot} replaced by an expression of ours. */
static const char *with_expression(struct arena *a, const char *sql, const char *slot, const char *expression)
{
    const char *at = strstr(sql, slot);

    ENSURE(at != NULL);
    return arena_format(a, "%.*s%s%s", (int)(at - sql), sql, expression, at + strlen(slot));
}

static bool chosen(const struct loading *l, const char *schema, const char *name)
{
    return l->store == NULL || config_chooses(l->store, schema, name);
}

/* --- types --- */

static enum err load_types(struct loading *l, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(l->pg, SQL_INVENTORY_TYPES, &r, f));
    l->type_count = (size_t)PQntuples(r);
    l->types = arena_zalloc(l->scratch, (l->type_count + 1) * sizeof *l->types);
    for (int i = 0; i < PQntuples(r); i++)
        l->types[i] = (struct type_fact){
            .oid = (uint32_t)pg_get_int(r, i, 0), .binary_stable = pg_get_bool(r, i, 1), .bulk_safe = pg_get_bool(r, i, 2)};
    return ERR_OK;
}

static int type_order(const void *key, const void *row)
{
    uint32_t oid = *(const uint32_t *)key;
    const struct type_fact *fact = row;

    return oid < fact->oid ? -1 : oid > fact->oid;
}

/* --- tables --- */

static void read_table(struct loading *l, const PGresult *r, int row, struct table *t)
{
    struct arena *a = l->arena;

    t->oid = (uint32_t)pg_get_int(r, row, 0);
    t->schema = arena_strdup(a, pg_get(r, row, 1));
    t->name = arena_strdup(a, pg_get(r, row, 2));
    t->qualified = pg_quote_qualified(a, t->schema, t->name);
    t->owner = arena_strdup(a, pg_get(r, row, 3));
    t->kind = TABLE_ORDINARY;
    t->is_partition = pg_get_bool(r, row, 4);
    t->unlogged = pg_get_bool(r, row, 5);
    t->row_security = pg_get_bool(r, row, 6);
    t->identity = (enum identity)PQgetvalue(r, row, 7)[0];
    t->identity_index = PQgetisnull(r, row, 8) ? NULL : pg_quote_ident(a, pg_get(r, row, 8));
    t->key_deferrable = pg_get_bool(r, row, 10);
    t->bytes = pg_get_int(r, row, 11);
    t->pages = l->pg->major >= 14 ? pg_get_int(r, row, 12) : 0; /* before, there are no TID range scans: each range would read all of it (P25) */
    t->rows = strtod(PQgetvalue(r, row, 13), NULL);
    t->rows = t->rows > 0 ? t->rows : -1; /* 0 before 14 and -1 from then on: never counted */
    t->relfilenode = (uint32_t)pg_get_int(r, row, 14);
}

static int by_name(const void *left, const void *right)
{
    const struct table *a = left;
    const struct table *b = right;
    int order = strcmp(a->schema, b->schema);

    return order != 0 ? order : strcmp(a->name, b->name);
}

static int by_oid(const void *left, const void *right)
{
    const struct table *a = *(struct table *const *)left;
    const struct table *b = *(struct table *const *)right;

    return a->oid < b->oid ? -1 : a->oid > b->oid;
}

static int oid_order(const void *key, const void *row)
{
    uint32_t oid = *(const uint32_t *)key;
    const struct table *t = *(struct table *const *)row;

    return oid < t->oid ? -1 : oid > t->oid;
}

/* Its place in by_oid, or NULL. */
static struct table **find_oid(const struct loading *l, uint32_t oid)
{
    return bsearch(&oid, l->by_oid, l->catalog->table_count, sizeof *l->by_oid, oid_order);
}

static enum err load_tables(struct loading *l, struct fault *f)
{
    struct catalog *c = l->catalog;
    const char *sql = with_expression(l->scratch, SQL_INVENTORY_TABLES, "{keys}", l->pg->major >= 11 ? "i.indnkeyatts" : "i.indnatts");
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(l->pg, sql, &r, f));
    c->tables = arena_zalloc(l->arena, ((size_t)PQntuples(r) + 1) * sizeof *c->tables);
    l->by_oid = arena_zalloc(l->scratch, ((size_t)PQntuples(r) + 1) * sizeof *l->by_oid);
    l->keys = arena_zalloc(l->scratch, ((size_t)PQntuples(r) + 1) * sizeof *l->keys);
    for (int i = 0; i < PQntuples(r); i++)
        if (chosen(l, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2)))
            read_table(l, r, i, &c->tables[c->table_count++]);
    qsort(c->tables, c->table_count, sizeof *c->tables, by_name);
    for (size_t i = 0; i < c->table_count; i++)
        l->by_oid[i] = &c->tables[i];
    qsort(l->by_oid, c->table_count, sizeof *l->by_oid, by_oid);
    for (int i = 0; i < PQntuples(r); i++) {
        struct table **t = find_oid(l, (uint32_t)pg_get_int(r, i, 0));
        if (t != NULL)
            l->keys[t - l->by_oid] = arena_strdup(l->scratch, PQgetvalue(r, i, 9));
    }
    return ERR_OK;
}

/* --- columns --- */

/* Whether `number` is in an array literal of numbers: "{1,3}". */
static bool number_in(const char *array, long number)
{
    for (const char *p = array; p != NULL && *p != '\0' && *p != '}';) {
        char *end;
        long n = strtol(p + 1, &end, 10);
        if (end == p + 1)
            return false;
        if (n == number)
            return true;
        p = end;
    }
    return false;
}

static void read_column(struct loading *l, const PGresult *r, int row, const struct table *t, const char *keys, struct column *c)
{
    const struct type_fact *type;

    c->name = arena_strdup(l->arena, pg_get(r, row, 2));
    c->type = arena_strdup(l->arena, pg_get(r, row, 3));
    c->type_oid = (uint32_t)pg_get_int(r, row, 4);
    c->typmod = (int32_t)pg_get_int(r, row, 5);
    c->not_null = pg_get_bool(r, row, 6);
    c->generated = pg_get_bool(r, row, 7);
    c->identity_always = pg_get_bool(r, row, 8);
    c->key = (t->identity == IDENTITY_FULL && !c->generated) || (t->identity_index != NULL && number_in(keys, (long)pg_get_int(r, row, 1)));
    type = bsearch(&c->type_oid, l->types, l->type_count, sizeof *l->types, type_order);
    c->binary_stable = type != NULL && type->binary_stable;
    c->bulk_safe = type != NULL && type->bulk_safe;
}

/* Rows from `from` on that belong to the same table. */
static int rows_of_table(const PGresult *r, int from)
{
    int n = 1;

    while (from + n < PQntuples(r) && strcmp(PQgetvalue(r, from + n, 0), PQgetvalue(r, from, 0)) == 0)
        n++;
    return n;
}

static enum err load_columns(struct loading *l, struct fault *f)
{
    /* virtual columns (18) are computed too, and never sent */
    const char *sql = with_expression(l->scratch, SQL_INVENTORY_COLUMNS, "{generated}", l->pg->major >= 12 ? "a.attgenerated <> ''" : "false");
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(l->pg, sql, &r, f));
    for (int i = 0, n = 0; i < PQntuples(r); i += n) {
        struct table **at = find_oid(l, (uint32_t)pg_get_int(r, i, 0));
        n = rows_of_table(r, i);
        if (at == NULL)
            continue;
        (*at)->columns = arena_zalloc(l->arena, (size_t)n * sizeof *(*at)->columns);
        (*at)->column_count = (uint16_t)n;
        for (int k = 0; k < n; k++)
            read_column(l, r, i + k, *at, l->keys[at - l->by_oid], &(*at)->columns[k]);
    }
    return ERR_OK;
}

/* --- sequences --- */

static int schema_order(const void *key, const void *row)
{
    return strcmp(key, ((const struct table *)row)->schema);
}

/* Chosen by name, or used by a chosen table, or beside one: a sequence left behind would hand out numbers twice. */
static bool sequence_chosen(const struct loading *l, const char *schema, const char *name, const char *users)
{
    const struct catalog *c = l->catalog;

    if (chosen(l, schema, name) || bsearch(schema, c->tables, c->table_count, sizeof *c->tables, schema_order) != NULL)
        return true;
    for (const char *p = users; *p != '\0' && *p != '}';) {
        char *end;
        unsigned long oid = strtoul(p + 1, &end, 10);
        if (end == p + 1)
            break;
        if (find_oid(l, (uint32_t)oid) != NULL)
            return true;
        p = end;
    }
    return false;
}

static void read_sequence(struct loading *l, const PGresult *r, int row, struct sequence *s)
{
    s->schema = arena_strdup(l->arena, pg_get(r, row, 0));
    s->name = arena_strdup(l->arena, pg_get(r, row, 1));
    s->qualified = pg_quote_qualified(l->arena, s->schema, s->name);
    s->increment = pg_get_int(r, row, 2);
    s->min_value = pg_get_int(r, row, 3);
    s->max_value = pg_get_int(r, row, 4);
    s->cache = pg_get_int(r, row, 5);
    s->cycle = pg_get_bool(r, row, 6);
}

static int sequence_by_name(const void *left, const void *right)
{
    const struct sequence *a = left;
    const struct sequence *b = right;
    int order = strcmp(a->schema, b->schema);

    return order != 0 ? order : strcmp(a->name, b->name);
}

static enum err load_sequences(struct loading *l, struct fault *f)
{
    struct catalog *c = l->catalog;
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(l->pg, SQL_INVENTORY_SEQUENCES, &r, f));
    c->sequences = arena_zalloc(l->arena, ((size_t)PQntuples(r) + 1) * sizeof *c->sequences);
    for (int i = 0; i < PQntuples(r); i++)
        if (sequence_chosen(l, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 7)))
            read_sequence(l, r, i, &c->sequences[c->sequence_count++]);
    qsort(c->sequences, c->sequence_count, sizeof *c->sequences, sequence_by_name);
    return ERR_OK;
}

/* --- all of it --- */

static enum err load_all(struct loading *l, struct fault *f)
{
    TRY(pg_execf(l->pg, NULL, f, "SET LOCAL lock_timeout = %d", SIZE_LOCK_MS));
    TRY(load_types(l, f));
    TRY(load_tables(l, f));
    TRY(load_columns(l, f));
    return load_sequences(l, f);
}

enum err pg_catalog_load(struct pg *pg, const struct config_store *s, struct catalog **ret, struct fault *f)
{
    AUTO(catalog) *c = mem_alloc(sizeof *c);
    AUTO(arena) *scratch = arena_new(256 * 1024);
    struct loading l = {.pg = pg, .store = s, .catalog = c, .scratch = scratch};
    bool own = PQtransactionStatus(pg->conn) == PQTRANS_IDLE;
    enum err err;

    c->arena = l.arena = arena_new(256 * 1024);
    if (own)
        TRY(pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, f));
    err = load_all(&l, f);
    if (err != ERR_OK) {
        PQclear(PQexec(pg->conn, "ROLLBACK"));
        fault_add(f, "reading the %s's catalog", side_name(pg->side));
        return err;
    }
    if (own)
        TRY(pg_exec(pg, "COMMIT", NULL, f));
    *ret = TAKE(c);
    return ERR_OK;
}
