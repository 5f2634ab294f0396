/* Parcels: order, counters, and what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/change.h"

static struct change *add(struct parcel *p, struct txn *t, uint32_t raw_len)
{
    struct change *c = arena_zalloc(p->arena, sizeof *c);

    c->kind = CHANGE_INSERT;
    c->raw_len = raw_len;
    c->next = c; /* whatever stood there */
    txn_add_change(p, t, c);
    return c;
}

static void empty_parcel(void **state)
{
    AUTO(parcel) *p = parcel_new();

    (void)state;
    assert_true(p->arena != NULL && p->txns == NULL && p->txn_count == 0 && p->change_count == 0 && p->bytes == 0);
    assert_true(p->idle_end.v == 0 && p->received_us == 0);
    parcel_free(NULL);
}

static void keeps_order_and_counts(void **state)
{
    AUTO(parcel) *p = parcel_new();
    struct txn *first = parcel_add_txn(p, 7, true);
    struct change *a = add(p, first, 10);
    struct change *b = add(p, first, 0);
    struct change *c = add(p, first, 1);
    struct txn *second = parcel_add_txn(p, 8, false);
    struct change *d = add(p, second, UINT32_MAX);
    struct change *e = add(p, second, UINT32_MAX);
    struct txn *third = parcel_add_txn(p, 9, true);

    (void)state;
    assert_true(p->txns == first && first->next == second && second->next == third && third->next == NULL);
    assert_true(first->xid == 7 && first->first && !first->last && second->xid == 8 && !second->first && third->first);
    assert_true(first->changes == a && a->next == b && b->next == c && c->next == NULL);
    assert_true(second->changes == d && d->next == e && e->next == NULL && third->changes == NULL);
    assert_true(first->change_count == 3 && second->change_count == 2 && third->change_count == 0);
    assert_int_equal(first->bytes, 11);
    assert_int_equal(second->bytes, 2 * (uint64_t)UINT32_MAX);
    assert_int_equal(p->txn_count, 3);
    assert_int_equal(p->change_count, 5);
    assert_int_equal(p->bytes, first->bytes + second->bytes);
    assert_true(first->end.v == 0 && first->commit.v == 0 && first->commit_us == 0);
}

/* An earlier transaction of the parcel can still be added to: each knows its own end. */
static void transactions_are_independent(void **state)
{
    AUTO(parcel) *p = parcel_new();
    struct txn *one = parcel_add_txn(p, 1, true);
    struct txn *two = parcel_add_txn(p, 2, true);
    struct change *a = add(p, two, 5);
    struct change *b = add(p, one, 6);

    (void)state;
    assert_true(one->changes == b && b->next == NULL && two->changes == a && a->next == NULL);
    assert_true(one->bytes == 6 && two->bytes == 5 && p->bytes == 11);
}

static void small_parcel_is_one_chunk(void **state)
{
    AUTO(parcel) *p = parcel_new();
    size_t bytes = arena_bytes(p->arena);
    struct txn *t = parcel_add_txn(p, 1, true);

    (void)state;
    for (int i = 0; i < 100; i++)
        add(p, t, 100);
    assert_int_equal(arena_bytes(p->arena), bytes);
    assert_true(bytes <= 66 << 10);
}

static void values_compare_by_content(void **state)
{
    struct value empty = {"", 0}, null = {NULL, VALUE_NULL}, same = {NULL, VALUE_UNCHANGED}, ab = {"abX", 2},
                 ab2 = {"abY", 2}, abc = {"abc", 3}, ac = {"ac", 2};

    (void)state;
    assert_true(value_same(&ab, &ab2) && value_same(&null, &null) && value_same(&same, &same) &&
                value_same(&empty, &empty));
    assert_false(value_same(&ab, &abc) || value_same(&ab, &ac) || value_same(&null, &empty) ||
                 value_same(&null, &same));
}

static struct txn *txn_at(struct parcel *p, uint64_t commit, uint64_t end, bool first, bool last)
{
    struct txn *t = parcel_add_txn(p, 1, first);

    t->commit.v = commit;
    t->end.v = last ? end : 0;
    t->last = last;
    return t;
}

/* A slot sends again what it sent before, whenever it likes: it passes once. */
static void what_came_before_is_dropped(void **state)
{
    struct lsn passed = {0};
    AUTO(parcel) *one = parcel_new();
    AUTO(parcel) *two = parcel_new();
    AUTO(parcel) *parts = parcel_new();
    AUTO(parcel) *again = parcel_new();
    struct txn *third;

    (void)state;
    txn_at(one, 10, 12, true, true);
    txn_at(one, 12, 20, true, true);
    assert_int_equal(parcel_drop_passed(one, &passed), 0);
    assert_int_equal(passed.v, 20);
    txn_at(two, 10, 12, true, true);
    txn_at(two, 12, 20, true, true);
    third = txn_at(two, 20, 30, true, true);
    assert_int_equal(parcel_drop_passed(two, &passed), 2);
    assert_true(two->txns == third && third->next == NULL && two->txn_count == 1 && two->tail == &third->next);
    txn_at(parts, 40, 0, true, false);
    assert_int_equal(parcel_drop_passed(parts, &passed), 0);
    assert_int_equal(passed.v, 30);
    txn_at(again, 20, 30, true, true);
    txn_at(again, 40, 50, false, true); /* its last part */
    assert_int_equal(parcel_drop_passed(again, &passed), 1);
    assert_int_equal(passed.v, 50);
    assert_true(again->txns->commit.v == 40);
}

static void dropping_all_leaves_an_empty_parcel(void **state)
{
    struct lsn passed = {100};
    AUTO(parcel) *p = parcel_new();

    (void)state;
    txn_at(p, 10, 12, true, true);
    txn_at(p, 20, 22, true, false);
    assert_int_equal(parcel_drop_passed(p, &passed), 2);
    assert_true(p->txns == NULL && p->txn_count == 0 && passed.v == 100);
    txn_at(p, 100, 110, true, true);
    assert_true(p->txns != NULL && p->txns->next == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_parcel),
        cmocka_unit_test(keeps_order_and_counts),
        cmocka_unit_test(transactions_are_independent),
        cmocka_unit_test(small_parcel_is_one_chunk),
        cmocka_unit_test(values_compare_by_content),
        cmocka_unit_test(what_came_before_is_dropped),
        cmocka_unit_test(dropping_all_leaves_an_empty_parcel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
