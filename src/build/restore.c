/* build/restore.c — the empty schema, made on the target.
 *
 * pg_restore writes the statements, leat runs them: in one transaction, with a row of leat.built that says so. A target
 * whose lock table is too small for that gets them in portions, each with the number of statements done.
 *
 * Invariants
 *  1. Statements of the plan are committed together with a row of leat.built that counts them: a crash leaves nothing
 * that is not counted.
 *  2. Who runs them holds the advisory lock of LOCK; so a COMMIT whose answer was lost is over before anyone looks.
 *  3. Portions go on only with a plan of the same digest. */
#include <inttypes.h>
#include <stdlib.h>

#include "build/build.h"
#include "build/notes.h"
#include "build/plan.h"
#include "sql_embedded.h"

#define LOCK "SELECT pg_catalog.pg_advisory_xact_lock(1818583412, 1651861868)" /* 'leat', 'buil' */
#define WHAT "schema"
#define PORTION 100 /* statements a transaction, where one transaction for all is too much */

struct restore {
    const struct config_store *store;
    struct pg *target;
    struct plan *plan;
    const char *dir;
    bool mine;
};

struct marker {
    bool found;
    char digest[33];
    size_t done;
    size_t total;
};

/* --- the marker --- */

/* leat's schema may stand already, made by someone with the right to: so nothing is created that exists. */
static enum err make_marker_table(struct pg *target, struct fault *f)
{
    AUTO_RESULT *r = NULL;

    TRY(pg_exec(
        target,
        "SELECT pg_catalog.to_regnamespace('leat') IS NOT NULL, pg_catalog.to_regclass('leat.built') IS NOT NULL", &r,
        f));
    if (!pg_get_bool(r, 0, 0))
        TRY(pg_exec(target, "CREATE SCHEMA leat", NULL, f));
    return pg_get_bool(r, 0, 1) ? ERR_OK : pg_exec(target, SQL_BUILD_MARKER, NULL, f);
}

static enum err read_marker(const struct restore *re, struct marker *ret, struct fault *f)
{
    const char *params[] = {re->store->name, WHAT};
    AUTO_RESULT *there = NULL;
    AUTO_RESULT *r = NULL;
    struct marker m = {0};

    TRY(pg_exec(re->target, "SELECT pg_catalog.to_regclass('leat.built') IS NOT NULL", &there, f));
    if (pg_get_bool(there, 0, 0))
        TRY(pg_query(re->target, "SELECT digest, done, total FROM leat.built WHERE store = $1 AND what = $2", 2, params,
                     &r, f));
    if (r != NULL && PQntuples(r) == 1) {
        m.found = true;
        snprintf(m.digest, sizeof m.digest, "%s", PQgetvalue(r, 0, 0));
        m.done = (size_t)pg_get_int(r, 0, 1);
        m.total = (size_t)pg_get_int(r, 0, 2);
    }
    *ret = m;
    return ERR_OK;
}

static enum err write_marker(const struct restore *re, size_t done, struct fault *f)
{
    char counts[2][24];
    const char *params[] = {re->store->name, WHAT, re->plan->digest, counts[0], counts[1]};

    snprintf(counts[0], sizeof counts[0], "%zu", done);
    snprintf(counts[1], sizeof counts[1], "%zu", re->plan->steps.count);
    return pg_query(re->target, SQL_BUILD_MARKER_SET, 5, params, NULL, f);
}

/* --- is the target empty? --- */

static int by_name(const void *a, const void *b)
{
    const struct toc_entry *const *x = a;
    const struct toc_entry *const *y = b;
    int order = strcmp((*x)->schema, (*y)->schema);

    return order != 0 ? order : strcmp((*x)->name, (*y)->name);
}

static bool is_relation(const struct toc_entry *e)
{
    return e->class_oid == 1259 && !e->post && !toc_is(e, "TABLE ATTACH") && !toc_is(e, "SEQUENCE OWNED BY") &&
           !toc_is(e, "DEFAULT");
}

static enum err refuse_full(const char *first, int count, struct fault *f)
{
    return count == 0 ? ERR_OK
                      : fault_todo(f, ERR_TARGET_NOT_EMPTY,
                                   "point leat at an empty database, or drop there what is listed (leat drops nothing "
                                   "it has not made)",
                                   "the target already holds %d of the source's tables, views and sequences: %s%s",
                                   count, first, count > 1 ? ", ..." : "");
}

/* Names of the dump that are on the target already. A name with a line break is not told from one with a blank: the
 * server will say so, in the transaction. */
static enum err check_empty(const struct restore *re, struct fault *f)
{
    const struct schema *schema = re->plan->schema;
    const struct toc_entry **sorted = arena_alloc(schema->arena, (schema_count(schema) + 1) * sizeof *sorted);
    AUTO_RESULT *r = NULL;
    const char *first = "";
    size_t n = 0;
    int count = 0;

    for (size_t i = 0; i < schema_count(schema); i++)
        if (is_relation(schema_entry(schema, i)))
            sorted[n++] = schema_entry(schema, i);
    qsort(sorted, n, sizeof *sorted, by_name);
    TRY(pg_exec(re->target, SQL_BUILD_RELATIONS, &r, f));
    for (int i = 0; i < PQntuples(r); i++) {
        struct toc_entry probe = {.schema = PQgetvalue(r, i, 0), .name = PQgetvalue(r, i, 1)};
        const struct toc_entry *key = &probe;
        if (bsearch(&key, sorted, n, sizeof *sorted, by_name) == NULL)
            continue;
        first = count++ == 0 ? arena_format(schema->arena, "%s.%s", probe.schema, probe.name) : first;
    }
    return refuse_full(first, count, f);
}

/* --- running the plan --- */

static enum err begin(const struct restore *re, struct fault *f)
{
    TRY(pg_exec(re->target, "BEGIN", NULL, f));
    TRY(pg_exec(re->target, LOCK, NULL, f));
    return pg_exec(re->target, "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning", NULL,
                   f);
}

static enum err out_of_locks(const struct fault *why, struct fault *f)
{
    return fault_todo(f, ERR_SCHEMA,
                      "ALTER SYSTEM SET max_locks_per_transaction = 1024; restart the target, and run again", "%.1500s",
                      why->why);
}

/* Steps [from, to) and the marker, in the transaction that is open; committed. */
static enum err run_portion(const struct restore *re, size_t from, size_t to, char state[6], struct fault *f)
{
    TRY(make_marker_table(re->target, f));
    for (size_t i = from; i < to; i++)
        TRY(step_run(re->target, &re->plan->steps.list[i], &re->plan->notes, state, f));
    TRY(write_marker(re, to, f));
    return pg_exec(re->target, "COMMIT", NULL, f);
}

static void rollback(const struct restore *re)
{
    if (PQtransactionStatus(re->target->conn) != PQTRANS_IDLE)
        PQclear(PQexec(re->target->conn, "ROLLBACK"));
}

static enum err run_portions(const struct restore *re, size_t from, struct fault *f)
{
    size_t total = re->plan->steps.count;

    for (size_t to; from < total; from = to) {
        struct fault why = {0};
        struct marker m;
        char state[6] = "";
        enum err err;
        to = from + PORTION < total ? from + PORTION : total;
        TRY(begin(re, f));
        TRY(read_marker(re, &m, f));
        if ((m.found ? m.done : 0) != from)
            return fault_set(f, ERR_FENCED_OUT, "another leat makes the schema at the same time");
        err = run_portion(re, from, to, state, &why);
        if (err != ERR_OK && strcmp(state, "53200") == 0)
            return out_of_locks(&why, f);
        *f = err != ERR_OK ? why : *f;
        TRY(err);
    }
    return ERR_OK;
}

/* All in one transaction, which is open and holds the lock. */
static enum err run_whole(const struct restore *re, bool *ret_too_small, struct fault *f)
{
    struct fault why = {0};
    size_t notes = re->plan->notes.len;
    char state[6] = "";
    enum err err = run_portion(re, 0, re->plan->steps.count, state, &why);

    *ret_too_small = err != ERR_OK && strcmp(state, "53200") == 0;
    if (*ret_too_small) { /* its notes will be made again */
        re->plan->notes.len = notes;
        rollback(re);
        return ERR_OK;
    }
    if (err != ERR_OK)
        *f = why;
    return err;
}

static enum err go_on(const struct restore *re, const struct marker *m, struct fault *f)
{
    if (strcmp(m->digest, re->plan->digest) != 0)
        return fault_todo(f, ERR_TARGET_NOT_EMPTY, "drop the target database, create it again, and run again",
                          "a part of the schema (%zu of %zu statements) was made before the source's schema changed",
                          m->done, m->total);
    rollback(re);
    return run_portions(re, m->done, f);
}

static enum err make(const struct restore *re, struct fault *f)
{
    struct marker m;
    bool too_small;

    TRY(begin(re, f));
    TRY(read_marker(re, &m, f));
    if (re->mine && m.found && m.done == m.total)
        return ERR_OK; /* what the source's schema became since then is DDL, and seen as such */
    if (re->mine && m.found) {
        TRY(go_on(re, &m, f));
    } else {
        TRY(check_empty(re, f));
        TRY(run_whole(re, &too_small, f));
        if (too_small)
            TRY(run_portions(re, 0, f));
    }
    return notes_save(re->dir, NOTES_OF_SCHEMA, &re->plan->notes, f);
}

enum err build_pre(const struct config_store *s, const char *dir, struct pg *target, bool mine, struct fault *f)
{
    AUTO(pg) *source = NULL;
    AUTO(plan) *plan = NULL;
    struct restore re = {.store = s, .target = target, .dir = dir, .mine = mine};
    enum err err;

    TRY(pg_connect(s->source, SIDE_SOURCE, "schema", &source, f));
    TRY(plan_make(dir, source, target, &plan, f));
    re.plan = plan;
    err = make(&re, f);
    rollback(&re);
    if (err != ERR_OK)
        fault_add(f, "making the schema of %s on the target", s->name);
    return err;
}
