/* journal/home.c — see home.h.
 *
 * Invariants
 *  1. A file that is refused is not changed: what it is, is asked before anything is set or written.
 *  2. Tables, head and first event are made in one transaction: a journal is there as a whole or not at all, however
 *     many processes make it at once. */
#include "journal/home.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/body.h"
#include "journal/check.h"
#include "journal/record.h"
#include "sql_embedded.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x6c656174 /* "leat" */

struct identity {
    int64_t version;
    int64_t application;
    int64_t objects;
};

/* --- the directory --- */

/* The new name itself must survive a crash of the machine. */
static void sync_parent(const char *dir)
{
    AUTO_CHARS *parent = mem_format("%s/..", dir);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static enum err make_dir(const char *dir, struct fault *f)
{
    struct stat st;

    if (mkdir(dir, 0700) == 0) {
        sync_parent(dir);
        return ERR_OK;
    }
    if (errno != EEXIST)
        return fault_set(f, ERR_STATE_DIR, "%s cannot be made: %s", dir, strerror(errno));
    if (stat(dir, &st) != 0)
        return fault_set(f, ERR_STATE_DIR, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fault_set(f, ERR_STATE_DIR, "%s is not a directory", dir);
    if (faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS) != 0) /* SQLite would only say that it cannot open */
        return fault_set(f, ERR_STATE_DIR, "%s cannot be written: %s", dir, strerror(errno));
    return ERR_OK;
}

/* --- the file --- */

static enum err identify(struct db *db, struct identity *ret, struct fault *f)
{
    sqlite3_stmt *stmt;
    bool row;

    TRY(db_start(db, DB_IDENTITY, &stmt, f, ""));
    TRY(db_step(db, stmt, &row, f));
    ENSURE(row);
    ret->version = sqlite3_column_int64(stmt, 0);
    ret->application = sqlite3_column_int64(stmt, 1);
    ret->objects = sqlite3_column_int64(stmt, 2);
    db_reset(stmt);
    return ERR_OK;
}

static bool is_empty(const struct identity *id)
{
    return id->version == 0 && id->application == 0 && id->objects == 0;
}

static enum err recognise(struct db *db, const struct identity *id, struct fault *f)
{
    if (is_empty(id))
        return ERR_OK;
    if (id->application != APPLICATION_ID || id->version < 1)
        return fault_todo(f, ERR_STATE_DIR, "name another directory with --state, or move that file away",
                          "%s is the SQLite database of another program", db_path(db));
    if (id->version > SCHEMA_VERSION)
        return fault_set(f, ERR_STATE_NEWER, "%s has schema %" PRId64 ", this leat knows %d", db_path(db), id->version,
                         SCHEMA_VERSION);
    return ERR_OK;
}

static enum err write_first(struct db *db, const char *migration, struct fault *f)
{
    char hash[CHAIN_HASH_SIZE];
    AUTO_BUF body = {0};

    buf_adds(&body, "{\"migration\":");
    TRY(body_add_string(&body, migration, f));
    buf_addf(&body, ",\"schema\":%d,\"leat\":\"%s\"}", SCHEMA_VERSION, LEAT_VERSION);
    chain_start(migration, hash);
    TRY(db_script(db, SQL_JOURNAL_SCHEMA, f));
    TRY(db_run(db, DB_HEAD_MAKE, f, "tt", migration, hash));
    return record_event(db, "", EVENT_OPENED, buf_cstr(&body), f);
}

/* Within the transaction: another process may have been faster. */
static enum err write_first_once(struct db *db, const char *migration, struct fault *f)
{
    struct identity id;

    TRY(identify(db, &id, f));
    TRY(recognise(db, &id, f));
    return is_empty(&id) ? write_first(db, migration, f) : ERR_OK;
}

static enum err prepare_file(struct db *db, const char *migration, struct fault *f)
{
    struct identity id;

    TRY(identify(db, &id, f));
    TRY(recognise(db, &id, f));
    TRY(db_make_durable(db, f));
    if (!is_empty(&id))
        return ERR_OK;
    TRY(db_begin_write(db, f));
    return db_end(db, write_first_once(db, migration, f), f);
}

static enum err check_migration(struct db *db, const char *migration, struct fault *f)
{
    AUTO_CHARS *recorded = NULL;
    struct head head;

    TRY(record_head(db, &head, &recorded, f));
    if (strcmp(recorded, migration) == 0)
        return ERR_OK;
    return fault_todo(f, ERR_STATE_DIR,
                      "name another directory with --state, or the other migration's file with --config",
                      "%s is the journal of migration \"%s\", not of \"%s\"", db_path(db), recorded, migration);
}

enum err home_open(const char *dir, const char *migration, struct db **ret, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/journal.db", dir);
    AUTO(db) *db = NULL;

    TRY(make_dir(dir, f));
    TRY(db_open(path, true, &db, f));
    TRY(prepare_file(db, migration, f));
    TRY(check_migration(db, migration, f));
    TRY(check_head(db, f));
    *ret = TAKE(db);
    return ERR_OK;
}
