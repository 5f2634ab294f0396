/* The first packet, frames, and what the door says itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "wire/pgwire.h"

#define PACKET(text) text, sizeof(text) - 1

static void test_first_packets(void **state)
{
    struct pgwire_startup s;

    (void)state;
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x08\x04\xd2\x16\x2f"), &s), STARTUP_TLS);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x08\x04\xd2\x16\x30"), &s), STARTUP_GSS);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\7abcd"), &s), STARTUP_CANCEL);
    assert_int_equal(s.pid, 7);
    assert_memory_equal(s.key, "abcd", 4);
    assert_int_equal(s.key_len, 4);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x13\0\3\0\0user\0ann\0z\0"), &s), STARTUP_WRONG); /* no end */
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x13\0\2\0\0user\0ann\0\0x"), &s), STARTUP_OLD);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\7\0\3\0"), &s), STARTUP_WRONG);
    assert_int_equal(pgwire_startup(PACKET("\0\0\xff\xff"), &s), STARTUP_WRONG);
    assert_int_equal(pgwire_startup(PACKET("GET /"), &s), STARTUP_WRONG);
    for (size_t n = 0; n < 18; n++)
        assert_int_equal(pgwire_startup("\0\0\0\x12\0\3\0\0user\0ann\0", n, &s), STARTUP_MORE);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x12\0\3\0\0user\0ann\0\0"), &s), STARTUP_SESSION);
    assert_string_equal(pgwire_startup_param(&s, "user"), "ann");
    assert_null(pgwire_startup_param(&s, "database"));
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x1c\0\3\0\0user\0ann\0user\0bob\0\0\0"), &s), STARTUP_WRONG);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x1b\0\3\0\0user\0ann\0user\0bob\0"), &s), STARTUP_MORE);
    assert_int_equal(pgwire_startup(PACKET("\0\0\0\x1b\0\3\0\0user\0ann\0user\0bob\0\0"), &s), STARTUP_SESSION);
    assert_string_equal(pgwire_startup_param(&s, "user"), "bob"); /* the last counts */
}

static void test_frames(void **state)
{
    char type;
    uint32_t total;

    (void)state;
    assert_int_equal(pgwire_frame(PGWIRE_CLIENT, PACKET("Q\0\0\0"), &type, &total), PGWIRE_MORE);
    assert_int_equal(pgwire_frame(PGWIRE_CLIENT, PACKET("Q\0\0\0\x09"), &type, &total), PGWIRE_FRAME);
    assert_int_equal(type, 'Q');
    assert_int_equal(total, 10);
    assert_int_equal(pgwire_frame(PGWIRE_CLIENT, PACKET("Z\0\0\0\5I"), &type, &total), PGWIRE_WRONG);
    assert_int_equal(pgwire_frame(PGWIRE_SERVER, PACKET("Q\0\0\0\5"), &type, &total), PGWIRE_WRONG);
    assert_int_equal(pgwire_frame(PGWIRE_CLIENT, PACKET("Q\0\0\0\3"), &type, &total), PGWIRE_WRONG);
    assert_int_equal(pgwire_frame(PGWIRE_CLIENT, PACKET("d\x40\0\0\0"), &type, &total), PGWIRE_WRONG);
    assert_int_equal(pgwire_frame(PGWIRE_CLIENT, PACKET("~"), &type, &total), PGWIRE_WRONG);
}

static void test_what_it_says(void **state)
{
    AUTO_BUF b = {0};
    const char *second;

    (void)state;
    pgwire_error(&b, "FATAL", "57P01", "what", NULL, "todo");
    assert_int_equal(b.data[0], 'E');
    assert_string_equal(pgwire_error_field(b.data + 5, b.len - 5, 'C'), "57P01");
    assert_string_equal(pgwire_error_field(b.data + 5, b.len - 5, 'H'), "todo");
    assert_null(pgwire_error_field(b.data + 5, b.len - 5, 'D'));
    assert_null(pgwire_error_field(b.data + 5, 3, 'C'));
    buf_clear(&b);
    pgwire_parameter(&b, "TimeZone", "UTC");
    assert_string_equal(pgwire_string(b.data + 5, b.len - 5, &second), "TimeZone");
    assert_string_equal(second, "UTC");
    assert_null(pgwire_string(b.data + 5, b.len - 6, &second));
    buf_clear(&b);
    pgwire_ready(&b, 'I');
    pgwire_sync(&b);
    assert_memory_equal(b.data, "Z\0\0\0\5IS\0\0\0\4", 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_packets), cmocka_unit_test(test_frames), cmocka_unit_test(test_what_it_says)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
