/* The unnamed statement by what was sent and what was answered. "P" a Parse and "Q" what leaves none, numbered from 1
 * on; "+n" message n did what it says, "/n" all up to n is over; "U" a Parse too large to be kept. A Parse's text is
 * its number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "shift/unnamed.h"

static void play(struct unnamed *u, const char *talk)
{
    uint32_t number = 0;

    for (const char *at = talk; *at != '\0'; at++) {
        char digit = (char)('1' + number);

        if (*at == 'P')
            unnamed_parse(u, ++number, &digit, 1);
        else if (*at == 'U')
            unnamed_parse_unknown(u, ++number);
        else if (*at == 'Q')
            unnamed_drop(u, ++number);
        else if (*at == '+')
            unnamed_done(u, (uint32_t)(*++at - '0'));
        else if (*at == '/')
            unnamed_over(u, (uint32_t)(*++at - '0'));
    }
}

static void is(const char *talk, const char *wanted, bool unknown, bool unsure)
{
    struct unnamed u = {0};

    play(&u, talk);
    if (strcmp(buf_cstr(&u.text), wanted) != 0 || u.unknown != unknown || u.unsure != unsure)
        fail_msg("%s: \"%s\", unknown %d, unsure %d", talk, buf_cstr(&u.text), u.unknown, u.unsure);
    unnamed_fini(&u);
}

static void test_answers(void **state)
{
    (void)state;
    is("P", "", false, false);
    is("P+1", "1", false, false);
    is("P+1/1PPP+2/4", "2", false, true); /* the third failed, or was skipped with the fourth */
    is("P+1/1Q/2", "1", false, true);
    is("P+1/1Q+2/2", "", false, false);
    is("P+1/1P/2P+3/3", "3", false, false);
    is("P/1", "", false, false); /* there was none before */
    is("U+1/1", "", true, false);
    is("U+1P/2", "", true, true);
    is("U+1P+2", "2", false, false);
    is("PP/1+2", "2", false, false); /* another batch */
}

static void test_much_of_it(void **state)
{
    static char large[UNNAMED_MOST / 2];
    struct unnamed u = {0};

    (void)state;
    unnamed_parse(&u, 1, large, sizeof large);
    unnamed_done(&u, 1);
    for (uint32_t n = 2; n < 100; n++)
        unnamed_parse(&u, n, large, sizeof large - n % 8);
    assert_true(u.sent.len <= UNNAMED_MOST);
    assert_true(u.unknown);
    unnamed_done(&u, 98);
    assert_true(u.unknown);
    unnamed_done(&u, 99);
    assert_false(u.unknown);
    assert_int_equal(u.text.len, sizeof large - 99 % 8);
    unnamed_fini(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_much_of_it)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
