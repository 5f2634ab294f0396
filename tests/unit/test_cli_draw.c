/* Pictures of progress: never wider or higher than the screen, rates from one to the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/draw.h"

static json_t *table(const char *name, const char *state, json_int_t bytes)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "table", name, "state", state, "rows", (json_int_t)1234567, "bytes", bytes, "bytes_total", (json_int_t)1000000000);
}

/* A store that copies `copying` tables of `total`; `bytes` of all are done. */
static json_t *status(int copying, int total, json_int_t bytes)
{
    json_t *tables = json_array();

    for (int i = 0; i < copying; i++) {
        AUTO_CHARS *name = mem_format("public.a_table_with_a_rather_long_name_%d_größer", i);

        json_array_append_new(tables, table(name, "open", bytes / (copying + 1)));
    }
    json_array_append_new(tables, table("public.done", "copied", 1000));
    return json_pack("{s:s, s:s, s:s, s:{s:i, s:i, s:I, s:I, s:I}, s:o, s:{s:i, s:i, s:[s, s]}, s:I, s:f, s:I, s:I, s:I, s:b}", "phase", "copy", "doing", "", "waits_for",
                     "the oldest transaction on the source, pid 4711", "copy", "tables_done", 1, "tables_total", total, "bytes_done", bytes, "bytes_total",
                     (json_int_t)10000000000, "rows_done", (json_int_t)1, "tables", tables, "indexes", "done", 1, "total", 9, "building", "a_pkey", "b_idx", "lag_bytes",
                     (json_int_t)1024, "lag_seconds", 0.25, "spool_bytes", (json_int_t)0, "ledger", (json_int_t)0, "txns_applied", (json_int_t)5, "following", 0);
}

static void draw_at(struct rates *r, const json_t *o, int width, int height, int64_t now_us, struct buf *out)
{
    struct draw_store store = {"shop", o, true};
    struct draw d = {.stores = &store, .store_count = 1, .width = width, .height = height, .now_us = now_us};
    AUTO_BUF text = {0};

    draw_stores(&d, r, &text);
    assert_true(draw_cut(buf_cstr(&text), width, height, "", out) <= height);
}

static int columns(const char *line, size_t n)
{
    int count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)line[i] & 0xc0) != 0x80;
    return count;
}

static void test_fits_the_screen(void **state)
{
    static const int sizes[][2] = {{20, 5}, {40, 10}, {79, 22}, {99, 24}, {159, 48}, {300, 200}};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        AUTO(rates) *r = rates_new();
        json_t *o = status(30, 500, 1000000);
        AUTO_BUF out = {0};
        int lines = 0;

        draw_at(r, o, sizes[i][0], sizes[i][1], 1000000, &out);
        for (const char *p = buf_cstr(&out); *p != '\0'; p += strcspn(p, "\n") + 1, lines++)
            assert_true(columns(p, strcspn(p, "\n")) <= sizes[i][0]);
        assert_true(lines <= sizes[i][1]);
        json_decref(o);
    }
}

static void test_what_has_no_room_is_counted(void **state)
{
    AUTO(rates) *r = rates_new();
    json_t *o = status(30, 500, 1000000);
    AUTO_BUF out = {0};

    (void)state;
    draw_at(r, o, 120, 20, 1000000, &out);
    /* 12 of 31 rows are drawn; 500 less the one done less the 30 that are copied are planned */
    assert_non_null(strstr(buf_cstr(&out), "… 19 more under way, 469 planned"));
    assert_non_null(strstr(buf_cstr(&out), "building a_pkey, b_idx"));
    assert_non_null(strstr(buf_cstr(&out), "waits for: the oldest transaction"));
    assert_non_null(strstr(buf_cstr(&out), "lag 1 kB, 250 ms"));
    json_decref(o);
}

static void test_long_names_keep_both_ends(void **state)
{
    AUTO(rates) *r = rates_new();
    json_t *o = status(1, 3, 1000000);
    AUTO_BUF out = {0};

    (void)state;
    draw_at(r, o, 79, 20, 1000000, &out);
    assert_non_null(strstr(buf_cstr(&out), "\n  public.a_table…_name_0_größer copying "));
    json_decref(o);
}

static void test_rate_and_time_left(void **state)
{
    AUTO(rates) *r = rates_new();
    json_t *before = status(1, 3, 1000000000);
    json_t *after = status(1, 3, 2000000000);
    AUTO_BUF first = {0};
    AUTO_BUF second = {0};

    (void)state;
    draw_at(r, before, 120, 20, 1000000, &first);
    assert_null(strstr(buf_cstr(&first), "ETA"));
    draw_at(r, after, 120, 20, 11000000, &second); /* 1 GB in 10 s, 8 GB to go: 80 s */
    assert_non_null(strstr(buf_cstr(&second), "95.4 MB/s  ETA 1:20"));
    assert_non_null(strstr(buf_cstr(&second), " 20%  1.9 GB of 9.3 GB"));
    json_decref(before);
    json_decref(after);
}

static void test_rates(void **state)
{
    AUTO(rates) *r = rates_new();

    (void)state;
    assert_true(rates_take(r, "a", 100, 1000000) == 0);
    assert_true(rates_take(r, "a", 200, 1100000) == 0);    /* too soon to say */
    assert_true(rates_take(r, "a", 1100, 2000000) == 1000);
    assert_true(rates_take(r, "b", 7, 2000000) == 0);
    assert_true(rates_take(r, "a", 1100, 3000000) < 1000); /* smoothed, not forgotten */
    assert_true(rates_take(r, "a", 1100, 3000001) > 0);
    assert_true(rates_take(r, "a", 5, 4000000) == 0);      /* begun anew */
}

static void test_store_that_has_not_begun(void **state)
{
    AUTO(rates) *r = rates_new();
    AUTO_BUF out = {0};

    (void)state;
    draw_at(r, NULL, 80, 20, 1, &out);
    assert_string_equal(buf_cstr(&out), "shop  not begun\n");
}

static void test_cut_counts_characters_not_escapes(void **state)
{
    AUTO_BUF out = {0};

    (void)state;
    assert_int_equal(draw_cut("\033[1mgrößer\033[0m als\nzwei\ndrei\n", 6, 2, "|", &out), 2);
    assert_string_equal(buf_cstr(&out), "\033[1mgrößer\033[0m|\nzwei|\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits_the_screen),
        cmocka_unit_test(test_what_has_no_room_is_counted),
        cmocka_unit_test(test_long_names_keep_both_ends),
        cmocka_unit_test(test_rate_and_time_left),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_store_that_has_not_begun),
        cmocka_unit_test(test_cut_counts_characters_not_escapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
