/* test_touched_log.c — records come back as they were written, from any place, over segments, after the writer is gone in the middle of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replicate/touched_log.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/leat-touched-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    AUTO_CHARS *command = mem_format("rm -rf %s", dir);

    (void)state;
    return system(command);
}

static struct touched_log *open_log(void)
{
    struct touched_log *l = NULL;
    struct fault f = {0};

    assert_int_equal(touched_log_open(dir, &l, &f), ERR_OK);
    return l;
}

static void append(struct touched_log *l, uint32_t number, size_t size)
{
    AUTO_BUF framed = {0};
    struct fault f = {0};
    char *record = mem_alloc(size);

    memcpy(record, &number, sizeof number);
    touched_log_frame(&framed, record, (uint32_t)size);
    assert_int_equal(touched_log_append(l, &framed, UINT64_MAX, &f), ERR_OK);
    free(record);
}

struct seen {
    uint32_t next;
    uint32_t stop_before; /* 0: never */
    size_t bytes;
};

static bool see(void *ctx, const char *record, uint32_t size)
{
    struct seen *s = ctx;
    uint32_t number;

    assert_true(size >= sizeof number);
    memcpy(&number, record, sizeof number);
    if (s->stop_before != 0 && number == s->stop_before)
        return false;
    assert_int_equal(number, s->next);
    s->next++;
    s->bytes += size;
    return true;
}

static struct touched_place read_from(struct touched_log *l, struct touched_place from, struct seen *s)
{
    struct touched_place ret;
    struct fault f = {0};

    assert_int_equal(touched_log_read(l, from, touched_log_end(l), see, s, &ret, &f), ERR_OK);
    return ret;
}

static bool same(struct touched_place a, struct touched_place b)
{
    return a.segment == b.segment && a.at == b.at;
}

static void test_back(void **state)
{
    AUTO(touched_log) *l = open_log();
    struct touched_place from = touched_log_end(l);
    struct seen s = {0};
    struct touched_place at;

    (void)state;
    assert_true(same(read_from(l, from, &s), from));
    for (uint32_t i = 0; i < 3000; i++)
        append(l, i, 4 + i * 7919 % 20000); /* 30 MB: two segments and more */
    assert_true(touched_log_end(l).segment > from.segment);
    s.stop_before = 1234;
    at = read_from(l, from, &s);
    assert_int_equal(s.next, 1234);
    s.stop_before = 0;
    assert_true(same(read_from(l, at, &s), touched_log_end(l)));
    assert_int_equal(s.next, 3000);
    append(l, 3000, 4);
    assert_true(touched_log_has(l, from));
    touched_log_drop(l, at);
    assert_true(touched_log_has(l, at));
    s.next = 1234;
    assert_true(same(read_from(l, at, &s), touched_log_end(l)));
    assert_int_equal(s.next, 3001);
}

static void test_large(void **state)
{
    AUTO(touched_log) *l = open_log();
    struct touched_place from = touched_log_end(l);
    struct seen s = {0};

    (void)state;
    append(l, 0, (size_t)3 << 20);
    append(l, 1, 4);
    append(l, 2, (size_t)20 << 20);
    append(l, 3, (size_t)1 << 20);
    assert_true(same(read_from(l, from, &s), touched_log_end(l)));
    assert_int_equal(s.next, 4);
}

/* The writer was killed in the middle of the third; the next one begins a segment of its own. */
static void test_cut_off(void **state)
{
    struct touched_log *l = open_log();
    struct touched_place from = touched_log_end(l);
    AUTO_CHARS *path = mem_format("%s/%016" PRIx64, dir, from.segment);
    struct seen s = {0};

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        append(l, i, 100);
    touched_log_free(l);
    assert_int_equal(truncate(path, 104 * 3 - 7), 0);
    l = open_log();
    append(l, 2, 50);
    assert_true(touched_log_has(l, from));
    assert_true(same(read_from(l, from, &s), touched_log_end(l)));
    assert_int_equal(s.next, 3);
    assert_int_equal(s.bytes, 250);
    assert_false(touched_log_has(l, (struct touched_place){from.segment, 104 * 3}));
    touched_log_free(l);
}

static void test_gone(void **state)
{
    AUTO(touched_log) *l = open_log();
    struct touched_place from = touched_log_end(l);
    struct fault f = {0};
    AUTO_BUF framed = {0};
    struct touched_place now;
    struct seen s = {.next = 7};

    (void)state;
    append(l, 0, 100);
    assert_int_equal(touched_log_clear(l, &f), ERR_OK);
    assert_false(touched_log_has(l, from));
    now = touched_log_end(l);
    assert_true(touched_log_has(l, now));
    append(l, 7, 100);
    (void)read_from(l, now, &s);
    assert_int_equal(s.next, 8);
    assert_false(touched_log_has(l, (struct touched_place){0, 0}));
    assert_false(touched_log_has(l, (struct touched_place){now.segment, 1000}));
    assert_false(touched_log_has(l, (struct touched_place){now.segment + 1, 0}));
    touched_log_frame(&framed, "x", 1);
    assert_int_equal(touched_log_append(l, &framed, 50, &f), ERR_SPOOL_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
