/* Numbers of types exchanged in messages made by hand: what is refused, and that what is refused is left as it was.
 * Real values: test_type_map.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../lib/type_world.h"
#include "base/mem.h"

static struct type_way forth(struct type_map *map)
{
    return (struct type_way){map, TYPE_SOURCE};
}

static void rows_that_are_refused(void **state)
{
    AUTO(type_map) *map = type_map_new();

    (void)state;
    assert_false(type_map_add(map, TYPE_SOURCE, "x", "public.t", "b", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "0", "public.t", "b", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "4294967296", "public.t", "b", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, NULL, "public.t", "b", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "20000", NULL, "b", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "20000", "public.t", "", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "20000", "public.t", "x", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "20000", "public.t", "bb", NULL));
    assert_false(type_map_add(map, TYPE_SOURCE, "20000", "public.t[]", "a", NULL));
    assert_true(type_map_add(map, TYPE_SOURCE, "20000", "public.t", "c", NULL)); /* a row without columns */
}

static void numbers(void **state)
{
    AUTO(type_map) *map = type_world();
    struct type_way back = {map, TYPE_TARGET};
    struct fault f = {0};
    uint32_t oid = 0;

    (void)state;
    assert_false(type_map_is_identity(map));
    assert_true(type_map_oid(forth(map), 25, &oid, &f) == ERR_OK && oid == 25);
    assert_true(type_map_oid(forth(map), MOOD, &oid, &f) == ERR_OK && oid == MOOD + TARGET_SHIFT);
    assert_true(type_map_oid(back, MOOD + TARGET_SHIFT, &oid, &f) == ERR_OK && oid == MOOD);
    oid = 7;
    assert_true(type_map_oid(forth(map), MISSING, &oid, &f) == ERR_UNMOVABLE && oid == 7);
    assert_string_equal(f.why, "type public.missing is not on the target, or is of another kind there");
    assert_int_equal(type_map_oid(forth(map), 99999, &oid, &f), ERR_UNMOVABLE);
    assert_true(type_map_oid((struct type_way){NULL, TYPE_SOURCE}, 99999, &oid, &f) == ERR_OK && oid == 99999);
}

static void the_same(void **state)
{
    AUTO(type_map) *a = type_world();
    AUTO(type_map) *b = type_world();
    AUTO(type_map) *none = type_map_new();
    AUTO(type_map) *one = type_map_new();
    AUTO(type_map) *renamed = type_map_new();
    AUTO(type_map) *both = type_map_new();

    (void)state;
    assert_true(type_map_add(one, TYPE_SOURCE, "20000", "public.t", "b", NULL) &&
                type_map_add(renamed, TYPE_SOURCE, "20000", "public.u", "b", NULL));
    assert_true(type_map_add(both, TYPE_SOURCE, "20000", "public.t", "b", NULL) &&
                type_map_add(both, TYPE_TARGET, "20001", "public.t", "b", NULL));
    type_map_seal(none);
    type_map_seal(one);
    type_map_seal(renamed);
    type_map_seal(both);
    assert_true(type_map_equal(a, b) && type_map_equal(none, none));
    assert_false(type_map_equal(none, one) || type_map_equal(one, none) || type_map_equal(one, renamed) ||
                 type_map_equal(one, both) || type_map_equal(a, one));
}

static void what_is_deep(void **state)
{
    AUTO(type_map) *map = type_world();

    (void)state;
    assert_false(type_map_is_deep(forth(map), 25));
    assert_false(type_map_is_deep(forth(map), 1009)); /* text[] names text alone */
    assert_true(type_map_is_deep(forth(map), 2249));
    assert_false(type_map_is_deep(forth(map), MOOD));
    assert_true(type_map_is_deep(forth(map), MOODS));
    assert_true(type_map_is_deep(forth(map), DOMAIN_OF_MOODS));
    assert_true(type_map_is_deep(forth(map), PLACE));
    assert_false(type_map_is_deep(forth(map), MOOD_RANGE));
    assert_true(type_map_is_deep(forth(map), PLACE_RANGE));
    assert_true(type_map_is_deep(forth(map), PLACE_RANGES));
    assert_true(type_map_is_deep(forth(map), 99999));
    assert_false(type_map_is_deep((struct type_way){NULL, TYPE_SOURCE}, 99999));
}

/* --- messages --- */

/* A mood[] of n elements "ok", as a value with its length. */
static void add_moods(struct buf *b, uint32_t oid, uint32_t n)
{
    buf_add_u32be(b, 20 + 6 * n);
    buf_add_u32be(b, 1);
    buf_add_u32be(b, 0);
    buf_add_u32be(b, oid);
    buf_add_u32be(b, n);
    buf_add_u32be(b, 1);
    for (uint32_t i = 0; i < n; i++) {
        buf_add_u32be(b, 2);
        buf_adds(b, "ok");
    }
}

/* A DataRow: mood[], and a place (int4 1, mood[] of one). */
static void add_row(struct buf *b, uint32_t mood, uint32_t moods)
{
    buf_add_u16be(b, 3);
    add_moods(b, mood, 2);
    buf_add_u32be(b, 4 + 12 + 8 + 26);
    buf_add_u32be(b, 2);
    buf_add_u32be(b, 23);
    buf_add_u32be(b, 4);
    buf_add_u32be(b, 1);
    buf_add_u32be(b, moods);
    add_moods(b, mood, 1);
    buf_add_u32be(b, UINT32_MAX);
}

static const uint32_t row_types[] = {MOODS, PLACE, PLACE};
static const uint16_t row_formats[] = {1, 1, 1};

static void a_row(void **state)
{
    AUTO(type_map) *map = type_world();
    AUTO_BUF b = {0};
    AUTO_BUF want = {0};
    struct fault f = {0};

    (void)state;
    add_row(&b, MOOD, MOODS);
    add_row(&want, MOOD + TARGET_SHIFT, MOODS + TARGET_SHIFT);
    assert_int_equal(type_map_data_row(forth(map), row_types, row_formats, 3, b.data, b.len, &f), ERR_OK);
    assert_memory_equal(b.data, want.data, want.len);
}

static void a_row_that_is_cut_or_changed_is_left_as_it_was(void **state)
{
    AUTO(type_map) *map = type_world();
    AUTO_BUF good = {0};
    struct fault f = {0};
    int refused = 0;

    (void)state;
    add_row(&good, MOOD, MOODS);
    for (size_t len = 0; len < good.len; len++) {
        AUTO_CHARS *cut = mem_alloc(len);

        memcpy(cut, good.data, len);
        assert_int_equal(type_map_data_row(forth(map), row_types, row_formats, 3, cut, len, &f), ERR_PROTOCOL);
        assert_memory_equal(cut, good.data, len);
    }
    for (size_t i = 0; i < good.len; i++) {
        AUTO_BUF b = {0};
        AUTO_BUF before = {0};

        buf_add(&b, good.data, good.len);
        b.data[i] = (char)(b.data[i] ^ 0x41);
        buf_add(&before, b.data, b.len);
        if (type_map_data_row(forth(map), row_types, row_formats, 3, b.data, b.len, &f) == ERR_OK)
            continue;
        refused++;
        assert_memory_equal(b.data, before.data, b.len);
    }
    assert_true(refused > 40);
}

static void formats_of_parameters(void **state)
{
    static const uint16_t cases[][3] = {
        {0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {2, 0, 1}, {2, 1, 1}}; /* how many, then each */
    static const bool changes[] = {false, false, true, true, true};
    static const uint32_t types[] = {MOODS, MOODS};
    AUTO(type_map) *map = type_world();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUF b = {0};
        AUTO_BUF before = {0};
        struct fault f = {0};

        buf_add(&b, "portal\0name\0", 12);
        buf_add_u16be(&b, cases[i][0]);
        for (uint16_t k = 0; k < cases[i][0]; k++)
            buf_add_u16be(&b, cases[i][1 + k]);
        buf_add_u16be(&b, 2);
        add_moods(&b, MOOD, 1);
        add_moods(&b, MOOD, 1);
        buf_add_u16be(&b, 1);
        buf_add_u16be(&b, 1);
        buf_add(&before, b.data, b.len);
        assert_int_equal(type_map_bind(forth(map), types, 2, b.data, b.len, &f), ERR_OK);
        assert_true((memcmp(b.data, before.data, b.len) != 0) == changes[i]);
        if (cases[i][0] > 0 && cases[i][cases[i][0]] == 1) /* the last in binary, of no known type */
            assert_int_equal(type_map_bind(forth(map), types, 1, before.data, before.len, &f), ERR_UNMOVABLE);
    }
}

static void a_parse(void **state)
{
    AUTO(type_map) *map = type_world();
    AUTO_BUF b = {0};
    struct fault f = {0};

    (void)state;
    buf_add(&b, "name\0select\0\0\3\0\0\0\0\0\0\0\x19", 22);
    buf_add_u32be(&b, MOOD);
    assert_int_equal(type_map_parse(forth(map), b.data, b.len - 1, &f), ERR_PROTOCOL);
    assert_int_equal(type_map_parse(forth(map), b.data, b.len, &f), ERR_OK);
    assert_memory_equal(b.data + 14, "\0\0\0\0\0\0\0\x19\0\1\xD4\xC0", 12); /* 0 stays 0 */
    b.data[b.len - 1] = 0;
    assert_int_equal(type_map_parse(forth(map), b.data, b.len, &f), ERR_UNMOVABLE);
}

static void nested_without_end(void **state)
{
    AUTO(type_map) *map = type_world();
    AUTO_BUF b = {0};
    struct fault f = {0};
    uint32_t record = 2249;
    uint16_t binary = 1;
    enum { DEPTH = 1000 };

    (void)state;
    buf_add_u16be(&b, 1);
    for (uint32_t i = DEPTH; i > 0; i--) {
        buf_add_u32be(&b, 12 * i - 8 + 4);
        buf_add_u32be(&b, 1);
        buf_add_u32be(&b, record);
    }
    buf_add_u32be(&b, UINT32_MAX);
    assert_int_equal(type_map_data_row(forth(map), &record, &binary, 1, b.data, b.len, &f), ERR_PROTOCOL);
    assert_non_null(strstr(f.why, "nested too deep"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_are_refused),
        cmocka_unit_test(numbers),
        cmocka_unit_test(the_same),
        cmocka_unit_test(what_is_deep),
        cmocka_unit_test(a_row),
        cmocka_unit_test(a_row_that_is_cut_or_changed_is_left_as_it_was),
        cmocka_unit_test(formats_of_parameters),
        cmocka_unit_test(a_parse),
        cmocka_unit_test(nested_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
