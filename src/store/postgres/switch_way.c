/* store/postgres/switch_way.c — just before clients are held: who would keep the switch's own locks waiting goes, or is named.
 *
 * The lock of the old side and the fences of the new one wait for VACUUM, ANALYZE, CREATE INDEX CONCURRENTLY and the like. An autovacuum gives way to
 * whoever waits for a deadlock_timeout, and passes over tables it cannot have at once: where all of them are locked for a moment it is at its end
 * with them (ADR 17). Nobody but such work waits for this lock, and it for nobody else. */
#include "sql_embedded.h"
#include "store/postgres/names.h"
#include "store/postgres/switcher_internal.h"

#define WAIT_MS 1000

/* ret: what locks all that has a fence there; empty where nothing has. */
static enum err text_of(struct pg *pg, const char *fence, struct buf *ret, struct fault *f)
{
    const char *params[] = {fence};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(pg,
                 "SELECT pg_catalog.string_agg('ONLY ' || t.tgrelid::pg_catalog.regclass::text, ', ' ORDER BY t.tgrelid) "
                 "FROM pg_catalog.pg_trigger t WHERE t.tgname = $1",
                 1, params, &r, f));
    if (!PQgetisnull(r, 0, 0))
        buf_addf(ret, "BEGIN; SET LOCAL lock_timeout = %d; LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE; COMMIT",
                 WAIT_MS, PQgetvalue(r, 0, 0));
    return ERR_OK;
}

/* By another session of that side: the one that waited waits no longer. */
static enum err name_it(struct pg *other, const char *fence, struct fault *f)
{
    const char *params[] = {fence};
    AUTO_RESULT *r = NULL;

    TRY(pg_query(other, SQL_SWITCH_IN_THE_WAY, 1, params, &r, f));
    if (PQntuples(r) == 0)
        return fault_set(f, ERR_SWITCH_HELD_UP, "a table of the %s could not be locked within %d ms",
                         side_name(other->side), WAIT_MS);
    return fault_set(f, ERR_SWITCH_HELD_UP, "pid %s of the %s (%s) holds %s on %s, which a switch must have: %s",
                     PQgetvalue(r, 0, 0), side_name(other->side), PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 3),
                     PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 4));
}

static enum err took(struct pg *pg, struct pg *other, const char *fence, const struct buf *sql, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    struct fault why = {0};
    enum err err;

    if (sql->len == 0)
        return ERR_OK;
    r = pg_take_any(pg);
    err = pg_switch_locked(pg, r, &why);
    if (err == ERR_OK)
        return ERR_OK;
    if (PQstatus(pg->conn) == CONNECTION_OK)
        PQclear(PQexec(pg->conn, "ROLLBACK"));
    if (strcmp(pg_sqlstate(r), "55P03") == 0)
        return name_it(other, fence, f);
    *f = why;
    return err;
}

enum err pg_switch_clear_way(struct store_switch *w, struct fault *f)
{
    AUTO_BUF old = {0};
    AUTO_BUF new = {0};
    char fence[NAME_SIZE];
    struct fault second = {0};
    enum err here;
    enum err there;

    ENSURE(!w->locks && !w->opens);
    name_fence(w->store, fence);
    TRY(text_of(w->deciding, fence, &old, f));
    TRY(text_of(w->opening, fence, &new, f));
    if (old.len > 0)
        TRY(pg_send_all(w->deciding, buf_cstr(&old), f));
    if (new.len > 0)
        TRY(pg_send_all(w->opening, buf_cstr(&new), f));
    here = took(w->deciding, w->beside, fence, &old, f);
    there = took(w->opening, w->there, fence, &new, here == ERR_OK ? f : &second);
    return here != ERR_OK ? here : there;
}
