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
#include <jansson.h>
#include <stdlib.h>

#include "base/world.h"
#include "store/postgres/lane_sql.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"

#define PIPELINE_BYTES ((size_t)64 << 10)
#define PIPELINE_COUNT 128
#define FEW_ROWS 4 /* a bulk step of fewer rows goes row by row: no round trip of its own */
#define STATEMENT_SLOTS 4096

struct statement {
    uint64_t key;
    char name[24];
    char *sql;
    bool prepared;
    bool move_exists; /* 0 rows may mean that an always-generated identity changed */
    struct lane_params params;
};

struct flight { /* one statement whose result is still to be read */
    const struct statement *statement;
    int expect; /* rows; -1: any */
};

struct store_lane {
    struct store *store;
    struct pg *pg;
    struct arena *arena;        /* the lane's life: statements */
    struct arena *scratch;      /* one statement's parameters */
    struct statement **slots;
    size_t statement_count;
    char stream[NAME_SIZE];
    char name[64];
    char token[24];
    bool open;                  /* in a transaction */
    bool pipeline;
    struct flight flights[PIPELINE_COUNT];
    size_t flight_count;
    size_t flight_bytes;
    struct lane_stats stats;
    struct lsn position;        /* last committed here */
};

/* --- opening --- */

static enum err take_lock(struct store_lane *l, struct fault *f)
{
    int64_t key = name_lock_key(l->store, l->stream, l->name);
    int64_t deadline = world_mono_us() + 30000000;

    for (;;) {
        AUTO_RESULT *r = NULL;
        TRY(pg_execf(l->pg, &r, f, "SELECT pg_catalog.pg_try_advisory_lock(%" PRId64 ")", key));
        if (pg_get_bool(r, 0, 0))
            return ERR_OK;
        /* an older engine's backend: its COMMIT may still be under way, so it must be gone before positions are read (P33) */
        TRY(pg_end_lock_holders(l->pg, key, f));
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "an older session still holds lane %s of %s on the target", l->name, l->stream);
        world_sleep_us(20000);
    }
}

static enum err pin(struct store_lane *l, struct fault *f)
{
    TRY(pg_exec(l->pg, "SET synchronous_commit = off; SET session_replication_role = replica; SET enable_seqscan = off; SET enable_hashjoin = off;"
                       " SET enable_mergejoin = off; SET enable_material = off; SET lock_timeout = '1s'", NULL, f));
    if (l->pg->major >= 11)
        TRY(pg_exec(l->pg, "SET jit = off", NULL, f));
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
    l->slots = mem_alloc(STATEMENT_SLOTS * sizeof *l->slots);
    name_stream(s, stream, l->stream);
    snprintf(l->name, sizeof l->name, "%s", name);
    snprintf(l->token, sizeof l->token, "%" PRId64, s->token);
    err = pg_connect(s->store->target, SIDE_TARGET, "apply", &l->pg, f);
    if (err == ERR_OK)
        err = pg_circle_enter(l->pg, s, f);
    if (err == ERR_OK)
        err = take_lock(l, f);
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
    *ret = l->stats;
}

enum err pg_lane_position(struct store_lane *l, struct lsn *ret, struct fault *f)
{
    const char *params[] = {l->store->migration, l->stream, l->name};
    const char *text;

    arena_reset(l->scratch);
    TRY(pg_value(l->pg, l->scratch, "SELECT pg_catalog.max(position) FROM leat.progress WHERE migration = $1 AND stream = $2 AND lane = $3", 3,
                 params, &text, f));
    *ret = LSN_ZERO;
    if (text != NULL && !lsn_parse(text, ret))
        return fault_set(f, ERR_BUG, "position %s", text);
    return ERR_OK;
}

/* --- statements --- */

enum statement_kind { ST_INSERT = 1, ST_UPDATE, ST_DELETE, ST_MOVE, ST_BULK_UPDATE, ST_BULK_DELETE, ST_COPY };

static uint64_t statement_key(enum statement_kind kind, const struct binding *b, uint64_t shape_hash)
{
    uint64_t x = shape_hash * 0x9e3779b97f4a7c15u + ((uint64_t)b->serial << 4) + kind;

    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (x ^ (x >> 32)) | 1;
}

static void make_sql(struct buf *sql, struct arena *a, enum statement_kind kind, const struct binding *b, const uint8_t *shape, struct lane_params *p)
{
    switch (kind) {
    case ST_INSERT:
        lane_sql_insert(sql, a, b, p);
        return;
    case ST_UPDATE:
        lane_sql_update(sql, a, b, shape, p);
        return;
    case ST_DELETE:
        lane_sql_delete(sql, a, b, p);
        return;
    case ST_MOVE:
        lane_sql_move(sql, a, b, shape, p);
        return;
    case ST_BULK_UPDATE:
        lane_sql_bulk_update(sql, a, b, shape, p);
        return;
    case ST_BULK_DELETE:
        lane_sql_bulk_delete(sql, a, b, p);
        return;
    case ST_COPY:
        lane_sql_copy(sql, a, b, p);
        return;
    }
}

/* Forgets all statements: the server's are dropped too. Only between transactions. */
static enum err forget_statements(struct store_lane *l, struct fault *f)
{
    memset(l->slots, 0, STATEMENT_SLOTS * sizeof *l->slots);
    l->statement_count = 0;
    arena_reset(l->arena);
    return pg_exec(l->pg, "DEALLOCATE ALL", NULL, f);
}

static struct statement *statement_find(struct store_lane *l, enum statement_kind kind, const struct binding *b, const uint8_t *shape, uint64_t shape_hash)
{
    uint64_t key = statement_key(kind, b, shape_hash);
    size_t i = key % STATEMENT_SLOTS;
    AUTO_BUF sql = {0};
    struct statement *s;

    while (l->slots[i] != NULL && l->slots[i]->key != key)
        i = (i + 1) % STATEMENT_SLOTS;
    if (l->slots[i] != NULL)
        return l->slots[i];
    ENSURE(l->statement_count < STATEMENT_SLOTS - 1);
    s = arena_zalloc(l->arena, sizeof *s);
    s->key = key;
    snprintf(s->name, sizeof s->name, "s%zu", l->statement_count);
    make_sql(&sql, l->arena, kind, b, shape, &s->params);
    s->sql = arena_strdup(l->arena, buf_cstr(&sql));
    l->slots[i] = s;
    l->statement_count++;
    return s;
}

static uint64_t shape_hash_of(const uint8_t *shape, size_t n)
{
    uint64_t h = 1469598103934665603u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ shape[i]) * 1099511628211u;
    return h;
}

/* --- pipeline --- */

static enum err enter(struct store_lane *l, struct fault *f)
{
    if (!l->pipeline && PQenterPipelineMode(l->pg->conn) != 1)
        return fault_set(f, ERR_TARGET_LOST, "apply: %s", PQerrorMessage(l->pg->conn));
    l->pipeline = true;
    return ERR_OK;
}

static enum err sent(struct store_lane *l, int ok, struct fault *f)
{
    if (ok != 1)
        return fault_set(f, ERR_TARGET_LOST, "apply: %s", PQerrorMessage(l->pg->conn));
    return ERR_OK;
}

static enum err check_flight(struct store_lane *l, const struct flight *fl, const PGresult *r, struct fault *f)
{
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_PIPELINE_ABORTED)
        return ERR_OK; /* the one that failed has said why */
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return pg_fault(l->pg, r, fl->statement != NULL ? fl->statement->sql : "", f);
    if (fl->statement == NULL && fl->expect == 1 && strcmp(PQcmdTuples((PGresult *)(uintptr_t)r), "1") != 0)
        return fault_set(f, ERR_FENCED_OUT, "token %s is no longer the target's", l->token); /* a mark that found no lease */
    if (fl->expect >= 0 && strtol(PQcmdTuples((PGresult *)(uintptr_t)r), NULL, 10) != fl->expect)
        return fault_set(f, ERR_DIVERGED, "%s rows instead of %d by: %.400s", PQcmdTuples((PGresult *)(uintptr_t)r), fl->expect,
                         fl->statement != NULL ? fl->statement->sql : "");
    return ERR_OK;
}

/* Reads all results in flight; the first failure is the one reported. Leaves pipeline mode: connection idle. */
static enum err land(struct store_lane *l, struct fault *f)
{
    enum err err = ERR_OK;

    if (!l->pipeline)
        return ERR_OK;
    TRY(sent(l, PQpipelineSync(l->pg->conn), f));
    for (size_t i = 0; i < l->flight_count; i++) {
        PGresult *r = PQgetResult(l->pg->conn);
        if (r == NULL)
            return fault_set(f, ERR_TARGET_LOST, "apply: %s", PQerrorMessage(l->pg->conn));
        if (err == ERR_OK)
            err = check_flight(l, &l->flights[i], r, f);
        PQclear(r);
        PQclear(PQgetResult(l->pg->conn)); /* the NULL that ends it */
    }
    {
        AUTO_RESULT *r = PQgetResult(l->pg->conn);
        if (PQresultStatus(r) != PGRES_PIPELINE_SYNC && err == ERR_OK)
            err = fault_set(f, ERR_TARGET_LOST, "apply: %s", PQerrorMessage(l->pg->conn));
    }
    l->flight_count = 0;
    l->flight_bytes = 0;
    l->pipeline = false;
    if (PQexitPipelineMode(l->pg->conn) != 1 && err == ERR_OK)
        err = fault_set(f, ERR_TARGET_LOST, "apply: %s", PQerrorMessage(l->pg->conn));
    return err;
}

static void fly(struct store_lane *l, const struct statement *s, int expect, size_t bytes)
{
    ENSURE(l->flight_count < PIPELINE_COUNT);
    l->flights[l->flight_count++] = (struct flight){s, expect};
    l->flight_bytes += bytes;
}

static enum err make_room(struct store_lane *l, struct fault *f)
{
    if (l->flight_count + 4 >= PIPELINE_COUNT || l->flight_bytes >= PIPELINE_BYTES)
        TRY(land(l, f));
    return enter(l, f);
}

static enum err send_text(struct store_lane *l, const char *sql, int expect, struct fault *f)
{
    TRY(make_room(l, f));
    TRY(sent(l, PQsendQueryParams(l->pg->conn, sql, 0, NULL, NULL, NULL, NULL, 0), f));
    fly(l, NULL, expect, strlen(sql));
    return ERR_OK;
}

static const char *text_param(struct store_lane *l, const struct value *v, size_t *bytes)
{
    char *copy;

    ENSURE(v->len != VALUE_UNCHANGED);
    if (v->len < 0)
        return NULL;
    copy = arena_alloc(l->scratch, (size_t)v->len + 1);
    memcpy(copy, v->data, (size_t)v->len);
    copy[v->len] = '\0';
    *bytes += (size_t)v->len + 8;
    return copy;
}

static const char **row_params(struct store_lane *l, const struct statement *s, const struct row *key, const struct row *values, size_t *bytes)
{
    const char **params;

    arena_reset(l->scratch);
    params = arena_alloc(l->scratch, (s->params.count + 1u) * sizeof *params);
    for (uint16_t i = 0; i < s->params.count; i++) {
        const struct row *row = s->params.of_key[i] ? key : values;
        params[i] = text_param(l, &row->values[s->params.column[i]], bytes);
    }
    return params;
}

static enum err prepare(struct store_lane *l, struct statement *s, struct fault *f)
{
    if (s->prepared)
        return ERR_OK;
    TRY(make_room(l, f));
    TRY(sent(l, PQsendPrepare(l->pg->conn, s->name, s->sql, s->params.count, s->params.type), f));
    fly(l, s, -1, strlen(s->sql));
    s->prepared = true; /* should the pipeline fail before it, forget_failed() takes it back */
    return ERR_OK;
}

/* Sends one row's statement down the pipeline; exactly one row must answer. */
static enum err send_row(struct store_lane *l, struct statement *s, const struct row *key, const struct row *values, struct fault *f)
{
    size_t bytes = 64;
    const char **params;

    TRY(prepare(l, s, f));
    TRY(make_room(l, f));
    params = row_params(l, s, key, values, &bytes);
    TRY(sent(l, PQsendQueryPrepared(l->pg->conn, s->name, s->params.count, params, NULL, NULL, 0), f));
    fly(l, s, 1, bytes);
    return ERR_OK;
}

/* After a failed pipeline nobody knows which prepares took place: all are made again. */
static void forget_failed(struct store_lane *l)
{
    if (l->pg->conn == NULL || PQstatus(l->pg->conn) != CONNECTION_OK)
        return;
    (void)forget_statements(l, NULL);
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

static enum err change_statement(struct store_lane *l, const struct binding *b, const struct change *c, bool move, struct statement **ret, const struct row **ret_key)
{
    *ret_key = c->old != NULL ? c->old : c->new;
    if (c->kind == CHANGE_INSERT) {
        *ret = statement_find(l, ST_INSERT, b, NULL, 0);
    } else if (c->kind == CHANGE_DELETE) {
        *ret = statement_find(l, ST_DELETE, b, NULL, 0);
    } else {
        uint8_t shape[1700];
        size_t n = b->relation->column_count;
        ENSURE(n <= sizeof shape);
        shape_of(b, c->new, shape);
        if (move || !anything_settable(b, shape))
            *ret = statement_find(l, ST_MOVE, b, shape, shape_hash_of(shape, n));
        else
            *ret = statement_find(l, ST_UPDATE, b, shape, shape_hash_of(shape, n));
    }
    return ERR_OK;
}

static enum err send_change(struct store_lane *l, const struct binding *b, const struct change *c, struct fault *f)
{
    struct statement *s;
    const struct row *key;

    TRY(change_statement(l, b, c, false, &s, &key));
    return send_row(l, s, key, c->new, f);
}

static enum err send_truncate(struct store_lane *l, const struct binding *const *tables, size_t count, uint8_t flags, struct fault *f)
{
    AUTO_BUF sql = {0};

    if (count == 0)
        return ERR_OK;
    lane_sql_truncate(&sql, tables, count, flags);
    return send_text(l, buf_cstr(&sql), -1, f);
}

/* --- bulk --- */

static bool need_escape(unsigned char c)
{
    return c == '\\' || c == '\n' || c == '\r' || c == '\t';
}

static void add_copy_value(struct buf *b, const struct value *v)
{
    int32_t from = 0;

    if (v->len < 0) {
        buf_adds(b, "\\N");
        return;
    }
    for (int32_t i = 0; i < v->len; i++) {
        unsigned char c = (unsigned char)v->data[i];
        if (!need_escape(c))
            continue;
        buf_add(b, v->data + from, (size_t)(i - from));
        buf_addc(b, '\\');
        buf_addc(b, c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : '\\');
        from = i + 1;
    }
    buf_add(b, v->data + from, (size_t)(v->len - from));
}

static enum err end_copy(struct store_lane *l, const struct statement *s, const struct batch_step *step, struct fault *f)
{
    enum err err = ERR_OK;
    PGresult *r;

    TRY(sent(l, PQputCopyEnd(l->pg->conn, NULL), f));
    while ((r = PQgetResult(l->pg->conn)) != NULL) {
        if (PQresultStatus(r) != PGRES_COMMAND_OK && err == ERR_OK)
            err = pg_fault(l->pg, r, s->sql, f);
        else if (err == ERR_OK && strtoul(PQcmdTuples(r), NULL, 10) != step->count)
            err = fault_set(f, ERR_DIVERGED, "%s rows instead of %u by: %.400s", PQcmdTuples(r), step->count, s->sql);
        PQclear(r);
    }
    return err;
}

static enum err bulk_insert(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    struct statement *s = statement_find(l, ST_COPY, step->binding, NULL, 0);
    AUTO_BUF b = {0};

    TRY(land(l, f));
    TRY(pg_exec(l->pg, s->sql, NULL, f));
    for (uint32_t i = 0; i < step->count; i++) {
        for (uint16_t p = 0; p < s->params.count; p++) {
            if (p > 0)
                buf_addc(&b, '\t');
            add_copy_value(&b, &step->rows[i].values->values[s->params.column[p]]);
        }
        buf_addc(&b, '\n');
        if (b.len >= PIPELINE_BYTES) {
            TRY(sent(l, PQputCopyData(l->pg->conn, b.data, (int)b.len), f));
            buf_clear(&b);
        }
    }
    if (b.len > 0)
        TRY(sent(l, PQputCopyData(l->pg->conn, b.data, (int)b.len), f));
    return end_copy(l, s, step, f);
}

/* A text[] in binary form (array_recv): dimensions, has nulls, element type, then length and bytes of each element. */
static void text_array(struct buf *b, const struct batch_step *step, uint16_t column, bool of_key)
{
    size_t flags_at;
    bool nulls = false;

    buf_add_u32be(b, 1);
    flags_at = b->len;
    buf_add_u32be(b, 0);
    buf_add_u32be(b, 25); /* text */
    buf_add_u32be(b, step->count);
    buf_add_u32be(b, 1);
    for (uint32_t i = 0; i < step->count; i++) {
        const struct row *row = of_key ? step->rows[i].key : step->rows[i].values;
        const struct value *v = &row->values[column];
        ENSURE(v->len != VALUE_UNCHANGED);
        buf_add_u32be(b, v->len < 0 ? UINT32_MAX : (uint32_t)v->len);
        if (v->len > 0)
            buf_add(b, v->data, (size_t)v->len);
        nulls = nulls || v->len < 0;
    }
    b->data[flags_at + 3] = nulls;
}

static enum err bulk_by_arrays(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    bool update = step->op == BATCH_UPDATE;
    struct statement *s = statement_find(l, update ? ST_BULK_UPDATE : ST_BULK_DELETE, step->binding, step->shape, update ? step->shape_hash : 0);
    size_t n = s->params.count;
    struct buf *arrays = mem_alloc(n * sizeof *arrays);
    const char **values = mem_alloc(n * sizeof *values);
    int *lengths = mem_alloc(n * sizeof *lengths);
    int *formats = mem_alloc(n * sizeof *formats);
    AUTO_RESULT *r = NULL;
    enum err err = land(l, f);

    if (err == ERR_OK && !s->prepared) {
        AUTO_RESULT *made = PQprepare(l->pg->conn, s->name, s->sql, 0, NULL);
        s->prepared = PQresultStatus(made) == PGRES_COMMAND_OK;
        if (!s->prepared)
            err = pg_fault(l->pg, made, s->sql, f);
    }
    for (size_t i = 0; err == ERR_OK && i < n; i++) {
        text_array(&arrays[i], step, s->params.column[i], s->params.of_key[i]);
        values[i] = arrays[i].data;
        lengths[i] = (int)arrays[i].len;
        formats[i] = 1;
    }
    if (err == ERR_OK) {
        r = PQexecPrepared(l->pg->conn, s->name, (int)n, values, lengths, formats, 0);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            err = pg_fault(l->pg, r, s->sql, f);
        else if (strtoul(PQcmdTuples(r), NULL, 10) != step->count)
            err = fault_set(f, ERR_DIVERGED, "%s rows instead of %u by: %.400s", PQcmdTuples(r), step->count, s->sql);
    }
    for (size_t i = 0; i < n; i++)
        buf_fini(&arrays[i]);
    free(arrays);
    free(values);
    free(lengths);
    free(formats);
    return err;
}

static enum err send_few(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    enum statement_kind kind = step->op == BATCH_UPDATE ? ST_UPDATE : step->op == BATCH_INSERT ? ST_INSERT : ST_DELETE;
    struct statement *s = statement_find(l, kind, step->binding, step->shape, step->op == BATCH_UPDATE ? step->shape_hash : 0);

    for (uint32_t i = 0; i < step->count; i++)
        TRY(send_row(l, s, step->rows[i].key, step->rows[i].values, f));
    return ERR_OK;
}

static enum err run_step(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    const struct change *c = step->change;

    if (step->op == BATCH_CHANGE && c->kind == CHANGE_TRUNCATE)
        return send_truncate(l, (const struct binding *const *)step->rows, step->count, c->truncate_flags, f);
    if (step->op == BATCH_CHANGE)
        return send_change(l, step->binding, c, f);
    if (step->count < FEW_ROWS)
        return send_few(l, step, f);
    return step->op == BATCH_INSERT ? bulk_insert(l, step, f) : bulk_by_arrays(l, step, f);
}

/* --- transactions --- */

static enum err send_mark(struct store_lane *l, struct lsn position, struct fault *f)
{
    static const char sql[] = "INSERT INTO leat.progress (migration, stream, lane, position, token)"
                              " SELECT $1, $2, $3, $4::pg_catalog.pg_lsn, token FROM leat.lease WHERE migration = $1 AND store = $6 AND token = $5::pg_catalog.int8";
    char text[LSN_TEXT_SIZE];
    const char *params[] = {l->store->migration, l->stream, l->name, lsn_text(position, text), l->token, l->store->name};
    static const Oid types[] = {25, 25, 25, 25, 25, 25};

    TRY(make_room(l, f));
    TRY(sent(l, PQsendQueryParams(l->pg->conn, sql, 6, types, params, NULL, NULL, 0), f));
    fly(l, NULL, 1, 256);
    return ERR_OK;
}

enum err pg_lane_begin(struct store_lane *l, const struct batch *b, struct fault *f)
{
    if (l->statement_count > STATEMENT_SLOTS / 2 && !l->open)
        TRY(forget_statements(l, f));
    if (b->begins) {
        ENSURE(!l->open);
        TRY(send_text(l, "BEGIN", -1, f));
        l->open = true;
        TRY(send_mark(l, b->completes ? b->end : l->position, f));
    }
    ENSURE(l->open);
    if (!b->begins || !b->completes)
        TRY(send_text(l, "SAVEPOINT leat_part", -1, f));
    return ERR_OK;
}

enum err pg_lane_steps(struct store_lane *l, const struct batch *b, bool late, struct fault *f)
{
    for (const struct batch_step *step = b->steps; step != NULL; step = step->next)
        if (step->late == late)
            TRY(run_step(l, step, f));
    return land(l, f);
}

static enum err commit(struct store_lane *l, struct lsn position, bool durable, struct fault *f)
{
    TRY(land(l, f));
    if (durable)
        TRY(pg_exec(l->pg, "SET LOCAL synchronous_commit = on", NULL, f));
    TRY(pg_exec(l->pg, "COMMIT", NULL, f));
    l->open = false;
    l->position = lsn_max(l->position, position);
    return ERR_OK;
}

enum err pg_lane_commit(struct store_lane *l, const struct batch *b, bool durable, struct fault *f)
{
    l->stats.txns += b->txn_count;
    l->stats.changes += b->change_count;
    if (!b->completes) {
        TRY(send_text(l, "RELEASE SAVEPOINT leat_part", -1, f));
        return land(l, f);
    }
    if (!b->begins)
        TRY(send_mark(l, b->end, f));
    return commit(l, b->end, durable, f);
}

void pg_lane_rollback(struct store_lane *l)
{
    struct fault ignored = {0};

    if (l->pg->conn == NULL || PQstatus(l->pg->conn) != CONNECTION_OK)
        return;
    (void)land(l, &ignored);
    PQclear(PQexec(l->pg->conn, "ROLLBACK"));
    l->open = false;
    forget_failed(l);
}

/* --- replay, and the ledger --- */

static char *row_json(const struct relation *rel, const struct row *row)
{
    json_t *o;
    char *text;

    if (row == NULL || rel == NULL)
        return NULL;
    o = json_object();
    for (uint16_t i = 0; i < rel->column_count; i++) {
        const struct value *v = &row->values[i];
        if (v->len == VALUE_UNCHANGED)
            continue;
        json_object_set_new(o, rel->columns[i].name, v->len < 0 ? json_null() : json_stringn_nocheck(v->data, (size_t)v->len));
    }
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static enum err write_ledger(struct store_lane *l, struct lsn position, const struct binding *b, const struct change *c, const char *why, struct fault *f)
{
    AUTO_CHARS *old = row_json(c->relation, c->old);
    AUTO_CHARS *new = row_json(c->relation, c->new);
    AUTO_CHARS *table = mem_format("%s.%s", b->table->schema, b->table->name);
    char kind[2] = {(char)c->kind, '\0'};
    char text[LSN_TEXT_SIZE];
    const char *params[] = {l->store->migration, l->store->name, lsn_text(position, text), table, kind, why, old, new};

    l->stats.divergences++;
    return pg_query(l->pg, "INSERT INTO leat.ledger (migration, store, position, table_name, kind, why, old_row, new_row) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    8, params, NULL, f);
}

static enum err run_counted(struct store_lane *l, struct statement *s, const struct row *key, const struct row *values, int64_t *ret_count, struct fault *f)
{
    size_t bytes = 0;
    const char **params = row_params(l, s, key, values, &bytes);
    AUTO_RESULT *r = PQexecParams(l->pg->conn, s->sql, s->params.count, s->params.type, params, NULL, NULL, 0);

    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        return pg_fault(l->pg, r, s->sql, f);
    *ret_count = strtoll(PQcmdTuples(r), NULL, 10);
    return ERR_OK;
}

/* One change with the fallback for identities that always generate. */
static enum err try_change(struct store_lane *l, const struct binding *b, const struct change *c, int64_t *ret_count, struct fault *f)
{
    struct statement *s;
    const struct row *key;

    TRY(change_statement(l, b, c, false, &s, &key));
    TRY(run_counted(l, s, key, c->new, ret_count, f));
    if (*ret_count != 0 || c->kind != CHANGE_UPDATE)
        return ERR_OK;
    TRY(change_statement(l, b, c, true, &s, &key));
    return run_counted(l, s, key, c->new, ret_count, f);
}

static bool is_about_data(enum err err)
{
    return err == ERR_TARGET_SQL || err == ERR_DIVERGED;
}

static enum err replay_change(struct store_lane *l, struct lsn position, const struct binding *b, const struct change *c, struct fault *f)
{
    struct fault why = {0};
    int64_t count = 0;
    enum err err;
    char text[512];

    TRY(pg_exec(l->pg, "SAVEPOINT leat_change", NULL, f));
    err = try_change(l, b, c, &count, &why);
    if (err == ERR_OK && count == 1)
        return pg_exec(l->pg, "RELEASE SAVEPOINT leat_change", NULL, f);
    if (err != ERR_OK && !is_about_data(err)) {
        *f = why;
        return err;
    }
    if (err == ERR_OK)
        snprintf(text, sizeof text, "%" PRId64 " rows instead of 1", count);
    else
        snprintf(text, sizeof text, "%.500s", why.why);
    TRY(pg_exec(l->pg, "ROLLBACK TO SAVEPOINT leat_change; RELEASE SAVEPOINT leat_change", NULL, f));
    return write_ledger(l, position, b, c, text, f);
}

static enum err replay_truncate(struct store_lane *l, const struct txn *t, const struct change *c, binding_find *find, void *ctx, struct fault *f)
{
    const struct binding **tables = mem_alloc((c->truncate_count + 1) * sizeof *tables);
    size_t count = 0;
    enum err err;

    for (uint32_t i = 0; i < c->truncate_count; i++) {
        const struct binding *b = find(ctx, t, c, c->truncated[i]);
        if (b != NULL)
            tables[count++] = b;
    }
    err = send_truncate(l, tables, count, c->truncate_flags, f);
    free(tables);
    return err == ERR_OK ? land(l, f) : err;
}

static enum err replay_txn(struct store_lane *l, const struct txn *t, binding_find *find, void *ctx, struct fault *f)
{
    for (const struct change *c = t->changes; c != NULL; c = c->next) {
        const struct binding *b;
        if (c->kind == CHANGE_TRUNCATE) {
            TRY(replay_truncate(l, t, c, find, ctx, f));
            continue;
        }
        b = find(ctx, t, c, c->relation);
        if (b != NULL)
            TRY(replay_change(l, t->end, b, c, f));
    }
    return ERR_OK;
}

enum err pg_lane_replay(struct store_lane *l, const struct batch *b, binding_find *find, void *ctx, bool durable, struct fault *f)
{
    l->stats.replays++;
    l->stats.txns += b->txn_count;
    l->stats.changes += b->change_count;
    if (!b->begins) { /* a part of a transaction that is open: its own savepoint is where it goes back to */
        struct fault ignored = {0};
        (void)land(l, &ignored);
        TRY(pg_exec(l->pg, "ROLLBACK TO SAVEPOINT leat_part", NULL, f));
        memset(l->slots, 0, STATEMENT_SLOTS * sizeof *l->slots);
        TRY(forget_statements(l, f));
    } else {
        pg_lane_rollback(l);
    }
    for (uint32_t i = 0; i < b->parcel_count; i++)
        for (const struct txn *t = b->parcels[i]->txns; t != NULL; t = t->next) {
            if (t->first) {
                TRY(send_text(l, "BEGIN", -1, f));
                l->open = true;
                TRY(send_mark(l, t->last ? t->end : l->position, f));
                TRY(land(l, f));
            }
            TRY(replay_txn(l, t, find, ctx, f));
            if (t->last && !t->first)
                TRY(send_mark(l, t->end, f));
            if (t->last)
                TRY(commit(l, t->end, durable, f));
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
    TRY(send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(send_mark(l, LSN_ZERO, f));
    TRY(land(l, f));
    TRY(pg_query(l->pg, "UPDATE leat.copy SET pass = $4 WHERE migration = $1 AND store = $2 AND table_oid = ANY ($3::oid[])", 4, params, NULL, f));
    return commit(l, LSN_ZERO, false, f);
}

enum err pg_lane_join(struct store_lane *l, const uint32_t *oids, size_t count, struct lsn at, struct fault *f)
{
    AUTO_CHARS *list = oid_list(oids, count);
    char text[LSN_TEXT_SIZE];
    const char *params[] = {l->store->migration, l->store->name, list, lsn_text(at, text)};

    TRY(send_text(l, "BEGIN", -1, f));
    l->open = true;
    TRY(send_mark(l, at, f));
    TRY(land(l, f));
    TRY(pg_query(l->pg, "UPDATE leat.copy SET joined = $4 WHERE migration = $1 AND store = $2 AND table_oid = ANY ($3::oid[])", 4, params, NULL, f));
    return commit(l, at, true, f);
}
