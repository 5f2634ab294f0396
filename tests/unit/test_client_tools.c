/* Which pg_dump is taken: programs made up here answer for versions. */
#include "store/postgres/client_tools.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char base[] = "/tmp/leat-tools-XXXXXX";

static void put_program(const char *folder, const char *name, int major)
{
    AUTO_CHARS *path = mem_format("%s/%s", folder, name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\necho '%s (PostgreSQL) %d.3 (Somewhere %d)'\n", name, major, 99);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

/* A folder with both programs, of these majors. */
static const char *put_folder(struct arena *a, const char *name, int dump, int restore)
{
    const char *folder = arena_format(a, "%s/%s", base, name);

    mkdir(folder, 0755);
    put_program(folder, "pg_dump", dump);
    put_program(folder, "pg_restore", restore);
    return folder;
}

static void version_lines_are_read(void **state)
{
    (void)state;
    assert_int_equal(client_tools_major("pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"), 15);
    assert_int_equal(client_tools_major("pg_dump (PostgreSQL) 18beta1\n"), 18);
    assert_int_equal(client_tools_major("pg_dump (EnterpriseDB) 15.8\n"), 0);
    assert_int_equal(client_tools_major(""), 0);
}

static void the_newest_up_to_the_target_is_taken(void **state)
{
    AUTO(arena) *a = arena_new(4096);
    const char *of_21 = put_folder(a, "a", 121, 121);
    const char *of_23 = put_folder(a, "b", 123, 123);
    const char *of_25 = put_folder(a, "c", 125, 125);
    const char *mixed = put_folder(a, "d", 124, 121); /* a pg_restore that does not fit */
    struct client_tools tools;
    struct fault f = {0};

    (void)state;
    setenv("PATH", arena_format(a, "%s:%s:relative:%s:%s:/nowhere:/usr/bin:/bin", mixed, of_21, of_25, of_23), 1);
    assert_int_equal(client_tools_find(a, 120, 124, &tools, &f), ERR_OK);
    assert_int_equal(tools.major, 123);
    assert_string_equal(tools.dump, arena_format(a, "%s/pg_dump", of_23));
    assert_string_equal(tools.restore, arena_format(a, "%s/pg_restore", of_23));
    assert_int_equal(client_tools_find(a, 124, 124, &tools, &f), ERR_OK); /* nothing at the target's: the oldest above */
    assert_int_equal(tools.major, 125);
    assert_int_equal(client_tools_find(a, 126, 126, &tools, &f), ERR_PG_DUMP);
    assert_non_null(strstr(f.why, of_25));
    assert_non_null(strstr(f.todo, "postgresql-client-126"));
}

static void a_folder_named_is_the_only_one_looked_into(void **state)
{
    AUTO(arena) *a = arena_new(4096);
    const char *of_21 = put_folder(a, "a", 121, 121);
    const char *of_25 = put_folder(a, "c", 125, 125);
    struct client_tools tools = {0};
    struct fault f = {0};

    (void)state;
    setenv("PATH", arena_format(a, "%s:/usr/bin:/bin", of_25), 1);
    setenv("LEAT_PG_BINDIR", of_21, 1);
    assert_int_equal(client_tools_find(a, 124, 125, &tools, &f), ERR_PG_DUMP);
    assert_null(tools.dump);
    assert_int_equal(client_tools_find(a, 121, 125, &tools, &f), ERR_OK);
    assert_int_equal(tools.major, 121);
    unsetenv("LEAT_PG_BINDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_lines_are_read),
        cmocka_unit_test(the_newest_up_to_the_target_is_taken),
        cmocka_unit_test(a_folder_named_is_the_only_one_looked_into),
    };
    int failed;

    if (mkdtemp(base) == NULL)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (const char *name = "abcd"; *name != '\0'; name++) {
        AUTO_CHARS *folder = mem_format("%s/%c", base, *name);
        AUTO_CHARS *dump = mem_format("%s/pg_dump", folder);
        AUTO_CHARS *restore = mem_format("%s/pg_restore", folder);
        unlink(dump);
        unlink(restore);
        rmdir(folder);
    }
    rmdir(base);
    return failed;
}
