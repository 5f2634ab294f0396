/* journal/db.c — see db.h.
 *
 * Every way SQLite can fail becomes one of four: busy (try again), a state directory that cannot be used (full,
 * read-only, damaged, not ours), a journal that does not hold together, or a bug of ours. */
#include "journal/db.h"

#include <stdarg.h>

#include "base/world.h"
#include "sql_embedded.h"

#define BUSY_S 30
#define BUSY_PAUSE_US 2000
#define BUSY_TRIES (BUSY_S * 1000000 / BUSY_PAUSE_US)

struct db {
    sqlite3 *handle;
    sqlite3_stmt *prepared[DB_STATEMENT_COUNT];
};

static const char *const texts[DB_STATEMENT_COUNT] = {
#define X(ID, sql) [DB_##ID] = sql,
#include "journal/statements.def"
#undef X
};

static enum err fault_of_io(struct db *db, struct fault *f)
{
    int number = sqlite3_system_errno(db->handle);

    return fault_set(f, ERR_STATE_DIR, "%s: %s (%s, code %d)%s%s", db_path(db), sqlite3_errmsg(db->handle),
                     sqlite3_errstr(sqlite3_extended_errcode(db->handle)), sqlite3_extended_errcode(db->handle),
                     number != 0 ? ": " : "", number != 0 ? strerror(number) : "");
}

static enum err db_fault(struct db *db, int rc, struct fault *f)
{
    const char *path = db_path(db);
    const char *message = sqlite3_errmsg(db->handle);

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fault_set(f, ERR_BUSY, "%s stayed locked by another program for %d s", path, BUSY_S);
    case SQLITE_FULL:
        return fault_todo(f, ERR_STATE_DIR, "free some space, then run again: nothing that was recorded is lost",
                          "%s: no space left", path);
    case SQLITE_NOTADB:
        return fault_todo(f, ERR_STATE_DIR, "name another directory with --state, or move that file away",
                          "%s is not a journal: it is not an SQLite database", path);
    case SQLITE_CORRUPT:
        return fault_todo(f, ERR_STATE_DIR, "restore the directory from its last good copy", "%s is damaged: %s", path,
                          message);
    case SQLITE_CONSTRAINT:
        return fault_set(f, ERR_JOURNAL_BROKEN, "%s: %s", path, message);
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        return fault_set(f, ERR_BUG, "%s: %s", path, message);
    default:
        return fault_of_io(db, f);
    }
}

/* SQLite's own waiting grows to 100 ms a time: who waits would hardly ever meet the lock free beside a busy writer. */
static int wait_for_lock(void *ctx, int tries)
{
    (void)ctx;
    if (tries >= BUSY_TRIES)
        return 0;
    world_sleep_us(BUSY_PAUSE_US);
    return 1;
}

enum err db_open(const char *path, bool make, struct db **ret, struct fault *f)
{
    AUTO(db) *db = mem_alloc(sizeof *db);
    int flags = SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);

    ENSURE(db->handle != NULL);
    if (rc != SQLITE_OK) {
        int number = sqlite3_system_errno(db->handle);
        return fault_set(f, ERR_STATE_DIR, "%s cannot be opened: %s", path,
                         number != 0 ? strerror(number) : sqlite3_errmsg(db->handle));
    }
    if (sqlite3_db_readonly(db->handle, "main") == 1)
        return fault_set(f, ERR_STATE_DIR, "%s may only be read, not written", path);
    sqlite3_busy_handler(db->handle, wait_for_lock, NULL);
    *ret = TAKE(db);
    return ERR_OK;
}

void db_free(struct db *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < DB_STATEMENT_COUNT; i++)
        sqlite3_finalize(db->prepared[i]);
    ENSURE(sqlite3_close(db->handle) == SQLITE_OK);
    free(db);
}

const char *db_path(const struct db *db)
{
    const char *path = sqlite3_db_filename(db->handle, "main");

    return path != NULL ? path : "journal.db";
}

/* --- statements --- */

static enum err prepare(struct db *db, enum db_statement id, struct fault *f)
{
    int rc;

    if (db->prepared[id] != NULL)
        return ERR_OK;
    rc = sqlite3_prepare_v3(db->handle, texts[id], -1, SQLITE_PREPARE_PERSISTENT, &db->prepared[id], NULL);
    return rc == SQLITE_OK ? ERR_OK : db_fault(db, rc, f);
}

static enum err bind(struct db *db, sqlite3_stmt *stmt, const char *types, va_list args, struct fault *f)
{
    ENSURE((int)strlen(types) == sqlite3_bind_parameter_count(stmt));
    for (int i = 0; types[i] != '\0'; i++) {
        int rc;

        ENSURE(types[i] == 'i' || types[i] == 't');
        if (types[i] == 'i')
            rc = sqlite3_bind_int64(stmt, i + 1, va_arg(args, int64_t));
        else
            rc = sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        if (rc != SQLITE_OK)
            return db_fault(db, rc, f);
    }
    return ERR_OK;
}

static enum err start(struct db *db, enum db_statement id, sqlite3_stmt **ret, struct fault *f, const char *types,
                      va_list args)
{
    TRY(prepare(db, id, f));
    ENSURE(!sqlite3_stmt_busy(db->prepared[id]));
    TRY(bind(db, db->prepared[id], types, args, f));
    *ret = db->prepared[id];
    return ERR_OK;
}

enum err db_start(struct db *db, enum db_statement id, sqlite3_stmt **ret, struct fault *f, const char *types, ...)
{
    va_list args;
    enum err err;

    va_start(args, types);
    err = start(db, id, ret, f, types, args);
    va_end(args);
    return err;
}

void db_reset(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

enum err db_step(struct db *db, sqlite3_stmt *stmt, bool *ret_row, struct fault *f)
{
    int rc = sqlite3_step(stmt);
    enum err err = ERR_OK;

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        err = db_fault(db, rc, f); /* before the reset, while the message stands */
    if (rc != SQLITE_ROW)
        db_reset(stmt);
    if (err == ERR_OK)
        *ret_row = rc == SQLITE_ROW;
    return err;
}

enum err db_run(struct db *db, enum db_statement id, struct fault *f, const char *types, ...)
{
    sqlite3_stmt *stmt = NULL;
    va_list args;
    enum err err;
    bool row = true;

    va_start(args, types);
    err = start(db, id, &stmt, f, types, args);
    va_end(args);
    while (err == ERR_OK && row)
        err = db_step(db, stmt, &row, f);
    return err;
}

const char *db_text(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return text != NULL ? text : "";
}

enum err db_script(struct db *db, const char *sql, struct fault *f)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? ERR_OK : db_fault(db, rc, f);
}

/* --- durability and transactions --- */

static enum err try_wal(struct db *db, bool *ret_wal, struct fault *f)
{
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_WAL, &stmt, f, ""));
    TRY(db_step(db, stmt, &row, f));
    *ret_wal = row && strcmp(db_text(stmt, 0), "wal") == 0;
    db_reset(stmt);
    return ERR_OK;
}

/* Changing the mode wants the file alone, and SQLite does not always wait for that: we do. */
static enum err enter_wal(struct db *db, struct fault *f)
{
    struct fault busy = {0};
    bool wal = false;
    enum err err = try_wal(db, &wal, &busy);

    for (int tries = 0; err == ERR_BUSY && tries < BUSY_TRIES; tries++) {
        world_sleep_us(BUSY_PAUSE_US);
        fault_clear(&busy);
        err = try_wal(db, &wal, &busy);
    }
    if (err != ERR_OK)
        return fault_todo(f, err, busy.todo[0] != '\0' ? busy.todo : NULL, "%s", busy.why);
    if (!wal)
        return fault_todo(f, ERR_STATE_DIR, "name a directory on a local file system with --state",
                          "%s: this file system cannot hold a write-ahead log", db_path(db));
    return ERR_OK;
}

enum err db_make_durable(struct db *db, struct fault *f)
{
    enum err err;

    sqlite3_busy_handler(db->handle, NULL, NULL);
    err = enter_wal(db, f);
    sqlite3_busy_handler(db->handle, wait_for_lock, NULL);
    return err == ERR_OK ? db_run(db, DB_FULL, f, "") : err;
}

static enum err check_place(struct db *db, struct fault *f)
{
    int moved = 0;
    int rc = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved);

    if (rc == SQLITE_OK && moved)
        return fault_todo(f, ERR_STATE_DIR, "stop leat, put the directory back, then run again",
                          "%s was moved, replaced or deleted while leat used it", db_path(db));
    return rc == SQLITE_OK ? ERR_OK : db_fault(db, rc, f);
}

enum err db_begin_write(struct db *db, struct fault *f)
{
    TRY(check_place(db, f));
    return db_run(db, DB_BEGIN_WRITE, f, "");
}

enum err db_end(struct db *db, enum err err, struct fault *f)
{
    struct fault ignored = {0};

    if (err == ERR_OK)
        err = db_run(db, DB_COMMIT, f, "");
    /* Some failures have already ended the transaction. If rolling back fails too, closing the file does it. */
    if (err != ERR_OK && !sqlite3_get_autocommit(db->handle) && db_run(db, DB_ROLLBACK, &ignored, "") != ERR_OK)
        fault_add(f, "%s", ignored.why);
    return err;
}
