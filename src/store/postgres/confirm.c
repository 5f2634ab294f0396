/* store/postgres/confirm.c — see confirm.h. */
#include "store/postgres/confirm.h"

#include <string.h>
#include <sys/socket.h>

/* Of a user's own function (an event trigger meets our ALTER TABLE): no word of the commit's. */
static bool is_raised(const PGresult *r)
{
    const char *function = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);

    return function != NULL && strcmp(function, "exec_stmt_raise") == 0;
}

static void note_warning(void *ctx, const PGresult *r)
{
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity != NULL && strcmp(severity, "WARNING") == 0 && !is_raised(r))
        *(bool *)ctx = true;
}

static enum err give_up(struct pg *pg, const char *why, struct fault *f)
{
    (void)shutdown(PQsocket(pg->conn), SHUT_RDWR); /* what it still says is nobody's answer */
    return fault_set(f, pg->side == SIDE_SOURCE ? ERR_SOURCE_LOST : ERR_TARGET_LOST, "%s %s: %s", side_name(pg->side),
                     pg->database, why);
}

enum err pg_take_confirmed(struct pg *pg, int timeout_ms, const char *sql, PGresult **ret, struct fault *f)
{
    bool warned = false;
    PQnoticeReceiver before = PQsetNoticeReceiver(pg->conn, note_warning, &warned);
    AUTO_RESULT *r = NULL;
    struct fault why = {0};
    enum err err = timeout_ms > 0 ? pg_take_within(pg, timeout_ms, sql, &r, &why) : pg_take(pg, sql, &r, &why);

    (void)PQsetNoticeReceiver(pg->conn, before, NULL);
    if (PQtransactionStatus(pg->conn) == PQTRANS_ACTIVE) /* under way still */
        return give_up(pg, "its commit is not confirmed: does its synchronous standby run?", f);
    if (err != ERR_OK) {
        *f = why;
        return err;
    }
    if (warned)
        return give_up(pg, "it is committed, and its standby may not have it", f);
    if (ret != NULL)
        *ret = TAKE(r);
    return ERR_OK;
}
