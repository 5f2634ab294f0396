/* The command line: parsed by the tables, refused with the nearest word; what is generated from the tables is committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "cli/reference.h"

#define MOST 16

/* Parses "leat ..." given as words parted by blanks. */
static enum err parse(const char *line, struct cli *ret, struct fault *f)
{
    static char words[512];
    char *argv[MOST] = {words};
    int argc = 0;

    snprintf(words, sizeof words, "%s", line);
    for (char *p = words; *p != '\0'; p++) {
        if (p == words || p[-1] == '\0')
            argv[argc++] = p;
        if (*p == ' ')
            *p = '\0';
    }
    return cli_parse(argc, argv, ret, f);
}

static void test_options_stand_anywhere(void **state)
{
    struct cli c;
    struct fault f = {0};

    (void)state;
    assert_int_equal(parse("leat --config /x/y.yaml run --until=replicate --output json --yes", &c, &f), ERR_OK);
    assert_int_equal(c.command, COMMAND_RUN);
    assert_string_equal(c.config_path, "/x/y.yaml");
    assert_string_equal(c.state_dir, "/x/.leat");
    assert_string_equal(c.until, "replicate");
    assert_true(c.json && c.yes && !c.watch);
    cli_fini(&c);
    assert_int_equal(parse("leat run --config /x/y.yaml --state /z", &c, &f), ERR_OK);
    assert_string_equal(c.state_dir, "/z");
    assert_false(c.yes);
    cli_fini(&c);
}

static void test_help_wins(void **state)
{
    struct cli c;
    struct fault f = {0};

    (void)state;
    assert_int_equal(parse("leat", &c, &f), ERR_OK);
    assert_int_equal(c.command, COMMAND_HELP);
    assert_true(c.short_help);
    cli_fini(&c);
    assert_int_equal(parse("leat stop --help", &c, &f), ERR_OK);
    assert_int_equal(c.command, COMMAND_HELP);
    assert_string_equal(c.args[0], "stop");
    cli_fini(&c);
    assert_int_equal(parse("leat -h", &c, &f), ERR_OK);
    assert_int_equal(c.arg_count, 0);
    cli_fini(&c);
    assert_int_equal(parse("leat --version", &c, &f), ERR_OK);
    assert_int_equal(c.command, COMMAND_VERSION);
    cli_fini(&c);
}

static void assert_refused(const char *line, const char *words)
{
    struct cli c;
    struct fault f = {0};

    if (parse(line, &c, &f) != ERR_USAGE)
        fail_msg("\"%s\" was not refused", line);
    if (strstr(f.why, words) == NULL)
        fail_msg("\"%s\" was refused with \"%s\", which lacks \"%s\"", line, f.why, words);
    cli_fini(&c);
}

static void test_refused_with_the_nearest_word(void **state)
{
    (void)state;
    assert_refused("leat statsu", "did you mean status?");
    assert_refused("leat dcotor", "did you mean doctor?");
    assert_refused("leat run --untill replicate", "did you mean --until?");
    assert_refused("leat --ouptut json status", "did you mean --output?");
    assert_refused("leat xyzzyplugh", "there is no command \"xyzzyplugh\"");
    assert_refused("leat status --yes", "`leat status` takes no --yes");
    assert_refused("leat status --until replicate", "takes no --until");
    assert_refused("leat stop now", "does not know what to do with \"now\"");
    assert_refused("leat run --until", "--until needs a value");
    assert_refused("leat status --output yaml", "--output is one of: text json");
    assert_refused("leat status --output jso", "--output is one of: text json");
    assert_refused("leat run --yes=1", "--yes takes no value");
    assert_refused("leat engine shop --token x", "--token is a number");
    assert_refused("leat status -- --watch", "does not know what to do with \"--watch\"");
}

static void test_json_counts_for_errors_before_it(void **state)
{
    struct cli c;
    struct fault f = {0};

    (void)state;
    assert_int_equal(parse("leat statsu --output json", &c, &f), ERR_USAGE);
    assert_true(c.json);
    assert_non_null(c.state_dir);
    cli_fini(&c);
}

static void test_hidden_is_hidden(void **state)
{
    AUTO_BUF help = {0};
    AUTO_BUF man = {0};

    (void)state;
    reference_help(&help);
    reference_man(&man);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        AUTO_CHARS *row = mem_format("\n  %s ", command_info((enum command)i)->name);
        bool shown = strstr(buf_cstr(&help), row) != NULL;

        assert_int_equal(shown, command_info((enum command)i)->shown != HIDDEN);
        if (command_info((enum command)i)->shown == SHOWN)
            assert_true(command_info((enum command)i)->full[0] != '\0');
    }
    assert_null(strstr(buf_cstr(&man), "token"));
    assert_null(command_nearest("engin"));
}

static void test_completions_name_every_command(void **state)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};

    (void)state;
    for (size_t s = 0; s < 3; s++) {
        AUTO_BUF text = {0};

        assert_true(reference_completion(&text, shells[s]));
        for (int i = 0; i < COMMAND_COUNT; i++)
            if (command_info((enum command)i)->shown == SHOWN)
                assert_non_null(strstr(buf_cstr(&text), command_info((enum command)i)->name));
        assert_null(strstr(buf_cstr(&text), "decommission"));
        assert_null(strstr(buf_cstr(&text), "token"));
    }
    assert_false(reference_completion(NULL, "tcsh"));
}

/* --- what is committed --- */

static void read_whole(const char *path, struct buf *ret)
{
    FILE *file = fopen(path, "re");
    char part[4096];
    size_t n;

    if (file == NULL)
        return;
    while ((n = fread(part, 1, sizeof part, file)) > 0)
        buf_add(ret, part, n);
    (void)fclose(file);
}

/* The tests are run in the build folder, or anywhere: the tree is where this file was. */
static char *source_path(const char *name)
{
    AUTO_CHARS *here = mem_dup(__FILE__);
    char *tail = strstr(here, "tests/unit/");

    assert_non_null(tail);
    *tail = '\0';
    return mem_format("%s%s", here, name);
}

static void assert_committed(const char *name, const struct buf *made)
{
    AUTO_CHARS *path = source_path(name);
    AUTO_BUF committed = {0};

    if (getenv("LEAT_WRITE_REFERENCE") != NULL) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(made->data, 1, made->len, file), made->len);
        assert_int_equal(fclose(file), 0);
    }
    read_whole(path, &committed);
    if (strcmp(buf_cstr(&committed), buf_cstr(made)) != 0)
        fail_msg("%s is not what the tables give; LEAT_WRITE_REFERENCE=1 and this test write it anew", name);
}

static void test_reference_is_committed(void **state)
{
    AUTO_BUF commands = {0};
    AUTO_BUF errors = {0};

    (void)state;
    reference_commands_md(&commands);
    reference_errors_md(&errors);
    assert_committed("docs/commands.md", &commands);
    assert_committed("docs/errors.md", &errors);
}

static void test_sizes_and_counts(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(cli_size(0, text), "0 B");
    assert_string_equal(cli_size(1023, text), "1023 B");
    assert_string_equal(cli_size(1536.0 * 1024, text), "1.5 MB");
    assert_string_equal(cli_size(3e12, text), "2.7 TB");
    assert_string_equal(cli_count(0, text), "0");
    assert_string_equal(cli_count(999, text), "999");
    assert_string_equal(cli_count(1000, text), "1,000");
    assert_string_equal(cli_count(-1234567, text), "-1,234,567");
    assert_string_equal(cli_count(INT64_MIN, text), "-9,223,372,036,854,775,808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_stand_anywhere),
        cmocka_unit_test(test_help_wins),
        cmocka_unit_test(test_refused_with_the_nearest_word),
        cmocka_unit_test(test_json_counts_for_errors_before_it),
        cmocka_unit_test(test_hidden_is_hidden),
        cmocka_unit_test(test_completions_name_every_command),
        cmocka_unit_test(test_reference_is_committed),
        cmocka_unit_test(test_sizes_and_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
