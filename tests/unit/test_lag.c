/* test_lag.c — how far behind: what waits for a lock is late from the moment it was committed, what follows a quiet hour is not an hour late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicate/lag.h"

#define SECOND ((int64_t)1000000)

static struct lsn at(uint64_t v)
{
    return (struct lsn){v};
}

static void test_blocked(void **state)
{
    struct lag l = {.count = 0};

    (void)state;
    assert_int_equal(lag_of(&l, at(5), 0, 100 * SECOND), LAG_UNKNOWN);
    lag_note(&l, at(100), 100 * SECOND);
    assert_int_equal(lag_of(&l, at(99), 0, 101 * SECOND), LAG_UNKNOWN);
    assert_int_equal(lag_of(&l, at(100), 0, 101 * SECOND), SECOND);
    lag_note(&l, at(100), 200 * SECOND); /* quiet */
    lag_note(&l, at(200), 201 * SECOND);
    assert_int_equal(lag_of(&l, at(150), 0, 210 * SECOND), 10 * SECOND);
    assert_int_equal(lag_of(&l, at(200), 0, 210 * SECOND), 9 * SECOND);
}

static void test_after_a_pause(void **state)
{
    struct lag l = {.count = 0};

    (void)state;
    lag_note(&l, at(100), 100 * SECOND);
    lag_note(&l, at(100), 3700 * SECOND);
    lag_note(&l, at(300), 3701 * SECOND);
    assert_int_equal(lag_of(&l, at(100), 99 * SECOND, 3701 * SECOND), SECOND);            /* not an hour */
    assert_int_equal(lag_of(&l, at(250), 3701 * SECOND - 3000, 3701 * SECOND), 3000);      /* finer than the notes */
    assert_int_equal(lag_of(&l, at(250), 3702 * SECOND, 3701 * SECOND), 0);                /* clocks that do not agree */
}

static void test_long(void **state)
{
    struct lag l = {.count = 0};

    (void)state;
    for (int64_t i = 1; i < 100000; i++)
        lag_note(&l, at((uint64_t)i * 10), i * SECOND);
    for (int64_t i = 1; i < 100000; i *= 3) {
        int64_t lag = lag_of(&l, at((uint64_t)i * 10), 0, 100000 * SECOND);
        assert_true(lag >= (100000 - i) * SECOND);
        assert_true(lag <= (100000 - i) * SECOND + (100000 - i) * SECOND / 16 + i * SECOND);
    }
    assert_int_equal(lag_of(&l, at(999990), 0, 100000 * SECOND), SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocked), cmocka_unit_test(test_after_a_pause), cmocka_unit_test(test_long)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
