/* The log stays within its bound: a full file becomes PATH.1, and writing goes on in a new one. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

#define MOST 4096

static int64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static bool holds(const char *path, const char *words)
{
    static char text[4 * MOST];
    FILE *file = fopen(path, "re");
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    return strstr(text, words) != NULL;
}

static void write_many(const char *path, const char *old)
{
    log_bound(path, MOST);
    log_level_set(LOG_INFO);
    for (int i = 0; i < 1000; i++) {
        log_line(LOG_INFO, "test", "line %d.", i);
        if (size_of(path) > MOST || size_of(old) > 2 * MOST)
            _exit(1);
    }
    _exit(0);
}

static void stays_bounded(void **state)
{
    char dir[] = "/tmp/leat-log-XXXXXX";
    AUTO_CHARS *path = NULL;
    AUTO_CHARS *old = NULL;
    int status;
    int fd;
    pid_t pid;

    (void)state;
    assert_non_null(mkdtemp(dir));
    path = mem_format("%s/x.log", dir);
    old = mem_format("%s/x.log.1", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid = fork();
    if (pid == 0) {
        dup2(fd, STDERR_FILENO);
        write_many(path, old);
    }
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(holds(path, "line 999.") && !holds(path, "line 1.") && !holds(old, "line 1."));
    unlink(path);
    unlink(old);
    rmdir(dir);
}

static void what_is_no_text_is_marked(void **state)
{
    char cut[] = "caf\xc3\xa9 \xe2\x82";
    char mixed[] = "\xe9t\xe9 \xf0\x9f\x98\x80 \xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80 z";
    struct fault f = {0};
    char many[3000];

    (void)state;
    text_tidy(cut);
    assert_string_equal(cut, "caf\xc3\xa9 ??");
    text_tidy(mixed);
    assert_string_equal(mixed, "?t? \xf0\x9f\x98\x80 ??? ?? ???? z");
    for (size_t i = 0; i + 2 < sizeof many; i += 2)
        memcpy(many + i, "\xc3\xa9", 3);
    assert_int_equal(fault_set(&f, ERR_BUSY, "xx%s", many), ERR_BUSY); /* cut in the middle of one */
    assert_string_equal(f.why + sizeof f.why - 3, "\xa9?");
}

static void sides_are_turned_where_they_are_meant(void **state)
{
    char text[] = "source: the source's log; ALTER TABLE the_source, x.source; COMMENT ON TABLE t IS 'of the target'; on the target, then other-the target";
    char first[] = "the target";

    (void)state;
    text_turn_sides(text);
    assert_string_equal(text, "target: the target's log; ALTER TABLE the_source, x.source; COMMENT ON TABLE t IS 'of the target'; on the source, then other-the target");
    text_turn_sides(first);
    assert_string_equal(first, "the source");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stays_bounded), cmocka_unit_test(what_is_no_text_is_marked), cmocka_unit_test(sides_are_turned_where_they_are_meant)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
