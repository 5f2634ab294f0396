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
    struct side_view v = {true, {.there = true, .epoch = epoch, .attempt = attempt, .here = here, .side = names, .open = here == names}};

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
    enum side got = (enum side)-1;
    const char *why = NULL;

    assert_int_equal(pg_settle_next(views, least, &got, &why), what);
    if (which >= 0)
        assert_int_equal(got, which);
    if (what == SETTLE_WAIT)
        assert_non_null(why);
}

static const struct side_view silent = {.answered = false};

static void test_the_side_whose_own_row_names_it(void **state)
{
    (void)state;
    expect(side(S, 0, S, 3), side(T, 0, S, 3), 0, SETTLE_TAKE, S);
    expect(side(S, 1, T, 3), side(T, 1, T, 3), 0, SETTLE_TAKE, T);
    expect(side(S, 0, S, 3), silent, 0, SETTLE_TAKE, S);   /* its own row is enough: had it decided, it would say so */
    expect(silent, side(T, 1, T, 3), 0, SETTLE_TAKE, T);
    expect(silent, side(T, 0, S, 3), 0, SETTLE_WAIT, -1);
    expect(silent, silent, 0, SETTLE_WAIT, -1);
}

static void test_a_decision_is_opened(void **state)
{
    (void)state;
    expect(side(S, 1, T, 3), side(T, 0, S, 3), 0, SETTLE_OPEN, S);
    expect(side(S, 1, T, 3), side(T, 2, S, 3), 0, SETTLE_OPEN, T);
    expect(promoted(side(S, 1, T, 3)), side(T, 0, S, 3), 0, SETTLE_OPEN, S);   /* a promoted row still decides if it says so */
    expect(side(S, 1, T, 3), silent, 0, SETTLE_WAIT, -1);
}

static void test_a_side_that_failed_over_is_arbitrated(void **state)
{
    struct side_view unknown = promoted(side(S, 0, S, 3));

    (void)state;
    expect(promoted(side(S, 0, S, 3)), side(T, 0, S, 3), 0, SETTLE_ARBITRATE, S);
    expect(promoted(side(S, 0, S, 3)), side(T, 1, T, 3), 0, SETTLE_TAKE, T);   /* the decision it lost was opened */
    expect(promoted(side(S, 0, S, 3)), silent, 0, SETTLE_WAIT, -1);
    expect(side(S, 1, T, 3), promoted(side(T, 1, T, 3)), 0, SETTLE_ARBITRATE, T);
    unknown.row.recorded[S][0] = '\0';   /* it lost the gate's write: the other side has it */
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
    expect(side(S, 0, S, 3), silent, 1, SETTLE_WAIT, -1);   /* though nobody else answers */
    expect(side(S, 2, S, 3), silent, 1, SETTLE_TAKE, S);
}

static void test_never_armed(void **state)
{
    struct side_view none = {.answered = true};

    (void)state;
    expect(none, none, 0, SETTLE_UNARMED, -1);
    expect(none, silent, 0, SETTLE_UNARMED, -1);
    expect(silent, none, 0, SETTLE_WAIT, -1);
    expect(none, side(T, 0, S, 0), 0, SETTLE_WAIT, -1);   /* its row went with a backup that was restored, maybe */
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
        cmocka_unit_test(test_the_side_whose_own_row_names_it), cmocka_unit_test(test_a_decision_is_opened), cmocka_unit_test(test_a_side_that_failed_over_is_arbitrated),
        cmocka_unit_test(test_a_standby_counts_for_nothing),    cmocka_unit_test(test_a_side_that_was_left), cmocka_unit_test(test_never_armed),
        cmocka_unit_test(test_armed_by_an_older_leat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
