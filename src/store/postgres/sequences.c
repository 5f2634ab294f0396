/* store/postgres/sequences.c — see sequences.h. */
#include "store/postgres/sequences.h"

#include <inttypes.h>
#include <string.h>

#include "sql_embedded.h"
#include "store/postgres/confirm.h"

#define PORTION 500 /* of sequences.sql */
#define MARGIN 1000 /* values kept ahead on the other side, beyond the sequence's own cache */

struct portion {
    struct pg_sequence list[PORTION];
    size_t count;
    char after[16]; /* the oid of the last one looked at */
    bool is_last;
};

/* False: it would leave the sequence's range. */
static bool advance(const struct pg_sequence *s, int64_t times, int64_t *ret)
{
    int64_t step;

    return !__builtin_mul_overflow(s->increment, times, &step) && !__builtin_add_overflow(s->last, step, ret) &&
           *ret >= s->min && *ret <= s->max;
}

/* A margin that does not fit would use the sequence up: then only what sessions may hold cached is passed over, and of
 * that what there is. A CYCLE sequence goes on exactly where it was. */
static int64_t ahead(const struct pg_sequence *s)
{
    int64_t next;

    if (!s->cycle &&
        (advance(s, s->cache > MARGIN ? s->cache : MARGIN, &next) || advance(s, s->cache - 1, &next)))
        return next;
    return s->last;
}

/* --- read --- */

static struct pg_sequence take(const PGresult *r, int row, struct arena *a)
{
    return (struct pg_sequence){.schema = arena_strdup(a, PQgetvalue(r, row, 0)),
                             .name = arena_strdup(a, PQgetvalue(r, row, 1)),
                             .last = pg_get_int(r, row, 2),
                             .increment = pg_get_int(r, row, 3),
                             .cache = pg_get_int(r, row, 4),
                             .min = pg_get_int(r, row, 5),
                             .max = pg_get_int(r, row, 6),
                             .cycle = pg_get_bool(r, row, 7)};
}

/* Those of r without a last value that were set and not used since (setval(..., false), as loads and dumps do it). As
 * they were made they need not be carried. Where there is nothing before the value that comes next, it is passed over. */
static enum err add_set(struct pg *pg, const PGresult *r, struct arena *a, struct portion *p, struct fault *f)
{
    AUTO_BUF sql = {0};
    AUTO_RESULT *set = NULL;

    for (int i = 0; i < PQntuples(r); i++)
        if (PQgetisnull(r, i, 2) && pg_get_bool(r, i, 9))
            buf_addf(&sql, "%sSELECT %d, last_value FROM %s WHERE NOT is_called AND last_value <> %s",
                     sql.len > 0 ? " UNION ALL " : "", i,
                     pg_quote_qualified(a, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1)), PQgetvalue(r, i, 8));
    if (sql.len == 0)
        return ERR_OK;
    TRY(pg_exec(pg, buf_cstr(&sql), &set, f));
    for (int i = 0; i < PQntuples(set); i++) {
        struct pg_sequence *s = &p->list[p->count++];

        *s = take(r, (int)pg_get_int(set, i, 0), a);
        s->last = pg_get_int(set, i, 1);
        (void)advance(s, -1, &s->last);
    }
    return ERR_OK;
}

static enum err read_portion(struct pg *pg, bool cycling, struct arena *a, struct portion *p, struct fault *f)
{
    const char *params[] = {p->after, cycling ? "true" : "false"};
    AUTO_RESULT *r = NULL;
    int rows;

    TRY(pg_query(pg, SQL_SEQUENCES, 2, params, &r, f));
    rows = PQntuples(r);
    p->count = 0;
    for (int i = 0; i < rows; i++)
        if (!PQgetisnull(r, i, 2))
            p->list[p->count++] = take(r, i, a);
    TRY(add_set(pg, r, a, p, f));
    p->is_last = rows < PORTION;
    if (rows > 0)
        snprintf(p->after, sizeof p->after, "%s", PQgetvalue(r, rows - 1, 10));
    return ERR_OK;
}

enum err pg_sequences_read(struct pg *pg, bool cycling, struct arena *a, struct pg_sequence **ret, size_t *ret_count,
                           struct fault *f)
{
    struct portion *p = arena_zalloc(a, sizeof *p);

    snprintf(p->after, sizeof p->after, "0");
    *ret = NULL;
    *ret_count = 0;
    do {
        struct pg_sequence *grown;

        TRY(read_portion(pg, cycling, a, p, f));
        grown = arena_alloc(a, (*ret_count + p->count + 1) * sizeof *grown);
        if (*ret_count > 0)
            memcpy(grown, *ret, *ret_count * sizeof *grown);
        memcpy(grown + *ret_count, p->list, p->count * sizeof *grown);
        *ret = grown;
        *ret_count += p->count;
    } while (!p->is_last);
    return ERR_OK;
}

/* --- carried --- */

static enum err set_portion(struct pg *to, const struct portion *p, const char *guard, int within_ms, struct arena *a,
                            uint64_t *moved, struct fault *f)
{
    AUTO_BUF list = {0};
    AUTO_BUF sql = {0};
    AUTO_RESULT *set = NULL;

    for (size_t i = 0; i < p->count; i++) {
        const struct pg_sequence *s = &p->list[i];

        buf_addf(&list, "%s(%s,%s,%" PRId64 "::pg_catalog.int8,%" PRId64 "::pg_catalog.int8,%s)", i > 0 ? "," : "",
                 pg_quote_literal(a, s->schema), pg_quote_literal(a, s->name), ahead(s), s->increment,
                 s->cycle ? "true" : "false");
    }
    if (p->count == 0)
        return ERR_OK;
    buf_addf(&sql,
             "WITH may AS (%s), wanted(nsp, name, value, step, cycle) AS (VALUES %s)"
             " SELECT pg_catalog.setval(c.oid::pg_catalog.regclass, w.value)"
             " FROM may, wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.nsp"
             " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind = 'S'"
             " WHERE coalesce(CASE WHEN w.cycle THEN true"
             " WHEN w.step > 0 THEN w.value > pg_catalog.pg_sequence_last_value(c.oid)"
             " ELSE w.value < pg_catalog.pg_sequence_last_value(c.oid) END, true)",
             guard, buf_cstr(&list));
    TRY(pg_send(to, buf_cstr(&sql), 0, NULL, f));
    TRY(pg_take_confirmed(to, within_ms, "setval", &set, f));
    *moved += (uint64_t)PQntuples(set);
    return ERR_OK;
}

enum err pg_sequences_carry(struct pg *from, struct pg *to, bool cycling, const char *guard, int within_ms,
                            uint64_t *ret_moved, struct fault *f)
{
    AUTO(arena) *a = arena_new(65536);
    struct portion *p = arena_zalloc(a, sizeof *p);
    uint64_t moved = 0;

    snprintf(p->after, sizeof p->after, "0");
    do {
        TRY(read_portion(from, cycling, a, p, f));
        TRY(set_portion(to, p, guard, within_ms, a, &moved, f));
    } while (!p->is_last);
    if (ret_moved != NULL)
        *ret_moved = moved;
    return ERR_OK;
}
