/* LSNs as text; snapshots as text; what a snapshot sees, across the 32-bit wrap of transaction ids too (trap P23). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/position.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define EPOCH ((uint64_t)1 << 32)
#define HALF ((uint64_t)1 << 31)

/* --- LSN --- */

static void lsn_goes_there_and_back(void **state)
{
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {
        {0, "0/0"}, {0x16B374D848, "16/B374D848"}, {UINT64_MAX, "FFFFFFFF/FFFFFFFF"}, {1, "0/1"}, {EPOCH, "1/0"}};
    char text[LSN_TEXT_SIZE];
    struct lsn lsn;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(lsn_text((struct lsn){cases[i].v}, text), cases[i].text);
        assert_true(lsn_parse(cases[i].text, &lsn));
        assert_int_equal(lsn.v, cases[i].v);
    }
    assert_true(lsn_parse("16/b374d848", &lsn) && lsn.v == 0x16B374D848);
    assert_true(lsn_parse("00000016/0000000F", &lsn) && lsn.v == 0x160000000F);
}

static void lsn_refuses_the_rest(void **state)
{
    static const char *const bad[] = {"",      "/",     "0",           "0/",          "/0",          "0/0 ", " 0/0",
                                      "0/0/0", "x/0",   "0/x",         "0-0",         "-1/0",        "0/-1", "+1/0",
                                      "0/+1",  "0x1/0", "123456789/0", "0/123456789", "0/FFFFFFFFF", "1/ 2"};
    struct lsn lsn = {77};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (lsn_parse(bad[i], &lsn))
            fail_msg("'%s' was taken for an LSN", bad[i]);
    assert_int_equal(lsn.v, 77);
}

static void lsn_is_ordered(void **state)
{
    struct lsn a = {5};
    struct lsn b = {EPOCH};

    (void)state;
    assert_true(lsn_lt(a, b) && !lsn_lt(b, a) && !lsn_lt(a, a) && lsn_le(a, a) && lsn_le(a, b) && !lsn_le(b, a));
    assert_int_equal(lsn_max(a, b).v, b.v);
    assert_int_equal(lsn_min(a, b).v, a.v);
}

/* --- snapshots as text --- */

static void snapshot_is_read(void **state)
{
    struct fault f = {0};
    struct snapshot s;

    (void)state;
    assert_int_equal(snapshot_parse("100:100:", &s, &f), ERR_OK);
    assert_true(s.xmin == 100 && s.xmax == 100 && s.xip_count == 0);
    snapshot_fini(&s);
    assert_int_equal(snapshot_parse("100:18446744073709551615:100,4294967296,18446744073709551614", &s, &f), ERR_OK);
    assert_true(s.xmin == 100 && s.xmax == UINT64_MAX && s.xip_count == 3);
    assert_true(s.xip[0] == 100 && s.xip[1] == EPOCH && s.xip[2] == UINT64_MAX - 1);
    snapshot_fini(&s);
    assert_true(s.xip == NULL && s.xip_count == 0);
    snapshot_fini(&s);
}

static void snapshot_refuses_the_rest(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "::",
        "1",
        "1:2",
        "1::",
        ":2:",
        "0:2:",
        "3:2:",
        "1:2",
        "1:2:,",
        "1:3:1,",
        "1:3:,1",
        "1:3:1,,2",
        "1:3:2,1",
        "1:3:2,2",
        "2:5:1", /* before xmin */
        "2:5:5", /* not before xmax */
        "1:2:1 ",
        " 1:2:",
        "1:2:1:",
        "-1:2:",
        "+1:2:",
        "1:-2:",
        "1:2:x",
        "0x1:2:",
        "18446744073709551616:18446744073709551617:",
        "1:99999999999999999999:",
        "1:18446744073709551615:18446744073709551616",
        "1;2;",
    };
    struct snapshot s = {.xmin = 77};
    int refused = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct fault f = {0};
        if (snapshot_parse(bad[i], &s, &f) == ERR_OK)
            fail_msg("'%s' was taken for a snapshot", bad[i]);
        refused += f.code == ERR_PROTOCOL && f.why[0] != '\0';
    }
    assert_int_equal(refused, COUNT(bad));
    assert_int_equal(s.xmin, 77);
}

/* --- what it sees --- */

static void sees_by_xmin_xmax_and_xip(void **state)
{
    struct fault f = {0};
    struct snapshot s;

    (void)state;
    assert_int_equal(snapshot_parse("1000:1010:1000,1003,1004,1009", &s, &f), ERR_OK);
    assert_true(snapshot_sees(&s, 3) && snapshot_sees(&s, 999));
    for (uint32_t xid = 1000; xid < 1010; xid++)
        assert_int_equal(snapshot_sees(&s, xid), xid != 1000 && xid != 1003 && xid != 1004 && xid != 1009);
    assert_false(snapshot_sees(&s, 1010) || snapshot_sees(&s, 1011) || snapshot_sees(&s, 2000000));
    snapshot_fini(&s);
}

/* Compared with looking through the list, for lists of many lengths. */
static void search_finds_all_and_nothing_else(void **state)
{
    uint64_t xip[64];

    (void)state;
    for (size_t n = 0; n <= COUNT(xip); n++) {
        struct snapshot s = {.xmin = 1000, .xmax = 1000 + 3 * n + 3, .xip_count = n, .xip = xip};
        for (size_t i = 0; i < n; i++)
            xip[i] = 1000 + 3 * i + i % 2;
        for (uint64_t id = s.xmin; id < s.xmax; id++) {
            bool running = false;
            for (size_t i = 0; i < n; i++)
                running |= xip[i] == id;
            assert_int_equal(snapshot_sees(&s, (uint32_t)id), !running);
        }
    }
}

/* Trap P23: the epoch is that which brings it nearest. */
static void extends_to_the_nearest_epoch(void **state)
{
    static const struct {
        uint64_t xmax;
        uint32_t xid;
        uint64_t full;
    } cases[] = {
        {1000, 900, 900},
        {1000, 1000, 1000},
        {1000, 1100, 1100},
        {1000, 2000000000, 2000000000},
        {1000, 4294967295, 4294967295}, /* nothing lies before epoch 0 */
        {5 * EPOCH + 10, 10, 5 * EPOCH + 10},
        {5 * EPOCH + 10, 9, 5 * EPOCH + 9},
        {5 * EPOCH + 10, UINT32_MAX, 5 * EPOCH - 1}, /* before the wrap, asked after it */
        {5 * EPOCH + 10, UINT32_MAX - 5, 5 * EPOCH - 6},
        {5 * EPOCH - 10, 3, 5 * EPOCH + 3}, /* after the wrap, asked before it */
        {5 * EPOCH - 10, UINT32_MAX, 5 * EPOCH - 1},
        {5 * EPOCH, 0, 5 * EPOCH},
        {5 * EPOCH, UINT32_MAX, 5 * EPOCH - 1},
        {5 * EPOCH + HALF, 1, 5 * EPOCH + 1},              /* 2^31 - 1 behind */
        {5 * EPOCH + 1, (uint32_t)HALF, 5 * EPOCH + HALF}, /* 2^31 - 1 ahead */
        {5 * EPOCH + 1, (uint32_t)HALF + 2, 4 * EPOCH + HALF + 2},
        {EPOCH + 5, UINT32_MAX, EPOCH - 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snapshot s = {.xmin = 1, .xmax = cases[i].xmax};
        assert_int_equal(snapshot_extend(&s, cases[i].xid), cases[i].full);
    }
}

/* Every distance below 2^31 is found again, from either side of every epoch's edge. */
static void extends_what_is_within_reach(void **state)
{
    static const uint64_t edges[] = {EPOCH, 2 * EPOCH, 7 * EPOCH + HALF, 9 * EPOCH + 12345};
    static const int64_t near[] = {-1000, -1, 0, 1, 1000};
    static const int64_t far[] = {-(int64_t)HALF + 2000, -100000, -1, 0, 1, 100000, (int64_t)HALF - 2000};

    (void)state;
    for (size_t e = 0; e < COUNT(edges); e++)
        for (size_t n = 0; n < COUNT(near); n++)
            for (size_t d = 0; d < COUNT(far); d++) {
                struct snapshot s = {.xmin = 1, .xmax = edges[e] + (uint64_t)near[n]};
                uint64_t full = s.xmax + (uint64_t)far[d];
                assert_int_equal(snapshot_extend(&s, (uint32_t)full), full);
            }
}

/* Trap P23: numbers of the stream are 32 bits, those of snapshots 64. */
static void sees_across_the_wrap(void **state)
{
    struct fault f = {0};
    struct snapshot s;

    (void)state;
    /* xmin 4294967290 of epoch 2, xmax 10 of epoch 3; running: the two edges and one on each side of the wrap */
    assert_int_equal(snapshot_parse("12884901882:12884901898:12884901882,12884901887,12884901891", &s, &f), ERR_OK);
    assert_true(snapshot_sees(&s, 4294967289u));  /* before xmin */
    assert_false(snapshot_sees(&s, 4294967290u)); /* xmin, running */
    assert_true(snapshot_sees(&s, 4294967291u));
    assert_false(snapshot_sees(&s, 4294967295u)); /* running, just before the wrap */
    assert_false(snapshot_sees(&s, 3));           /* running, just after it */
    assert_true(snapshot_sees(&s, 4));
    assert_true(snapshot_sees(&s, 9));
    assert_false(snapshot_sees(&s, 10)); /* xmax */
    assert_false(snapshot_sees(&s, 100000));
    assert_true(snapshot_sees(&s, 3000000000u)); /* long ago, although a larger number than xmax's */
    snapshot_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lsn_goes_there_and_back),
        cmocka_unit_test(lsn_refuses_the_rest),
        cmocka_unit_test(lsn_is_ordered),
        cmocka_unit_test(snapshot_is_read),
        cmocka_unit_test(snapshot_refuses_the_rest),
        cmocka_unit_test(sees_by_xmin_xmax_and_xip),
        cmocka_unit_test(search_finds_all_and_nothing_else),
        cmocka_unit_test(extends_to_the_nearest_epoch),
        cmocka_unit_test(extends_what_is_within_reach),
        cmocka_unit_test(sees_across_the_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
