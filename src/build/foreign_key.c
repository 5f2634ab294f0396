/* build/foreign_key.c — see foreign_key.h. */
#include "build/foreign_key.h"

#include <stdlib.h>
#include <string.h>

#include "sql_embedded.h"

static struct foreign_key *take_key(struct foreign_keys *keys, struct arena *a, const PGresult *r, int row)
{
    uint32_t oid = (uint32_t)pg_get_int(r, row, 0);
    struct foreign_key *k = keys->count > 0 ? &keys->list[keys->count - 1] : NULL;

    if (k != NULL && k->oid == oid)
        return k; /* one row a leaf, sorted */
    k = &keys->list[keys->count++];
    *k = (struct foreign_key){
        .oid = oid,
        .name = arena_strdup(a, PQgetvalue(r, row, 1)),
        .table = pg_quote_qualified(a, PQgetvalue(r, row, 2), PQgetvalue(r, row, 3)),
        .partitioned = pg_get_bool(r, row, 4),
    };
    return k;
}

enum err foreign_keys_load(struct pg *source, const struct config_store *s, struct arena *a, struct foreign_keys *ret,
                           struct fault *f)
{
    struct foreign_keys keys = {0};
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(source, SQL_BUILD_FOREIGN_KEYS, &r, f));
    keys.list = arena_alloc(a, ((size_t)PQntuples(r) + 1) * sizeof *keys.list);
    for (int i = 0; i < PQntuples(r); i++) {
        struct foreign_key *k = take_key(&keys, a, r, i);
        if (k->uncopied == NULL && !config_chooses(s, PQgetvalue(r, i, 5), PQgetvalue(r, i, 6)))
            k->uncopied = arena_format(a, "%s.%s", PQgetvalue(r, i, 5), PQgetvalue(r, i, 6));
    }
    *ret = keys;
    return ERR_OK;
}

static int by_oid(const void *key, const void *element)
{
    uint32_t oid = *(const uint32_t *)key;
    const struct foreign_key *k = element;

    return oid < k->oid ? -1 : oid > k->oid;
}

const struct foreign_key *foreign_key_find(const struct foreign_keys *keys, uint32_t oid)
{
    return keys->count > 0 ? bsearch(&oid, keys->list, keys->count, sizeof *keys->list, by_oid) : NULL;
}

static bool ends_in(const char *text, size_t len, const char *end)
{
    size_t n = strlen(end);

    return len >= n && memcmp(text + len - n, end, n) == 0;
}

struct foreign_key_sql foreign_key_statements(struct arena *a, const struct foreign_key *key, const char *sql,
                                              int target_major)
{
    size_t len = strlen(sql);
    bool whole = ends_in(sql, len, ";");

    len -= whole;
    /* pg_get_constraintdef() puts these last; so far they are unchecked on the source too */
    if (key == NULL || !whole || ends_in(sql, len, " NOT VALID") || ends_in(sql, len, " NOT ENFORCED"))
        return (struct foreign_key_sql){.add = sql};
    if (key->partitioned && target_major < 18) /* refuses NOT VALID there */
        return (struct foreign_key_sql){.add = key->uncopied != NULL ? NULL : sql};
    return (struct foreign_key_sql){
        .add = arena_format(a, "%.*s NOT VALID;", (int)len, sql),
        .validate = key->uncopied != NULL ? NULL
                                          : arena_format(a, "ALTER TABLE %s VALIDATE CONSTRAINT %s", key->table,
                                                         pg_quote_ident(a, key->name)),
    };
}
