/* build/dump.c — the source's schema into a file, by pg_dump.
 *
 * All identifiers are quoted (a word that is free on the source may be reserved on the target), the text is UTF-8, and
 * leat's own schema is left out. The dump waits at most LOCK_WAIT for a table's lock, so that it never stands in a
 * queue before the source's users for longer. The file holds secrets (user mappings, subscriptions): it is readable by
 * its owner alone. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "build/archive.h"
#include "build/build.h"
#include "build/dsn_env.h"
#include "build/find_tools.h"
#include "build/notes.h"

#define LOCK_WAIT "10s"
#define DUMP_OPTIONS "-c standard_conforming_strings=on"

/* What pg_dump said, as an error. Its own words are English (LC_ALL=C), the server's may not be. */
static enum err dump_failed(const char *said, const char *last_words, struct fault *f)
{
    if (strstr(said, "max_locks_per_transaction") != NULL || strstr(said, "out of shared memory") != NULL)
        return fault_todo(f, ERR_PG_DUMP,
                          "raise max_locks_per_transaction on the source so that max_locks_per_transaction * "
                          "max_connections exceeds its number of tables, restart it, and run again",
                          "pg_dump locks every table of the source at once, and its lock table is too small: %s",
                          last_words);
    if (strstr(said, "permission denied") != NULL)
        return fault_todo(f, ERR_RIGHT_MISSING,
                          "GRANT USAGE on the schema and SELECT on the table named to leat's role on the source (from "
                          "14 on: GRANT pg_read_all_data)",
                          "pg_dump may not read the source's schema: %s", last_words);
    if (strstr(said, "LOCK TABLE") != NULL)
        return fault_set(f, ERR_BUSY, "pg_dump did not get a table's lock within " LOCK_WAIT ": %s", last_words);
    if (strstr(said, "connection to server") != NULL || strstr(said, "server closed the connection") != NULL)
        return fault_set(f, ERR_SOURCE_LOST, "pg_dump lost the source: %s", last_words);
    return fault_set(f, ERR_PG_DUMP, "pg_dump: %s", last_words);
}

static enum err run_pg_dump(struct arena *a, const char *program, const char *dsn, const char *path, struct buf *said,
                            struct fault *f)
{
    char last_words[1200];
    struct dsn_env env;
    int status;

    TRY(dsn_env_make(a, dsn, "leat: schema", DUMP_OPTIONS, &env, f));
    const char *argv[] = {program,
                          "--format=custom",
                          "--schema-only",
                          "--exclude-schema=leat",
                          "--encoding=UTF8",
                          "--quote-all-identifiers",
                          "--no-password",
                          "--lock-wait-timeout=" LOCK_WAIT,
                          "--file",
                          path,
                          *env.rest != '\0' ? "--dbname" : NULL,
                          env.rest,
                          NULL};
    struct process p = {.argv = argv, .env = env.env};
    TRY(process_run(&p, NULL, said, &status, f));
    if (status != 0)
        return dump_failed(buf_cstr(said), process_last_words(said, last_words, sizeof last_words), f);
    return ERR_OK;
}

static enum err make_private(const char *dir, const char *path, struct fault *f)
{
    int fd;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fault_set(f, ERR_STATE_DIR, "%s: %s", dir, strerror(errno));
    (void)unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* pg_dump keeps the mode of a file that is there */
    if (fd < 0)
        return fault_set(f, ERR_STATE_DIR, "%s: %s", path, strerror(errno));
    close(fd);
    return ERR_OK;
}

/* pg_dump has synced the file; its name has to be, too. */
static enum err put_in_place(const char *dir, const char *from, const char *to, struct fault *f)
{
    int fd;

    if (rename(from, to) != 0)
        return fault_set(f, ERR_STATE_DIR, "%s: %s", to, strerror(errno));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return fault_set(f, ERR_STATE_DIR, "%s: %s", dir, strerror(reason));
    }
    close(fd);
    return ERR_OK;
}

enum err build_dump(const struct config_store *s, const char *dir, int source_major, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    const char *unfinished = arena_format(a, "%s/" ARCHIVE_NAME ".new", dir);
    AUTO_BUF said = {0};
    AUTO(pg) *target = NULL;
    struct client_tools tools;
    enum err err;

    TRY(pg_connect(s->target, SIDE_TARGET, "schema", &target, f));
    TRY(find_tools(a, source_major, target->major, &tools, f));
    TRY(make_private(dir, unfinished, f));
    err = run_pg_dump(a, tools.dump, s->source, unfinished, &said, f);
    if (err != ERR_OK) {
        (void)unlink(unfinished);
        fault_add(f, "dumping the schema of %s", s->name);
        return err;
    }
    TRY(notes_save(dir, NOTES_OF_DUMP, &said,
                   f)); /* "subscriptions not dumped because current user is not a superuser" */
    return put_in_place(dir, unfinished, arena_format(a, "%s/" ARCHIVE_NAME, dir), f);
}
