/* A lease held while a command works: renewed beside it; the command is told when it is lost, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/world.h"
#include "cli/lease_keeper.h"

#define TTL_US ((int64_t)1200000)
#define LATE_US ((int64_t)20000000)

static _Atomic int renewals;
static _Atomic int dropped;
static _Atomic int answer; /* of a renewal: enum err */

static enum err take(struct journal *j, const char *name, int64_t ttl_us, int64_t *ret_token, struct fault *f)
{
    (void)j, (void)f;
    assert_string_equal(name, "switch:shop");
    assert_true(ttl_us == TTL_US);
    *ret_token = 7;
    return ERR_OK;
}

static enum err renew(struct journal *j, const char *name, int64_t token, struct fault *f)
{
    (void)j, (void)name;
    assert_true(token == 7);
    atomic_fetch_add(&renewals, 1);
    if (atomic_load(&answer) != ERR_OK)
        return fault_set(f, (enum err)atomic_load(&answer), "as the test says");
    return ERR_OK;
}

static enum err drop(struct journal *j, const char *name, int64_t token, struct fault *f)
{
    (void)j, (void)name, (void)token, (void)f;
    atomic_fetch_add(&dropped, 1);
    return ERR_OK;
}

static const struct journal_ops ops = {.lease_take = take, .lease_renew = renew, .lease_drop = drop};
static struct journal journal = {.ops = &ops};

/* Until n more renewals, or until the command is told. */
static void await(int n, const _Atomic bool *stop)
{
    int64_t until = world_mono_us() + LATE_US;
    int from = atomic_load(&renewals);

    while (atomic_load(&renewals) < from + n && !atomic_load(stop)) {
        assert_true(world_mono_us() < until);
        world_sleep_us(5000);
    }
}

static bool keep(enum err first, int n, enum err then, struct fault *f)
{
    _Atomic bool stop = false;
    struct lease_keeper *k;
    bool lost;

    atomic_store(&answer, (int)first);
    assert_int_equal(lease_keeper_start(&journal, "switch:shop", TTL_US, &stop, &k, f), ERR_OK);
    await(n, &stop);
    atomic_store(&answer, (int)then);
    await(then == ERR_OK ? 2 : 1000, &stop);
    lease_keeper_stop(k, &lost, f);
    assert_int_equal(lost, atomic_load(&stop));
    return lost;
}

static void test_it_is_renewed_and_given_up(void **state)
{
    struct fault f = {0};
    int before = atomic_load(&dropped);

    (void)state;
    assert_false(keep(ERR_OK, 3, ERR_OK, &f));
    assert_int_equal(atomic_load(&dropped), before + 1);
}

static void test_a_busy_journal_is_no_loss(void **state)
{
    struct fault f = {0};

    (void)state;
    assert_false(keep(ERR_BUSY, 2, ERR_OK, &f));
}

static void test_taken_by_another(void **state)
{
    struct fault f = {0};
    int before = atomic_load(&dropped);

    (void)state;
    assert_true(keep(ERR_OK, 1, ERR_FENCED_OUT, &f));
    assert_int_equal(f.code, ERR_FENCED_OUT);
    assert_int_equal(atomic_load(&dropped), before); /* what is another's is not given up */
}

static void test_not_renewed_for_as_long_as_it_counts(void **state)
{
    struct fault f = {0};

    (void)state;
    assert_true(keep(ERR_OK, 1, ERR_SYSTEM, &f));
    assert_int_equal(f.code, ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_renewed_and_given_up),
        cmocka_unit_test(test_a_busy_journal_is_no_loss),
        cmocka_unit_test(test_taken_by_another),
        cmocka_unit_test(test_not_renewed_for_as_long_as_it_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
