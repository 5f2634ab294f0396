/* store/postgres/switch_check.c — what is looked at again under the lock, or once all of the old side is on the new one: between the gate and the
 * hold, while doors are made ready, users and operators go on. What is not as the gate found it goes back, and the gate names it. */
#include <inttypes.h>
#include <string.h>

#include "sql_embedded.h"
#include "store/postgres/again.h"
#include "store/postgres/fence.h"
#include "store/postgres/names.h"
#include "store/postgres/sequences.h"
#include "store/postgres/switcher_internal.h"

#define COMING "leat.coming"
#define LEFT_OUT "leat.left_out"
#define SEQUENCES_MS 5000

/* --- under the lock --- */

/* Under the lock the old side's stay as they are; on the new one nobody but an operator changes them. A table renamed is
 * the same one, and another one where two have changed places. */
static enum err are_as_listed(const struct fenced *now, size_t count, const struct fenced *then, size_t then_count,
                              const char *side, struct fault *f)
{
    if (count != then_count)
        return fault_set(f, ERR_BUSY, "tables came or went on the %s while the switch began", side);
    for (size_t i = 0; i < count; i++) {
        if (now[i].oid != then[i].oid || strcmp(now[i].qualified, then[i].qualified) != 0)
            return fault_set(f, ERR_BUSY, "tables came or went on the %s while the switch began", side);
        if (strcmp(now[i].columns, then[i].columns) != 0)
            return fault_set(f, ERR_BUSY, "columns of %s changed on the %s while the switch began", now[i].qualified,
                             side);
    }
    return ERR_OK;
}

/* What was asked of it last. In the arena. */
static enum err take_tables(struct store_switch *w, struct pg *pg, const struct fenced *then, size_t then_count,
                            const char *side, struct arena *a, struct fenced **ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    size_t count;

    TRY(pg_take_next(pg, SQL_SWITCH_RELATIONS, &r, f));
    TRY(pg_fence_list_take(pg, w->store, r, a, ret, &count, f));
    return are_as_listed(*ret, count, then, then_count, side, f);
}

/* What is chosen now is what was locked, and fenced. */
static enum err check_relations(struct store_switch *w, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct fenced *now;

    TRY(take_tables(w, w->deciding, w->locked, w->locked_count, "old side", a, &now, f));
    for (size_t i = 0; i < w->locked_count; i++)
        if (now[i].state != 'D')
            return fault_set(f, ERR_GATE, "%s has no open fence", now[i].qualified);
    return ERR_OK;
}

static enum err check_facing(struct store_switch *w, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct fenced *now;

    return take_tables(w, w->opening, w->facing, w->facing_count, "new side", a, &now, f);
}

/* Only while the new side's row says that it does not serve. */
enum err pg_switch_sequences(struct store_switch *w, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);

    return pg_sequences_carry(
        w->beside, w->there, true,
        arena_format(a, "SELECT 1 FROM leat.authority WHERE migration = %s AND store = %s AND NOT open FOR SHARE",
                     pg_quote_literal(a, w->store->migration), pg_quote_literal(a, store_base(w->store))),
        SEQUENCES_MS, NULL, f);
}

/* A table that is being made is seen by nobody yet, and locked by its maker: no lock of ours keeps it from coming. Nor
 * does any keep large objects from it. */
static enum err nothing_comes(struct store_switch *w, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_take_next(w->deciding, SQL_SWITCH_COMING, &r, f));
    if (PQntuples(r) > 0)
        return fault_set(f, ERR_BUSY, "%s %s", PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
    return ERR_OK;
}

static enum err left_out_stands(struct store_switch *w, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_take(w->deciding, SQL_SWITCH_LEFT_OUT_SUM, &r, f)); /* the last of them */
    if (strcmp(PQgetvalue(r, 0, 0), w->left_out) != 0)
        return fault_set(f, ERR_BUSY, "unlogged tables or large objects, which no stream carries, changed while the switch began");
    return ERR_OK;
}

/* In the deciding session, which sees what was committed up to its locks. */
static enum err ask_old(struct store_switch *w, struct fault *f)
{
    return pg_send_all(w->deciding, "EXECUTE \"" PG_FENCES "\"; EXECUTE \"" COMING "\"; EXECUTE \"" LEFT_OUT "\"", f);
}

/* Its rights are taken once all has drained. */
static enum err ask_new(struct store_switch *w, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);

    return pg_send_all(w->opening,
                       arena_format(a, "EXECUTE \"" PG_FENCES "\"; EXECUTE \"%s\"",
                                    pg_rights_sums_name(w->reads_passwords)),
                       f);
}

static enum err check_old(struct store_switch *w, struct fault *f)
{
    TRY(check_relations(w, f));
    TRY(nothing_comes(w, f));
    return left_out_stands(w, f);
}

/* PostgreSQL 10 sends no TRUNCATE: the table is copied again when it is seen. */
static enum err nothing_emptied(struct store_switch *w, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *oids;

    TRY(pg_emptied(w->store, w->deciding, w->there, a, &oids, f));
    return oids == NULL ? ERR_OK
                        : fault_set(f, ERR_BUSY, "a table was emptied or rewritten on the old side: it is copied again first");
}

enum err pg_switch_check(struct store_switch *w, struct fault *f)
{
    ENSURE(w->locks && w->old_rights[0] != '\0' && w->left_out != NULL && w->facing != NULL);
    TRY(ask_new(w, f));
    TRY(ask_old(w, f));
    TRY(check_old(w, f));
    TRY(check_facing(w, f));
    TRY(nothing_emptied(w, f));
    TRY(pg_rights_sums_ask(w->deciding, w->reads_passwords, f));
    w->asks_rights = true;
    return ERR_OK;
}

/* --- once it has drained --- */

/* Answered while the mark travels, by sessions that have nothing else to do then: clients do not wait for it. */
static enum err rights_stand(struct store_switch *w, struct fault *f)
{
    char old[RIGHTS_SUMS];
    char new[RIGHTS_SUMS];

    ENSURE(w->asks_rights);
    w->asks_rights = false;
    TRY(pg_rights_sums_take(w->deciding, old, f));
    TRY(pg_rights_sums_take(w->opening, new, f));
    if (strcmp(old, w->old_rights) != 0 || strcmp(new, w->new_rights) != 0)
        return fault_set(f, ERR_BUSY, "roles, privileges or settings changed while the switch began");
    return ERR_OK;
}

/* All of the old side is there by now: so is whatever did not fit. */
static enum err ledger_is_empty(struct store_switch *w, struct fault *f)
{
    const char *params[] = {w->store->migration, w->store->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(w->there,
                 "SELECT pg_catalog.count(*) FROM leat.ledger WHERE migration = $1 AND store = $2 AND settled IS NULL",
                 2, params, &r, f));
    if (pg_get_int(r, 0, 0) > 0)
        return fault_set(f, ERR_GATE, "%s row(s) did not behave as the stream said: see `leat verify`",
                         PQgetvalue(r, 0, 0));
    return ERR_OK;
}

enum err pg_switch_drained(struct store_switch *w, struct fault *f)
{
    TRY(rights_stand(w, f));
    return ledger_is_empty(w, f);
}

enum err pg_switch_shut_ask(struct store_switch *w, struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {name_fence(w->store, fence)};

    ENSURE(w->locks);
    return pg_send(w->deciding, "SELECT leat.fence_set($1, 'ENABLE ALWAYS')", 1, params, f);
}

enum err pg_switch_shut_take(struct store_switch *w, struct fault *f)
{
    return pg_take(w->deciding, "leat.fence_set", NULL, f);
}

/* Of a table that has not joined the stream the new side lacks what is in its spool, however many marks came round. */
enum err pg_switch_all_joined(struct store_switch *w, struct fault *f)
{
    const char *params[] = {w->store->migration, w->store->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(w->there,
                 "SELECT pg_catalog.count(*), min(table_name) FROM leat.copy WHERE migration = $1 AND store = $2 AND "
                 "joined IS NULL",
                 2, params, &r, f));
    if (pg_get_int(r, 0, 0) == 0)
        return ERR_OK;
    return fault_todo(f, ERR_GATE, "`leat status` says how far they are",
                      "%s table(s) are still being copied, among them %s", PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
}

enum err pg_switch_tables(struct store_switch *w, struct fault *f)
{
    TRY(pg_switch_check_prepare(w, f));
    arena_reset(w->arena);
    TRY(pg_fence_list_prepared(w->deciding, w->store, w->arena, &w->locked, &w->locked_count, f));
    return pg_fence_list_prepared(w->opening, w->store, w->arena, &w->facing, &w->facing_count, f);
}

enum err pg_switch_left_out_sum(struct store_switch *w, struct arena *a, const char **ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_switch_check_prepare(w, f));
    TRY(pg_query_prepared(w->deciding, LEFT_OUT, &r, f));
    *ret = arena_strdup(a, PQgetvalue(r, 0, 0));
    return ERR_OK;
}

enum err pg_switch_check_prepare(struct store_switch *w, struct fault *f)
{
    if (w->check_ready)
        return ERR_OK;
    TRY(pg_fence_list_prepare(w->deciding, w->store, f));
    TRY(pg_fence_list_prepare(w->opening, w->store, f));
    TRY(pg_prepare(w->deciding, COMING, SQL_SWITCH_COMING, f));
    TRY(pg_prepare(w->deciding, LEFT_OUT, SQL_SWITCH_LEFT_OUT_SUM, f));
    w->check_ready = true;
    return ERR_OK;
}
