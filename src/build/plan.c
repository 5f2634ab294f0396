/* build/plan.c — see plan.h. */
#include "build/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "build/database.h"

/* A schema may have been made by an administrator beforehand, where leat's role may not. */
static const char *tolerant(struct arena *a, const struct toc_entry *e, const char *sql)
{
    static const char create[] = "CREATE SCHEMA ";

    if (!toc_is(e, "SCHEMA") || strncmp(sql, create, sizeof create - 1) != 0)
        return sql;
    return arena_format(a, "CREATE SCHEMA IF NOT EXISTS %s", sql + sizeof create - 1);
}

/* One step a grantor: what one role may not grant shall not take the others' grants with it. A part ends before the
 * line "SET ROLE" and behind the line "RESET ROLE". */
static void add_grants(struct plan *p, const char *what, const char *sql)
{
    const char *begin = sql;

    for (const char *line = sql; *line != '\0';) {
        const char *next = line + strcspn(line, "\n");
        bool ends = strncmp(line, "RESET ROLE;", strlen("RESET ROLE;")) == 0;
        next += *next == '\n';
        if (ends || *next == '\0' || strncmp(next, "SET ROLE ", strlen("SET ROLE ")) == 0) {
            steps_add(&p->steps, (struct step){
                                     .what = what,
                                     .sql = arena_format(p->schema->arena, "%.*s", (int)(next - begin), begin),
                                     .if_refused = STEP_NOTE_RIGHT,
                                 });
            begin = next;
        }
        line = next;
    }
}

static void add_entry(struct plan *p, size_t i)
{
    const struct toc_entry *e = schema_entry(p->schema, i);
    struct arena *a = p->schema->arena;
    const char *sql = schema_sql(p->schema, i);

    if (*sql == '\0' || e->left_out)
        return;
    if (toc_is(e, "ACL") && !p->schema->party->superuser) {
        add_grants(p, archive_what(a, e), sql);
        return;
    }
    steps_add(&p->steps, (struct step){
                             .what = archive_what(a, e),
                             .sql = tolerant(a, e, sql),
                             .if_refused = schema_may_be_refused(p->schema, e) ? STEP_NOTE_RIGHT : STEP_STOP,
                         });
}

/* --- owners --- */

struct stay { /* things that remain leat's role's */
    const char *owner;
    int count;
};

static void count_stay(struct stay *stays, size_t size, const char *owner)
{
    for (size_t i = 0; i < size; i++) {
        if (stays[i].owner != NULL && strcmp(stays[i].owner, owner) != 0)
            continue;
        stays[i].owner = owner;
        stays[i].count++;
        return;
    }
}

static void note_stays(struct plan *p, const struct stay *stays, size_t size)
{
    for (size_t i = 0; i < size && stays[i].owner != NULL; i++)
        buf_addf(&p->notes,
                 "%d objects of %s belong to %s on the target: leat's role is not a member of it (GRANT %s TO %s, then "
                 "REASSIGN or ALTER ... OWNER TO)\n",
                 stays[i].count, stays[i].owner, p->schema->party->role,
                 pg_quote_ident(p->schema->arena, stays[i].owner),
                 pg_quote_ident(p->schema->arena, p->schema->party->role));
}

static void add_owners(struct plan *p)
{
    struct stay stays[64] = {{0}}; /* owners beyond that many go unnamed */
    struct arena *a = p->schema->arena;

    for (size_t i = 0; i < schema_count(p->schema); i++) {
        const struct toc_entry *e = schema_entry(p->schema, i);
        const char *stays_with = NULL;
        const char *sql = e->post || e->left_out ? "" : schema_owner_sql(p->schema, i, &stays_with);
        if (stays_with != NULL)
            count_stay(stays, sizeof stays / sizeof *stays, stays_with);
        if (*sql != '\0')
            steps_add(&p->steps, (struct step){.what = arena_format(a, "owner of %s", archive_what(a, e)),
                                               .sql = sql,
                                               .if_refused = STEP_NOTE_RIGHT});
    }
    note_stays(p, stays, sizeof stays / sizeof *stays);
}

/* --- all --- */

static void digest(struct plan *p)
{
    XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t hash;

    ENSURE(state != NULL && XXH3_128bits_reset(state) == XXH_OK);
    for (size_t i = 0; i < p->steps.count; i++)
        (void)XXH3_128bits_update(state, p->steps.list[i].sql, strlen(p->steps.list[i].sql) + 1);
    hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(p->digest, sizeof p->digest, "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
}

static bool in_pre(const struct toc_entry *e)
{
    return !e->post || toc_is(e, "DEFAULT ACL"); /* a dump has default privileges among post-data */
}

static void add_entries(struct plan *p, bool defaults)
{
    for (size_t i = 0; i < schema_count(p->schema); i++) {
        const struct toc_entry *e = schema_entry(p->schema, i);
        if (in_pre(e) && toc_is(e, "DEFAULT ACL") == defaults)
            add_entry(p, i);
    }
}

enum err plan_make(const char *dir, struct pg *source, struct pg *target, struct plan **ret, struct fault *f)
{
    AUTO(plan) *p = mem_alloc(sizeof *p);

    TRY(schema_load(dir, target, &p->notes, &p->schema, f));
    add_entries(p, false);
    add_owners(p);
    add_entries(p, true);
    TRY(database_steps(source, target, p->schema->arena, &p->steps, &p->notes, f));
    digest(p);
    *ret = TAKE(p);
    return ERR_OK;
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    schema_free(p->schema);
    steps_fini(&p->steps);
    buf_fini(&p->notes);
    free(p);
}
