/* journal/record.c — see record.h.
 *
 * A step's way; every arrow appends an event, and repeating where one stands is allowed (after a crash nobody knows):
 *
 *     NONE --> INTENT --> DONE --> UNDONE
 *               ^ ^ |      |       ^ |
 *               | | +------|-------+ |
 *               | +--------+         |
 *               +--------------------+
 *
 * Invariants
 *  1. The last event, the head and the tables move in one transaction, or not at all.
 *  2. DONE has an intent before it: what took effect without one could not be found again after a crash. */
#include "journal/record.h"

#include "base/world.h"
#include "journal/body.h"

/* --- events --- */

enum err record_head(struct db *db, struct head *ret, char **ret_migration, struct fault *f)
{
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_HEAD, &stmt, f, ""));
    TRY(db_step(db, stmt, &row, f));
    if (!row)
        return fault_set(f, ERR_JOURNAL_BROKEN, "%s: the journal's head is missing", db_path(db));
    ret->seq = sqlite3_column_int64(stmt, 1);
    snprintf(ret->hash, sizeof ret->hash, "%s", db_text(stmt, 2));
    if (ret_migration != NULL)
        *ret_migration = mem_dup(db_text(stmt, 0));
    db_reset(stmt);
    return ERR_OK;
}

enum err record_event(struct db *db, const char *store, enum event_kind kind, const char *body, struct fault *f)
{
    struct head head;
    char hash[CHAIN_HASH_SIZE];
    struct event e = {.store = store, .kind = event_kind_name(kind), .body = body, .hash = hash};

    TRY(record_head(db, &head, NULL, f));
    e.seq = head.seq + 1;
    e.at_us = world_wall_us();
    chain_next(head.hash, &e, hash);
    TRY(db_run(db, DB_EVENT_ADD, f, "iitttt", e.seq, e.at_us, e.store, e.kind, e.body, e.hash));
    return db_run(db, DB_HEAD_MOVE, f, "it", e.seq, e.hash);
}

/* --- steps --- */

static const char *const state_names[] = {"none", "intent", "done", "undone"};
static const enum event_kind state_events[] = {EVENT_KIND_COUNT, EVENT_STEP_INTENT, EVENT_STEP_DONE, EVENT_STEP_UNDONE};

static bool step_may_move(enum step_state from, enum step_state to)
{
    switch (to) {
    case STEP_INTENT:
        return true;
    case STEP_DONE:
        return from == STEP_INTENT || from == STEP_DONE;
    case STEP_UNDONE:
        return from != STEP_NONE;
    default:
        return false;
    }
}

enum err record_step_get(struct db *db, const char *store, const char *step, enum step_state *ret, struct fault *f)
{
    enum step_state state = STEP_NONE;
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_STEP_GET, &stmt, f, "tt", store, step));
    TRY(db_step(db, stmt, &row, f));
    if (row) {
        state = STEP_INTENT;
        while (state <= STEP_UNDONE && strcmp(state_names[state], db_text(stmt, 0)) != 0)
            state++;
        db_reset(stmt);
        if (state > STEP_UNDONE)
            return fault_set(f, ERR_JOURNAL_BROKEN, "step %s of %s is in no known state", step, store);
    }
    *ret = state;
    return ERR_OK;
}

static enum err step_body(const char *step, const char *body, struct buf *out, struct fault *f)
{
    buf_adds(out, "{\"step\":");
    TRY(body_add_string(out, step, f));
    if (body != NULL) {
        buf_adds(out, ",\"detail\":");
        TRY(body_add(out, body, f));
    }
    buf_addc(out, '}');
    return ERR_OK;
}

enum err record_step(struct db *db, const char *store, const char *step, enum step_state state, const char *body,
                     struct fault *f)
{
    AUTO_BUF whole = {0};
    enum step_state from;

    TRY(step_body(step, body, &whole, f));
    TRY(record_step_get(db, store, step, &from, f));
    if (!step_may_move(from, state))
        return fault_set(f, ERR_BUG, "step %s cannot become %s: it is %s", step,
                         (unsigned)state <= STEP_UNDONE ? state_names[state] : "that", state_names[from]);
    TRY(db_run(db, DB_STEP_PUT, f, "ttt", store, step, state_names[state]));
    return record_event(db, store, state_events[state], buf_cstr(&whole), f);
}

/* --- facts --- */

static enum err fact_body(const char *name, const char *value, struct buf *out, struct fault *f)
{
    buf_adds(out, "{\"name\":");
    TRY(body_add_string(out, name, f));
    buf_adds(out, ",\"value\":");
    TRY(body_add_string(out, value, f));
    buf_addc(out, '}');
    return ERR_OK;
}

enum err record_fact(struct db *db, const char *store, const char *name, const char *value, bool quiet, struct fault *f)
{
    AUTO_BUF body = {0};

    TRY(fact_body(name, value, &body, f));
    TRY(db_run(db, DB_FACT_PUT, f, "ttti", store, name, value, (int64_t)quiet));
    return quiet ? ERR_OK : record_event(db, store, EVENT_FACT, buf_cstr(&body), f);
}

enum err record_fact_get(struct db *db, const char *store, const char *name, struct arena *a, const char **ret,
                         struct fault *f)
{
    const char *value = NULL;
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_FACT_GET, &stmt, f, "tt", store, name));
    TRY(db_step(db, stmt, &row, f));
    if (row && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        value = arena_strdup(a, db_text(stmt, 0));
    if (row)
        db_reset(stmt);
    *ret = value;
    return ERR_OK;
}
