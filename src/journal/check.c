/* journal/check.c — see check.h.
 *
 * What is held against what
 *  1. Events are numbered 1, 2, 3 ...: a gap, or a number out of place, is a row taken away or put in.
 *  2. Each one's hash is that of its content and of the hash computed (not read) for the one before it.
 *  3. The head names the last event and its hash: a tail cut off leaves it behind.
 *  4. Steps, loud facts and lease tokens are what the last event about each says.
 * What this cannot find is said in docs/formats/journal.md. */
#include "journal/check.h"

#include <inttypes.h>

#include "journal/record.h"

struct walk {
    int64_t seq; /* of the last event that held */
    char hash[CHAIN_HASH_SIZE];
};

static const char remedy[] =
    "restore the state directory from its last good copy; nothing is read from a broken journal";

/* Text with a NUL inside would look shorter than it is. */
static bool texts_whole(sqlite3_stmt *stmt)
{
    for (int i = 2; i <= 5; i++)
        if (strlen(db_text(stmt, i)) != (size_t)sqlite3_column_bytes(stmt, i))
            return false;
    return true;
}

static struct event event_at(sqlite3_stmt *stmt)
{
    return (struct event){.seq = sqlite3_column_int64(stmt, 0),
                          .at_us = sqlite3_column_int64(stmt, 1),
                          .store = db_text(stmt, 2),
                          .kind = db_text(stmt, 3),
                          .body = db_text(stmt, 4),
                          .hash = db_text(stmt, 5)};
}

static enum err walk_event(struct walk *w, sqlite3_stmt *stmt, const struct event *e, struct fault *f)
{
    if (e->seq != w->seq + 1)
        return fault_todo(f, ERR_JOURNAL_BROKEN, remedy,
                          "event %" PRId64 " is missing: event %" PRId64 " (%s) stands in its place", w->seq + 1,
                          e->seq, e->kind);
    chain_next(w->hash, e, w->hash);
    if (!texts_whole(stmt) || strcmp(w->hash, e->hash) != 0)
        return fault_todo(f, ERR_JOURNAL_BROKEN, remedy,
                          "event %" PRId64 " (%s) is not as it was written: its hash does not hold", e->seq, e->kind);
    w->seq = e->seq;
    return ERR_OK;
}

static enum err walk_events(struct db *db, struct walk *w, sqlite3_stmt *stmt, check_each *each, void *ctx,
                            struct fault *f)
{
    bool row;

    for (;;) {
        enum err err = db_step(db, stmt, &row, f);
        if (err != ERR_OK || !row)
            return err;
        struct event e = event_at(stmt);
        err = walk_event(w, stmt, &e, f);
        if (err != ERR_OK || (each != NULL && !each(ctx, &e))) {
            db_reset(stmt);
            return err;
        }
    }
}

/* Stands at event `after`, whose own hash is taken on trust; at the beginning nothing is. */
static enum err walk_start(struct db *db, int64_t after, struct walk *ret, struct fault *f)
{
    AUTO_CHARS *migration = NULL;
    struct walk w = {.seq = after > 0 ? after : 0};
    struct head head;
    sqlite3_stmt *stmt;
    bool row;

    TRY(record_head(db, &head, &migration, f));
    chain_start(migration, w.hash);
    if (w.seq > 0) {
        TRY(db_start(db, DB_EVENT_HASH, &stmt, f, "i", w.seq));
        TRY(db_step(db, stmt, &row, f));
        if (!row && w.seq <= head.seq)
            return fault_todo(f, ERR_JOURNAL_BROKEN, remedy, "event %" PRId64 " is missing", w.seq);
        if (row)
            snprintf(w.hash, sizeof w.hash, "%s", db_text(stmt, 0));
        db_reset(stmt);
    }
    *ret = w;
    return ERR_OK;
}

enum err check_read(struct db *db, int64_t after, check_each *each, void *ctx, struct fault *f)
{
    struct walk w;
    sqlite3_stmt *stmt;

    TRY(walk_start(db, after, &w, f));
    TRY(db_start(db, DB_EVENTS, &stmt, f, "i", w.seq));
    return walk_events(db, &w, stmt, each, ctx, f);
}

static enum err head_agrees(const struct head *head, int64_t seq, const char *hash, struct fault *f)
{
    if (seq < head->seq)
        return fault_todo(f, ERR_JOURNAL_BROKEN, remedy,
                          "event %" PRId64 " is missing: the journal went as far as event %" PRId64, seq + 1,
                          head->seq);
    if (seq > head->seq)
        return fault_todo(f, ERR_JOURNAL_BROKEN, remedy,
                          "event %" PRId64 " was put in: the journal went only as far as event %" PRId64, head->seq + 1,
                          head->seq);
    if (strcmp(hash, head->hash) != 0)
        return fault_todo(f, ERR_JOURNAL_BROKEN, remedy, "event %" PRId64 " is not the one the journal ended with",
                          seq);
    return ERR_OK;
}

static enum err check_head_now(struct db *db, struct fault *f)
{
    AUTO_CHARS *migration = NULL;
    struct walk last = {0};
    struct head head;
    sqlite3_stmt *stmt;
    bool row;

    TRY(record_head(db, &head, &migration, f));
    chain_start(migration, last.hash);
    TRY(db_start(db, DB_LAST, &stmt, f, ""));
    TRY(db_step(db, stmt, &row, f));
    if (row) {
        last.seq = sqlite3_column_int64(stmt, 0);
        snprintf(last.hash, sizeof last.hash, "%s", db_text(stmt, 1));
        db_reset(stmt);
    }
    return head_agrees(&head, last.seq, last.hash, f);
}

enum err check_head(struct db *db, struct fault *f)
{
    enum err err;

    TRY(db_run(db, DB_BEGIN_READ, f, "")); /* head and last event of one instant: others may be appending */
    err = check_head_now(db, f);
    return db_end(db, err, f);
}

/* A statement that finds what is astray names its store and itself. */
static enum err check_table(struct db *db, enum db_statement astray, const char *what, struct fault *f)
{
    enum err err = ERR_OK;
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, astray, &stmt, f, ""));
    TRY(db_step(db, stmt, &row, f));
    if (row) {
        err = fault_todo(f, ERR_JOURNAL_BROKEN, remedy, "%s %s%s%s is not what its last event says", what,
                         db_text(stmt, 1), db_text(stmt, 0)[0] != '\0' ? " of " : "", db_text(stmt, 0));
        db_reset(stmt);
    }
    return err;
}

static enum err check_file(struct db *db, struct fault *f)
{
    enum err err = ERR_OK;
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_CHECK, &stmt, f, ""));
    TRY(db_step(db, stmt, &row, f));
    if (row && strcmp(db_text(stmt, 0), "ok") != 0)
        err = fault_todo(f, ERR_JOURNAL_BROKEN, remedy, "%s is damaged: %s", db_path(db), db_text(stmt, 0));
    if (row)
        db_reset(stmt);
    return err;
}

static enum err check_chain(struct db *db, int64_t *ret_count, struct fault *f)
{
    struct head head;
    struct walk w;
    sqlite3_stmt *stmt;

    TRY(record_head(db, &head, NULL, f));
    TRY(walk_start(db, 0, &w, f));
    TRY(db_start(db, DB_EVENTS_ALL, &stmt, f, ""));
    TRY(walk_events(db, &w, stmt, NULL, NULL, f));
    TRY(head_agrees(&head, w.seq, w.hash, f));
    *ret_count = w.seq;
    return ERR_OK;
}

static enum err check_all_now(struct db *db, int64_t *ret_count, struct fault *f)
{
    int64_t count;

    TRY(check_chain(db, &count, f));
    TRY(check_table(db, DB_STEPS_ASTRAY, "step", f));
    TRY(check_table(db, DB_FACTS_ASTRAY, "fact", f));
    TRY(check_table(db, DB_LEASES_ASTRAY, "lease", f));
    TRY(check_file(db, f));
    *ret_count = count;
    return ERR_OK;
}

enum err check_all(struct db *db, int64_t *ret_count, struct fault *f)
{
    int64_t count = 0;

    TRY(db_run(db, DB_BEGIN_READ, f, "")); /* one state of the journal, however long it takes */
    TRY(db_end(db, check_all_now(db, &count, f), f));
    *ret_count = count;
    return ERR_OK;
}
