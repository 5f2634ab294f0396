/* A door's userlist: PgBouncer's format, read strictly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shift/users.h"

#define VERIFIER                                                                                                       \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                        \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define MD5 "md57cb133e596658708079ed4cfaaf64462"

static struct users *good(const char *text)
{
    struct users *u = NULL;
    struct fault f = {0};

    if (users_parse("users.txt", text, strlen(text), &u, &f) != ERR_OK)
        fail_msg("%s: %s", text, f.why);
    return u;
}

static void bad_bytes(const char *text, size_t len, const char *why)
{
    struct users *u = NULL;
    struct fault f = {0};

    assert_int_equal(users_parse("users.txt", text, len, &u, &f), ERR_USERLIST);
    assert_null(u);
    if (strncmp(f.why, why, strlen(why)) != 0)
        fail_msg("expected: %s\nfound:    %s", why, f.why);
}

static void bad(const char *text, const char *why)
{
    bad_bytes(text, strlen(text), why);
}

static void three_kinds_of_secrets(void **state)
{
    AUTO(users) *u = good("; who may come in\n\n\"app\" \"" VERIFIER "\"\n\"old\"\t\"" MD5
                          "\" \"more\" words\r\n  ; note\n  \"plain\" \"pass word\"");
    const struct user *one;

    (void)state;
    assert_int_equal(users_count(u), 3);
    one = users_find(u, "app");
    assert_true(one != NULL && one->kind == USER_SCRAM && one->verifier.iterations == 4096);
    one = users_find(u, "old");
    assert_true(one != NULL && one->kind == USER_MD5);
    assert_string_equal(one->secret, MD5);
    one = users_find(u, "plain");
    assert_true(one != NULL && one->kind == USER_PASSWORD);
    assert_string_equal(one->secret, "pass word");
    assert_null(users_find(u, "Plain"));
    assert_null(users_find(u, ""));
}

static void quotes_are_doubled(void **state)
{
    AUTO(users) *u = good("\"a\"\"b\" \"\"\"x;\"\"\"\n\"c\" \"\"\n\"Ünï\" \"md5notahash\"\n");

    (void)state;
    assert_string_equal(users_find(u, "a\"b")->secret, "\"x;\"");
    assert_string_equal(users_find(u, "c")->secret, "");
    assert_true(users_find(u, "Ünï")->kind == USER_PASSWORD);
}

static void an_empty_list(void **state)
{
    AUTO(users) *none = good("");
    AUTO(users) *blank = good(" \n;\n\t\r\n; the end");

    (void)state;
    assert_true(users_count(none) == 0 && users_find(none, "x") == NULL);
    assert_true(users_count(blank) == 0 && users_find(blank, "x") == NULL);
}

static void many_users(void **state)
{
    AUTO_BUF text = {0};
    AUTO(users) *u = NULL;
    char name[32];

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "\"user%d\" \"secret%d\"\n", i * 7919 % 1000, i * 7919 % 1000);
    u = good(buf_cstr(&text));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "user%d", i);
        assert_int_equal((int)strtol(users_find(u, name)->secret + strlen("secret"), NULL, 10), i);
    }
}

static void what_is_wrong_is_said_by_line(void **state)
{
    (void)state;
    bad("; fine\n\"a\" \"b\"\napp \"x\"\n", "users.txt:3: the user's name should stand here, in double quotes");
    bad("\"app\"\n\"b\" \"c\"\n", "users.txt:1: the user's secret should stand here, in double quotes");
    bad("\"app\" secret\n", "users.txt:1: the user's secret should stand here");
    bad("\"app\" \"secret\n\"b\" \"c\"\n",
        "users.txt:1: the double quote before the user's secret is not closed on its line");
    bad("\n\"app", "users.txt:2: the double quote before the user's name is not closed");
    bad("\"app\" \"x\"\"", "users.txt:1: the double quote before the user's secret is not closed");
    bad("\"\" \"x\"", "users.txt:1: the user's name is empty");
    bad("\"a123456789012345678901234567890123456789012345678901234567890123\" \"x\"",
        "users.txt:1: the user's name is longer than 63 bytes");
    bad("\"app\" \"SCRAM-SHA-256$4096:cut\"",
        "users.txt:1: what stands for user \"app\" begins like a SCRAM verifier, but is none");
    bad("\"b\" \"1\"\n\"a\" \"2\"\n\"b\" \"3\"\n", "users.txt: user \"b\" is there twice");
    bad_bytes("\"a\" \"b\0c\"", 9, "users.txt:1: the double quote");
    bad_bytes("\"a\" \"b\"\n\0", 9, "users.txt:2: the user's name should stand here");
}

static void a_file(void **state)
{
    char path[] = "/tmp/leat-users-XXXXXX";
    int fd = mkstemp(path);
    AUTO(users) *u = NULL;
    struct users *none = NULL;
    struct fault f = {0};

    (void)state;
    assert_true(fd >= 0 && write(fd, "\"app\" \"x\"\n", 10) == 10 && close(fd) == 0);
    assert_int_equal(users_load(path, &u, &f), ERR_OK);
    assert_string_equal(users_find(u, "app")->secret, "x");
    unlink(path);
    assert_int_equal(users_load(path, &none, &f), ERR_USERLIST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_kinds_of_secrets),
        cmocka_unit_test(quotes_are_doubled),
        cmocka_unit_test(an_empty_list),
        cmocka_unit_test(many_users),
        cmocka_unit_test(what_is_wrong_is_said_by_line),
        cmocka_unit_test(a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
