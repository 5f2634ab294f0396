/* store/postgres/lane_pipeline.c — a lane's prepared statements, and what is in flight.
 *
 * Invariants
 *  1. What was sent is in `flights` until its result was read; lane_land reads them all and leaves the connection idle.
 *  2. The first failure is the one reported; what came after it in the pipeline did not run. */
#include "store/postgres/lane_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define LARGE_VALUE (1 << 20)

/* --- statements --- */

static uint64_t statement_key(enum statement_kind kind, const struct binding *b, uint64_t shape_key)
{
    uint64_t x = shape_key * 0x9e3779b97f4a7c15u + ((uint64_t)b->serial << 4) + kind;

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
enum err lane_forget_statements(struct store_lane *l, struct fault *f)
{
    if (l->slot_count > 0)
        memset(l->slots, 0, l->slot_count * sizeof *l->slots);
    l->statement_count = 0;
    arena_reset(l->arena);
    return pg_exec(l->pg, "DEALLOCATE ALL", NULL, f);
}

static struct statement **find_slot(struct store_lane *l, uint64_t key)
{
    size_t i = key & (l->slot_count - 1);

    while (l->slots[i] != NULL && l->slots[i]->key != key)
        i = (i + 1) & (l->slot_count - 1);
    return &l->slots[i];
}

static void grow_slots(struct store_lane *l)
{
    struct statement **old = l->slots;
    size_t count = l->slot_count;

    l->slot_count = count > 0 ? count * 2 : 256;
    l->slots = mem_alloc(l->slot_count * sizeof *l->slots);
    for (size_t i = 0; i < count; i++)
        if (old[i] != NULL)
            *find_slot(l, old[i]->key) = old[i];
    free(old);
}

struct statement *lane_statement(struct store_lane *l, enum statement_kind kind, const struct binding *b, const uint8_t *shape, uint64_t shape_key)
{
    uint64_t key = statement_key(kind, b, shape_key);
    struct statement **slot;
    AUTO_BUF sql = {0};
    struct statement *s;

    if (2 * (l->statement_count + 1) > l->slot_count)
        grow_slots(l);
    slot = find_slot(l, key);
    if (*slot != NULL)
        return *slot;
    s = arena_zalloc(l->arena, sizeof *s);
    s->key = key;
    snprintf(s->name, sizeof s->name, "s%zu", l->statement_count);
    make_sql(&sql, l->arena, kind, b, shape, &s->params);
    s->sql = arena_strdup(l->arena, buf_cstr(&sql));
    *slot = s;
    l->statement_count++;
    return s;
}

/* --- pipeline --- */

static enum err enter(struct store_lane *l, struct fault *f)
{
    if (!l->pipeline && PQenterPipelineMode(l->pg->conn) != 1)
        return fault_set(f, ERR_TARGET_LOST, "apply: %s", PQerrorMessage(l->pg->conn));
    l->pipeline = true;
    return ERR_OK;
}

enum err lane_sent(struct store_lane *l, int ok, struct fault *f)
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
enum err lane_land(struct store_lane *l, struct fault *f)
{
    enum err err = ERR_OK;

    if (!l->pipeline)
        return ERR_OK;
    TRY(lane_sent(l, PQpipelineSync(l->pg->conn), f));
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
        TRY(lane_land(l, f));
    return enter(l, f);
}

enum err lane_send_params(struct store_lane *l, const char *sql, int count, const char *const params[], int expect, struct fault *f)
{
    static const Oid text[8] = {25, 25, 25, 25, 25, 25, 25, 25};

    ENSURE(count <= 8);
    TRY(make_room(l, f));
    TRY(lane_sent(l, PQsendQueryParams(l->pg->conn, sql, count, text, params, NULL, NULL, 0), f));
    fly(l, NULL, expect, strlen(sql) + 256);
    return ERR_OK;
}

enum err lane_send_text(struct store_lane *l, const char *sql, int expect, struct fault *f)
{
    return lane_send_params(l, sql, 0, NULL, expect, f);
}

/* Types whose binary form is their text: a large value of theirs is sent from where it lies. (Text has to end in a NUL, and so in a
 * copy.) */
static bool goes_as_it_is(Oid type, const struct value *v)
{
    return v->len >= LARGE_VALUE && (type == 25 || type == 1043 || type == 1042 || type == 114); /* text, varchar, bpchar, json */
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

struct lane_values lane_row_params(struct store_lane *l, const struct statement *s, const struct row *key, const struct row *values, size_t *bytes)
{
    struct lane_values p;

    arena_reset(l->scratch);
    p.values = arena_alloc(l->scratch, (s->params.count + 1u) * sizeof *p.values);
    p.lengths = arena_alloc(l->scratch, (s->params.count + 1u) * sizeof *p.lengths);
    p.formats = arena_alloc(l->scratch, (s->params.count + 1u) * sizeof *p.formats);
    for (uint16_t i = 0; i < s->params.count; i++) {
        const struct row *row = s->params.of_key[i] ? key : values;
        const struct value *v = &row->values[s->params.column[i]];
        p.formats[i] = goes_as_it_is(s->params.type[i], v);
        p.values[i] = p.formats[i] ? v->data : text_param(l, v, bytes);
        p.lengths[i] = v->len;
        *bytes += p.formats[i] ? (size_t)v->len : 0;
    }
    return p;
}

static enum err prepare(struct store_lane *l, struct statement *s, struct fault *f)
{
    if (s->prepared)
        return ERR_OK;
    TRY(make_room(l, f));
    TRY(lane_sent(l, PQsendPrepare(l->pg->conn, s->name, s->sql, s->params.count, s->params.type), f));
    fly(l, s, -1, strlen(s->sql));
    s->prepared = true; /* should the pipeline fail before it, lane_forget_failed() takes it back */
    return ERR_OK;
}

/* Sends one row's statement down the pipeline; exactly one row must answer. */
enum err lane_send_row(struct store_lane *l, struct statement *s, const struct row *key, const struct row *values, struct fault *f)
{
    size_t bytes = 64;
    struct lane_values p;

    TRY(prepare(l, s, f));
    TRY(make_room(l, f));
    p = lane_row_params(l, s, key, values, &bytes);
    TRY(lane_sent(l, PQsendQueryPrepared(l->pg->conn, s->name, s->params.count, p.values, p.lengths, p.formats, 0), f));
    if (bytes >= LARGE_VALUE)
        arena_reset(l->scratch);
    fly(l, s, 1, bytes);
    return ERR_OK;
}

/* After a failed pipeline nobody knows which prepares took place: all are made again. */
void lane_forget_failed(struct store_lane *l)
{
    if (l->pg->conn == NULL || PQstatus(l->pg->conn) != CONNECTION_OK)
        return;
    (void)lane_forget_statements(l, NULL);
}
