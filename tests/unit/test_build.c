/* The texts building makes: a DSN as environment, settings, foreign keys, owners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "build/archive.h"
#include "build/database.h"
#include "build/dsn_env.h"
#include "build/foreign_key.h"
#include "build/sql_fill.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* --- DSN --- */

static const char *value_of(const struct dsn_env *env, const char *name)
{
    size_t n = strlen(name);

    for (const char *const *e = env->env; *e != NULL; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

static struct dsn_env make(const char *dsn)
{
    struct dsn_env env = {0};
    struct fault f = {0};

    assert_int_equal(dsn_env_make(arena, dsn, "leat: schema", "-c a=b", &env, &f), ERR_OK);
    return env;
}

static void test_dsn_uri(void **state)
{
    struct dsn_env env = make("postgresql://app:p%40ss%20w'@db.example:6000/"
                              "my%20shop?sslmode=require&keepalives_idle=7&application_name=x&options=-c%20c%3Dd");

    (void)state;
    assert_string_equal(value_of(&env, "PGHOST"), "db.example");
    assert_string_equal(value_of(&env, "PGPORT"), "6000");
    assert_string_equal(value_of(&env, "PGUSER"), "app");
    assert_string_equal(value_of(&env, "PGPASSWORD"), "p@ss w'");
    assert_string_equal(value_of(&env, "PGDATABASE"), "my shop");
    assert_string_equal(value_of(&env, "PGSSLMODE"), "require");
    assert_string_equal(value_of(&env, "PGAPPNAME"), "leat: schema");
    assert_string_equal(value_of(&env, "PGOPTIONS"), "-c c=d -c a=b");
    assert_string_equal(env.rest, "keepalives_idle='7'");
    assert_null(strstr(env.rest, "p@ss"));
}

static void test_dsn_words(void **state)
{
    struct dsn_env env = make("host=/tmp/a dbname='it\\'s' connect_timeout=3 password='a\\'b'");
    struct dsn_env plain = make("shop's");

    (void)state;
    assert_string_equal(value_of(&env, "PGHOST"), "/tmp/a");
    assert_string_equal(value_of(&env, "PGPASSWORD"), "a'b");
    assert_string_equal(value_of(&env, "PGDATABASE"), "it's");
    assert_string_equal(value_of(&env, "PGCONNECT_TIMEOUT"), "3");
    assert_string_equal(value_of(&env, "LC_ALL"), "C");
    assert_string_equal(env.rest, "");
    assert_string_equal(value_of(&plain, "PGDATABASE"), "shop's");
    assert_string_equal(value_of(&plain, "PGCONNECT_TIMEOUT"), "10");
}

static void test_dsn_refused(void **state)
{
    struct dsn_env env = {.rest = "untouched"};
    struct fault f = {0};

    (void)state;
    assert_int_equal(dsn_env_make(arena, "host=a password=secret nonsense=1", "n", "", &env, &f), ERR_CONFIG);
    assert_null(strstr(f.why, "secret"));
    fault_clear(&f);
    assert_int_equal(dsn_env_make(arena, "host=a sslpassword=secret", "n", "", &env, &f), ERR_CONFIG);
    assert_null(strstr(f.why, "secret"));
    assert_string_equal(env.rest, "untouched");
}

/* --- settings --- */

static void test_settings(void **state)
{
    static const char *const cases[][2] = {
        {"work_mem=8MB", "SET \"work_mem\" TO '8MB'"},
        {"app.user=a=b'c\\", "SET \"app.user\" TO 'a=b''c\\'"},
        {"search_path=\"$user\", public, \"We, \"\"ird\"", "SET \"search_path\" TO '$user', 'public', 'We, \"ird'"},
        {"search_path=\"\"", "SET \"search_path\" TO ''"},
        {"search_path=", "SET \"search_path\" TO ''"},
        {"session_preload_libraries=a,\"/b/c.so\"", "SET \"session_preload_libraries\" TO 'a', '/b/c.so'"},
        {"DateStyle=ISO, DMY", "SET \"DateStyle\" TO 'ISO, DMY'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(setting_sql(arena, cases[i][0]), cases[i][1]);
}

/* --- foreign keys --- */

#define ADD                                                                                                            \
    "ALTER TABLE ONLY \"public\".\"b\"\n    ADD CONSTRAINT \"k\" FOREIGN KEY (\"a\") REFERENCES "                      \
    "\"public\".\"a\"(\"id\") ON DELETE CASCADE"

static void test_foreign_key(void **state)
{
    struct foreign_key key = {.oid = 1, .name = "k", .table = "\"public\".\"b\""};
    struct foreign_key_sql made = foreign_key_statements(arena, &key, ADD " DEFERRABLE INITIALLY DEFERRED;", 17);

    (void)state;
    assert_string_equal(made.add, ADD " DEFERRABLE INITIALLY DEFERRED NOT VALID;");
    assert_string_equal(made.validate, "ALTER TABLE \"public\".\"b\" VALIDATE CONSTRAINT \"k\"");
    made = foreign_key_statements(arena, &key, ADD " NOT VALID;", 17);
    assert_string_equal(made.add, ADD " NOT VALID;");
    assert_null(made.validate);
    made = foreign_key_statements(arena, &key, ADD " NOT ENFORCED;", 18);
    assert_string_equal(made.add, ADD " NOT ENFORCED;");
    assert_null(made.validate);
    made = foreign_key_statements(arena, NULL, ADD ";", 18);
    assert_string_equal(made.add, ADD ";");
    assert_null(made.validate);
}

static void test_foreign_key_partitioned(void **state)
{
    struct foreign_key key = {.oid = 1, .name = "k", .table = "t", .partitioned = true};
    struct foreign_key_sql made = foreign_key_statements(arena, &key, ADD ";", 17);

    (void)state;
    assert_string_equal(made.add, ADD ";");
    assert_null(made.validate);
    made = foreign_key_statements(arena, &key, ADD ";", 18);
    assert_string_equal(made.add, ADD " NOT VALID;");
    assert_string_equal(made.validate, "ALTER TABLE t VALIDATE CONSTRAINT \"k\"");
}

static void test_foreign_key_uncopied(void **state)
{
    struct foreign_key key = {.oid = 1, .name = "k", .table = "t", .uncopied = "public.a"};
    struct foreign_key_sql made = foreign_key_statements(arena, &key, ADD ";", 17);

    (void)state;
    assert_string_equal(made.add, ADD " NOT VALID;");
    assert_null(made.validate);
    key.partitioned = true;
    assert_null(foreign_key_statements(arena, &key, ADD ";", 17).add);
    assert_non_null(foreign_key_statements(arena, &key, ADD ";", 18).add);
}

/* --- owners --- */

static const char *owner_part(const char *type, const char *whole, const char *bare)
{
    struct toc_entry a = {.type = type, .sql = whole};
    struct toc_entry b = {.type = type, .sql = bare};

    return archive_owner_part(&a, &b);
}

static void test_owner_part(void **state)
{
    (void)state;
    assert_string_equal(owner_part("TYPE", "CREATE TYPE t;\n\n\nALTER TYPE t OWNER TO o;", "CREATE TYPE t;"),
                        "ALTER TYPE t OWNER TO o;");
    assert_string_equal(owner_part("TYPE", "CREATE TYPE t;", "CREATE TYPE t;"), "");
    assert_null(owner_part("TYPE", "CREATE TYPE a;", "CREATE TYPE t;"));
    assert_string_equal(
        owner_part("SCHEMA", "CREATE SCHEMA \"s2\";\n\n\nALTER SCHEMA s2 OWNER TO own;", "CREATE SCHEMA s2;"),
        "ALTER SCHEMA s2 OWNER TO own;");
    assert_string_equal(
        owner_part("SCHEMA", "-- *not* creating schema, since initdb creates it\n\n\nALTER SCHEMA public OWNER TO p;",
                   "-- ..."),
        "ALTER SCHEMA public OWNER TO p;");
    assert_string_equal(owner_part("SCHEMA", "CREATE SCHEMA \"s2\";", "CREATE SCHEMA s2;"), "");
}

static void test_what(void **state)
{
    struct toc_entry e = {.type = "FK CONSTRAINT", .schema = "public", .name = "b b_a_fkey"};

    (void)state;
    assert_string_equal(archive_what(arena, &e), "fk constraint public.b b_a_fkey");
    e.schema = "-";
    assert_string_equal(archive_what(arena, &e), "fk constraint b b_a_fkey");
}

static void test_fill(void **state)
{
    (void)state;
    assert_string_equal(sql_fill(arena, "a {x} b {x}{y}", "{x}", "{x}1"), "a {x}1 b {x}1{y}");
    assert_string_equal(sql_fill(arena, "", "{x}", "1"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dsn_uri),
        cmocka_unit_test(test_dsn_words),
        cmocka_unit_test(test_dsn_refused),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_foreign_key),
        cmocka_unit_test(test_foreign_key_partitioned),
        cmocka_unit_test(test_foreign_key_uncopied),
        cmocka_unit_test(test_owner_part),
        cmocka_unit_test(test_what),
        cmocka_unit_test(test_fill),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
