/* store/postgres/fence.c — see fence.h.
 *
 * Invariants
 *  1. A fence is made in the state its side's row of authority says, in one transaction: no writer meets one that is open where it must
 *     be shut, or shut where clients write.
 *  2. The row of authority is made once; what it says is changed by leat.decide, leat.open_side and leat.abort_attempt alone. */
#include "store/postgres/fence.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sql_embedded.h"
#include "store/postgres/names.h"

#define LOCK_TIMEOUT_MS 100
#define PATIENCE_US ((int64_t)60000000)
#define TOGETHER_US ((int64_t)1000000)
#define FENCES_A_STATEMENT 50

static enum err add_relation(struct pg *pg, const PGresult *r, int row, struct arena *a, struct fenced *ret, struct fault *f)
{
    ret->oid = (uint32_t)pg_get_int(r, row, 0);
    ret->qualified = pg_quote_qualified(a, PQgetvalue(r, row, 1), PQgetvalue(r, row, 2));
    ret->state = PQgetisnull(r, row, 5) ? '\0' : PQgetvalue(r, row, 5)[0];
    return ret->oid != 0 ? ERR_OK : fault_set(f, ERR_BUG, "a relation of %s without a number", pg->database);
}

/* A row a table below: the relation counts if one of those is chosen. */
enum err pg_fence_list(struct pg *pg, const struct store *s, struct arena *a, struct fenced **ret, size_t *ret_count, struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {name_fence(s, fence)};
    AUTO_RESULT *r = NULL;
    size_t n = 0;

    TRY(pg_query(pg, SQL_SWITCH_RELATIONS, 1, params, &r, f));
    *ret = arena_zalloc(a, ((size_t)PQntuples(r) + 1) * sizeof **ret);
    for (int i = 0; i < PQntuples(r); i++) {
        if (n > 0 && (*ret)[n - 1].oid == (uint32_t)pg_get_int(r, i, 0))
            continue;
        if (config_chooses(s->store, PQgetvalue(r, i, 3), PQgetvalue(r, i, 4)))
            TRY(add_relation(pg, r, i, a, &(*ret)[n++], f));
    }
    *ret_count = n;
    return ERR_OK;
}

/* --- making it --- */

/* The functions are made anew only where they are not as this leat has them: replacing one that is being called waits. */
static enum err make_functions(struct pg *pg, struct fault *f)
{
    TRY(pg_exec(pg, SQL_LEAT_SCHEMA, NULL, f));
    return pg_exec_patiently(pg, SQL_SWITCH_FUNCTIONS, LOCK_TIMEOUT_MS, PATIENCE_US, f);
}

static enum err make_row(struct pg *pg, const struct store *s, const char *here, bool *ret_open, struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {s->migration, s->name, here, name_fence(s, fence), strcmp(here, "source") == 0 ? "true" : "false"};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, "INSERT INTO leat.authority (migration, store, here, fence, open) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (migration, store) DO NOTHING", 5, params, NULL, f));
    TRY(pg_query(pg, "SELECT open FROM leat.authority WHERE migration = $1 AND store = $2", 2, params, &r, f));
    if (PQntuples(r) != 1)
        return fault_set(f, ERR_BUG, "no row of authority in %s", pg->database);
    *ret_open = pg_get_bool(r, 0, 0);
    return ERR_OK;
}

static void add_fence(struct buf *sql, struct arena *a, const char *fence, const char *user, const char *table, bool open)
{
    buf_addf(sql, "CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT WHEN (session_user <> %s::pg_catalog.name) EXECUTE PROCEDURE leat.fence();"
                  " ALTER TABLE ONLY %s %s TRIGGER %s;",
             fence, table, pg_quote_literal(a, user), table, open ? "DISABLE" : "ENABLE ALWAYS", fence);
}

struct fencing {
    struct pg *pg;
    struct arena *arena;
    const char *fence; /* quoted */
    const char *user;
    bool open;
};

static enum err fence_these(const struct fencing *g, struct fenced *const *list, size_t count, int64_t patience_us, struct fault *f)
{
    AUTO_BUF sql = {0};

    for (size_t i = 0; i < count; i++)
        add_fence(&sql, g->arena, g->fence, g->user, list[i]->qualified, g->open);
    return count > 0 ? pg_exec_patiently(g->pg, buf_cstr(&sql), LOCK_TIMEOUT_MS, patience_us, f) : ERR_OK;
}

/* Some at a time; where one of them is in use all the time, each by itself: one lock is had sooner than many together. */
static enum err fence_some(const struct fencing *g, struct fenced *const *list, size_t count, struct fault *f)
{
    struct fault busy = {0};
    enum err err = fence_these(g, list, count, TOGETHER_US, &busy);

    if (err != ERR_BUSY) {
        *f = busy;
        return err;
    }
    for (size_t i = 0; i < count; i++)
        TRY_WITH(fence_these(g, list + i, 1, PATIENCE_US, f), f, "fencing %s", list[i]->qualified);
    return ERR_OK;
}

static enum err make_fences(struct pg *pg, const struct store *s, const char *user, bool open, uint64_t *made, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    char name[NAME_SIZE];
    struct fencing g = {pg, a, pg_quote_ident(a, name_fence(s, name)), user, open};
    struct fenced *some[FENCES_A_STATEMENT];
    struct fenced *list;
    size_t count;

    TRY(pg_fence_list(pg, s, a, &list, &count, f));
    for (size_t i = 0; i < count;) {
        size_t n = 0;
        for (; i < count && n < FENCES_A_STATEMENT; i++)
            if (list[i].state == '\0')
                some[n++] = &list[i];
        TRY(fence_some(&g, some, n, f));
        *made += n;
    }
    return ERR_OK;
}

static enum err fence_side(const struct store *s, enum side side, uint64_t *made, struct fault *f)
{
    const char *dsn = side == SIDE_SOURCE ? s->store->source : s->store->target;
    AUTO(arena) *a = arena_new(1024);
    AUTO(pg) *pg = NULL;
    const char *user;
    bool open = false;

    TRY(pg_connect(dsn, side, "fence", &pg, f));
    TRY(make_functions(pg, f));
    TRY(make_row(pg, s, side_name(side), &open, f));
    TRY(pg_value(pg, a, "SELECT session_user", 0, NULL, &user, f));
    return make_fences(pg, s, user, open, made, f);
}

/* Of a source armed by a leat that knew no switch. */
static enum err publish_turns(const struct store *s, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    AUTO(pg) *pg = NULL;
    AUTO_RESULT *r = NULL;
    char marks[NAME_SIZE];
    const char *params[] = {name_marks(s, marks)};

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "fence", &pg, f));
    TRY(pg_query(pg, "SELECT 1 FROM pg_catalog.pg_publication_tables WHERE pubname = $1 AND schemaname = 'leat' AND tablename = 'turn'", 1, params, &r, f));
    if (PQntuples(r) > 0)
        return ERR_OK;
    return pg_exec_patiently(pg, arena_format(a, "ALTER PUBLICATION %s ADD TABLE leat.turn", pg_quote_ident(a, marks)), LOCK_TIMEOUT_MS, PATIENCE_US, f);
}

enum err pg_store_fence(struct store *s, uint64_t *ret_made, struct fault *f)
{
    ENSURE(!s->store->back);
    *ret_made = 0;
    TRY_WITH(fence_side(s, SIDE_TARGET, ret_made, f), f, "fencing the target");
    TRY_WITH(fence_side(s, SIDE_SOURCE, ret_made, f), f, "making the source's fence, open");
    return publish_turns(s, f);
}
