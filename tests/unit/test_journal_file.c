/* The journal's file: what is refused, and left as it was; damage; a file that goes away while it is used. */
#include "../lib/journal_scratch.h"

#include <fcntl.h>

static void write_file(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
}

static void another_migration_is_refused(void **state)
{
    struct scratch *s = *state;
    struct journal *j = NULL;

    journal_free(scratch_open(s));
    assert_err(journal_sqlite_open(s->dir, "library", &j, &f), ERR_STATE_DIR,
               "of migration \"shop\", not of \"library\"");
    assert_null(j);
    j = scratch_open(s);
    assert_int_equal(scratch_verify(j), 1);
    journal_free(j);
}

static void a_newer_schema_is_refused(void **state)
{
    struct scratch *s = *state;
    struct journal *j = NULL;

    journal_free(scratch_open(s));
    scratch_sql(s, "PRAGMA user_version = 2; DROP TABLE events");
    assert_err(journal_sqlite_open(s->dir, "shop", &j, &f), ERR_STATE_NEWER, "schema 2, this leat knows 1");
    assert_null(j);
}

static void other_files_are_refused_and_left(void **state)
{
    struct scratch *s = *state;
    struct journal *j = NULL;
    char garbage[5000];
    char after[sizeof garbage];
    int fd;

    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (char)(i * 7 + 1);
    assert_int_equal(mkdir(s->dir, 0700), 0);
    write_file(s->file, garbage, sizeof garbage);
    assert_err(journal_sqlite_open(s->dir, "shop", &j, &f), ERR_STATE_DIR, "not an SQLite database");
    fd = open(s->file, O_RDONLY);
    assert_int_equal(read(fd, after, sizeof after), sizeof after);
    close(fd);
    assert_memory_equal(garbage, after, sizeof after);

    write_file(s->file, "", 0);
    scratch_sql(s, "CREATE TABLE shopping (list text)");
    assert_err(journal_sqlite_open(s->dir, "shop", &j, &f), ERR_STATE_DIR, "database of another program");
    scratch_sql(s, "INSERT INTO shopping VALUES ('milk')");
    assert_null(j);
}

/* What a crash between making the file and its first transaction leaves. */
static void an_empty_file_is_begun(void **state)
{
    struct scratch *s = *state;
    AUTO(journal) *j = NULL;

    assert_int_equal(mkdir(s->dir, 0700), 0);
    write_file(s->file, "", 0);
    j = scratch_open(s);
    assert_int_equal(scratch_verify(j), 1);
}

static void a_damaged_file_is_not_trusted(void **state)
{
    struct scratch *s = *state;
    struct journal *j = scratch_open(s);
    char noise[4096];
    struct stat st;
    int64_t count;
    int fd;

    for (int i = 0; i < 100; i++)
        scratch_append(j, "orders", EVENT_FAILED,
                       "{\"why\":\"long enough that a hundred of them need several pages of the file\"}");
    journal_free(TAKE(j));
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(stat(s->file, &st), 0);
    for (off_t at = 4096; at < st.st_size; at += 4096) {
        struct fault f = {0};
        char good[4096];
        enum err err;

        fd = open(s->file, O_RDWR);
        assert_int_equal(pread(fd, good, sizeof good, at), sizeof good);
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
        close(fd);
        err = journal_sqlite_open(s->dir, "shop", &j, &f);
        if (err == ERR_OK)
            err = j->ops->verify(j, &count, &f);
        if (j != NULL)
            journal_free(TAKE(j));
        if (err != ERR_STATE_DIR && err != ERR_JOURNAL_BROKEN)
            fail_msg("page at %jd destroyed: %s (%s)", (intmax_t)at, err_info(err)->code, f.why);
        fd = open(s->file, O_RDWR);
        assert_int_equal(pwrite(fd, good, sizeof good, at), sizeof good);
        close(fd);
    }
    j = scratch_open(s);
    assert_int_equal(scratch_verify(j), 101);
    journal_free(j);
}

static void a_directory_that_cannot_be(void **state)
{
    struct scratch *s = *state;
    AUTO_CHARS *below_nothing = mem_format("%s/no/such", s->root);
    struct journal *j = NULL;

    assert_err(journal_sqlite_open(below_nothing, "shop", &j, &f), ERR_STATE_DIR, "No such file or directory");
    write_file(s->dir, "x", 1);
    assert_err(journal_sqlite_open(s->dir, "shop", &j, &f), ERR_STATE_DIR, "not a directory");
    assert_null(j);
}

static void the_directory_is_private(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    struct stat st;

    assert_int_equal(stat(((struct scratch *)*state)->dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(scratch_verify(j), 1);
}

static void a_file_taken_away_is_noticed(void **state)
{
    struct scratch *s = *state;
    AUTO(journal) *j = scratch_open(s);
    AUTO_CHARS *elsewhere = mem_format("%s/elsewhere", s->root);
    int64_t count;

    assert_int_equal(rename(s->dir, elsewhere), 0);
    assert_err(j->ops->append(j, "", EVENT_PAUSED, NULL, &f), ERR_STATE_DIR, "moved, replaced or deleted");
    assert_err(j->ops->verify(j, &count, &f), ERR_STATE_DIR, "No such file");
    assert_int_equal(rename(elsewhere, s->dir), 0);
    scratch_append(j, "", EVENT_RESUMED, NULL);
    assert_int_equal(scratch_verify(j), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(another_migration_is_refused),     JOURNAL_TEST(a_newer_schema_is_refused),
        JOURNAL_TEST(other_files_are_refused_and_left), JOURNAL_TEST(an_empty_file_is_begun),
        JOURNAL_TEST(a_damaged_file_is_not_trusted),    JOURNAL_TEST(a_directory_that_cannot_be),
        JOURNAL_TEST(the_directory_is_private),         JOURNAL_TEST(a_file_taken_away_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
