/* build/archive.c — see archive.h. */
#include "build/archive.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/process.h"
#include "build/find_tools.h"

#define MOST_OPTIONS 4

struct reading {
    struct arena *arena;
    const char *program;
    const char *path;
};

static enum err run_restore(const struct reading *r, const char *const options[MOST_OPTIONS], struct buf *out,
                            struct fault *f)
{
    static const char *const env[] = {"LC_ALL=C", NULL};
    const char *argv[8] = {r->program};
    AUTO_BUF said = {0};
    char last_words[1200];
    size_t n = 1;
    int status;

    for (int i = 0; i < MOST_OPTIONS; i++)
        if (options[i] != NULL)
            argv[n++] = options[i];
    argv[n++] = r->path;
    struct process p = {.argv = argv, .env = env};
    TRY(process_run(&p, out, &said, &status, f));
    if (status != 0)
        return fault_set(f, ERR_PG_DUMP, "pg_restore: %s", process_last_words(&said, last_words, sizeof last_words));
    return ERR_OK;
}

static enum err read_entries(const struct reading *r, int form, struct toc *ret, struct fault *f)
{
    /* --verbose is what prints the headers */
    const char *options[] = {"--file=-", "--verbose", form & ARCHIVE_NO_OWNER ? "--no-owner" : NULL,
                             form & ARCHIVE_NO_TABLESPACES ? "--no-tablespaces" : NULL};
    AUTO_BUF text = {0};

    TRY(run_restore(r, options, &text, f));
    return toc_parse(r->arena, buf_cstr(&text), text.len, ret, f);
}

/* Marks the section's entries as seen. */
static enum err read_section(const struct reading *r, const char *section, bool post, struct toc *toc, size_t *seen,
                             struct fault *f)
{
    const char *options[] = {"--list", section, NULL, NULL};
    AUTO_BUF text = {0};
    int *ids;
    size_t count;

    TRY(run_restore(r, options, &text, f));
    toc_parse_list(r->arena, buf_cstr(&text), &ids, &count);
    for (size_t i = 0; i < count; i++) {
        struct toc_entry *e = toc_find(toc, ids[i]);
        if (e == NULL)
            return fault_set(f, ERR_PG_DUMP, "pg_restore lists entry %d and does not print it", ids[i]);
        e->post = post;
    }
    *seen += count;
    return ERR_OK;
}

/* --- leat's own --- */

static bool calls_leat(const char *sql)
{
    static const char *const calls[] = {"EXECUTE FUNCTION \"leat\".", "EXECUTE PROCEDURE \"leat\".",
                                        "EXECUTE FUNCTION leat.", "EXECUTE PROCEDURE leat."};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strstr(sql, calls[i]) != NULL)
            return true;
    return false;
}

static bool is_leats(const struct toc_entry *e)
{
    if (strncmp(e->type, "PUBLICATION", strlen("PUBLICATION")) == 0)
        return strncmp(e->name, "leat_", strlen("leat_")) == 0;
    return (toc_is(e, "TRIGGER") || toc_is(e, "EVENT TRIGGER")) && calls_leat(e->sql);
}

static void leave_out_leats(struct toc *toc)
{
    for (size_t i = 0; i < toc->count; i++) {
        struct toc_entry *e = &toc->entries[i];
        e->left_out = is_leats(e);
        for (size_t k = 0; k < e->depend_count && !e->left_out; k++) {
            const struct toc_entry *on = toc_find(toc, e->depends[k]); /* printed before it */
            e->left_out = on != NULL && on->left_out;
        }
    }
}

/* --- all --- */

static enum err read_all(const struct reading *r, int form, struct toc *ret, struct fault *f)
{
    struct toc toc;
    size_t seen = 0;

    TRY(read_entries(r, form, &toc, f));
    TRY(read_section(r, "--section=pre-data", false, &toc, &seen, f));
    TRY(read_section(r, "--section=post-data", true, &toc, &seen, f));
    if (seen != toc.count)
        return fault_set(f, ERR_PG_DUMP, "pg_restore lists %zu entries and prints %zu", seen, toc.count);
    leave_out_leats(&toc);
    *ret = toc;
    return ERR_OK;
}

enum err archive_load(const char *dir, int form, struct archive **ret, struct fault *f)
{
    AUTO(archive) *ar = mem_alloc(sizeof *ar);
    struct client_tools tools;
    struct reading r;

    ar->arena = arena_new((size_t)1 << 20);
    TRY(find_tools(ar->arena, 1, TOOLS_NEWEST, &tools, f));
    r = (struct reading){
        .arena = ar->arena, .program = tools.restore, .path = arena_format(ar->arena, "%s/" ARCHIVE_NAME, dir)};
    TRY_WITH(read_all(&r, form, &ar->toc, f), f, "reading %s", r.path);
    *ret = TAKE(ar);
    return ERR_OK;
}

void archive_free(struct archive *ar)
{
    if (ar == NULL)
        return;
    arena_free(ar->arena);
    free(ar);
}

/* Without owners pg_restore writes a schema's CREATE anew, with its own quoting. */
static const char *schema_owner_part(const char *sql)
{
    const char *found = "";

    for (const char *at = sql; (at = strstr(at, "ALTER SCHEMA ")) != NULL; at++)
        if (at == sql || at[-1] == '\n')
            found = at;
    return found;
}

const char *archive_owner_part(const struct toc_entry *whole, const struct toc_entry *bare)
{
    size_t n = strlen(bare->sql);

    if (toc_is(whole, "SCHEMA"))
        return schema_owner_part(whole->sql);
    if (strncmp(whole->sql, bare->sql, n) != 0)
        return NULL;
    while (isspace((unsigned char)whole->sql[n]))
        n++;
    return whole->sql + n;
}

const char *archive_what(struct arena *a, const struct toc_entry *e)
{
    char *type = arena_strdup(a, e->type);

    for (char *p = type; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    if (e->schema[0] == '\0' || strcmp(e->schema, "-") == 0)
        return arena_format(a, "%s %s", type, e->name);
    return arena_format(a, "%s %s.%s", type, e->schema, e->name);
}
