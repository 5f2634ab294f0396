/* tests/lib/journal_scratch.h — for the tests of the journal: a directory that goes away, and SQLite behind leat's
 * back. */
#ifndef LEAT_TESTS_JOURNAL_SCRATCH_H
#define LEAT_TESTS_JOURNAL_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/journal.h"

struct scratch {
    char root[256]; /* of the test, made by setup */
    char dir[300];  /* root/state, not there yet */
    char file[320]; /* root/state/journal.db */
};

static inline int scratch_setup(void **state)
{
    struct scratch *s = mem_alloc(sizeof *s);
    const char *base = getenv("TMPDIR");

    snprintf(s->root, sizeof s->root, "%s/leat-journal-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(s->root) == NULL)
        return -1;
    snprintf(s->dir, sizeof s->dir, "%s/state", s->root);
    snprintf(s->file, sizeof s->file, "%s/journal.db", s->dir);
    *state = s;
    return 0;
}

static inline void scratch_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        AUTO_CHARS *name = mem_format("%s/%s", path, entry->d_name);
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || lstat(name, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            scratch_remove(name);
        else
            unlink(name);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

static inline int scratch_teardown(void **state)
{
    struct scratch *s = *state;

    scratch_remove(s->root);
    free(s);
    return 0;
}

#define JOURNAL_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        struct fault f = {0};                                                                                          \
        char text_[4096];                                                                                              \
        if ((expr) != ERR_OK)                                                                                          \
            fail_msg("%s: %s", #expr, fault_text(&f, text_, sizeof text_));                                            \
    } while (0)

/* `expr` uses &f, fails with `code`, and its reason speaks of `words`. */
#define assert_err(expr, wanted, words)                                                                                \
    do {                                                                                                               \
        struct fault f = {0};                                                                                          \
        enum err got_ = (expr);                                                                                        \
        if (got_ != (wanted) || f.code != got_ || strstr(f.why, (words)) == NULL)                                      \
            fail_msg("%s: %s (%s), wanted %s (%s)", #expr, err_info(got_)->code, f.why, err_info(wanted)->code,        \
                     words);                                                                                           \
    } while (0)

static inline struct journal *scratch_open(const struct scratch *s)
{
    struct journal *j = NULL;

    assert_ok(journal_sqlite_open(s->dir, "shop", &j, &f));
    return j;
}

/* Statements from outside. The triggers that keep a slip of the hand away are gone first, as a forger would do. */
static inline void scratch_sql(const struct scratch *s, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;

    assert_int_equal(sqlite3_open_v2(s->file, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    sqlite3_exec(db, "DROP TRIGGER IF EXISTS events_are_final; DROP TRIGGER IF EXISTS events_are_kept", NULL, NULL,
                 NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline void scratch_append(struct journal *j, const char *store, enum event_kind kind, const char *body)
{
    assert_ok(j->ops->append(j, store, kind, body, &f));
}

static inline int64_t scratch_verify(struct journal *j)
{
    int64_t count = -1;

    assert_ok(j->ops->verify(j, &count, &f));
    return count;
}

static inline bool scratch_count_one(void *ctx, const struct event *e)
{
    (void)e;
    ++*(int64_t *)ctx;
    return true;
}

static inline int64_t scratch_count(struct journal *j)
{
    int64_t count = 0;

    assert_ok(j->ops->read(j, 0, scratch_count_one, &count, &f));
    return count;
}

#endif
