/* store/postgres/fence.c — see fence.h.
 *
 * Invariants
 *  1. A fence is made, or set right, as its side's row of authority says, in a transaction that holds the row FOR SHARE: no writer meets one that
 *     is open where it must be shut, or shut where clients write, whatever switch goes on beside it.
 *  2. The row of authority is made once; what it says is changed by leat.decide, leat.open_side and leat.abort_attempt alone. */
#include "store/postgres/fence.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/world.h"
#include "sql_embedded.h"
#include "store/postgres/door_role.h"
#include "store/postgres/names.h"

#define LOCK_TIMEOUT_MS 100
#define PATIENCE_US ((int64_t)60000000)
#define TOGETHER_US ((int64_t)1000000)
#define FIRST_PAUSE_US ((int64_t)20000)
#define MOST_PAUSE_US ((int64_t)1000000)
#define FENCES_A_STATEMENT 50

static enum err add_relation(struct pg *pg, const PGresult *r, int row, struct arena *a, struct fenced *ret, struct fault *f)
{
    ret->oid = (uint32_t)pg_get_int(r, row, 0);
    ret->qualified = pg_quote_qualified(a, PQgetvalue(r, row, 1), PQgetvalue(r, row, 2));
    ret->state = PQgetisnull(r, row, 5) ? '\0' : PQgetvalue(r, row, 5)[0];
    ret->columns = arena_strdup(a, PQgetvalue(r, row, 6)); /* "": it has none */
    return ret->oid != 0 ? ERR_OK : fault_set(f, ERR_BUG, "a relation of %s without a number", pg->database);
}

/* A row a table below: the relation counts if one of those is chosen. */
enum err pg_fence_list_take(struct pg *pg, const struct store *s, const PGresult *r, struct arena *a,
                            struct fenced **ret, size_t *ret_count, struct fault *f)
{
    size_t n = 0;

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

enum err pg_fence_list(struct pg *pg, const struct store *s, struct arena *a, struct fenced **ret, size_t *ret_count,
                       struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {name_fence(s, fence)};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg, SQL_SWITCH_RELATIONS, 1, params, &r, f));
    return pg_fence_list_take(pg, s, r, a, ret, ret_count, f);
}

/* The name stands in the text: a plan with a parameter is made anew for the first five times. */
enum err pg_fence_list_prepare(struct pg *pg, const struct store *s, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    char fence[NAME_SIZE];
    AUTO_CHARS *whole = pg_fill_in(SQL_SWITCH_RELATIONS, "$1", pg_quote_literal(a, name_fence(s, fence)));

    return pg_prepare(pg, PG_FENCES, whole, f);
}

enum err pg_fence_list_prepared(struct pg *pg, const struct store *s, struct arena *a, struct fenced **ret,
                                size_t *ret_count, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_query_prepared(pg, PG_FENCES, &r, f));
    return pg_fence_list_take(pg, s, r, a, ret, ret_count, f);
}

/* --- making it --- */

/* The functions are made anew only where they are not as this leat has them: replacing one that is being called waits. */
enum err pg_fence_functions(struct pg *pg, struct fault *f)
{
    TRY(pg_exec(pg, SQL_LEAT_SCHEMA, NULL, f));
    return pg_exec_patiently(pg, SQL_SWITCH_FUNCTIONS, LOCK_TIMEOUT_MS, PATIENCE_US, f);
}

static enum err make_row(struct pg *pg, const struct store *s, const char *here, struct fault *f)
{
    char fence[NAME_SIZE];
    const char *params[] = {s->migration, s->name, here, name_fence(s, fence), strcmp(here, "source") == 0 ? "true" : "false"};

    return pg_query(pg, "INSERT INTO leat.authority (migration, store, here, fence, open) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (migration, store) DO NOTHING", 5, params, NULL, f);
}

static void add_fence(struct buf *sql, struct arena *a, const char *fence, const char *user, const struct fenced *one, bool open)
{
    if (one->state == '\0')
        buf_addf(sql, "CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT WHEN (session_user <> %s::pg_catalog.name) EXECUTE PROCEDURE leat.fence();",
                 fence, one->qualified, pg_quote_literal(a, user));
    buf_addf(sql, " ALTER TABLE ONLY %s %s TRIGGER %s;", one->qualified, open ? "DISABLE" : "ENABLE ALWAYS", fence);
}

struct fencing {
    struct pg *pg;
    struct arena *arena;
    const char *migration;
    const char *name;  /* of the store itself, whichever way its stream goes */
    const char *fence; /* quoted */
    const char *user;  /* who passes it */
};

/* What the row says, and goes on saying until our transaction ends. */
static enum err read_row(const struct fencing *g, bool *ret_open, struct fault *f)
{
    const char *params[] = {g->migration, g->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(g->pg, "SELECT open FROM leat.authority WHERE migration = $1 AND store = $2 FOR SHARE", 2, params, &r, f));
    if (PQntuples(r) != 1)
        return fault_set(f, ERR_BUG, "no row of authority in %s", g->pg->database);
    *ret_open = pg_get_bool(r, 0, 0);
    return ERR_OK;
}

static enum err fence_in_transaction(const struct fencing *g, struct fenced *const *list, size_t count, struct fault *f)
{
    AUTO_BUF sql = {0};
    bool open = false;

    TRY(pg_execf(g->pg, NULL, f, "BEGIN; SET LOCAL lock_timeout = %d", LOCK_TIMEOUT_MS));
    TRY(read_row(g, &open, f));
    for (size_t i = 0; i < count; i++)
        add_fence(&sql, g->arena, g->fence, g->user, list[i], open);
    TRY(pg_exec(g->pg, buf_cstr(&sql), NULL, f));
    return pg_exec(g->pg, "COMMIT", NULL, f);
}

static enum err fence_these(const struct fencing *g, struct fenced *const *list, size_t count, int64_t patience_us, struct fault *f)
{
    int64_t deadline = world_mono_us() + patience_us;

    for (int64_t pause = FIRST_PAUSE_US; count > 0; pause = pause < MOST_PAUSE_US ? pause * 2 : pause) {
        struct fault why = {0};
        enum err err = fence_in_transaction(g, list, count, &why);

        if (err == ERR_OK)
            return ERR_OK;
        PQclear(PQexec(g->pg->conn, "ROLLBACK"));
        if (err != ERR_BUSY || world_mono_us() + pause > deadline) {
            *f = why;
            return err;
        }
        world_sleep_us(pause);
    }
    return ERR_OK;
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

static enum err make_fences(const struct fencing *g, const struct store *s, uint64_t *made, struct fault *f)
{
    struct fenced *some[FENCES_A_STATEMENT];
    struct fenced *list;
    size_t count;

    TRY(pg_fence_list(g->pg, s, g->arena, &list, &count, f));
    for (size_t i = 0; i < count;) {
        size_t n = 0;
        for (; i < count && n < FENCES_A_STATEMENT; i++)
            if (list[i].state == '\0')
                some[n++] = &list[i];
        TRY(fence_some(g, some, n, f));
        *made += n;
    }
    return ERR_OK;
}

/* --- set right --- */

/* Each by itself: it may be in use, and the others need not wait for it. names: of those that were. */
static enum err mend(const struct fencing *g, int64_t patience_us, struct buf *names, uint64_t *mended, struct fault *f)
{
    const char *params[] = {g->migration, g->name};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(g->pg, SQL_FENCES_ASTRAY, 2, params, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        struct fenced one = {(uint32_t)pg_get_int(r, i, 0), pg_quote_qualified(g->arena, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2)), PQgetvalue(r, i, 3)[0]};
        struct fenced *list[] = {&one};

        TRY_WITH(fence_these(g, list, 1, patience_us, f), f, "setting the fence of %s right", one.qualified);
        buf_addf(names, "%s%s.%s", names->len > 0 ? ", " : "", PQgetvalue(r, i, 1), PQgetvalue(r, i, 2));
        ++*mended;
    }
    return ERR_OK;
}

static struct fencing fencing_of(struct pg *pg, struct arena *a, const struct store *s, const char *user)
{
    char name[NAME_SIZE];

    return (struct fencing){pg, a, s->migration, store_base(s), pg_quote_ident(a, name_fence(s, name)), user};
}

enum err pg_fence_mend(struct pg *pg, const struct store *s, struct arena *a, const char **ret, struct fault *f)
{
    struct fencing g = fencing_of(pg, a, s, NULL);
    AUTO_BUF names = {0};
    uint64_t mended = 0;
    enum err err = mend(&g, 0, &names, &mended, f);

    *ret = mended > 0 ? arena_strdup(a, buf_cstr(&names)) : NULL;
    return err;
}

static enum err fence_side(const struct store *s, enum side side, uint64_t *made, struct fault *f)
{
    const char *dsn = side == SIDE_SOURCE ? s->store->source : s->store->target;
    AUTO(arena) *a = arena_new(65536);
    AUTO(pg) *pg = NULL;
    AUTO_BUF names = {0};
    struct fencing g;
    const char *user;

    TRY(pg_connect(dsn, side, "fence", &pg, f));
    TRY(pg_fence_functions(pg, f));
    TRY(pg_door_role_grant(pg, s->store, side, f));
    TRY(make_row(pg, s, side_name(side), f));
    TRY(pg_value(pg, a, "SELECT session_user", 0, NULL, &user, f));
    g = fencing_of(pg, a, s, user);
    TRY(make_fences(&g, s, made, f));
    return mend(&g, PATIENCE_US, &names, made, f);
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
