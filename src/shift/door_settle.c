/* shift/door_settle.c — leat.authority on both sides: who serves at the start, and settling when nobody is heard any more.
 *
 * What it keeps to (the model's door): it releases to the old side only after its own compare-and-set of the attempt there
 * succeeded; to the new side only when that side's own row says that it serves, and is open. Reading alone decides nothing: an attempt
 * that somebody else ended is ended again, with the number it has now. A door that starts was held by nobody: it ends what may be under way
 * before it forwards, for a decision could follow that never waits for it. */
#include "shift/door_internal.h"

#include <string.h>

#include "sql_embedded.h"

/* Longer than the statement_timeout. What is on its way to a server then may still be carried out; each act bears that. */
#define ANSWER_MS 5000

struct authority {
    struct door *door;
    struct pg *pg[2]; /* NULL: not connected */
};

struct row {
    bool there;
    bool answered; /* the server did, whatever it has */
    int64_t epoch;
    int64_t attempt;
    enum side side;
    bool open;
};

struct authority *authority_new(struct door *door)
{
    struct authority *a = mem_alloc(sizeof *a);

    a->door = door;
    return a;
}

void authority_free(struct authority *a)
{
    if (a == NULL)
        return;
    pg_free(a->pg[0]);
    pg_free(a->pg[1]);
    free(a);
}

static void hang_up(struct authority *a, enum side side)
{
    if (a->pg[side] != NULL)
        pg_free(TAKE(a->pg[side]));
}

/* A session that answers within seconds, or none. Commits are durable before they are believed. */
static enum err reach(struct authority *a, enum side side, struct fault *f)
{
    if (a->pg[side] != NULL && PQstatus(a->pg[side]->conn) == CONNECTION_OK)
        return ERR_OK;
    hang_up(a, side);
    TRY(pg_connect(a->door->sides[side].dsn, side, "door", &a->pg[side], f));
    TRY(pg_query_within(a->pg[side], ANSWER_MS, "SET statement_timeout = '3s'", 0, NULL, NULL, f));
    return pg_query_within(a->pg[side], ANSWER_MS, "SET synchronous_commit = on", 0, NULL, NULL, f);
}

static enum err ask(struct authority *a, enum side side, const char *sql, int count, const char *const params[], PGresult **ret, struct fault *f)
{
    enum err err = reach(a, side, f);

    if (err == ERR_OK)
        err = pg_query_within(a->pg[side], ANSWER_MS, sql, count, params, ret, f);
    if (err != ERR_OK)
        hang_up(a, side);
    return err;
}

static struct row read_row(struct authority *a, enum side side, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    const char *const params[] = {a->door->config->migration, a->door->store->name};
    struct row row = {0};

    if (ask(a, side, SQL_AUTHORITY_THERE, 0, NULL, &r, f) != ERR_OK)
        return row;
    row.answered = true;
    if (!pg_get_bool(r, 0, 0))
        return row;
    PQclear(TAKE(r));
    if (ask(a, side, SQL_AUTHORITY_READ, 2, params, &r, f) != ERR_OK) {
        row.answered = false;
        return row;
    }
    if (PQntuples(r) != 1)
        return row;
    row.there = true;
    row.epoch = pg_get_int(r, 0, 0);
    row.side = strcmp(PQgetvalue(r, 0, 1), "target") == 0 ? SIDE_TARGET : SIDE_SOURCE;
    row.attempt = pg_get_int(r, 0, 2);
    row.open = pg_get_bool(r, 0, 3);
    return row;
}

/* function(migration, store, epoch, attempt or side) returns boolean */
static bool call(struct authority *a, enum side side, const char *sql, int64_t epoch, const char *last, struct fault *f)
{
    AUTO_CHARS *number = mem_format("%lld", (long long)epoch);
    const char *const params[] = {a->door->config->migration, a->door->store->name, number, last};
    AUTO_RESULT *r = NULL;

    return ask(a, side, sql, 4, params, &r, f) == ERR_OK && PQntuples(r) == 1 && pg_get_bool(r, 0, 0);
}

static enum settled settled(enum side side)
{
    return side == SIDE_SOURCE ? SETTLED_SOURCE : SETTLED_TARGET;
}

static bool serves(const struct row *row, enum side side)
{
    return row->there && row->side == side && row->open;
}

static enum side other_side(enum side side)
{
    return side == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;
}

/* That side was decided for, by a commit on the other one: opens it, and believes its own answer only. */
static bool open_decided(struct authority *a, enum side side, int64_t epoch, struct fault *f)
{
    return call(a, side, SQL_AUTHORITY_OPEN, epoch, side_name(side), f);
}

static bool abort_here(struct authority *a, enum side old, int64_t epoch, int64_t attempt, struct fault *f)
{
    AUTO_CHARS *number = mem_format("%lld", (long long)attempt);

    return call(a, old, SQL_AUTHORITY_ABORT, epoch, number, f);
}

static bool hands_over(const struct row *row, enum side side)
{
    return row->there && row->side == other_side(side);
}

/* A decision that was read may be known to nobody else yet: a commit of our own on that server, then what it says once more. */
static bool confirm_decided(struct authority *a, enum side old, int64_t *ret_epoch, struct fault *f)
{
    struct row row;

    (void)abort_here(a, old, 0, -1, f); /* no attempt has that number: it only writes */
    if (f->code != ERR_OK)
        return false;
    row = read_row(a, old, f);
    *ret_epoch = row.epoch;
    return hands_over(&row, old) && !row.open;
}

/* The one of the highest epoch; *ret_side untouched where none serves. */
static bool find_serving(const struct row rows[2], enum side *ret_side)
{
    bool source = serves(&rows[SIDE_SOURCE], SIDE_SOURCE);
    bool target = serves(&rows[SIDE_TARGET], SIDE_TARGET);

    if (!source && !target)
        return false;
    *ret_side = target && (!source || rows[SIDE_TARGET].epoch > rows[SIDE_SOURCE].epoch) ? SIDE_TARGET : SIDE_SOURCE;
    return true;
}

enum settled authority_view(struct authority *a, int64_t *ret_epoch, char why[256])
{
    struct fault f = {0};
    struct row rows[2] = {read_row(a, SIDE_SOURCE, &f), read_row(a, SIDE_TARGET, &f)};
    enum side best;

    snprintf(why, 256, "%.250s", f.why);
    fault_clear(&f);
    if (find_serving(rows, &best)) {
        *ret_epoch = rows[best].epoch;
        return abort_here(a, best, rows[best].epoch, rows[best].attempt, &f) ? settled(best) : SETTLED_NOT; /* else it is read again */
    }
    for (int i = 0; i < 2; i++)
        if (hands_over(&rows[i], (enum side)i) && rows[i].epoch > rows[other_side((enum side)i)].epoch && confirm_decided(a, (enum side)i, ret_epoch, &f) &&
            open_decided(a, other_side((enum side)i), *ret_epoch, &f))
            return settled(other_side((enum side)i));
    if (rows[SIDE_SOURCE].answered && !rows[SIDE_SOURCE].there && !rows[SIDE_TARGET].there) {
        *ret_epoch = 0; /* no switch was ever prepared: the source serves, though the target be away */
        return SETTLED_SOURCE;
    }
    return SETTLED_NOT;
}

bool authority_serves(struct authority *a, enum side side, int64_t *ret_epoch)
{
    struct fault f = {0};
    struct row row = read_row(a, side, &f);

    *ret_epoch = row.epoch;
    return serves(&row, side) || (row.answered && !row.there && side == SIDE_SOURCE);
}

bool authority_stands(struct authority *a, enum side old, int64_t epoch, int64_t attempt, char why[256])
{
    struct fault f = {0};
    struct row here = read_row(a, old, &f);
    struct row there = {0};

    if (here.answered)
        there = read_row(a, other_side(old), &f);
    if (!here.answered || !there.answered)
        snprintf(why, 256, "%.250s", f.why);
    else if (!here.there || here.side != old || here.epoch != epoch || here.attempt != attempt)
        snprintf(why, 256, "leat.authority on the %s does not say epoch %lld, attempt %lld", side_name(old), (long long)epoch, (long long)attempt);
    else
        return true;
    return false;
}

enum settled authority_settle(struct authority *a, enum side old, int64_t epoch, int64_t attempt, int64_t *ret_epoch, char why[256])
{
    enum side new = other_side(old);
    struct fault f = {0};
    struct row row;

    *ret_epoch = epoch;
    if (abort_here(a, old, epoch, attempt, &f))
        return settled(old);
    row = read_row(a, old, &f);
    if (row.there && row.side == old && row.epoch >= epoch && abort_here(a, old, row.epoch, row.attempt, &f)) { /* later: it went there and back without us */
        *ret_epoch = row.epoch;
        return settled(old);
    }
    if (row.there && row.side == new && row.epoch > epoch) {
        *ret_epoch = row.epoch;
        if (open_decided(a, new, row.epoch, &f))
            return settled(new);
    }
    if (!row.answered) {
        row = read_row(a, new, &f);
        *ret_epoch = row.epoch;
        if (serves(&row, new) && row.epoch > epoch)
            return settled(new);
    }
    snprintf(why, 256, "%.250s", f.why[0] != '\0' ? f.why : "the row on the side that served says nothing that would settle it");
    return SETTLED_NOT;
}
