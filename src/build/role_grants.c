/* build/role_grants.c — memberships and settings of roles. See roles.h.
 *
 * From 16 on a membership says itself whether its member inherits and may SET ROLE; before, the member said so for all
 * of its memberships, and a server from 16 on takes over just that when the grant says nothing. */
#include "build/database.h"
#include "build/roles.h"
#include "build/sql_fill.h"
#include "sql_embedded.h"

static const char *membership_options(struct arena *a, const PGresult *r, int row, bool by_membership)
{
    bool admin = pg_get_bool(r, row, 2);

    if (!by_membership)
        return admin ? " WITH ADMIN OPTION" : "";
    return arena_format(a, " WITH ADMIN %s, INHERIT %s, SET %s", admin ? "TRUE" : "FALSE",
                        pg_get_bool(r, row, 3) ? "TRUE" : "FALSE", pg_get_bool(r, row, 4) ? "TRUE" : "FALSE");
}

static const struct role *role_named(const struct roles *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->list[i].name, name) == 0)
            return &r->list[i];
    return NULL;
}

/* To give things to their owners and then to index, empty and check them, leat's role has to be a member of them. */
static void grant_to_self(const struct roles *r, const struct pg *target, const struct party *party,
                          struct steps *steps)
{
    struct arena *a = r->arena;

    for (size_t i = 0; i < r->count; i++) {
        const struct role *role = &r->list[i];
        if (party->superuser || !role->owns || party_may_own(party, role->name) ||
            (role->attributes[ROLE_SUPER] && !role->made))
            continue;
        steps_add(steps, (struct step){
                             .what = arena_format(a, "membership of leat's role in %s", role->name),
                             .sql = arena_format(a, "GRANT %s TO %s%s", pg_quote_ident(a, role->name),
                                                 pg_quote_ident(a, party->role),
                                                 target->major >= 16 ? " WITH INHERIT TRUE, SET TRUE" : ""),
                             .if_refused = STEP_NOTE_RIGHT,
                         });
    }
}

enum err roles_grants(const struct roles *roles, struct pg *source, struct pg *target, const struct party *party,
                      struct steps *steps, struct fault *f)
{
    bool by_membership = source->major >= 16;
    const char *params[] = {roles->oids};
    struct arena *a = roles->arena;
    AUTO_RESULT *r = NULL;

    TRY(pg_query(source,
                 sql_fill(a, SQL_BUILD_ROLES_MEMBERS, "{options}",
                          by_membership ? "pg_catalog.bool_or(a.inherit_option), pg_catalog.bool_or(a.set_option)"
                                        : "true, true"),
                 1, params, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        const char *group = PQgetvalue(r, i, 0);
        const char *member = PQgetvalue(r, i, 1);
        steps_add(steps,
                  (struct step){
                      .what = arena_format(a, "membership of %s in %s", member, group),
                      .sql = arena_format(a, "GRANT %s TO %s%s", pg_quote_ident(a, group), pg_quote_ident(a, member),
                                          membership_options(a, r, i, by_membership)),
                      .if_refused = party->superuser && strncmp(group, "pg_", 3) != 0 ? STEP_STOP : STEP_NOTE_RIGHT,
                  });
    }
    grant_to_self(roles, target, party, steps);
    return ERR_OK;
}

static void add_setting(const struct roles *roles, const PGresult *r, int row, const char *database,
                        struct steps *steps)
{
    const char *name = PQgetvalue(r, row, 0);
    const char *setting = PQgetvalue(r, row, 2);
    const struct role *role = role_named(roles, name);
    bool here = pg_get_bool(r, row, 1);
    struct arena *a = roles->arena;

    if (role == NULL || (!here && !role->made)) /* a role that was there keeps what it has */
        return;
    steps_add(steps,
              (struct step){
                  .what = arena_format(a, "setting %.*s of role %s", (int)strcspn(setting, "="), setting, name),
                  .sql = arena_format(a, "ALTER ROLE %s%s%s %s", pg_quote_ident(a, name), here ? " IN DATABASE " : "",
                                      here ? database : "", setting_sql(a, setting)),
                  .if_refused = STEP_NOTE, /* it may be gone in the target's version */
              });
}

enum err roles_settings(const struct roles *roles, struct pg *source, struct pg *target, const struct party *party,
                        struct steps *steps, struct fault *f)
{
    const char *params[] = {roles->oids};
    AUTO_RESULT *r = NULL;

    (void)party;
    TRY(pg_query(source, SQL_BUILD_ROLES_SETTINGS, 1, params, &r, f));
    for (int i = 0; i < PQntuples(r); i++)
        add_setting(roles, r, i, pg_quote_ident(roles->arena, PQdb(target->conn)), steps);
    return ERR_OK;
}
