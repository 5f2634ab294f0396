/* COPY's binary form in pieces of every size; seals and tallies against what cancels and collides; the sift against what was planted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "verify/sift.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* --- a COPY made by hand --- */

static void begin(struct buf *b)
{
    buf_add(b, "PGCOPY\n\377\r\n\0", 11);
    buf_add_u32be(b, 0);
    buf_add_u32be(b, 0);
}

static void field(struct buf *b, const char *text)
{
    buf_add_u32be(b, text == NULL ? UINT32_MAX : (uint32_t)strlen(text));
    buf_adds(b, text != NULL ? text : "");
}

static void row2(struct buf *b, const char *key, const char *value)
{
    buf_add_u16be(b, 2);
    field(b, key);
    field(b, value);
}

struct seen {
    struct buf text;
    uint64_t rows;
};

static enum err note(void *ctx, const struct copy_row *row, struct fault *f)
{
    struct seen *s = ctx;
    const char *at = row->fields;

    (void)f;
    s->rows++;
    for (uint16_t i = 0; i < row->count; i++) {
        struct copy_field field = copy_field_next(&at);
        if (field.len < 0)
            buf_adds(&s->text, "NULL,");
        else
            buf_addf(&s->text, "%.*s,", field.len, field.data);
    }
    assert_ptr_equal(at, row->fields + row->len);
    buf_addc(&s->text, ';');
    return ERR_OK;
}

/* Fed in pieces of n bytes. */
static enum err feed(const struct buf *b, size_t n, struct seen *s, struct fault *f)
{
    struct copy_rows rows = {.each = note, .ctx = s};
    enum err err = ERR_OK;

    for (size_t at = 0; at < b->len && err == ERR_OK; at += n) {
        /* a block of its own: a read beyond it is seen */
        size_t len = b->len - at < n ? b->len - at : n;
        char *piece = malloc(len);
        memcpy(piece, b->data + at, len);
        err = copy_rows_feed(&rows, piece, len, f);
        free(piece);
    }
    if (err == ERR_OK)
        err = copy_rows_end(&rows, f);
    copy_rows_fini(&rows);
    return err;
}

static void rows_come_whole_whatever_the_pieces(void **state)
{
    AUTO_BUF b = {0};

    (void)state;
    begin(&b);
    row2(&b, "one", NULL);
    row2(&b, "", "a longer value, for a piece to cut");
    buf_add_u16be(&b, 0);
    buf_add_u16be(&b, 0xffff);
    for (size_t n = 1; n <= b.len; n++) {
        struct seen s = {0};
        assert_int_equal(feed(&b, n, &s, NULL), ERR_OK);
        assert_string_equal(buf_cstr(&s.text), "one,NULL,;,a longer value, for a piece to cut,;;");
        buf_fini(&s.text);
    }
}

static void what_is_no_copy_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"PGCOPX", 6},                                                                        /* not one */
        {"PGCOPY\n\377\r\n\0\0\1\0\0\0\0\0\0\xff\xff", 21},                                   /* WITH OIDS */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\xff\xff\0", 22},                                 /* more after the end */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\xff\xff\0\1\0\0\0\0", 27},                       /* a row after the end */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0", 25},                               /* no end */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\xff\xff\xff\xfe", 25},                       /* a length of -2 */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\xff\xfe", 21},                                   /* 65,534 fields */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\x7f\xff\xff\xff", 25},                       /* 2 GB */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\x7f\0\0\0", 19},                                         /* a long header */
        {"PGCOPY\n", 7},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        for (size_t n = 1; n <= bad[i].len; n += bad[i].len - 1) {
            AUTO_BUF b = {0};
            struct seen s = {0};
            struct fault f = {0};
            buf_add(&b, bad[i].bytes, bad[i].len);
            if (feed(&b, n, &s, &f) != ERR_PROTOCOL)
                fail_msg("case %zu in pieces of %zu was taken", i, n);
            buf_fini(&s.text);
        }
}

/* --- seals --- */

static struct sealed sealed(const struct buf *b, uint16_t count, uint16_t keys)
{
    struct copy_row row = {.fields = b->data, .len = b->len, .count = count};

    return seal_row(&row, keys);
}

static void fields_do_not_run_together(void **state)
{
    static const char *const rows[][2] = {{"12", "3"}, {"1", "23"}, {"3", "12"}, {"123", ""}, {"123", NULL}, {NULL, "123"}, {"", "123"}, {NULL, NULL}, {"", ""}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t k = 0; k < COUNT(rows); k++) {
            AUTO_BUF a = {0};
            AUTO_BUF b = {0};
            field(&a, rows[i][0]);
            field(&a, rows[i][1]);
            field(&b, rows[k][0]);
            field(&b, rows[k][1]);
            assert_int_equal(seal_same(sealed(&a, 2, 0).row, sealed(&b, 2, 0).row), i == k);
        }
}

static void the_key_is_the_first_fields(void **state)
{
    AUTO_BUF a = {0};
    AUTO_BUF b = {0};
    struct sealed x;
    struct sealed y;

    (void)state;
    field(&a, "k");
    field(&a, "1");
    field(&b, "k");
    field(&b, "2");
    x = sealed(&a, 2, 1);
    y = sealed(&b, 2, 1);
    assert_true(seal_same(x.key, y.key) && !seal_same(x.row, y.row));
    assert_int_equal(x.key_len, 5);
    x = sealed(&a, 2, 0);
    assert_true(seal_same(x.key, x.row) && x.key_len == a.len);
}

/* Puts in n rows "key, value"; `skew`: the row changed, or none. */
struct planted {
    struct tally *tally;
    struct sift *sift;
    enum sift_side side;
};

static void put(struct planted *p, const char *key, const char *value)
{
    AUTO_BUF b = {0};
    struct sealed s;

    field(&b, key);
    field(&b, value);
    s = sealed(&b, 2, 1);
    if (p->tally != NULL)
        tally_add(p->tally, &s);
    if (p->sift != NULL)
        sift_add(p->sift, p->side, &s);
}

static void two_equal_rows_do_not_cancel(void **state)
{
    AUTO(tally) *none = tally_new(0);
    AUTO(tally) *two = tally_new(0);
    struct planted p = {.tally = two};
    uint8_t differs[TALLY_LEAST];

    (void)state;
    put(&p, "k", "same");
    put(&p, "k", "same");
    assert_int_equal(tally_compare(none, two, differs), 1);
    assert_int_equal(tally_rows(two), 2);
}

static void tallies_add_up_in_any_order(void **state)
{
    AUTO(tally) *whole = tally_new(100000);
    AUTO(tally) *first = tally_new(100000);
    AUTO(tally) *second = tally_new(100000);
    uint8_t *differs = calloc(tally_size(whole), 1);
    char key[16];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct planted p = {.tally = whole};
        snprintf(key, sizeof key, "%d", i);
        put(&p, key, "x");
    }
    for (int i = 4999; i >= 0; i--) {
        struct planted p = {.tally = i % 3 == 0 ? first : second};
        snprintf(key, sizeof key, "%d", i);
        put(&p, key, "x");
    }
    tally_merge(first, second);
    assert_int_equal(tally_compare(whole, first, differs), 0);
    free(differs);
}

/* --- the sift --- */

static void plant(struct planted *source, struct planted *target)
{
    char key[16];

    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "%d", i);
        put(source, key, i == 1500 ? "as it was" : "x");
        if (i != 700)
            put(target, key, i == 1500 ? "otherwise" : "x");
    }
    put(target, "new", "x");
    put(target, "5", "x"); /* a second time */
}

static void the_sift_finds_what_was_planted(void **state)
{
    AUTO(tally) *left = tally_new(3000);
    AUTO(tally) *right = tally_new(3000);
    struct planted source = {.tally = left};
    struct planted target = {.tally = right, .side = SIFT_TARGET};
    uint8_t *differs = calloc(tally_size(left), 1);
    AUTO(sift) *sift = NULL;
    const struct difference *list;
    size_t count;
    int kinds[3] = {0};

    (void)state;
    plant(&source, &target);
    assert_in_range(tally_compare(left, right, differs), 1, 4);
    sift = sift_new(differs, tally_size(left));
    source = (struct planted){.sift = sift};
    target = (struct planted){.sift = sift, .side = SIFT_TARGET};
    plant(&source, &target);
    sift_differences(sift, &list, &count);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++)
        kinds[list[i].kind]++;
    assert_int_equal(kinds[DIFFERENCE_MISSING], 1);
    assert_int_equal(kinds[DIFFERENCE_EXTRA], 2);
    assert_int_equal(kinds[DIFFERENCE_CHANGED], 1);
    assert_false(sift_overflowed(sift));
    free(differs);
}

static void the_sift_is_bounded_and_says_so(void **state)
{
    uint8_t all[TALLY_LEAST];
    AUTO(sift) *sift = NULL;
    struct planted p;
    char key[16];

    (void)state;
    memset(all, 1, sizeof all);
    sift = sift_new(all, TALLY_LEAST);
    p = (struct planted){.sift = sift};
    for (unsigned i = 0; i < 2 * SIFT_MOST + 1; i++) {
        assert_false(sift_overflowed(sift));
        snprintf(key, sizeof key, "%u", i);
        put(&p, key, "x");
    }
    assert_true(sift_overflowed(sift));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_whole_whatever_the_pieces),
        cmocka_unit_test(what_is_no_copy_is_refused),
        cmocka_unit_test(fields_do_not_run_together),
        cmocka_unit_test(the_key_is_the_first_fields),
        cmocka_unit_test(two_equal_rows_do_not_cancel),
        cmocka_unit_test(tallies_add_up_in_any_order),
        cmocka_unit_test(the_sift_finds_what_was_planted),
        cmocka_unit_test(the_sift_is_bounded_and_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
