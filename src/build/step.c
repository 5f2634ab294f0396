/* build/step.c — see step.h. */
#include "build/step.h"

#include <stdlib.h>

#define SHOWN_BEFORE 150 /* bytes of the statement shown before the place of the error */

void steps_add(struct steps *s, struct step step)
{
    if (s->count == s->size) {
        s->size = s->size > 0 ? s->size * 2 : 64;
        s->list = mem_grow(s->list, s->size * sizeof *s->list);
    }
    s->list[s->count++] = step;
}

void steps_fini(struct steps *s)
{
    free(s->list);
    *s = (struct steps){0};
}

/* Where in the statements the error is, by the server's count of characters. */
static const char *around(const PGresult *r, const char *sql)
{
    const char *field = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
    long left = field != NULL ? strtol(field, NULL, 10) - 1 : 0;
    const char *at = sql;
    const char *begin;

    for (; left > 0 && *at != '\0'; at++)
        left -= ((unsigned char)at[1] & 0xc0) != 0x80; /* a character ends before the next one's first byte */
    begin = at - sql > SHOWN_BEFORE ? at - SHOWN_BEFORE : sql;
    while (begin > sql && begin[-1] != '\n')
        begin--;
    return at - begin < 2 * SHOWN_BEFORE ? begin : at;
}

static bool exists_already(const char *state)
{
    static const char *const states[] = {"42P07", "42P06", "42723",
                                         "42710"}; /* duplicate table, schema, function, object */

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

static enum err refused(struct pg *target, const struct step *s, const PGresult *r, struct fault *f)
{
    struct fault why = {0};
    enum err err = pg_fault(target, r, s->show != NULL ? s->show : around(r, s->sql), &why);

    if (exists_already(pg_sqlstate(r)))
        return fault_set(f, ERR_TARGET_NOT_EMPTY, "%s: %.1500s", s->what, why.why);
    if (err == ERR_TARGET_SQL)
        return fault_set(f, ERR_SCHEMA, "%s: %.1500s", s->what, why.why);
    if (err == ERR_RIGHT_MISSING)
        return fault_todo(f, err,
                          "have an administrator of the target run the statement named, or give leat's role the right; "
                          "then run again",
                          "%s: %.1500s", s->what, why.why);
    return fault_set(f, err, "%s: %.1500s", s->what, why.why);
}

static bool forgiven(const struct step *s, const char *state)
{
    if (s->if_refused == STEP_NOTE)
        return strncmp(state, "57", 2) != 0 && strncmp(state, "53", 2) != 0 && strncmp(state, "40", 2) != 0 &&
               state[0] != '\0';
    return s->if_refused == STEP_NOTE_RIGHT && (strcmp(state, "42501") == 0 || strcmp(state, "42704") == 0);
}

/* The statement is kept whole: it is what an administrator has to run. */
static void add_note(struct buf *notes, const struct step *s, const PGresult *r)
{
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    buf_addf(notes, "not done on the target: %s (%s): %s\n", s->what, message != NULL ? message : pg_sqlstate(r),
             s->show != NULL ? s->show : s->sql);
}

enum err step_run(struct pg *target, const struct step *s, struct buf *notes, char ret_state[6], struct fault *f)
{
    bool may_fail = s->if_refused != STEP_STOP;
    AUTO_RESULT *r = NULL;
    const char *state;

    if (may_fail)
        TRY(pg_exec(target, "SAVEPOINT leat_step", NULL, f));
    r = PQexec(target->conn, s->sql);
    state = pg_sqlstate(r);
    if (ret_state != NULL)
        snprintf(ret_state, 6, "%s", state);
    if (PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK ||
        PQresultStatus(r) == PGRES_EMPTY_QUERY)
        return may_fail ? pg_exec(target, "RELEASE SAVEPOINT leat_step", NULL, f) : ERR_OK;
    if (!forgiven(s, state))
        return refused(target, s, r, f);
    TRY(pg_exec(target, "ROLLBACK TO SAVEPOINT leat_step; RELEASE SAVEPOINT leat_step", NULL, f));
    add_note(notes, s, r);
    return ERR_OK;
}
