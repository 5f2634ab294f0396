/* store/postgres/cutter.c — see cutter.h: one session a side holds a cut's locks and snapshot; a third makes marks and looks around.
 *
 * Invariants
 *  1. A table's lock stands before the snapshot is taken (trap P29), on both sides: no TRUNCATE or rewrite can empty it for our readers.
 *  2. Nobody waits for our locks for long: they are asked for with a short timeout, and given back when somebody waits (in_the_way). */
#include "store/postgres/cutter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sql_embedded.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "store/postgres/sequences.h"

struct held {
    struct pg *pg;
    char snapshot[64];
};

struct store_cutter {
    struct store *store;
    struct held sides[2];
    struct pg *beside; /* of the source */
};

static enum err open_all(struct store_cutter *c, struct fault *f)
{
    const struct config_store *cs = c->store->store;

    TRY(pg_connect(cs->source, SIDE_SOURCE, "cut", &c->sides[STORE_SOURCE].pg, f));
    TRY(pg_connect(cs->source, SIDE_SOURCE, "cut's mark", &c->beside, f));
    TRY(pg_connect(cs->target, SIDE_TARGET, "cut", &c->sides[STORE_TARGET].pg, f));
    return pg_circle_enter(c->sides[STORE_TARGET].pg, c->store, f);
}

enum err pg_cutter_open(struct store *s, struct store_cutter **ret, struct fault *f)
{
    struct store_cutter *c = mem_alloc(sizeof *c);
    enum err err;

    c->store = s;
    err = open_all(c, f);
    if (err != ERR_OK) {
        pg_cutter_close(c);
        return err;
    }
    *ret = c;
    return ERR_OK;
}

void pg_cutter_close(struct store_cutter *c)
{
    if (c == NULL)
        return;
    pg_free(c->sides[STORE_SOURCE].pg);
    pg_free(c->sides[STORE_TARGET].pg);
    pg_free(c->beside);
    free(c);
}

/* --- locks and snapshots --- */

static void add_locks(struct buf *sql, const struct table *const *tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(sql, "%sONLY %s", i == 0 ? "LOCK TABLE " : ", ", tables[i]->qualified);
    if (count > 0)
        buf_adds(sql, " IN ACCESS SHARE MODE; ");
}

/* One round trip: applying stands still meanwhile. Neither SET nor LOCK takes a snapshot: the SELECT's is the first, behind the locks. */
static enum err take(struct held *h, const struct table *const *tables, size_t count, PGresult **ret, struct fault *f)
{
    AUTO_BUF sql = {0};

    buf_addf(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = %d; ", CUT_LOCK_TIMEOUT_MS);
    buf_addf(&sql, "SET LOCAL statement_timeout = %zu; ", CUT_LOCK_TIMEOUT_MS + count); /* lock_timeout is for each of them anew */
    if (h->pg->major < 11) { /* there it counts from the next round trip on */
        TRY(pg_exec(h->pg, buf_cstr(&sql), NULL, f));
        buf_clear(&sql);
    }
    add_locks(&sql, tables, count);
    buf_adds(&sql, "SET LOCAL statement_timeout = 0; ");
    buf_addf(&sql, "SELECT pg_catalog.%s()::text, pg_catalog.pg_export_snapshot()", h->pg->major >= 13 ? "pg_current_snapshot" : "txid_current_snapshot");
    return pg_exec(h->pg, buf_cstr(&sql), ret, f);
}

enum err pg_cutter_source(struct store_cutter *c, const struct table *const *tables, size_t count, struct arena *a, const char **ret_snapshot, struct fault *f)
{
    struct held *h = &c->sides[STORE_SOURCE];
    AUTO_RESULT *r = NULL;

    TRY(take(h, tables, count, &r, f));
    *ret_snapshot = arena_strdup(a, PQgetvalue(r, 0, 0));
    snprintf(h->snapshot, sizeof h->snapshot, "%s", PQgetvalue(r, 0, 1));
    return ERR_OK;
}

enum err pg_cutter_target(struct store_cutter *c, const struct table *const *tables, size_t count, struct fault *f)
{
    struct held *h = &c->sides[STORE_TARGET];
    AUTO_RESULT *r = NULL;

    TRY(take(h, tables, count, &r, f));
    snprintf(h->snapshot, sizeof h->snapshot, "%s", PQgetvalue(r, 0, 1));
    return ERR_OK;
}

void pg_cutter_end(struct store_cutter *c)
{
    for (size_t i = 0; i < 2; i++) {
        struct held *h = &c->sides[i];
        h->snapshot[0] = '\0';
        if (h->pg->conn != NULL && PQtransactionStatus(h->pg->conn) != PQTRANS_IDLE)
            PQclear(PQexec(h->pg->conn, "ROLLBACK"));
    }
}

const char *pg_cutter_snapshot(const struct store_cutter *c, enum store_side side)
{
    return c->sides[side].snapshot;
}

/* TID range scans came with 14; before, each range would read all of the table (P25). */
bool pg_cutter_by_pages(const struct store_cutter *c, enum store_side side)
{
    return c->sides[side].pg->major >= 14;
}

bool pg_cutter_coarse(const struct store_cutter *c)
{
    return (c->sides[STORE_SOURCE].pg->major < 12) != (c->sides[STORE_TARGET].pg->major < 12);
}

int pg_cutter_float_digits(const struct store_cutter *c)
{
    return pg_cutter_coarse(c) ? 0 : 3;
}

/* --- beside it --- */

enum err pg_cutter_scratch(struct store_cutter *c, struct fault *f)
{
    TRY(pg_exec(c->beside, SQL_SCRATCH_SOURCE, NULL, f));
    return pg_exec(c->sides[STORE_TARGET].pg, SQL_SCRATCH_TARGET, NULL, f);
}

enum err pg_cutter_mark(struct store_cutter *c, const char *note, struct fault *f)
{
    char stream[NAME_SIZE];
    char token[24];
    const char *params[] = {c->store->migration, name_stream(c->store, STREAM_HEARTBEAT, stream), token, note};

    snprintf(token, sizeof token, "%" PRId64, c->store->token);
    return pg_query(c->beside, "INSERT INTO leat.progress (migration, stream, lane, position, token, note) VALUES ($1, $2, '', '0/0', $3, $4)", 4, params, NULL, f);
}

static bool is_running(const struct snapshot *s, uint32_t xid)
{
    for (size_t i = 0; i < s->xip_count; i++)
        if ((uint32_t)s->xip[i] == xid)
            return true;
    return false;
}

/* Who waits for a standby has its commit in the log. Where other roles' sessions cannot be seen into, everybody who runs may. */
enum err pg_cutter_suspects(struct store_cutter *c, const struct snapshot *s, struct arena *a, uint32_t **ret, size_t *ret_count, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    bool hidden;

    TRY(pg_exec(c->beside, SQL_CUT_SUSPECTS, &r, f));
    hidden = PQntuples(r) > 0 && pg_get_bool(r, 0, 1);
    *ret = arena_alloc(a, (s->xip_count + 1) * sizeof **ret);
    *ret_count = 0;
    for (size_t i = 0; hidden && i < s->xip_count; i++)
        (*ret)[(*ret_count)++] = (uint32_t)s->xip[i];
    for (int i = 0; !hidden && i < PQntuples(r) && *ret_count < s->xip_count; i++) {
        uint32_t xid = (uint32_t)pg_get_int(r, i, 0);
        if (!PQgetisnull(r, i, 0) && is_running(s, xid))
            (*ret)[(*ret_count)++] = xid;
    }
    return ERR_OK;
}

enum err pg_cutter_ledger(struct store_cutter *c, int64_t *ret_last, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(c->sides[STORE_TARGET].pg, "SELECT COALESCE(pg_catalog.max(id), 0) FROM leat.ledger", &r, f));
    *ret_last = pg_get_int(r, 0, 0);
    return ERR_OK;
}

enum err pg_cutter_in_the_way(struct store_cutter *c, enum store_side side, uint32_t *oids, size_t size, size_t *ret_count, struct fault *f)
{
    struct held *h = &c->sides[side];
    struct pg *beside = side == STORE_SOURCE ? c->beside : h->pg; /* the target's: in its own transaction, locks are no matter of snapshots */
    AUTO_CHARS *pid = mem_format("%d", PQbackendPID(h->pg->conn));
    const char *params[] = {pid};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(beside, SQL_CUT_IN_THE_WAY, 1, params, &r, f));
    *ret_count = 0;
    for (int i = 0; i < PQntuples(r) && *ret_count < size; i++)
        oids[(*ret_count)++] = (uint32_t)pg_get_int(r, i, 0);
    return ERR_OK;
}

/* --- what stands around the rows --- */

static int object_order(const void *left, const void *right)
{
    const struct store_object *a = left;
    const struct store_object *b = right;
    int n = strcmp(a->schema, b->schema);

    n = n != 0 ? n : strcmp(a->relation, b->relation);
    n = n != 0 ? n : strcmp(a->kind, b->kind);
    n = n != 0 ? n : strcmp(a->name, b->name);
    return n != 0 ? n : strcmp(a->what, b->what);
}

enum err pg_cutter_objects(struct store_cutter *c, enum store_side side, struct arena *a, struct store_objects *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(c->sides[side].pg, SQL_VERIFY_OBJECTS, &r, f));
    ret->count = (size_t)PQntuples(r);
    ret->list = arena_alloc(a, (ret->count + 1) * sizeof *ret->list);
    for (int i = 0; i < PQntuples(r); i++)
        ret->list[i] = (struct store_object){arena_strdup(a, PQgetvalue(r, i, 0)), arena_strdup(a, PQgetvalue(r, i, 1)), arena_strdup(a, PQgetvalue(r, i, 2)),
                                             arena_strdup(a, PQgetvalue(r, i, 3)), arena_strdup(a, PQgetvalue(r, i, 4))};
    qsort(ret->list, ret->count, sizeof *ret->list, object_order); /* not by an order of the server's */
    return ERR_OK;
}

enum err pg_cutter_left_out(struct store_cutter *c, struct arena *a, struct store_objects *ret, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(c->sides[STORE_SOURCE].pg, SQL_VERIFY_LEFT_OUT, &r, f));
    ret->count = (size_t)PQntuples(r);
    ret->list = arena_zalloc(a, (ret->count + 1) * sizeof *ret->list);
    for (int i = 0; i < PQntuples(r); i++)
        ret->list[i] = (struct store_object){.schema = arena_strdup(a, PQgetvalue(r, i, 0)), .relation = arena_strdup(a, PQgetvalue(r, i, 1)), .what = arena_strdup(a, PQgetvalue(r, i, 2))};
    return ERR_OK;
}

static int sequence_order(const void *left, const void *right)
{
    const struct store_sequence *a = left;
    const struct store_sequence *b = right;
    int n = strcmp(a->schema, b->schema);

    return n != 0 ? n : strcmp(a->name, b->name);
}

enum err pg_cutter_sequences(struct store_cutter *c, enum store_side side, struct arena *a, struct store_sequence **ret, size_t *ret_count, struct fault *f)
{
    struct pg_sequence *list;

    TRY(pg_sequences_read(c->sides[side].pg, false, a, &list, ret_count, f));
    *ret = arena_alloc(a, (*ret_count + 1) * sizeof **ret);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct store_sequence){list[i].schema, list[i].name, list[i].last, list[i].increment};
    if (*ret_count > 0)
        qsort(*ret, *ret_count, sizeof **ret, sequence_order);
    return ERR_OK;
}
