/* journal/db.h — one connection to journal.db, and what can go wrong with it. Belongs to one thread at a time. */
#ifndef LEAT_JOURNAL_DB_H
#define LEAT_JOURNAL_DB_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/fault.h"
#include "base/mem.h"

enum db_statement {
#define X(ID, sql) DB_##ID,
#include "journal/statements.def"
#undef X
    DB_STATEMENT_COUNT
};

struct db;
/* Opens the file, or with `make` an empty one; nothing in it is read yet. Waits up to 30 s for locks others hold. */
MUST_USE enum err db_open(const char *path, bool make, struct db **ret, struct fault *f);
void db_free(struct db *db);
AUTO_DEFINE(db)
/* The file's absolute path; lives as long as the connection. */
const char *db_path(const struct db *db);

/* WAL, and every commit synced. Waits while others open the same file. */
MUST_USE enum err db_make_durable(struct db *db, struct fault *f);
/* Runs all statements of a script. */
MUST_USE enum err db_script(struct db *db, const char *sql, struct fault *f);

/* Starts a statement. `types` has a letter for each parameter: i int64_t, t const char * (NULL: NULL). The texts must
 * live until the statement ends: db_step returned no row or failed, or db_reset. A statement is not started twice at
 * once. */
MUST_USE enum err db_start(struct db *db, enum db_statement id, sqlite3_stmt **ret, struct fault *f, const char *types,
                           ...);
MUST_USE enum err db_step(struct db *db, sqlite3_stmt *stmt, bool *ret_row, struct fault *f);
void db_reset(sqlite3_stmt *stmt);
/* Starts a statement and carries it through; its rows are not wanted. */
MUST_USE enum err db_run(struct db *db, enum db_statement id, struct fault *f, const char *types, ...);
/* A text of the row the statement stands at; never NULL; lives until the next step. */
const char *db_text(sqlite3_stmt *stmt, int column);

/* BEGIN IMMEDIATE: nobody else writes until commit. ERR_STATE_DIR if the file is no longer where it was opened. */
MUST_USE enum err db_begin_write(struct db *db, struct fault *f);
/* Ends a transaction, reading or writing: commits if `err` is ERR_OK, else takes everything back; returns the first
 * error there was. */
MUST_USE enum err db_end(struct db *db, enum err err, struct fault *f);

#endif
