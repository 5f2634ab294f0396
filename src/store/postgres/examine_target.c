/* store/postgres/examine_target.c — what must not be on the target yet, and what it has to have: extensions, tablespaces, collations. */
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/examine_internal.h"

#define NAMES_SHOWN 5

/* --- what must not be there --- */

static int by_schema_and_name(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    int order = strcmp(a[0], b[0]);

    return order != 0 ? order : strcmp(a[1], b[1]);
}

/* Names the schema that will be restored brings: pairs (schema, name), sorted. Tables only where chosen. */
static size_t brought(struct examine *e, const PGresult *r, const char *(**ret)[2])
{
    const char *(*names)[2] = arena_alloc(e->arena, ((size_t)PQntuples(r) + 1) * sizeof *names);
    size_t count = 0;

    for (int i = 0; i < PQntuples(r); i++) {
        const char *kind = PQgetvalue(r, i, 2);
        if ((*kind == 'r' || *kind == 'p') && !config_chooses(e->store, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)))
            continue;
        names[count][0] = PQgetvalue(r, i, 0);
        names[count++][1] = PQgetvalue(r, i, 1);
    }
    qsort(names, count, sizeof *names, by_schema_and_name);
    *ret = names;
    return count;
}

enum err examine_target_empty(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *here = NULL;
    AUTO_RESULT *there = NULL;
    AUTO_BUF names = {0};
    const char *(*coming)[2];
    size_t count;
    int same = 0;

    if (e->ours) {
        examine_fine(e, c->id, "target", "what stands on the target was made by this migration");
        return ERR_OK;
    }
    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_RELATIONS, &here, f));
    TRY(pg_exec(examine_target(e)->pg, SQL_EXAMINE_RELATIONS, &there, f));
    count = brought(e, here, &coming);
    for (int i = 0; i < PQntuples(there); i++) {
        const char *key[2] = {PQgetvalue(there, i, 0), PQgetvalue(there, i, 1)};
        if (bsearch(key, coming, count, sizeof *coming, by_schema_and_name) == NULL)
            continue;
        if (same++ < NAMES_SHOWN)
            buf_addf(&names, "%s%s.%s", same > 1 ? ", " : "", key[0], key[1]);
    }
    if (same > 0)
        examine_tell(e, REMARK_FOUND, c->id, "target", arena_format(e->arena, "DROP DATABASE %s; CREATE DATABASE %s TEMPLATE template0 -- on the target, if nothing there is needed; or name another database in leat.yaml",
                                                                   examine_target(e)->database_quoted, examine_target(e)->database_quoted),
                     "%d object%s of the source's names stand%s on the target already: %s%s", same, same == 1 ? "" : "s", same == 1 ? "s" : "", buf_cstr(&names), same > NAMES_SHOWN ? ", ..." : "");
    else if (PQntuples(there) > 0)
        examine_tell(e, REMARK_NOTE, "target-shared", "target", "", "the target holds %d other objects; leat leaves them alone", PQntuples(there));
    else
        examine_fine(e, c->id, "target", "the target is empty");
    return ERR_OK;
}

/* --- extensions --- */

/* Debian's package of an extension that is not PostgreSQL's own; "" unknown. */
static const char *package_of(struct arena *a, const char *extension, int major)
{
    static const struct {
        const char *extension;
        const char *package;
    } known[] = {{"postgis", "postgis-3"}, {"postgis_topology", "postgis-3"}, {"postgis_raster", "postgis-3"}, {"postgis_sfcgal", "postgis-3"}, {"postgis_tiger_geocoder", "postgis-3"},
                 {"vector", "pgvector"}, {"pg_cron", "cron"}, {"pg_partman", "partman"}, {"pg_repack", "repack"}, {"hypopg", "hypopg"}, {"hll", "hll"}, {"pgaudit", "pgaudit"},
                 {"pg_squeeze", "squeeze"}, {"pgtap", "pgtap"}, {"pglogical", "pglogical"}, {"orafce", "orafce"}, {"rum", "rum"}, {"semver", "semver"}, {"h3", "h3"}, {"age", "age"},
                 {"pgrouting", "pgrouting"}, {"mysql_fdw", "mysql-fdw"}, {"ogr_fdw", "ogr-fdw"}, {"tds_fdw", "tds-fdw"}, {"similarity", "similarity"}, {"ip4r", "ip4r"}, {"prefix", "prefix"},
                 {"wal2json", "wal2json"}, {"plv8", "plv8"}, {"timescaledb", "timescaledb"}, {"toastinfo", "toastinfo"}, {"unit", "unit"}, {"rational", "rational"}};

    if (strcmp(extension, "plpython3u") == 0 || strcmp(extension, "plperl") == 0 || strcmp(extension, "plperlu") == 0 || strcmp(extension, "pltcl") == 0 || strcmp(extension, "pltclu") == 0)
        return arena_format(a, "apt-get install postgresql-%.*s-%d", (int)strcspn(extension, "u"), extension, major);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].extension, extension) == 0)
            return arena_format(a, "apt-get install postgresql-%d-%s", major, known[i].package);
    return arena_format(a, "apt-get install postgresql-contrib, if it is one of PostgreSQL's own; else the package of %s for PostgreSQL %d", extension, major);
}

/* Extensions of PostgreSQL's own that a major no longer has: no package brings them. */
static bool is_removed(const char *extension, int major)
{
    static const struct {
        const char *extension;
        int since;
    } gone[] = {{"chkpass", 11}, {"timetravel", 12}, {"plpythonu", 15}, {"plpython2u", 15}, {"hstore_plpythonu", 15}, {"hstore_plpython2u", 15}, {"ltree_plpythonu", 15}, {"ltree_plpython2u", 15},
                {"jsonb_plpythonu", 15}, {"jsonb_plpython2u", 15}, {"adminpack", 17}, {"old_snapshot", 17}};

    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strcmp(gone[i].extension, extension) == 0)
            return major >= gone[i].since;
    return false;
}

static int find_name(const PGresult *r, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++)
        if (strcmp(PQgetvalue(r, i, 0), name) == 0)
            return i;
    return -1;
}

static bool tell_extension(struct examine *e, const char *id, const char *name, const char *version, const PGresult *available)
{
    struct examine_end *target = examine_target(e);
    int row = find_name(available, name);
    const char *quoted = pg_quote_ident(e->arena, name);
    const char *offered = row >= 0 ? PQgetvalue(available, row, PQgetvalue(available, row, 2)[0] != '\0' ? 2 : 1) : "";

    if (row < 0 && is_removed(name, target->pg->major)) {
        examine_tell(e, REMARK_FOUND, id, name, arena_format(e->arena, "DROP EXTENSION %s -- on the source, once nothing uses it", quoted), "PostgreSQL %d has no extension %s any more", target->pg->major, name);
        return true;
    }
    if (row < 0) {
        examine_tell(e, REMARK_FOUND, id, name, examine_service(target)[0] != '\0' ? "enable it in the service's settings, if it is offered there" : package_of(e->arena, name, target->pg->major),
                     "extension %s %s is not available on the target", name, version);
        return true;
    }
    if (PQgetvalue(available, row, 2)[0] == '\0' && pg_get_bool(available, row, 3) && !examine_true(target, "superuser") && examine_service(target)[0] == '\0') {
        examine_tell(e, REMARK_FOUND, id, name, arena_format(e->arena, "CREATE EXTENSION %s -- by a superuser, in database %s", quoted, target->pg->database),
                     "extension %s takes a superuser to make, which role %s is not", name, target->role);
        return true;
    }
    if (strverscmp(offered, version) < 0) {
        examine_tell(e, REMARK_WARNING, "extension-older", name, PQgetvalue(available, row, 2)[0] != '\0' ? arena_format(e->arena, "ALTER EXTENSION %s UPDATE", quoted) : package_of(e->arena, name, target->pg->major),
                     "extension %s is %s on the source and %s on the target", name, version, offered);
        return true;
    }
    return false;
}

enum err examine_extensions(struct examine *e, const struct examine_check *c, struct fault *f)
{
    const char *slot = strstr(SQL_EXAMINE_EXTENSIONS_AVAILABLE, "{trusted}");
    AUTO_RESULT *here = NULL;
    AUTO_RESULT *available = NULL;
    int told = 0;

    ENSURE(slot != NULL);
    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_EXTENSIONS, &here, f));
    TRY(pg_exec(examine_target(e)->pg,
                arena_format(e->arena, "%.*s%s%s", (int)(slot - SQL_EXAMINE_EXTENSIONS_AVAILABLE), SQL_EXAMINE_EXTENSIONS_AVAILABLE,
                             examine_target(e)->pg->major >= 13 ? "(v.trusted AND has_database_privilege(current_database(), 'CREATE'))" : "false", slot + strlen("{trusted}")),
                &available, f));
    for (int i = 0; i < PQntuples(here); i++)
        told += tell_extension(e, c->id, PQgetvalue(here, i, 0), PQgetvalue(here, i, 1), available);
    if (told == 0)
        examine_fine(e, c->id, "target", PQntuples(here) > 0 ? "all %d extensions of the source are available" : "the source has no extensions (%d)", PQntuples(here));
    return ERR_OK;
}

enum err examine_tablespaces(struct examine *e, const struct examine_check *c, struct fault *f)
{
    AUTO_RESULT *here = NULL;
    AUTO_RESULT *there = NULL;

    TRY(pg_exec(examine_source(e)->pg, SQL_EXAMINE_TABLESPACES, &here, f));
    TRY(pg_exec(examine_target(e)->pg, SQL_EXAMINE_TABLESPACES, &there, f));
    for (int i = 0; i < PQntuples(here); i++)
        if (pg_get_int(here, i, 2) > 0 && find_name(there, PQgetvalue(here, i, 0)) < 0)
            examine_tell(e, REMARK_FOUND, c->id, PQgetvalue(here, i, 0),
                         arena_format(e->arena, "CREATE TABLESPACE %s LOCATION %s -- on the target, in an empty folder its server owns", pg_quote_ident(e->arena, PQgetvalue(here, i, 0)),
                                      pg_quote_literal(e->arena, PQgetvalue(here, i, 1))),
                         "%s tables and indexes lie in tablespace %s, which the target does not have", PQgetvalue(here, i, 2), PQgetvalue(here, i, 0));
    return ERR_OK;
}
