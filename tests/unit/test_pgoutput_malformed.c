/* Every way of being malformed, and that a message that fails leaves nothing behind. */
#include "../lib/pgoutput_messages.h"

static void impossible_transactions(void **state)
{
    struct bench *t = *state;

    buf_add_u64be(begin(t, "B"), 0);
    buf_add_u64be(&t->b, 5);
    buf_add_u32be(&t->b, 9);
    bad(t, "no position");
    buf_add_u64be(begin(t, "B"), 1);
    buf_add_u64be(&t->b, 5);
    buf_add_u32be(&t->b, 0);
    bad(t, "no transaction 0");
    buf_addc(begin(t, "C"), 1);
    buf_add_u64be(&t->b, 1);
    buf_add_u64be(&t->b, 2);
    buf_add_u64be(&t->b, 3);
    bad(t, "flags");
    buf_addc(begin(t, "C"), 0);
    buf_add_u64be(&t->b, 2);
    buf_add_u64be(&t->b, 2);
    buf_add_u64be(&t->b, 3);
    bad(t, "ends before it begins");
}

static void malformed_relations(void **state)
{
    struct bench *t = *state;
    static const char *const two[] = {"*a", "b", NULL};

    add_relation(begin(t, "R"), T, "public", "t", 'x', two);
    bad(t, "replica identity");
    add_relation(begin(t, "R"), T, "public", "t", 0, two);
    bad(t, "replica identity");
    add_relation(begin(t, "R"), T, "public", "t", 'd', two);
    buf_addc(&t->b, 0);
    bad(t, "goes on behind its end");
    add_relation(begin(t, "R"), T, "public", "t", 'd', two);
    t->b.data[1 + 4 + 7 + 2 + 1] = (char)0xff; /* count of columns */
    bad(t, "ends");
    buf_add_u32be(begin(t, "R"), T);
    buf_adds(&t->b, "no NUL");
    bad(t, "a name does not end");
    assert_null(pgoutput_relation(t->d, T));
}

static void malformed_truncates(void **state)
{
    struct bench *t = *state;

    describe(t, T, "public", "t", 'd', ID_V);
    buf_add_u32be(begin(t, "T"), 1);
    buf_addc(&t->b, 4);
    buf_add_u32be(&t->b, T);
    bad(t, "flags");
    buf_add_u32be(begin(t, "T"), 0);
    buf_addc(&t->b, 0);
    bad(t, "no table");
    buf_add_u32be(begin(t, "T"), 0x7fffffff); /* must not be believed before the bytes are there */
    buf_addc(&t->b, 0);
    buf_add_u32be(&t->b, T);
    bad(t, "ends too soon");
    buf_add_u32be(begin(t, "T"), 1);
    buf_addc(&t->b, 0);
    buf_add_u32be(&t->b, T);
    buf_add_u32be(&t->b, T);
    bad(t, "goes on behind its end");
    buf_add_u32be(begin(t, "T"), 1);
    buf_addc(&t->b, 0);
    buf_add_u32be(&t->b, T + 1);
    bad(t, "not described");
}

struct malformed {
    const char *kind;
    const char *rows; /* tag and pattern of each row, blank between them */
    const char *why;
};

static void add_rows(struct buf *b, const char *rows)
{
    char pattern[16];
    int n;

    while (sscanf(rows, "%15s%n", pattern, &n) == 1) {
        add_row(b, pattern[0], pattern + 1);
        rows += n;
    }
}

static void malformed_changes(void **state)
{
    static const struct malformed cases[] = {
        {"I", "N1", "as many columns"},
        {"I", "N111", "as many columns"},
        {"I", "N", "as many columns"},
        {"I", "K11", "new row is missing"},
        {"I", "O11", "new row is missing"},
        {"I", "X11", "new row is missing"},
        {"I", "", "ends too soon"},
        {"I", "N11 N11", "behind its end"},
        {"I", "N1b", "binary"},
        {"I", "N1z", "no known kind"},
        {"U", "X11", "no known kind"},
        {"U", "K1n", "ends too soon"},
        {"U", "K1n K1n", "new row is missing"},
        {"U", "N11 N11", "behind its end"},
        {"U", "K1 N11", "as many columns"},
        {"U", "K1n N1", "as many columns"},
        {"U", "O11 N1b", "binary"},
        {"D", "N11", "no known kind"},
        {"D", "K1n N11", "behind its end"},
        {"D", "K1nn", "as many columns"},
        {"D", "", "ends too soon"},
    };
    struct bench *t = *state;

    describe(t, T, "public", "t", 'd', ID_V);
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_add_u32be(begin(t, cases[i].kind), T);
        add_rows(&t->b, cases[i].rows);
        bad(t, cases[i].why);
    }
    buf_add_u32be(begin(t, "I"), T + 1);
    add_row(&t->b, 'N', "11");
    bad(t, "not described");
}

static void malformed_lengths(void **state)
{
    static const uint32_t lengths[] = {2, 3, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    struct bench *t = *state;

    describe(t, T, "public", "t", 'd', ID_V);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        buf_add_u32be(begin(t, "I"), T);
        buf_addc(&t->b, 'N');
        buf_add_u16be(&t->b, 2);
        buf_addc(&t->b, 'n');
        buf_addc(&t->b, 't');
        buf_add_u32be(&t->b, lengths[i]);
        buf_addc(&t->b, 'x');
        bad(t, "ends too soon");
        assert_non_null(strstr(t->f.why, "at byte 14")); /* behind the length */
    }
}

/* --- all of them, cut short at every byte, and with one byte more --- */

static void cut_and_lengthened(struct bench *t)
{
    size_t len = t->b.len;
    char saved[256];

    assert_true(len < sizeof saved);
    memcpy(saved, t->b.data, len);
    for (size_t n = 0; n < len; n++) {
        buf_clear(&t->b);
        buf_add(&t->b, saved, n);
        bad(t, "");
    }
    buf_clear(&t->b);
    buf_add(&t->b, saved, len);
    buf_addc(&t->b, 0);
    bad(t, "behind its end");
    buf_clear(&t->b);
    buf_add(&t->b, saved, len);
    good(t);
}

static void every_truncation_fails(void **state)
{
    struct bench *t = *state;

    for (const char *kind = "BCOYMRIUDTcASE"; *kind != '\0'; kind++) { /* S opens the segment that E closes */
        each_kind(t, *kind);
        cut_and_lengthened(t);
    }
}

static void every_truncation_fails_in_a_segment(void **state)
{
    struct bench *t = *state;

    describe(t, T, "public", "t", 'd', ID_V);
    start_segment(t, 9, true);
    for (const char *kind = "RYIUDTM"; *kind != '\0'; kind++) {
        AUTO_BUF plain = {0};
        each_kind(t, *kind);
        buf_add(&plain, t->b.data, t->b.len);
        buf_clear(&t->b);
        buf_addc(&t->b, *kind);
        buf_add_u32be(&t->b, 11);
        buf_add(&t->b, plain.data + 1, plain.len - 1);
        cut_and_lengthened(t);
        assert_int_equal(t->m.xid, 11);
        if (t->m.change != NULL) {
            assert_int_equal(t->m.change->raw_len, plain.len);
            assert_memory_equal(t->m.change->raw, plain.data, plain.len);
        }
    }
}

static void unknown_kinds(void **state)
{
    static const char known[] = "BCORYIUDTMSEcA";
    struct bench *t = *state;
    int refused = 0;

    for (int kind = 0; kind < 256; kind++) {
        char message[40] = {(char)kind};
        if (kind != 0 && strchr(known, kind) != NULL)
            continue;
        assert_int_equal(decode_bytes(t, message, sizeof message), ERR_PROTOCOL);
        assert_int_equal(decode_bytes(t, message, 1), ERR_PROTOCOL);
        assert_non_null(strstr(t->f.why, "no known kind"));
        refused++;
    }
    assert_int_equal(refused, 256 - 14);
    assert_int_equal(decode_bytes(t, "", 0), ERR_PROTOCOL);
}

/* A message of 3 GiB cannot be; its length must not wrap. Nothing of it is read. */
static void absurd_length(void **state)
{
    struct bench *t = *state;

    assert_int_equal(pgoutput_decode(t->d, t->arena, "I", (size_t)3 << 30, &t->m, &t->f), ERR_PROTOCOL);
    assert_int_equal(pgoutput_decode(t->d, t->arena, NULL, 0, &t->m, &t->f), ERR_PROTOCOL);
}

/* --- state --- */

static void what_has_no_place_in_a_segment(void **state)
{
    struct bench *t = *state;

    begin(t, "E");
    bad(t, "outside of any segment");
    start_segment(t, 900, true);
    for (const char *kind = "BCcAS"; *kind != '\0'; kind++) {
        each_kind(t, *kind);
        bad(t, "no place in a streamed segment");
    }
    stop_segment(t);
    each_kind(t, 'B');
    good(t);
}

/* A message that fails leaves the decoder as it was. */
static void failure_leaves_no_trace(void **state)
{
    struct bench *t = *state;
    const struct relation *r;

    describe(t, T, "public", "t", 'd', ID_V);
    r = t->m.relation;
    add_relation(begin(t, "R"), T, "public", "renamed", 'd', ID_V);
    buf_addc(&t->b, 'x');
    bad(t, "behind its end");
    assert_ptr_equal(pgoutput_relation(t->d, T), r);
    each_kind(t, 'S');
    buf_addc(&t->b, 'x');
    bad(t, "behind its end");
    each_kind(t, 'B'); /* still outside */
    good(t);
    start_segment(t, 900, true);
    begin(t, "Ex");
    bad(t, "behind its end");
    buf_add_u32be(begin(t, "I"), 900); /* still inside */
    buf_add_u32be(&t->b, T);
    add_row(&t->b, 'N', "11");
    good(t);
    buf_add_u32be(begin(t, "I"), 0);
    buf_add_u32be(&t->b, T);
    add_row(&t->b, 'N', "11");
    bad(t, "no transaction 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(impossible_transactions),
        CASE(malformed_relations),
        CASE(malformed_truncates),
        CASE(malformed_changes),
        CASE(malformed_lengths),
        CASE(every_truncation_fails),
        CASE(every_truncation_fails_in_a_segment),
        CASE(unknown_kinds),
        CASE(absurd_length),
        CASE(what_has_no_place_in_a_segment),
        CASE(failure_leaves_no_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
