/* store/postgres/examine_collations.c — by which rules text is sorted on either side (trap P19). Indexes are built anew on the target and
 * nothing leat compares is sorted by the server, so that a difference harms nothing of leat's; applications see it. */
#include <ctype.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/examine_internal.h"

struct sorting {
    const char *provider; /* "c", "i", "b" */
    const char *locale;
    const char *ctype;
    const char *recorded; /* version when the database was made; NULL not known */
    const char *actual;   /* version now */
};

static const char *put(struct arena *a, const char *sql, const char *slot, const char *expression)
{
    const char *at = strstr(sql, slot);

    ENSURE(at != NULL);
    return arena_format(a, "%.*s%s%s", (int)(at - sql), sql, expression, at + strlen(slot));
}

static enum err read_sorting(struct examine *e, enum side side, struct sorting *ret, struct fault *f)
{
    struct pg *pg = e->ends[side].pg;
    const char *icu = pg->major >= 17 ? "coalesce(d.datlocale, d.datcollate)" : "coalesce(d.daticulocale, d.datcollate)";
    const char *sql = SQL_EXAMINE_COLLATION_DEFAULT;
    AUTO_RESULT *r = NULL;

    sql = put(e->arena, sql, "{provider}", pg->major >= 15 ? "d.datlocprovider" : "'c'");
    sql = put(e->arena, sql, "{locale}", pg->major >= 15 ? icu : "d.datcollate");
    sql = put(e->arena, sql, "{recorded}", pg->major >= 15 ? "d.datcollversion" : "NULL");
    sql = put(e->arena, sql, "{actual}", pg->major >= 15   ? "pg_database_collation_actual_version(d.oid)"
                                         : pg->major >= 13 ? "(SELECT pg_collation_actual_version(k.oid) FROM pg_catalog.pg_collation k WHERE k.collprovider = 'c' AND k.collcollate = d.datcollate LIMIT 1)"
                                                           : "NULL");
    TRY(pg_exec(pg, sql, &r, f));
    *ret = (struct sorting){.provider = arena_strdup(e->arena, pg_get(r, 0, 0)), .locale = arena_strdup(e->arena, pg_get(r, 0, 1)), .ctype = arena_strdup(e->arena, pg_get(r, 0, 2)),
                            .recorded = arena_strdup(e->arena, pg_get(r, 0, 3)), .actual = arena_strdup(e->arena, pg_get(r, 0, 4))};
    return ERR_OK;
}

/* "en_US.UTF-8" and "en_US.utf8" are one; so are "C" and "POSIX". */
static bool same_locale(const char *a, const char *b)
{
    a = strcmp(a, "POSIX") == 0 ? "C" : a;
    b = strcmp(b, "POSIX") == 0 ? "C" : b;
    for (;;) {
        while (*a == '-')
            a++;
        while (*b == '-')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}

static const char *provider_name(const char *provider)
{
    return strcmp(provider, "i") == 0 ? "icu" : strcmp(provider, "b") == 0 ? "builtin" : "libc";
}

/* The statement that makes the target's database sort as the source's does. */
static const char *how_to_sort_alike(struct examine *e, const struct sorting *s)
{
    struct examine_end *target = examine_target(e);
    const char *locale = pg_quote_literal(e->arena, s->locale);

    if (strcmp(s->provider, "c") == 0)
        return arena_format(e->arena, "CREATE DATABASE %s TEMPLATE template0%s LC_COLLATE %s LC_CTYPE %s -- the target's, made anew", target->database_quoted,
                            target->pg->major >= 15 ? " LOCALE_PROVIDER libc" : "", locale, pg_quote_literal(e->arena, s->ctype));
    return arena_format(e->arena, "CREATE DATABASE %s TEMPLATE template0 LOCALE_PROVIDER %s %s %s LC_CTYPE %s -- the target's, made anew", target->database_quoted, provider_name(s->provider),
                        strcmp(s->provider, "i") == 0 ? "ICU_LOCALE" : "BUILTIN_LOCALE", locale, pg_quote_literal(e->arena, s->ctype));
}

/* A library that changed under a database: its indexes may be out of order, and unique ones hold duplicates. */
static void tell_stale(struct examine *e, enum side side, const struct sorting *s)
{
    struct examine_end *end = &e->ends[side];

    if (s->recorded != NULL && s->actual != NULL && strcmp(s->recorded, s->actual) != 0)
        examine_tell(e, REMARK_FOUND, "collation-stale", side_name(side), arena_format(e->arena, "REINDEX DATABASE %s; ALTER DATABASE %s REFRESH COLLATION VERSION", end->database_quoted, end->database_quoted),
                     "database %s was made with collation version %s and runs with %s: its indexes over text may be out of order, and unique ones may hold duplicates", end->pg->database, s->recorded, s->actual);
}

enum err examine_default_collation(struct examine *e, const struct examine_check *c, struct fault *f)
{
    struct sorting source;
    struct sorting target;

    TRY(read_sorting(e, SIDE_SOURCE, &source, f));
    TRY(read_sorting(e, SIDE_TARGET, &target, f));
    tell_stale(e, SIDE_SOURCE, &source);
    tell_stale(e, SIDE_TARGET, &target);
    if (strcmp(source.provider, target.provider) != 0 || !same_locale(source.locale, target.locale) || !same_locale(source.ctype, target.ctype))
        examine_tell(e, REMARK_FOUND, c->id, "target", how_to_sort_alike(e, &source), "text is sorted by %s %s (ctype %s) on the source and by %s %s (ctype %s) on the target: the order of results changes",
                     provider_name(source.provider), source.locale, source.ctype, provider_name(target.provider), target.locale, target.ctype);
    else if (source.actual != NULL && target.actual != NULL && strcmp(source.actual, target.actual) != 0)
        examine_tell(e, REMARK_NOTE, "collation-version", "target", "", "%s %s is of version %s on the source and %s on the target: the order of some text changes; indexes are built anew", provider_name(source.provider),
                     source.locale, source.actual, target.actual);
    else
        examine_fine(e, c->id, "target", "text is sorted by %s %s on both", provider_name(source.provider), source.locale);
    return ERR_OK;
}

/* --- collations of columns --- */

static int find_collation(const PGresult *r, const char *schema, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++)
        if (strcmp(PQgetvalue(r, i, 0), schema) == 0 && strcmp(PQgetvalue(r, i, 1), name) == 0)
            return i;
    return -1;
}

/* One collation of the source's, as its first chosen column has it. Those of the database's own come with the schema. */
static void tell_collation(struct examine *e, const PGresult *r, int row, const PGresult *known)
{
    const char *schema = PQgetvalue(r, row, 0);
    const char *name = PQgetvalue(r, row, 1);
    const char *version = PQgetvalue(r, row, 3);
    int there = find_collation(known, schema, name);

    if (strcmp(schema, "pg_catalog") == 0 && there < 0)
        examine_tell(e, REMARK_FOUND, "collation-missing", name,
                     arena_format(e->arena, "SELECT pg_import_system_collations('pg_catalog') -- on the target, after its machine has the locale (%s)", PQgetvalue(r, row, 2)[0] == 'i' ? "ICU data" : "locale-gen"),
                     "column %s.%s.%s is sorted by %s, which the target does not have", PQgetvalue(r, row, 4), PQgetvalue(r, row, 5), PQgetvalue(r, row, 6), name);
    else if (there >= 0 && version[0] != '\0' && PQgetvalue(known, there, 2)[0] != '\0' && strcmp(version, PQgetvalue(known, there, 2)) != 0)
        examine_tell(e, REMARK_NOTE, "collation-version", name, "", "collation %s (column %s.%s.%s) is of version %s on the source and %s on the target: the order of some text changes; indexes are built anew", name,
                     PQgetvalue(r, row, 4), PQgetvalue(r, row, 5), PQgetvalue(r, row, 6), version, PQgetvalue(known, there, 2));
}

enum err examine_collations(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *used = NULL;
    AUTO_RESULT *known = NULL;
    int last = -1;

    (void)c;
    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_COLLATIONS, &used, f));
    TRY(pg_exec(examine_target(e)->pg, SQL_EXAMINE_COLLATIONS_KNOWN, &known, f));
    for (int i = 0; i < PQntuples(used); i++) {
        if (!config_chooses(e->store, PQgetvalue(used, i, 4), PQgetvalue(used, i, 5)))
            continue;
        if (last >= 0 && strcmp(PQgetvalue(used, last, 0), PQgetvalue(used, i, 0)) == 0 && strcmp(PQgetvalue(used, last, 1), PQgetvalue(used, i, 1)) == 0)
            continue;
        tell_collation(e, used, i, known);
        last = i;
    }
    return ERR_OK;
}
