/* tests/unit/test_queue.c — base/queue.c: waiting for what is there without taking it. */
#include "base/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/world.h"

static void nothing_comes_by_the_deadline(void **state)
{
    AUTO(queue) *q = queue_new(100);

    (void)state;
    assert_false(queue_await(q, 0));
    assert_false(queue_await(q, world_mono_us() + 1000));
}

static void what_is_there_stays(void **state)
{
    AUTO(queue) *q = queue_new(100);
    int item;

    (void)state;
    assert_true(queue_put(q, &item, 1, 0));
    assert_true(queue_await(q, INT64_MAX));
    assert_int_equal(queue_count(q), 1);
    assert_ptr_equal(queue_take(q, 0, NULL), &item);
}

static void closed_it_is_waited_for_only_while_something_is_left(void **state)
{
    AUTO(queue) *q = queue_new(100);
    int item;

    (void)state;
    assert_true(queue_put(q, &item, 1, 0));
    queue_close(q);
    assert_true(queue_await(q, INT64_MAX));
    assert_ptr_equal(queue_take(q, 0, NULL), &item);
    assert_false(queue_await(q, INT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_comes_by_the_deadline),
        cmocka_unit_test(what_is_there_stays),
        cmocka_unit_test(closed_it_is_waited_for_only_while_something_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
