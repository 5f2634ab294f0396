/* store/postgres/lane.c — one applying connection.
 *
 *   IDLE --begin--> OPEN --steps (early)--> OPEN --steps (late)--> OPEN --commit--> IDLE
 *
 * Changes go through libpq's pipeline with prepared statements; what is coalesced goes as one statement with arrays, or as
 * COPY. A transaction larger than a part stays OPEN over several batches, each behind a savepoint of its own.
 *
 * Invariants
 *  1. Every transaction begins with a mark; the position in the last mark of a transaction is the position it commits.
 *  2. The mark inserts nothing when the lease has moved on: then the transaction is rolled back (ERR_FENCED_OUT).
 *  3. Every statement's count is checked before COMMIT is sent.
 *  4. At most PIPELINE_BYTES are in flight before results are read (trap P14). */
#include "store/postgres/lane.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/world.h"
#include "store/postgres/confirm.h"
#include "store/postgres/lane_internal.h"

#define FEW_ROWS 4 /* a bulk step of fewer rows goes row by row: no round trip of its own */

/* --- opening --- */

static enum err pin(struct store_lane *l, struct fault *f)
{
    TRY(pg_exec(l->pg,
                "SET synchronous_commit = off; SET session_replication_role = replica; SET enable_seqscan = off; SET "
                "enable_hashjoin = off;"
                " SET enable_mergejoin = off; SET enable_material = off; SET lock_timeout = '1s'",
                NULL, f));
    if (l->pg->major >= 12)
        TRY(pg_exec(l->pg, "SET plan_cache_mode = force_generic_plan", NULL, f));
    return ERR_OK;
}

enum err pg_lane_open(struct store *s, const char *stream, const char *name, struct store_lane **ret, struct fault *f)
{
    struct store_lane *l = mem_alloc(sizeof *l);
    enum err err;

    l->store = s;
    l->arena = arena_new(16384);
    l->scratch = arena_new(65536);
    name_stream(s, stream, l->stream);
    snprintf(l->name, sizeof l->name, "%s", name);
    snprintf(l->token, sizeof l->token, "%" PRId64, s->token);
    err = pg_connect(s->store->target, SIDE_TARGET, "apply", &l->pg, f);
    if (err == ERR_OK)
        err = pg_circle_enter(l->pg, s, f);
    if (err == ERR_OK)
        err = pg_take_lock(l->pg, name_lock_key(l->store, l->stream, l->name), f);
    if (err == ERR_OK)
        err = pin(l, f);
    if (err != ERR_OK) {
        pg_lane_close(l);
        return err;
    }
    *ret = l;
    return ERR_OK;
}

void pg_lane_close(struct store_lane *l)
{
    if (l == NULL)
        return;
    pg_free(l->pg);
    arena_free(l->arena);
    arena_free(l->scratch);
    free(l->slots);
    free(l);
}

void pg_lane_stats(struct store_lane *l, struct lane_stats *ret)
{
    *ret = (struct lane_stats){atomic_load(&l->replays), atomic_load(&l->divergences)};
}

enum err pg_lane_position(struct store_lane *l, struct lsn *ret, struct fault *f)
{
    const char *params[] = {l->store->migration, l->stream, l->name};
    const char *text;

    arena_reset(l->scratch);
    TRY(pg_value(l->pg, l->scratch, "SELECT position FROM leat.progress WHERE migration = $1 AND stream = $2 AND lane = $3 ORDER BY position DESC LIMIT 1", 3,
                 params, &text, f));
    *ret = LSN_ZERO;
    if (text != NULL && !lsn_parse(text, ret))
        return fault_set(f, ERR_BUG, "position %s", text);
    return ERR_OK;
}

/* --- one change --- */

static void shape_of(const struct binding *b, const struct row *new, uint8_t *shape)
{
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        shape[i] = new->values[i].len != VALUE_UNCHANGED && b->column[i] != BINDING_SKIP;
}

static bool anything_settable(const struct binding *b, const uint8_t *shape)
{
    (void)shape;
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (lane_settable(b, i))
            return true;
    return false;
}

/* A key that always generates and changes all the same: it cannot be set, the row has to move. */
static bool always_key_changes(const struct binding *b, const struct change *c)
{
    if (c->old == NULL || !b->keyed)
        return false;
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL && b->table->columns[b->column[i]].identity_always && !value_same(&c->old->values[i], &c->new->values[i]))
            return true;
    return false;
}

enum err lane_change_statement(struct store_lane *l, const struct binding *b, const struct change *c, bool move, struct statement **ret, const struct row **ret_key)
{
    *ret_key = c->old != NULL ? c->old : c->new;
    if (c->kind == CHANGE_INSERT) {
        *ret = lane_statement(l, ST_INSERT, b, NULL, 0);
    } else if (c->kind == CHANGE_DELETE) {
        *ret = lane_statement(l, ST_DELETE, b, NULL, 0);
    } else {
        uint8_t shape[1700];
        size_t n = b->relation->column_count;
        ENSURE(n <= sizeof shape);
        shape_of(b, c->new, shape);
        if (move || !anything_settable(b, shape) || always_key_changes(b, c))
            *ret = lane_statement(l, ST_MOVE, b, shape, shape_hash(shape, n));
        else
            *ret = lane_statement(l, ST_UPDATE, b, shape, shape_hash(shape, n));
    }
    return ERR_OK;
}

static enum err send_change(struct store_lane *l, const struct binding *b, const struct change *c, struct fault *f)
{
    struct statement *s;
    const struct row *key;

    TRY(lane_change_statement(l, b, c, false, &s, &key));
    return lane_send_row(l, s, key, c->new, f);
}

enum err lane_send_truncate(struct store_lane *l, const struct binding *const *tables, size_t count, uint8_t flags, struct fault *f)
{
    AUTO_BUF sql = {0};

    if (count == 0)
        return ERR_OK;
    lane_sql_truncate(&sql, tables, count, flags);
    return lane_send_text(l, buf_cstr(&sql), -1, f);
}

/* --- steps --- */

static enum err send_few(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    enum statement_kind kind = step->op == BATCH_UPDATE ? ST_UPDATE : step->op == BATCH_INSERT ? ST_INSERT : ST_DELETE;
    struct statement *s = lane_statement(l, kind, step->binding, step->shape, step->op == BATCH_UPDATE ? step->shape_hash : 0);

    for (uint32_t i = 0; i < step->count; i++)
        TRY(lane_send_row(l, s, step->rows[i].key, step->rows[i].values, f));
    return ERR_OK;
}

static enum err run_step(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    const struct change *c = step->change;

    if (step->op == BATCH_CHANGE && c->kind == CHANGE_TRUNCATE)
        return lane_send_truncate(l, (const struct binding *const *)step->rows, step->count, c->truncate_flags, f);
    if (step->op == BATCH_CHANGE)
        return send_change(l, step->binding, c, f);
    if (step->count < FEW_ROWS || step->binding->relation->column_count == 0) /* COPY knows no rows without columns */
        return send_few(l, step, f);
    return step->op == BATCH_INSERT ? lane_bulk_insert(l, step, f) : lane_bulk_by_arrays(l, step, f);
}

/* --- transactions --- */

enum err lane_send_mark(struct store_lane *l, struct lsn position, struct fault *f)
{
    static const char sql[] = "INSERT INTO leat.progress (migration, stream, lane, position, token)"
                              " SELECT $1, $2, $3, $4::pg_catalog.pg_lsn, token FROM leat.lease WHERE migration = $1 AND store = $6 AND token = $5::pg_catalog.int8";
    char text[LSN_TEXT_SIZE];
    const char *params[] = {l->store->migration, l->stream, l->name, lsn_text(position, text), l->token, l->store->name};

    return lane_send_params(l, sql, 6, params, 1, f);
}

enum err pg_lane_begin(struct store_lane *l, const struct batch *b, struct fault *f)
{
    if (l->statement_count > MOST_STATEMENTS && !l->open)
        TRY(lane_forget_statements(l, f));
    if (b->begins) {
        ENSURE(!l->open);
        TRY(lane_send_text(l, "BEGIN", -1, f));
        l->open = true;
        TRY(lane_send_mark(l, b->completes ? b->end : l->position, f));
    }
    ENSURE(l->open);
    if (!b->begins || !b->completes)
        TRY(lane_send_text(l, "SAVEPOINT leat_part", -1, f));
    return ERR_OK;
}

enum err pg_lane_steps(struct store_lane *l, const struct batch *b, bool late, struct fault *f)
{
    for (const struct batch_step *step = b->steps; step != NULL; step = step->next)
        if (step->late == late)
            TRY(run_step(l, step, f));
    return lane_land(l, f);
}

enum err lane_commit_at(struct store_lane *l, struct lsn position, bool durable, struct fault *f)
{
    TRY(lane_land(l, f));
    if (durable)
        TRY(pg_exec(l->pg, "SET LOCAL synchronous_commit = on", NULL, f));
    TRY(pg_send(l->pg, "COMMIT", 0, NULL, f));
    TRY(durable ? pg_take_confirmed(l->pg, 0, "COMMIT", NULL, f) : pg_take(l->pg, "COMMIT", NULL, f));
    l->open = false;
    l->position = lsn_max(l->position, position);
    return ERR_OK;
}

enum err pg_lane_commit(struct store_lane *l, const struct batch *b, bool durable, struct fault *f)
{
    if (!b->completes) {
        TRY(lane_send_text(l, "RELEASE SAVEPOINT leat_part", -1, f));
        return lane_land(l, f);
    }
    if (!b->begins)
        TRY(lane_send_mark(l, b->end, f));
    return lane_commit_at(l, b->end, durable, f);
}

void pg_lane_rollback(struct store_lane *l)
{
    struct fault ignored = {0};

    l->open = false; /* without a session there is no transaction either, and the next statement says so */
    if (l->pg->conn == NULL || PQstatus(l->pg->conn) != CONNECTION_OK)
        return;
    (void)lane_land(l, &ignored);
    PQclear(PQexec(l->pg->conn, "ROLLBACK"));
    lane_forget_failed(l);
}

/* --- a switch's own --- */

/* Once this is answered all that was before it is where a commit has to be. */
static enum err commit_all_before(struct store_lane *l, struct fault *f)
{
    TRY(lane_send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(lane_send_mark(l, l->position, f));
    return lane_commit_at(l, l->position, true, f);
}

/* The mark comes after that, by itself: one that was written with it could be read where the wait for a standby was
 * cancelled. It may be lost itself: then another one is waited for. */
enum err pg_lane_mark(struct store_lane *l, struct lsn at, int64_t mark, struct fault *f)
{
    char number[32];
    const char *params[] = {l->store->migration, l->store->name, number};

    snprintf(number, sizeof number, "%" PRId64, mark);
    TRY(commit_all_before(l, f));
    TRY(lane_send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(lane_send_mark(l, at, f));
    TRY(lane_send_params(l, "INSERT INTO leat.round (migration, store, mark) VALUES ($1, $2, $3::pg_catalog.int8) ON CONFLICT (migration, store) DO UPDATE SET mark = excluded.mark", 3, params, 1, f));
    return lane_commit_at(l, at, false, f);
}

/* --- a cut's own --- */

enum err pg_lane_ahead(struct store_lane *l, const struct lsn *commits, size_t count, struct fault *f)
{
    static const char sql[] = "INSERT INTO leat.progress (migration, stream, lane, position, token) VALUES ($1, $2, $3, $4::pg_catalog.pg_lsn, $5::pg_catalog.int8)";
    char stream[NAME_SIZE];

    name_stream(l->store, STREAM_AHEAD, stream);
    for (size_t i = 0; i < count; i++) {
        char text[LSN_TEXT_SIZE];
        const char *params[] = {l->store->migration, stream, l->name, lsn_text(commits[i], text), l->token};
        TRY(lane_send_params(l, sql, 5, params, 1, f));
    }
    return ERR_OK;
}

/* --- the join's own --- */

static char *oid_list(const uint32_t *oids, size_t count)
{
    struct buf b = {0};

    buf_addc(&b, '{');
    for (size_t i = 0; i < count; i++)
        buf_addf(&b, "%s%u", i > 0 ? "," : "", oids[i]);
    buf_addc(&b, '}');
    return b.data;
}

enum err pg_lane_pass(struct store_lane *l, const uint32_t *oids, size_t count, int pass, struct fault *f)
{
    AUTO_CHARS *list = oid_list(oids, count);
    char number[16];
    const char *params[] = {l->store->migration, l->store->name, list, number};

    snprintf(number, sizeof number, "%d", pass);
    TRY(lane_send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(lane_send_mark(l, LSN_ZERO, f));
    TRY(lane_land(l, f));
    TRY(pg_query(l->pg, "UPDATE leat.copy SET pass = $4 WHERE migration = $1 AND store = $2 AND table_oid = ANY ($3::oid[])", 4, params, NULL, f));
    return lane_commit_at(l, LSN_ZERO, false, f);
}

enum err pg_lane_join(struct store_lane *l, const uint32_t *oids, size_t count, struct lsn at, struct fault *f)
{
    AUTO_CHARS *list = oid_list(oids, count);
    char text[LSN_TEXT_SIZE];
    const char *params[] = {l->store->migration, l->store->name, list, lsn_text(at, text)};

    TRY(lane_send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(lane_send_mark(l, at, f));
    TRY(lane_land(l, f));
    TRY(pg_query(l->pg, "UPDATE leat.copy SET joined = $4 WHERE migration = $1 AND store = $2 AND table_oid = ANY ($3::oid[])", 4, params, NULL, f));
    return lane_commit_at(l, at, true, f);
}
