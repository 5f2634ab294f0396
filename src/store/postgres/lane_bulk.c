/* store/postgres/lane_bulk.c — many rows in one statement: COPY for inserts, arrays for the rest. Counts are checked. */
#include "store/postgres/lane_internal.h"

#include <inttypes.h>
#include <stdlib.h>

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

    TRY(lane_sent(l, PQputCopyEnd(l->pg->conn, NULL), f));
    while ((r = PQgetResult(l->pg->conn)) != NULL) {
        if (PQresultStatus(r) != PGRES_COMMAND_OK && err == ERR_OK)
            err = pg_fault(l->pg, r, s->sql, f);
        else if (err == ERR_OK && strtoul(PQcmdTuples(r), NULL, 10) != step->count)
            err = fault_set(f, ERR_DIVERGED, "%s rows instead of %u by: %.400s", PQcmdTuples(r), step->count, s->sql);
        PQclear(r);
    }
    return err;
}

enum err lane_bulk_insert(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    struct statement *s = lane_statement(l, ST_COPY, step->binding, NULL, 0);
    AUTO_BUF b = {0};

    TRY(lane_land(l, f));
    TRY(pg_exec(l->pg, s->sql, NULL, f));
    for (uint32_t i = 0; i < step->count; i++) {
        for (uint16_t p = 0; p < s->params.count; p++) {
            if (p > 0)
                buf_addc(&b, '\t');
            add_copy_value(&b, &step->rows[i].values->values[s->params.column[p]]);
        }
        buf_addc(&b, '\n');
        if (b.len >= PIPELINE_BYTES) {
            TRY(lane_sent(l, PQputCopyData(l->pg->conn, b.data, (int)b.len), f));
            buf_clear(&b);
        }
    }
    if (b.len > 0)
        TRY(lane_sent(l, PQputCopyData(l->pg->conn, b.data, (int)b.len), f));
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

enum err lane_bulk_by_arrays(struct store_lane *l, const struct batch_step *step, struct fault *f)
{
    bool update = step->op == BATCH_UPDATE;
    struct statement *s = lane_statement(l, update ? ST_BULK_UPDATE : ST_BULK_DELETE, step->binding, step->shape, update ? step->shape_hash : 0);
    size_t n = s->params.count;
    struct buf *arrays = mem_alloc(n * sizeof *arrays);
    const char **values = mem_alloc(n * sizeof *values);
    int *lengths = mem_alloc(n * sizeof *lengths);
    int *formats = mem_alloc(n * sizeof *formats);
    AUTO_RESULT *r = NULL;
    enum err err = lane_land(l, f);

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
