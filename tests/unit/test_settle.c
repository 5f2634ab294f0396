/* What two rows of authority say: who is taken, what is opened, and when nobody can tell (store/postgres/settle.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/postgres/settle.h"

#define S SIDE_SOURCE
#define T SIDE_TARGET

static struct side_view side(enum side here, int64_t epoch, enum side names, int64_t attempt)
{
    struct side_view v = {
        true, {.there = true, .epoch = epoch, .attempt = attempt, .here = here, .side = names, .open = here == names}};

    snprintf(v.row.server, SERVER_SIZE, "%d/1", here == S ? 11 : 22);
    snprintf(v.row.recorded[S], SERVER_SIZE, "11/1");
    snprintf(v.row.recorded[T], SERVER_SIZE, "22/1");
    return v;
}

static struct side_view promoted(struct side_view v)
{
    snprintf(v.row.server, SERVER_SIZE, "%d/2", v.row.here == S ? 11 : 22);
    return v;
}

static void expect(struct side_view source, struct side_view target, int64_t least, enum settle_do what, int which)
{
    const struct side_view views[2] = {source, target};
    enum side got = (enum side) - 1;
    const char *why = NULL;

    assert_int_equal(pg_settle_next(views, least, &got, &why), what);
    if (which >= 0)
        assert_int_equal(got, which);
    if (what == SETTLE_WAIT || what == SETTLE_OUTDATED)
        assert_non_null(why);
}

static const struct side_view silent = {.answered = false};

static void test_the_side_whose_own_row_names_it(void **state)
{
    (void)state;
    expect(side(S, 0, S, 3), side(T, 0, S, 3), 0, SETTLE_TAKE, S);
    expect(side(S, 1, T, 3), side(T, 1, T, 3), 0, SETTLE_TAKE, T);
    expect(side(S, 0, S, 3), silent, 0, SETTLE_TAKE, S); /* its own row is enough: had it decided, it would say so */
    expect(silent, side(T, 1, T, 3), 0, SETTLE_TAKE, T);
    expect(silent, side(T, 0, S, 3), 0, SETTLE_WAIT, -1);
    expect(silent, silent, 0, SETTLE_WAIT, -1);
}

static void test_a_decision_is_opened(void **state)
{
    (void)state;
    expect(side(S, 1, T, 3), side(T, 0, S, 3), 0, SETTLE_OPEN, S);
    expect(side(S, 1, T, 3), side(T, 2, S, 3), 0, SETTLE_OPEN, T);
    expect(promoted(side(S, 1, T, 3)), side(T, 0, S, 3), 0, SETTLE_OPEN,
           S); /* a promoted row still decides if it says so */
    expect(side(S, 1, T, 3), silent, 0, SETTLE_WAIT, -1);
}

static void test_a_side_that_failed_over_is_arbitrated(void **state)
{
    struct side_view unknown = promoted(side(S, 0, S, 3));

    (void)state;
    expect(promoted(side(S, 0, S, 3)), side(T, 0, S, 3), 0, SETTLE_ARBITRATE, S);
    expect(promoted(side(S, 0, S, 3)), side(T, 1, T, 3), 0, SETTLE_TAKE, T); /* the decision it lost was opened */
    expect(promoted(side(S, 0, S, 3)), silent, 0, SETTLE_WAIT, -1);
    expect(side(S, 1, T, 3), promoted(side(T, 1, T, 3)), 0, SETTLE_ARBITRATE, T);
    unknown.row.recorded[S][0] = '\0'; /* it lost the gate's write: the other side has it */
    expect(unknown, side(T, 0, S, 3), 0, SETTLE_ARBITRATE, S);
    expect(unknown, silent, 0, SETTLE_TAKE, S);
}

static void test_a_standby_counts_for_nothing(void **state)
{
    struct side_view standby = side(S, 0, S, 3);

    (void)state;
    standby.row.in_recovery = true;
    standby.row.server[0] = '\0';
    expect(standby, side(T, 0, S, 3), 0, SETTLE_WAIT, -1);
    expect(standby, side(T, 1, T, 3), 0, SETTLE_TAKE, T);
}

static void test_a_side_that_was_left(void **state)
{
    (void)state;
    expect(side(S, 0, S, 3), side(T, 1, T, 4), 0, SETTLE_TAKE, T);
    expect(side(S, 0, S, 3), silent, 1, SETTLE_OUTDATED, S); /* though nobody else answers */
    expect(side(S, 2, S, 3), silent, 1, SETTLE_TAKE, S);
}

/* A --force did not come to its end, or both were restored: somebody says so, and which side it is. */
static void test_outdated(void **state)
{
    (void)state;
    expect(side(S, 0, S, 3), side(T, 0, S, 3), 1, SETTLE_OUTDATED, S);
    expect(side(S, 0, S, 3), side(T, 1, T, 3), 3, SETTLE_OUTDATED, T);
    expect(side(S, 1, T, 3), side(T, 1, T, 3), 3, SETTLE_OUTDATED, T);
    expect(side(S, 1, T, 3), side(T, 0, S, 3), 1, SETTLE_OPEN, S);  /* forced, not opened; it had handed over before */
    expect(side(S, 1, T, 3), side(T, 0, S, 3), 3, SETTLE_WAIT, -1); /* a decision that was carried out long ago */
}

static void behind(struct side_view source, struct side_view target, int which)
{
    const struct side_view views[2] = {source, target};
    enum side got;

    assert_int_equal(pg_settle_behind(views, &got), which >= 0);
    if (which >= 0)
        assert_int_equal(got, which);
}

static void test_a_side_that_stands_behind(void **state)
{
    (void)state;
    behind(side(S, 0, S, 3), side(T, 1, T, 4), S); /* it still says that it serves */
    behind(side(S, 1, T, 3), side(T, 3, T, 4), S); /* it was shut when the other one was opened anew */
    behind(side(S, 2, S, 3), side(T, 0, S, 3), T);
    behind(side(S, 1, T, 3), side(T, 1, T, 3), -1);
    behind(side(S, 0, S, 3), side(T, 0, S, 3), -1);
    behind(side(S, 1, T, 3), side(T, 0, S, 3), -1); /* decided, and not opened yet */
    behind(side(S, 2, S, 3), silent, -1);
}

static int64_t forced(struct side_view v, int64_t least)
{
    return pg_settle_force_epoch(&v.row, least);
}

static void test_the_epoch_of_a_force(void **state)
{
    (void)state;
    assert_int_equal(forced(side(T, 0, S, 3), 0), 1);
    assert_int_equal(forced(side(T, 0, S, 3), 1), 1); /* the same --force again */
    assert_int_equal(forced(side(S, 1, T, 3), 1), 2);
    assert_int_equal(forced(side(T, 1, T, 3), 1), 3); /* its own row is open: 2 may be the other side's */
    assert_int_equal(forced(side(S, 0, S, 3), 0), 2);
    assert_int_equal(forced(side(S, 0, S, 3), 1), 2);
    assert_int_equal(forced(side(S, 0, S, 3), 3), 4); /* restored from long before */
    assert_int_equal(forced(side(T, 0, S, 3), 4), 5);
    assert_int_equal(forced(side(S, 0, S, 3), INT64_MAX), 2); /* it could not be read */
}

/* Whatever --force wrote, the side serves by it, and the lost one does not, should it come back. */
static void test_a_forced_side_serves_by_itself(void **state)
{
    struct side_view target = promoted(side(T, 1, T, 3));
    int64_t least;

    (void)state;
    expect(silent, target, 1, SETTLE_WAIT, -1); /* it failed over, and the other one is lost for good */
    least = target.row.epoch = forced(target, 1);
    snprintf(target.row.recorded[T], SERVER_SIZE, "%s", target.row.server);
    expect(silent, target, least, SETTLE_TAKE, T);
    expect(side(S, 2, S, 3), silent, least, SETTLE_OUTDATED, S);
    expect(side(S, 2, S, 3), target, least, SETTLE_ARBITRATE, T);
    behind(side(S, 2, S, 3), target, S);
}

static void test_never_armed(void **state)
{
    struct side_view none = {.answered = true};

    (void)state;
    expect(none, none, 0, SETTLE_UNARMED, -1);
    expect(none, silent, 0, SETTLE_UNARMED, -1);
    expect(silent, none, 0, SETTLE_WAIT, -1);
    expect(none, silent, 1, SETTLE_WAIT, -1); /* it was: its row is gone, and the target served since */
    expect(none, none, 2, SETTLE_WAIT, -1);
    expect(none, side(T, 1, T, 3), 1, SETTLE_TAKE, T);
    expect(none, side(T, 0, S, 0), 0, SETTLE_WAIT, -1); /* its row went with a backup that was restored, maybe */
}

static void test_armed_by_an_older_leat(void **state)
{
    struct side_view source = side(S, 0, S, 3);

    (void)state;
    memset(source.row.recorded, 0, sizeof source.row.recorded);
    source.row.server[0] = '\0';
    expect(source, silent, 0, SETTLE_TAKE, S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_side_whose_own_row_names_it),
        cmocka_unit_test(test_a_decision_is_opened),
        cmocka_unit_test(test_a_side_that_failed_over_is_arbitrated),
        cmocka_unit_test(test_a_standby_counts_for_nothing),
        cmocka_unit_test(test_a_side_that_was_left),
        cmocka_unit_test(test_outdated),
        cmocka_unit_test(test_a_side_that_stands_behind),
        cmocka_unit_test(test_the_epoch_of_a_force),
        cmocka_unit_test(test_a_forced_side_serves_by_itself),
        cmocka_unit_test(test_never_armed),
        cmocka_unit_test(test_armed_by_an_older_leat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
