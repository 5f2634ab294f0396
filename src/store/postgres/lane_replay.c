/* store/postgres/lane_replay.c — a batch again, change by change, each behind a savepoint: what does not behave as the stream said
 * goes into the divergence ledger, with both images, in the same transaction; everything else applies. */
#include "store/postgres/lane_internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* --- replay, and the ledger --- */

/* Bytes that are no text are shown as a bytea would be. */
static json_t *image_of(const struct value *v)
{
    json_t *text = v->len < 0 ? json_null() : json_stringn(v->data, (size_t)v->len);
    AUTO_BUF hex = {0};

    if (text != NULL)
        return text;
    buf_adds(&hex, "\\x");
    for (int64_t i = 0; i < v->len; i++)
        buf_addf(&hex, "%02x", (unsigned char)v->data[i]);
    return json_stringn(hex.data, hex.len);
}

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
        json_object_set_new(o, rel->columns[i].name, image_of(v));
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

    atomic_fetch_add(&l->divergences, 1);
    return pg_query(l->pg, "INSERT INTO leat.ledger (migration, store, position, table_name, kind, why, old_row, new_row) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    8, params, NULL, f);
}

static enum err run_counted(struct store_lane *l, struct statement *s, const struct row *key, const struct row *values, int64_t *ret_count, struct fault *f)
{
    size_t bytes = 0;
    struct lane_values p = lane_row_params(l, s, key, values, &bytes);
    AUTO_RESULT *r = PQexecParams(l->pg->conn, s->sql, s->params.count, s->params.type, p.values, p.lengths, p.formats, 0);

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

    TRY(lane_change_statement(l, b, c, false, &s, &key));
    TRY(run_counted(l, s, key, c->new, ret_count, f));
    if (*ret_count != 0 || c->kind != CHANGE_UPDATE)
        return ERR_OK;
    TRY(lane_change_statement(l, b, c, true, &s, &key));
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
    text_tidy(text); /* the ledger takes text only */
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
    err = lane_send_truncate(l, tables, count, c->truncate_flags, f);
    free(tables);
    return err == ERR_OK ? lane_land(l, f) : err;
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
    atomic_fetch_add(&l->replays, 1);
    if (!b->begins) { /* a part of a transaction that is open: its own savepoint is where it goes back to */
        struct fault ignored = {0};
        (void)lane_land(l, &ignored);
        TRY(pg_exec(l->pg, "ROLLBACK TO SAVEPOINT leat_part", NULL, f));
        TRY(lane_forget_statements(l, f));
    } else {
        pg_lane_rollback(l);
    }
    for (uint32_t i = 0; i < b->parcel_count; i++)
        for (const struct txn *t = b->parcels[i]->txns; t != NULL; t = t->next) {
            if (t->first) {
                TRY(lane_send_text(l, "BEGIN", -1, f));
                l->open = true;
                TRY(lane_send_mark(l, t->last ? t->end : l->position, f));
                TRY(lane_land(l, f));
            }
            TRY(replay_txn(l, t, find, ctx, f));
            if (t->last && !t->first)
                TRY(lane_send_mark(l, t->end, f));
            if (t->last)
                TRY(lane_commit_at(l, t->end, durable, f));
        }
    return ERR_OK;
}
