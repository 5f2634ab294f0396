/* build/roles.c — the source's roles, made on the target. One transaction: all of them, or none.
 *
 * A role that is there already belongs to someone: its attributes and its verifier are never touched, what differs is
 * reported. What only a superuser can give (SUPERUSER, REPLICATION, BYPASSRLS, and from 16 on what leat's role lacks
 * itself) is left away for any other role, and reported. Verifiers travel as they are; they stand in no message and,
 * where that can be had, in no log. */
#include "build/roles.h"

#include <stdlib.h>

#include "build/build.h"
#include "build/sql_fill.h"
#include "sql_embedded.h"

struct making {
    struct pg *target;
    struct roles *roles;
    struct party *party;
    PGresult *existing; /* the target's roles */
    bool existing_verifiers;
    struct buf *report;
    struct buf made;   /* names, for the report */
    struct buf silent; /* names of logins without a password */
};

/* --- roles that are there --- */

static int find_existing(const struct making *m, const char *name)
{
    for (int i = 0; i < PQntuples(m->existing); i++)
        if (strcmp(PQgetvalue(m->existing, i, 0), name) == 0)
            return i;
    return -1;
}

static void add_word(struct buf *b, const char *word)
{
    buf_addf(b, "%s%s", b->len > 0 ? ", " : "", word);
}

static void compare(const struct making *m, const struct role *role, int row)
{
    AUTO_BUF differs = {0};
    const char *verifier = pg_get(m->existing, row, 9);

    for (int i = 0; i < ROLE_ATTRIBUTES; i++)
        if (role->attributes[i] != pg_get_bool(m->existing, row, 1 + i))
            add_word(&differs, role_attribute_word((enum role_attribute)i, role->attributes[i]));
    if (role->connections != pg_get_int(m->existing, row, 8))
        add_word(&differs, "CONNECTION LIMIT");
    if (role->verifier != NULL && m->existing_verifiers && (verifier == NULL || strcmp(verifier, role->verifier) != 0))
        add_word(&differs, "password");
    if (differs.len > 0)
        buf_addf(m->report, "role %s was on the target and is left as it is; the source's has: %s\n", role->name,
                 buf_cstr(&differs));
}

/* --- roles that are not --- */

/* `full`: with all its attributes; else with those anyone may give who may create roles. */
static const char *create_sql(const struct making *m, const struct role *role, bool full, bool password)
{
    struct arena *a = m->roles->arena;
    AUTO_BUF sql = {0};

    buf_addf(&sql, "CREATE ROLE %s", pg_quote_ident(a, role->name));
    for (int i = 0; i < ROLE_ATTRIBUTES; i++)
        if (full || i == ROLE_INHERIT || i == ROLE_LOGIN)
            buf_addf(&sql, " %s", role_attribute_word((enum role_attribute)i, role->attributes[i]));
    if (role->connections != -1)
        buf_addf(&sql, " CONNECTION LIMIT %lld", (long long)role->connections);
    if (role->valid_until != NULL)
        buf_addf(&sql, " VALID UNTIL %s", pg_quote_literal(a, role->valid_until));
    if (password && role->verifier != NULL)
        buf_addf(&sql, " PASSWORD %s", pg_quote_literal(a, role->verifier));
    return arena_strdup(a, buf_cstr(&sql));
}

/* Attributes beyond LOGIN and INHERIT. */
static bool special(const struct role *role)
{
    return role->attributes[ROLE_SUPER] || role->attributes[ROLE_REPLICATION] || role->attributes[ROLE_BYPASSRLS] ||
           role->attributes[ROLE_CREATEROLE] || role->attributes[ROLE_CREATEDB];
}

static void report_lost(const struct making *m, const struct role *role)
{
    AUTO_BUF lost = {0};

    for (int i = 0; i < ROLE_ATTRIBUTES; i++)
        if (i != ROLE_INHERIT && i != ROLE_LOGIN && role->attributes[i])
            add_word(&lost, role_attribute_word((enum role_attribute)i, true));
    buf_addf(m->report, "role %s is made without %s: leat's role on the target may not give it\n", role->name,
             buf_cstr(&lost));
}

/* *ret_done false: the server refused for want of a right. */
static enum err try_create(struct making *m, const struct role *role, bool full, bool password, bool *ret_done,
                           struct fault *f)
{
    struct arena *a = m->roles->arena;
    AUTO_BUF refused = {0};
    char state[6];
    struct step step = {
        .what = arena_format(a, "role %s", role->name),
        .sql = create_sql(m, role, full, password),
        .show = create_sql(m, role, full, false),
        .if_refused = m->party->superuser ? STEP_STOP : STEP_NOTE_RIGHT,
    };

    TRY(step_run(m->target, &step, &refused, state, f));
    *ret_done = refused.len == 0;
    return ERR_OK;
}

static enum err create_lesser(struct making *m, struct role *role, bool *ret_done, struct fault *f)
{
    TRY(try_create(m, role, false, true, ret_done, f));
    if (!*ret_done && role->verifier != NULL) { /* some services keep passwords to themselves */
        TRY(try_create(m, role, false, false, ret_done, f));
        role->verifier = *ret_done ? NULL : role->verifier;
    }
    if (*ret_done && special(role))
        report_lost(m, role);
    return ERR_OK;
}

static enum err create(struct making *m, struct role *role, struct fault *f)
{
    bool done = false;

    TRY(try_create(m, role, true, true, &done, f));
    if (!done)
        TRY(create_lesser(m, role, &done, f));
    if (!done)
        return fault_todo(f, ERR_RIGHT_MISSING,
                          "give leat's role on the target CREATEROLE, or have an administrator create the roles of the "
                          "source there; then run again",
                          "%s may not create roles on the target: %s", m->party->role,
                          create_sql(m, role, false, false));
    role->made = true;
    add_word(&m->made, role->name);
    if (role->attributes[ROLE_LOGIN] && role->verifier == NULL)
        add_word(&m->silent, role->name);
    return ERR_OK;
}

/* The source's first superuser owns what nobody else does. Where leat may not make a superuser, its things stay leat's
 * role's. */
static bool not_for_us(const struct making *m, const struct role *role)
{
    return !m->party->superuser && strcmp(role->oid, "10") == 0;
}

static enum err create_all(struct making *m, struct fault *f)
{
    for (size_t i = 0; i < m->roles->count; i++) {
        struct role *role = &m->roles->list[i];
        int row = find_existing(m, role->name);
        if (row >= 0)
            compare(m, role, row);
        else if (not_for_us(m, role))
            buf_addf(m->report, "role %s, the source's first superuser, is not made: what it owns will belong to %s\n",
                     role->name, m->party->role);
        else
            TRY(create(m, role, f));
    }
    return ERR_OK;
}

/* --- all --- */

static void add_comments(const struct roles *roles, struct steps *steps)
{
    struct arena *a = roles->arena;

    for (size_t i = 0; i < roles->count; i++)
        if (roles->list[i].made && roles->list[i].comment != NULL)
            steps_add(steps,
                      (struct step){
                          .what = arena_format(a, "comment of role %s", roles->list[i].name),
                          .sql = arena_format(a, "COMMENT ON ROLE %s IS %s", pg_quote_ident(a, roles->list[i].name),
                                              pg_quote_literal(a, roles->list[i].comment)),
                          .if_refused = STEP_NOTE_RIGHT,
                      });
}

static enum err run_steps(struct making *m, const struct steps *steps, struct fault *f)
{
    for (size_t i = 0; i < steps->count; i++)
        TRY(step_run(m->target, &steps->list[i], m->report, NULL, f));
    return ERR_OK;
}

static enum err rest(struct making *m, struct pg *source, struct steps *steps, struct fault *f)
{
    TRY(roles_grants(m->roles, source, m->target, m->party, steps, f));
    TRY(roles_settings(m->roles, source, m->target, m->party, steps, f));
    add_comments(m->roles, steps);
    return run_steps(m, steps, f);
}

static void report(const struct making *m)
{
    if (m->made.len > 0)
        buf_addf(m->report, "roles made: %s\n", buf_cstr(&m->made));
    if (m->silent.len > 0 && !m->roles->verifiers)
        buf_addf(m->report,
                 "roles that need a password, theirs cannot be read (leat's role on the source is no superuser): %s\n",
                 buf_cstr(&m->silent));
    else if (m->silent.len > 0)
        buf_addf(m->report, "roles that log in without a password of their own: %s\n", buf_cstr(&m->silent));
}

static enum err make(struct making *m, struct pg *source, struct fault *f)
{
    struct steps steps = {0};
    enum err err;

    TRY(pg_exec(m->target, "BEGIN", NULL, f));
    if (m->party->superuser) /* verifiers stay out of the server's log */
        TRY(pg_exec(m->target,
                    "SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; SET LOCAL "
                    "log_min_error_statement = 'panic'",
                    NULL, f));
    err = create_all(m, f);
    if (err == ERR_OK)
        err = rest(m, source, &steps, f);
    steps_fini(&steps);
    if (err == ERR_OK)
        err = pg_exec(m->target, "COMMIT", NULL, f);
    else
        PQclear(PQexec(m->target->conn, "ROLLBACK"));
    return err;
}

enum err build_roles(const struct config_store *s, struct pg *source, struct pg *target, struct buf *ret_report,
                     struct fault *f)
{
    AUTO(roles) *roles = NULL;
    AUTO(party) *party = NULL;
    AUTO_RESULT *existing = NULL;
    AUTO_BUF lines = {0};
    struct making m = {.target = target, .report = &lines};
    enum err err;

    TRY(roles_load(source, &roles, f));
    TRY(party_load(target, &party, f));
    TRY(roles_readable(target, &m.existing_verifiers, f));
    TRY(pg_exec(target, sql_fill(roles->arena, SQL_BUILD_ROLES_TARGET, "{authid}", roles_table(m.existing_verifiers)),
                &existing, f));
    m.roles = roles;
    m.party = party;
    m.existing = existing;
    err = make(&m, source, f);
    if (err == ERR_OK) {
        report(&m);
        buf_add(ret_report, buf_cstr(&lines), lines.len);
    } else {
        fault_add(f, "making the roles of %s on the target", s->name);
    }
    buf_fini(&m.made);
    buf_fini(&m.silent);
    return err;
}
