/* build/schema.c — see schema.h. */
#include "build/schema.h"

#include <stdlib.h>

static bool spaces_missing(const struct toc *toc, const struct party *p, struct buf *notes)
{
    const char *said = NULL;

    for (size_t i = 0; i < toc->count; i++) {
        const char *space = toc->entries[i].tablespace;
        if (space == NULL || party_has_space(p, space) || (said != NULL && strcmp(said, space) == 0))
            continue;
        buf_addf(notes,
                 "tablespace %s is not on the target, or closed to leat's role: everything goes into the database's "
                 "own tablespace\n",
                 space);
        said = space;
    }
    return said != NULL;
}

/* Both forms must be the same dump, entry for entry: the file may have been replaced between the two readings. */
static enum err same_entries(const struct schema *s, struct fault *f)
{
    const struct toc *a = &s->whole->toc;
    const struct toc *b = &s->bare->toc;

    if (a->count != b->count)
        return fault_set(f, ERR_PG_DUMP, "two readings of the dump differ in their number of entries");
    for (size_t i = 0; i < a->count; i++)
        if (a->entries[i].id != b->entries[i].id || archive_owner_part(&a->entries[i], &b->entries[i]) == NULL)
            return fault_set(f, ERR_PG_DUMP, "two readings of the dump differ at entry %d (%s)", a->entries[i].id,
                             a->entries[i].name);
    return ERR_OK;
}

enum err schema_load(const char *dir, struct pg *target, struct buf *notes, struct schema **ret, struct fault *f)
{
    AUTO(schema) *s = mem_alloc(sizeof *s);
    int form = ARCHIVE_WHOLE;

    s->arena = arena_new(65536);
    s->target_major = target->major;
    TRY(party_load(target, &s->party, f));
    TRY(archive_load(dir, form, &s->whole, f));
    if (spaces_missing(&s->whole->toc, s->party, notes)) {
        form |= ARCHIVE_NO_TABLESPACES;
        archive_free(TAKE(s->whole));
        TRY(archive_load(dir, form, &s->whole, f));
    }
    if (!s->party->superuser) {
        TRY(archive_load(dir, form | ARCHIVE_NO_OWNER, &s->bare, f));
        TRY(same_entries(s, f));
    }
    *ret = TAKE(s);
    return ERR_OK;
}

void schema_free(struct schema *s)
{
    if (s == NULL)
        return;
    archive_free(s->whole);
    archive_free(s->bare);
    party_free(s->party);
    arena_free(s->arena);
    free(s);
}

static const char *settings_of(const struct schema *s, const struct toc_entry *e)
{
    bool table = toc_is(e, "TABLE") || toc_is(e, "MATERIALIZED VIEW");

    if (!table && !toc_is(e, "INDEX") && !toc_is(e, "CONSTRAINT"))
        return "";
    return arena_format(s->arena, "%s%s", e->in_space, table && s->target_major >= 12 ? e->in_method : "");
}

static bool is_grant(const struct toc_entry *e)
{
    return toc_is(e, "ACL") || toc_is(e, "DEFAULT ACL") || toc_is(e, "ACL LANGUAGE");
}

/* A grant made by another than the owner stands between SET and RESET SESSION AUTHORIZATION, which is a superuser's;
 * the role itself serves as well. In grants these words begin a line only as statements: names are quoted. */
static const char *as_roles(struct arena *a, const char *sql)
{
    static const char set[] = "SET SESSION AUTHORIZATION ";
    static const char reset[] = "RESET SESSION AUTHORIZATION;";
    AUTO_BUF b = {0};

    for (const char *p = sql; *p != '\0';) {
        size_t n = strcspn(p, "\n") + 1;
        if (strncmp(p, set, sizeof set - 1) == 0)
            buf_addf(&b, "SET ROLE %.*s", (int)(strcspn(p, "\n") - (sizeof set - 1)), p + sizeof set - 1);
        else if (strncmp(p, reset, sizeof reset - 1) == 0)
            buf_adds(&b, "RESET ROLE;");
        else
            buf_add(&b, p, strcspn(p, "\n"));
        buf_addc(&b, '\n');
        p += p[n - 1] == '\0' ? n - 1 : n;
    }
    return arena_strdup(a, buf_cstr(&b));
}

/* pg_dump writes what 11 and later understand; the trigger's function is the only one named so in such an entry. */
static const char *for_10(struct arena *a, const char *sql)
{
    const char *at = strstr(sql, "\n   EXECUTE FUNCTION ");

    return at == NULL ? sql
                      : arena_format(a, "%.*s\n   EXECUTE PROCEDURE %s", (int)(at - sql), sql,
                                     at + strlen("\n   EXECUTE FUNCTION "));
}

const char *schema_sql(const struct schema *s, size_t i)
{
    const struct toc_entry *e = schema_entry(s, i);
    const char *sql = s->bare != NULL ? s->bare->toc.entries[i].sql : e->sql;

    if (*sql == '\0')
        return "";
    if (s->bare != NULL && is_grant(e))
        sql = as_roles(s->arena, sql);
    if (s->target_major < 11 && toc_is(e, "EVENT TRIGGER"))
        sql = for_10(s->arena, sql);
    return arena_format(s->arena, "%s%s", settings_of(s, e), sql);
}

const char *schema_owner_sql(const struct schema *s, size_t i, const char **ret_stays)
{
    const struct toc_entry *e = schema_entry(s, i);
    const char *sql = s->bare != NULL ? archive_owner_part(e, &s->bare->toc.entries[i]) : "";

    *ret_stays = NULL;
    if (*sql == '\0' || strcmp(e->owner, s->party->role) == 0)
        return "";
    if (party_may_own(s->party, e->owner))
        return sql;
    *ret_stays = e->owner;
    return "";
}

bool schema_may_be_refused(const struct schema *s, const struct toc_entry *e)
{
    if (s->party->superuser)
        return false;
    return is_grant(e) || toc_is(e, "SECURITY LABEL") ||
           (toc_is(e, "COMMENT") && (strncmp(e->name, "EXTENSION ", 10) == 0 || strncmp(e->name, "SCHEMA ", 7) == 0));
}
