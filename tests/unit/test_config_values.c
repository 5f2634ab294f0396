/* The values of leat.yaml: connection strings, whose passwords must never come out; durations and sizes; which tables
 * are chosen by patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/internal.h"
#include "config_text.h"

/* --- connection strings --- */

/* A file whose one source is `dsn`. */
static void with_source(struct buf *out, const char *dsn)
{
    buf_addf(out, "migration: m\nstores:\n  a:\n    target: host=target dbname=d\n    source: \"%s\"\n", dsn);
}

static void test_wrong_dsns(void **state)
{
    static const struct mistake all[] = {
        {"", "the connection string is empty"},
        {"orders", "expected a connection string: postgresql://user@host:5432/database, or host=... dbname=..."},
        {"mysql://u:secret@h/d", "expected a connection string of PostgreSQL: postgresql://user@host:5432/database"},
        {"postgresql://u:secret@h", "it names no database"},
        {"postgresql://u:sec%zzret@h/d", "invalid percent-encoded token: …"},
        {"postgresql://u:sec@ret@h/d",
         "there is an @ in the host; in a user's name or password, @ is written %40, : %3A and / %2F"},
        {"postgresql://u:sec/ret@h/d",
         "the port is not a number from 1 to 65535; in a password, : is written %3A and / %2F"},
        {"postgresql://u@h:65536/d",
         "the port is not a number from 1 to 65535; in a password, : is written %3A and / %2F"},
        {"host=h password=my secret dbname=d", "a word without \"=\"; a value with blanks is written 'in quotes'"},
        {"host=h secret=x dbname=d", "invalid connection option …"},
        {"host=h dbname=d replication=database", "\"replication\" is leat's to set; leave it out"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        AUTO_BUF text = {0};
        struct fault f;
        const char *why;

        with_source(&text, all[i].text);
        why = refused(text.data, text.len, &f);
        assert_null(strstr(why, "secret"));
        assert_null(strstr(why, "ret@"));
        assert_int_equal(strncmp(why, "leat.yaml:5:13: \"source\": ", 26), 0);
        if (strstr(why, all[i].why) == NULL)
            fail_msg("%s\nshould say: %s", why, all[i].why);
    }
}

static void test_same_database(void **state)
{
    static const struct mistake all[] = {
        {"migration: m\nstores:\n  a:\n    source: postgresql://u@h/a\n    target: host=H port=5432 dbname=a "
         "user=other\n",
         "leat.yaml:5:13: the target of \"a\" is the same database as its source"},
        {HEAD "  b:\n    source: postgresql://new/orders\n    target: postgresql://third/orders\n",
         "leat.yaml:5:13: the target of \"orders\" is the same database as the source of \"b\""},
        {HEAD "  b:\n    source: postgresql://old/b\n    target: postgresql://new:5432/orders\n",
         "leat.yaml:8:13: the target of \"b\" is the same database as the target of \"orders\""},
    };

    (void)state;
    ASSERT_MISTAKES(all);
    assert_false(config_dsn_same("host=a dbname=d", "host=a dbname=D"));
    assert_false(config_dsn_same("host=a dbname=d port=5433", "host=a dbname=d"));
    assert_false(config_dsn_same("host=a dbname=d", "hostaddr=a dbname=d"));
    assert_false(config_dsn_same("no dsn", "no dsn"));
}

static void test_doors_own_way(void **state)
{
    static const char given[] =
        HEAD "    door_source: postgresql://gate:${CONFIG_T_GATE}@10.0.0.1/orders?sslmode=require\n"
             "    door_target: host=10.0.0.2 user=gate dbname=orders\n";
    static const struct mistake all[] = {
        {HEAD "    door_source: postgresql://gate@old/order\n",
         "leat.yaml:6:18: door_source of \"orders\" names another database than its source: only address, role and TLS "
         "may differ"},
        {HEAD "    door_target: host=third user=gate dbname=Orders\n",
         "leat.yaml:6:18: door_target of \"orders\" names another database than its target: only address, role and TLS "
         "may differ"},
        {HEAD "    door_target: host=third dbname=orders\n", "leat.yaml:6:18: door_target of \"orders\" names no user: "
                                                             "the doors' role is granted what it needs by its name"},
        {HEAD "    door_source: postgresql://gate@new:5432/orders\n",
         "leat.yaml:6:18: door_source of \"orders\" leads to the other side"},
        {HEAD "    door_source: postgresql://gate@third/orders\n    door_target: postgresql://gate@third/orders\n",
         "leat.yaml:7:18: door_target of \"orders\" leads to the other side"},
        {HEAD "    door_source: postgresql://gate:sec@ret@old/orders\n",
         "leat.yaml:6:18: \"door_source\": not a connection string that can be used: there is an @ in the host; in a "
         "user's "
         "name or password, @ is written %40, : %3A and / %2F"},
        {HEAD "    door_target: postgresql://gate:${CONFIG_T_UNSET}@new/orders\n",
         "leat.yaml:6:18: \"door_target\": the environment variable CONFIG_T_UNSET is not set"},
    };
    struct fault f = {0};
    AUTO(config) *plain = NULL;
    AUTO(config) *own = NULL;

    (void)state;
    ASSERT_MISTAKES(all);
    assert_int_equal(config_parse("leat.yaml", HEAD, strlen(HEAD), &plain, &f), ERR_OK);
    assert_ptr_equal(plain->stores[0].door_source, plain->stores[0].source);
    assert_ptr_equal(plain->stores[0].door_target, plain->stores[0].target);
    assert_int_equal(setenv("CONFIG_T_GATE", "a@b", 1), 0);
    assert_int_equal(config_parse("leat.yaml", given, strlen(given), &own, &f), ERR_OK);
    assert_string_equal(own->stores[0].door_source, "postgresql://gate:a%40b@10.0.0.1/orders?sslmode=require");
    assert_string_equal(own->stores[0].door_target, "host=10.0.0.2 user=gate dbname=orders");
    assert_string_equal(own->stores[0].other->door_source, "host=10.0.0.2 user=gate dbname=orders");
    assert_string_equal(own->stores[0].other->source, own->stores[0].target);
    assert_int_equal(unsetenv("CONFIG_T_GATE"), 0);
}

static void test_environment(void **state)
{
    static const struct {
        const char *written, *read;
    } all[] = {
        {"${CONFIG_T_ALL}", "postgresql://me@there/db"},
        {"postgresql://u:${CONFIG_T_PW}@h/d", "postgresql://u:p%40s%20%27%2F%5C@h/d"},
        {"postgresql://${CONFIG_T_PW}:${CONFIG_T_PW}@h/d", "postgresql://p%40s%20%27%2F%5C:p%40s%20%27%2F%5C@h/d"},
        {"postgresql://u@${CONFIG_T_HOST}/d", "postgresql://u@db:5433/d"},
        {"postgresql://${CONFIG_T_HOST}/d?user=a@b", "postgresql://db:5433/d?user=a@b"},
        {"postgresql://h/d?user=u&password=${CONFIG_T_PW}&sslmode=require",
         "postgresql://h/d?user=u&password=p%40s%20%27%2F%5C&sslmode=require"},
        {"host=h dbname=d password=${CONFIG_T_PW} user=u", "host=h dbname=d password=p@s\\ \\'/\\\\ user=u"},
        {"host=h dbname=d password='${CONFIG_T_PW}' user=u", "host=h dbname=d password='p@s\\ \\'/\\\\' user=u"},
        {"host=h dbname=d ${CONFIG_T_WORDS}", "host=h dbname=d user=a sslmode=require"},
        {"host=h dbname=$d user=a$", "host=h dbname=$d user=a$"},
        {"host=h dbname=d password=${CONFIG_T_EMPTY}", "host=h dbname=d password="},
    };

    (void)state;
    setenv("CONFIG_T_ALL", "postgresql://me@there/db", 1);
    setenv("CONFIG_T_PW", "p@s '/\\", 1);
    setenv("CONFIG_T_HOST", "db:5433", 1);
    setenv("CONFIG_T_WORDS", "user=a sslmode=require", 1);
    setenv("CONFIG_T_EMPTY", "", 1);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        AUTO_BUF text = {0};
        AUTO(config) *c = NULL;

        with_source(&text, all[i].written);
        c = parse(text.data);
        assert_string_equal(c->stores[0].source, all[i].read);
        assert_string_equal(config_value(c, "stores.a.source")->items[0], all[i].read);
    }
}

static void test_environment_mistakes(void **state)
{
    static const struct mistake all[] = {
        {"migration: m\nstores:\n  a:\n    source: postgresql://u:${CONFIG_T_UNSET}@h/a\n",
         "leat.yaml:4:13: \"source\": the environment variable CONFIG_T_UNSET is not set"},
        {"migration: m\nstores:\n  a:\n    source: dbname=${}\n",
         "leat.yaml:4:13: \"source\": expected ${NAME}, the name of an environment variable (A-Z, a-z, 0-9, _)"},
        {"migration: m\nstores:\n  a:\n    source: dbname=${A\n",
         "leat.yaml:4:13: \"source\": expected ${NAME}, the name of an environment variable (A-Z, a-z, 0-9, _)"},
        {"migration: m\nstores:\n  a:\n    source: dbname=${1A}\n",
         "leat.yaml:4:13: \"source\": expected ${NAME}, the name of an environment variable (A-Z, a-z, 0-9, _)"},
        {"migration: ${HOME}\n", "leat.yaml:1:12: \"migration\": \"${HOME}\" is not a name: a-z first, then a-z, 0-9, "
                                 "_ or -, at most 32 characters"},
    };

    (void)state;
    unsetenv("CONFIG_T_UNSET");
    ASSERT_MISTAKES(all);
}

static void test_public_dsn(void **state)
{
    static const struct {
        const char *dsn, *shown;
    } all[] = {
        {"postgresql://u:secret@h:5432/d?sslmode=require", "postgresql://u@h:5432/d?sslmode=require"},
        {"postgresql://u@h/d", "postgresql://u@h/d"},
        {"postgresql://h1:5432,h2:5433/d", "postgresql://h1:5432,h2:5433/d"},
        {"postgresql://u:secret@[::1]:5432/d", "postgresql://u@[::1]:5432/d"},
        {"postgresql:///d?host=/tmp&port=1", "postgresql:///d?host=/tmp&port=1"},
        {"postgresql://u@h/d?password=secret", "postgresql://u@h/d"},
        {"postgresql://u@h/d?password=secret&sslmode=require", "postgresql://u@h/d?sslmode=require"},
        {"postgresql://h/d?user=u&%70assword=secret&sslpassword=secret", "postgresql://h/d?user=u"},
        {"postgresql://h/d?user=a@b", "postgresql://h/d?user=a@b"},
        {"postgresql://leat@h:5432/a@b", "postgresql://leat@h:5432/a@b"},
        {"postgresql://leat@corp:secret@h/d", "postgresql://leat@corp@h/d"},
        {"postgresql://u:sec@ret@h/d", "postgresql://u@h/d"},
        {"postgresql://u:sec/ret@h/d", "postgresql://u@h/d"},
        {"postgresql://u:12/ret@h/d", "postgresql://u@h/d"},
        {"postgresql://u:sec?ret@h/d", "postgresql://u@h/d"},
        {"postgresql://u:secret/d", "postgresql://u/d"},
        {"mysql://u:secret@h/d", "mysql://u@h/d"},
        {"host=h user=u password=secret dbname=d", "host=h user=u dbname=d"},
        {"host=h password = 'sec ret\\' x' dbname=d", "host=h dbname=d"},
        {"host=h password=sec\\ ret dbname=d", "host=h dbname=d"},
        {"password='secret dbname=d", ""},
        {"host=h password=my secret dbname=d", "host=h dbname=d"},
        {"host=h password=my se=cret dbname=d", "host=h dbname=d"},
        {"dbname=postgresql://u:secret@h/d", ""},
        {"service=x sslpassword=secret passfile='/a b'", "service=x passfile='/a b'"},
        {"orders", "orders"},
        {"", ""},
    };
    AUTO(arena) *a = arena_new(1024);

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_string_equal(config_dsn_public(a, all[i].dsn), all[i].shown);
        assert_string_equal(config_dsn_public(a, all[i].shown), all[i].shown);
    }
}

/* --- numbers --- */

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } all[] = {{"250ms", 250000}, {"1s", 1000000}, {"10m", 600000000}, {"2h", 7200000000}, {"7d", 604800000000},
               {"5us", 5},        {"0", 0},        {"0s", 0},          {"007s", 7000000}};
    static const char *const not [] = {"",
                                       "1",
                                       "s",
                                       "1 s",
                                       " 1s",
                                       "1s ",
                                       "-1s",
                                       "+1s",
                                       "1.5s",
                                       "1S",
                                       "1M",
                                       "1w",
                                       "1ss",
                                       "0x1s",
                                       "1e3s",
                                       "9223372036854775807s",
                                       "9999999999999999999999us",
                                       "1s\n"};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t us = -1;

        assert_true(config_parse_duration(all[i].text, &us));
        assert_true(us == all[i].us);
    }
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++) {
        int64_t us = -1;

        assert_false(config_parse_duration(not [i], &us));
        assert_true(us == -1);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } all[] = {{"20GB", 20LL << 30},
               {"512MB", 512LL << 20},
               {"1kB", 1024},
               {"1KB", 1024},
               {"3B", 3},
               {"1024TB", 1LL << 50},
               {"0", 0}};
    static const char *const not [] = {
        "", "20", "GB", "20 GB", "20G", "20gb", "20GiB", "-1GB", "1.5GB", "8388608TB", "99999999999999999999GB"};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t bytes = -1;

        assert_true(config_parse_size(all[i].text, &bytes));
        assert_true(bytes == all[i].bytes);
    }
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++) {
        int64_t bytes = -1;

        assert_false(config_parse_size(not [i], &bytes));
        assert_true(bytes == -1);
    }
}

/* --- patterns --- */

static bool chooses(const char *include, const char *exclude, const char *schema, const char *table)
{
    struct config_store s = {
        .include = &include, .include_count = include != NULL, .exclude = &exclude, .exclude_count = exclude != NULL};

    return config_chooses(&s, schema, table);
}

static void test_chooses(void **state)
{
    (void)state;
    assert_true(chooses(NULL, NULL, "public", "t"));
    assert_true(chooses("public.*", NULL, "public", ""));
    assert_true(chooses("public.t", NULL, "public", "t"));
    assert_false(chooses("public.t", NULL, "public", "tt"));
    assert_false(chooses("public.t", NULL, "Public", "t"));
    assert_false(chooses("pub*.t", NULL, "other", "t"));
    assert_true(chooses("*.*", NULL, "other", "t"));
    assert_true(chooses("*.order?", NULL, "a", "orders"));
    assert_false(chooses("*.order?", NULL, "a", "order"));
    assert_true(chooses("*.?", NULL, "a", "\xC3\xB6"));
    assert_false(chooses("*.??", NULL, "a", "\xC3\xB6"));
    assert_true(chooses("*.*a*b*c", NULL, "x", "aabbabcxbc"));
    assert_false(chooses("*.*a*b*c", NULL, "x", "aabbabcxb"));
    assert_true(chooses("a.b.c", NULL, "a", "b.c"));
    assert_false(chooses("a*c.t", NULL, "a.c", "x"));
    assert_true(chooses("public.*", "public.a*", "public", "b"));
    assert_false(chooses("public.*", "public.a*", "public", "ab"));
    assert_false(chooses(NULL, "*.*", "public", "b"));
}

static void test_system_schemas(void **state)
{
    static const char *const system[] = {"pg_catalog", "pg_toast", "pg_temp_3", "information_schema", "leat"};

    (void)state;
    for (size_t i = 0; i < sizeof system / sizeof *system; i++) {
        assert_false(chooses(NULL, NULL, system[i], "t"));
        assert_false(chooses("*.*", NULL, system[i], "t"));
    }
    assert_true(chooses(NULL, NULL, "pgboss", "t"));
    assert_true(chooses(NULL, NULL, "leat2", "t"));
}

/* Many stars must not take time without end: each star is tried once. */
static void test_many_stars(void **state)
{
    AUTO_BUF pattern = {0};
    AUTO_BUF table = {0};

    (void)state;
    buf_adds(&pattern, "s.");
    for (int i = 0; i < 200; i++)
        buf_adds(&pattern, "*a");
    buf_addc(&pattern, 'b');
    for (int i = 0; i < 5000; i++)
        buf_addc(&table, 'a');
    assert_false(chooses(pattern.data, NULL, "s", table.data));
}

static void test_wrong_patterns(void **state)
{
    static const struct mistake all[] = {
        {HEAD "    include: [orders]\n", "leat.yaml:6:15: \"include\": the pattern \"orders\" has no schema; write "
                                         "\"public.orders\", or \"*.orders\" for any schema"},
        {HEAD "    exclude: [\"*\"]\n",
         "leat.yaml:6:15: \"exclude\": the pattern \"*\" has no schema; for everything write \"*.*\""},
        {HEAD "    exclude: [a.b, .b]\n",
         "leat.yaml:6:20: \"exclude\": the pattern \".b\" lacks the schema; expected schema.table"},
        {HEAD "    exclude: [a.]\n",
         "leat.yaml:6:15: \"exclude\": the pattern \"a.\" lacks the table; expected schema.table"},
        {HEAD "    exclude: [\"\"]\n", "leat.yaml:6:15: \"exclude\": an empty pattern"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_dsns),    cmocka_unit_test(test_same_database),
        cmocka_unit_test(test_environment),   cmocka_unit_test(test_environment_mistakes),
        cmocka_unit_test(test_doors_own_way), cmocka_unit_test(test_public_dsn),
        cmocka_unit_test(test_durations),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_chooses),       cmocka_unit_test(test_system_schemas),
        cmocka_unit_test(test_many_stars),    cmocka_unit_test(test_wrong_patterns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
