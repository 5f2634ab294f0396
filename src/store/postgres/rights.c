/* store/postgres/rights.c — see rights.h. Two sorted lists, walked side by side; names, never numbers, since those are
 * each server's own.
 *
 * A privilege is the old side's or the new one's alone only where the other side knows its object and its role: a
 * missing table, or a role the other server has for itself, is somebody else's to tell. A role of the old side that is
 * not on the new one is told once. */
#include "store/postgres/rights.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sql_embedded.h"
#include "store/postgres/door_role.h"

struct right {
    const char *kind;
    const char *object;
    const char *role;
    const char *what;
};

struct rights {
    struct right *list;
    size_t count;
};

static int order(const void *left, const void *right)
{
    const struct right *a = left;
    const struct right *b = right;
    int n = strcmp(a->kind, b->kind);

    n = n != 0 ? n : strcmp(a->object, b->object);
    n = n != 0 ? n : strcmp(a->role, b->role);
    return n != 0 ? n : strcmp(a->what, b->what);
}

static bool holds(const struct rights *r, struct right wanted)
{
    return bsearch(&wanted, r->list, r->count, sizeof wanted, order) != NULL;
}

/* --- reading --- */

static enum err read_rights(struct pg *pg, struct arena *a, struct rights *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, SQL_RIGHTS, &r, f));
    ret->count = (size_t)PQntuples(r);
    ret->list = arena_alloc(a, (ret->count + 1) * sizeof *ret->list);
    for (int i = 0; i < PQntuples(r); i++)
        ret->list[i] = (struct right){arena_strdup(a, PQgetvalue(r, i, 0)), arena_strdup(a, PQgetvalue(r, i, 1)),
                                      arena_strdup(a, PQgetvalue(r, i, 2)), arena_strdup(a, PQgetvalue(r, i, 3))};
    qsort(ret->list, ret->count, sizeof *ret->list, order); /* not by an order of the server's */
    return ERR_OK;
}

/* *ret.list NULL: we may not. */
static enum err read_passwords(struct pg *pg, struct arena *a, struct rights *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    struct fault refused = {0};
    enum err err = pg_exec(pg, SQL_RIGHTS_PASSWORDS, &r, &refused);

    *ret = (struct rights){NULL, 0};
    if (err == ERR_RIGHT_MISSING)
        return ERR_OK;
    *f = refused;
    TRY(err);
    ret->count = (size_t)PQntuples(r);
    ret->list = arena_alloc(a, (ret->count + 1) * sizeof *ret->list);
    for (int i = 0; i < PQntuples(r); i++)
        ret->list[i] =
            (struct right){"password", "", arena_strdup(a, PQgetvalue(r, i, 0)), arena_strdup(a, PQgetvalue(r, i, 1))};
    qsort(ret->list, ret->count, sizeof *ret->list, order);
    return ERR_OK;
}

/* --- differences --- */

struct comparing {
    const struct store *store;
    struct arena *arena;
    const char *doors[2]; /* their own role on either side, or NULL */
    struct rights_difference *list;
    size_t count;
    size_t size;
};

static void add(struct comparing *c, const char *what)
{
    if (c->count == c->size) {
        struct rights_difference *more = arena_alloc(c->arena, 2 * (c->size + 8) * sizeof *more);
        if (c->count > 0)
            memcpy(more, c->list, c->count * sizeof *more);
        c->list = more;
        c->size = 2 * (c->size + 8);
    }
    c->list[c->count++].what = what;
}

/* The doors' own is each side's business, as leat's is. */
static bool is_excepted(const struct comparing *c, const char *role)
{
    const struct config_store *s = c->store->store;

    for (size_t i = 0; i < s->rights_except_count; i++)
        if (strcasecmp(s->rights_except[i], role) == 0)
            return true;
    return (c->doors[0] != NULL && strcmp(c->doors[0], role) == 0) ||
           (c->doors[1] != NULL && strcmp(c->doors[1], role) == 0);
}

static bool is_privilege(const struct right *r)
{
    static const char *const kinds[] = {"column",   "database", "default privileges", "function", "schema",
                                        "sequence", "table"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], r->kind) == 0)
            return true;
    return false;
}

static bool knows_role(const struct rights *side, const char *role)
{
    return role[0] == '\0' || strcmp(role, "PUBLIC") == 0 || holds(side, (struct right){"has", "", role, ""});
}

static bool knows_object(struct arena *a, const struct rights *side, const struct right *r)
{
    const char *what = strcmp(r->kind, "column") == 0 ? "table" : r->kind;
    const char *name = r->object;

    if (strcmp(r->kind, "default privileges") == 0)
        return true;
    if (strcmp(r->kind, "column") == 0) /* its table's */
        name = arena_format(a, "%.*s", (int)(strrchr(name, '.') - name), name);
    return holds(side, (struct right){"exists", arena_format(a, "%s %s", what, name), "", ""});
}

/* What is before the '=': a value may be a secret. */
static int name_length(const char *setting)
{
    return (int)strcspn(setting, "=");
}

static void tell(struct comparing *c, const struct right *r, const char *has, const char *lacks)
{
    struct arena *a = c->arena;

    if (strcmp(r->kind, "role") == 0)
        add(c, arena_format(a, "role %s is %s on the %s, and not on the %s: ALTER ROLE there", r->role, r->what, has,
                            lacks));
    else if (strcmp(r->kind, "member") == 0)
        add(c, arena_format(a, "role %s is a %s of %s on the %s, and not on the %s", r->role, r->what, r->object, has,
                            lacks));
    else if (strcmp(r->kind, "setting") == 0)
        add(c, arena_format(a, "%s of %s (%s) is set on the %s, and not so on the %s: ALTER %s ... SET there",
                            arena_format(a, "%.*s", name_length(r->what), r->what),
                            r->role[0] != '\0' ? r->role : "the database", r->object, has, lacks,
                            r->role[0] != '\0' ? "ROLE" : "DATABASE"));
    else
        add(c, arena_format(a, "%s%s%s: %s has %s on the %s, and not on the %s: GRANT or REVOKE it there", r->kind,
                            r->object[0] != '\0' ? " " : "", r->object, r->role, r->what, has, lacks));
}

/* The other value is told from the old side. */
static bool is_set_there(const struct rights *other, const struct right *setting)
{
    int n = name_length(setting->what) + 1;

    for (size_t i = 0; i < other->count; i++) {
        const struct right *r = &other->list[i];
        if (strcmp(r->kind, "setting") == 0 && strcmp(r->object, setting->object) == 0 &&
            strcmp(r->role, setting->role) == 0 && strncmp(r->what, setting->what, (size_t)n) == 0)
            return true;
    }
    return false;
}

static bool is_told_from_there(const struct rights *other, const struct right *r)
{
    return strcmp(r->kind, "role") == 0 || (strcmp(r->kind, "setting") == 0 && is_set_there(other, r));
}

/* What `side` alone has. back: `side` is the new one, whose own roles and objects are its own business. */
static void find_alone(struct comparing *c, const struct rights *side, const struct rights *other, bool back)
{
    for (size_t i = 0; i < side->count; i++) {
        const struct right *r = &side->list[i];

        if (strcmp(r->kind, "has") == 0 || strcmp(r->kind, "exists") == 0 || is_excepted(c, r->role) ||
            holds(other, *r))
            continue;
        if (!knows_role(other, r->role)) {
            if (!back && strcmp(r->kind, "role") == 0)
                add(c, arena_format(c->arena, "role %s is not on the new side: CREATE ROLE %s there (%s)", r->role,
                                    pg_quote_ident(c->arena, r->role), r->what));
            continue;
        }
        if (is_privilege(r) && !knows_object(c->arena, other, r))
            continue;
        if (back && is_told_from_there(other, r))
            continue;
        tell(c, r, back ? "new side" : "old side", back ? "old one" : "new one");
    }
}

static void compare_passwords(struct comparing *c, const struct rights *old, const struct rights *new,
                              const struct rights *known)
{
    for (size_t i = 0; i < old->count; i++) {
        const struct right *r = &old->list[i];

        if (!is_excepted(c, r->role) && knows_role(known, r->role) && !holds(new, *r))
            add(c, arena_format(c->arena,
                                "role %s has another password on the new side, or none: give it the rolpassword it has "
                                "on the old one",
                                r->role));
    }
}

enum err pg_rights_compare(struct pg *old_side, struct pg *new_side, const struct store *s, struct arena *a,
                           struct rights_difference **ret, size_t *ret_count, bool *ret_unread, struct fault *f)
{
    struct comparing c = {.store = s,
                          .arena = a,
                          .doors = {pg_door_role(s->store, SIDE_SOURCE, a), pg_door_role(s->store, SIDE_TARGET, a)}};
    struct rights old;
    struct rights new;
    struct rights old_passwords;
    struct rights new_passwords;

    TRY(read_rights(old_side, a, &old, f));
    TRY(read_rights(new_side, a, &new, f));
    TRY(read_passwords(old_side, a, &old_passwords, f));
    TRY(read_passwords(new_side, a, &new_passwords, f));
    find_alone(&c, &old, &new, false);
    find_alone(&c, &new, &old, true);
    *ret_unread = old_passwords.list == NULL || new_passwords.list == NULL;
    if (!*ret_unread)
        compare_passwords(&c, &old_passwords, &new_passwords, &new);
    *ret = c.list;
    *ret_count = c.count;
    return ERR_OK;
}

/* --- sums --- */

enum err pg_rights_reads_passwords(struct pg *pg, bool *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(pg, "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')", &r, f));
    *ret = pg_get_bool(r, 0, 0);
    return ERR_OK;
}

const char *pg_rights_sums_name(bool passwords)
{
    return passwords ? "leat.rights.passwords" : "leat.rights";
}

enum err pg_rights_sums_prepare(struct pg *pg, bool passwords, struct fault *f)
{
    AUTO_CHARS *whole =
        pg_fill_in(SQL_RIGHTS_SUMS, "{roles}", passwords ? "pg_catalog.pg_authid" : "pg_catalog.pg_roles");

    return pg_prepare(pg, pg_rights_sums_name(passwords), whole, f);
}

enum err pg_rights_sums_ask(struct pg *pg, bool passwords, struct fault *f)
{
    return pg_send_prepared(pg, pg_rights_sums_name(passwords), f);
}

enum err pg_rights_sums_take(struct pg *pg, char ret[RIGHTS_SUMS], struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_take(pg, SQL_RIGHTS_SUMS, &r, f));
    snprintf(ret, RIGHTS_SUMS, "%s", PQgetvalue(r, 0, 0));
    return ERR_OK;
}
