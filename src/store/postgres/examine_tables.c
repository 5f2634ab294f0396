/* store/postgres/examine_tables.c — the chosen tables, where more than a query is needed. */
#include <inttypes.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/examine_internal.h"

#define SEQUENCES_AT_ONCE 200

static const char *size_text(struct arena *a, int64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    double n = (double)bytes;
    size_t unit = 0;

    for (; n >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        n /= 1024;
    return arena_format(a, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

static bool pattern_matches(struct examine *e, const char *pattern)
{
    const struct config_store one = {.name = e->store->name, .include = &pattern, .include_count = 1};

    for (size_t i = 0; i < e->catalog->table_count; i++)
        if (config_chooses(&one, e->catalog->tables[i].schema, e->catalog->tables[i].name))
            return true;
    return false;
}

enum err examine_chosen(struct examine *e, const struct examine_check *c, struct fault *f)
{
    int64_t bytes = 0;

    (void)f;
    for (size_t i = 0; i < e->catalog->table_count; i++)
        bytes += e->catalog->tables[i].bytes;
    if (e->catalog->table_count == 0)
        examine_tell(e, REMARK_FOUND, c->id, "source", "correct `include` and `exclude` in leat.yaml", "no table of database %s is chosen", examine_source(e)->pg->database);
    else
        examine_fine(e, c->id, "source", "%zu tables with %s and %zu sequences are chosen", e->catalog->table_count, size_text(e->arena, bytes), e->catalog->sequence_count);
    for (size_t i = 0; i < e->store->include_count && e->catalog->table_count > 0; i++)
        if (!pattern_matches(e, e->store->include[i]))
            examine_tell(e, REMARK_FOUND, "include-unmatched", e->store->include[i], "correct `include` in leat.yaml", "the pattern %s of `include` chooses no table", e->store->include[i]);
    return ERR_OK;
}

/* Indexes are built anew and end smaller; their present size, and half as much again for WAL and sorting, is a safe measure. */
enum err examine_size(struct examine *e, const struct examine_check *c, struct fault *f)
{
    int64_t database = examine_number(examine_source(e), "database_size", 0);
    const struct table *largest = NULL;

    (void)f;
    for (size_t i = 0; i < e->catalog->table_count; i++)
        if (largest == NULL || e->catalog->tables[i].bytes > largest->bytes)
            largest = &e->catalog->tables[i];
    if (largest != NULL)
        examine_tell(e, REMARK_FOUND, c->id, "target", "",
                     "the target's disk needs up to %s for database %s (now %s, half as much again for WAL and index builds), largest table %s.%s with %s; leat cannot see that disk by SQL",
                     size_text(e->arena, database + database / 2), examine_source(e)->pg->database, size_text(e->arena, database), largest->schema, largest->name, size_text(e->arena, largest->bytes));
    return ERR_OK;
}

enum err examine_foreign_keys(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_FOREIGN_KEYS, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        const char *schema = PQgetvalue(r, i, 0);
        const char *name = PQgetvalue(r, i, 1);
        if (config_chooses(e->store, schema, name) && !config_chooses(e->store, PQgetvalue(r, i, 3), PQgetvalue(r, i, 4)))
            examine_tell(e, REMARK_FOUND, c->id, arena_format(e->arena, "%s.%s", schema, name),
                         arena_format(e->arena, "add %s.%s to `include` in leat.yaml; or %s", PQgetvalue(r, i, 3), PQgetvalue(r, i, 4), PQgetvalue(r, i, 5)),
                         "foreign key %s refers to %s.%s, which is not chosen: on the target it cannot hold", PQgetvalue(r, i, 2), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
    }
    return ERR_OK;
}

/* --- sequences --- */

/* Chosen sequences of `all` from row `from` on, at most SEQUENCES_AT_ONCE, as an array; returns the row after them. */
static int next_sequences(struct examine *e, const PGresult *all, int from, struct buf *oids)
{
    int n = 0;
    int i = from;

    buf_clear(oids);
    buf_addc(oids, '{');
    for (; i < PQntuples(all) && n < SEQUENCES_AT_ONCE; i++)
        if (config_chooses(e->store, PQgetvalue(all, i, 0), PQgetvalue(all, i, 1)))
            buf_addf(oids, "%s%s", n++ > 0 ? "," : "", PQgetvalue(all, i, 2));
    buf_addc(oids, '}');
    return i;
}

enum err examine_sequences(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct pg *pg = examine_source(e)->pg;
    AUTO_RESULT *all = NULL;
    AUTO_BUF oids = {0};
    int told = 0;

    TRY(pg_exec(pg, SQL_EXAMINE_SEQUENCES, &all, f));
    for (int i = 0; i < PQntuples(all);) {
        AUTO_RESULT *r = NULL;
        i = next_sequences(e, all, i, &oids);
        const char *params[] = {buf_cstr(&oids)};
        TRY(pg_query(pg, SQL_EXAMINE_SEQUENCES_END, 1, params, &r, f));
        for (int k = 0; k < PQntuples(r); k++, told++)
            examine_tell(e, REMARK_FOUND, c->id, arena_format(e->arena, "%s.%s", PQgetvalue(r, k, 0), PQgetvalue(r, k, 1)), PQgetvalue(r, k, 3), "%s", PQgetvalue(r, k, 2));
    }
    if (told == 0)
        examine_fine(e, c->id, "source", "no sequence is near its end");
    return ERR_OK;
}

enum err examine_large_objects(struct examine *e, const struct examine_check *c, struct fault *f)
{
    int64_t count;

    TRY(pg_integer(examine_source(e)->pg, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata", &count, f));
    if (count == 0)
        examine_fine(e, c->id, "source", "no large objects");
    else
        examine_tell(e, REMARK_FOUND, c->id, "source",
                     arena_format(e->arena, "pg_dump --data-only --blobs --exclude-schema='*' -Fc '%s' | pg_restore -d '%s' -- while nobody writes", config_dsn_public(e->arena, examine_source(e)->dsn),
                                  config_dsn_public(e->arena, examine_target(e)->dsn)),
                     "%" PRId64 " large object%s: they are not in the stream of changes, and not in any table", count, count == 1 ? "" : "s");
    return ERR_OK;
}
