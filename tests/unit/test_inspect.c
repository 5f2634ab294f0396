/* What a session says of itself, read; two of them compared; the question's bytes and a rebuilding's. Against real
 * servers: test_rebuild.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shift/inspect.h"
#include "shift/rebuild.h"
#include "wire/bytes.h"

#define HEAD "{\"session_user\":\"app\",\"role\":\"none\",\"encoding\":\"UTF8\","
#define EMPTY                                                                                                          \
    HEAD "\"temp\":null,\"cursors\":null,\"locks\":null,\"channels\":null,\"settings\":null,\"customs\":null,"         \
         "\"statements\":null}"
#define FULL                                                                                                           \
    HEAD "\"temp\":[],\"cursors\":null,\"locks\":null,\"channels\":[\"a\\\"b\"],\"settings\":[[\"statement_timeout\"," \
         "\"7s\"],[\"search_path\",\"x\"]],"                                                                           \
         "\"customs\":[[\"app.x\",\"1\"],[\"Search_Path\",\"other\"]],"                                                \
         "\"statements\":[[\"p\",\"select $1\",false,[[\"25\",\"pg_catalog.text\"]]],[\"q\",\"x; prepare q as select " \
         "2 ; y\",true,null]]}"

static struct session_state *good(struct arena *arena, const char *json)
{
    struct session_state *s = NULL;
    struct fault f = {0};

    if (session_state_parse(arena, json, strlen(json), &s, &f) != ERR_OK)
        fail_msg("%s", f.why);
    return s;
}

static void nothing_in_particular(void **state)
{
    AUTO(arena) *arena = arena_new(4096);
    struct session_state *s = good(arena, EMPTY);

    (void)state;
    assert_string_equal(s->session_user, "app");
    assert_int_equal(s->temp_count + s->setting_count + s->statement_count + s->channel_count, 0);
    assert_null(session_unmovable(s, arena));
    assert_null(session_state_differs(s, s, arena));
}

static void everything(void **state)
{
    AUTO(arena) *arena = arena_new(4096);
    struct session_state *s = good(arena, FULL);

    (void)state;
    assert_int_equal(s->setting_count, 3); /* what is the server's own setting is not a custom one too */
    assert_string_equal(s->settings[1].value, "x");
    assert_string_equal(s->settings[2].name, "app.x");
    assert_true(s->statement_count == 2 && !s->statements[0].from_sql && s->statements[1].from_sql);
    assert_true(s->statements[0].type_count == 1 && s->statements[0].types[0].oid == 25 &&
                s->statements[1].type_count == 0);
}

static void answers_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "null",
        HEAD "\"temp\":1}",
        HEAD "\"temp\":[1],\"cursors\":null,\"locks\":null,\"channels\":null,\"settings\":null,\"customs\":null,"
             "\"statements\":null}",
        HEAD "\"temp\":null,\"cursors\":null,\"locks\":null,\"channels\":null,\"settings\":[[\"a\"]],\"customs\":null,"
             "\"statements\":null}",
        HEAD "\"temp\":null,\"cursors\":null,\"locks\":null,\"channels\":null,\"settings\":null,\"customs\":null,"
             "\"statements\":[[\"a\",\"b\",1,null]]}",
        HEAD "\"temp\":null,\"cursors\":null,\"locks\":null,\"channels\":null,\"settings\":null,\"customs\":null,"
             "\"statements\":[[\"a\",\"b\",true,[[\"0\",\"t\"]]]]}",
        HEAD "\"temp\":null,\"cursors\":null,\"locks\":null,\"channels\":null,\"settings\":null,\"customs\":null,"
             "\"statements\":[[\"a\",\"b\",true,[[\"4294967296\",\"t\"]]]]}",
        EMPTY "x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO(arena) *arena = arena_new(4096);
        struct session_state *s = NULL;
        struct fault f = {0};

        if (session_state_parse(arena, bad[i], strlen(bad[i]), &s, &f) != ERR_PROTOCOL || s != NULL)
            fail_msg("%s was accepted", bad[i]);
    }
}

static void a_row(void **state)
{
    AUTO(arena) *arena = arena_new(4096);
    AUTO_BUF row = {0};
    struct session_state *s = NULL;
    struct fault f = {0};

    (void)state;
    buf_add_u16be(&row, 1);
    buf_add_u32be(&row, (uint32_t)strlen(EMPTY));
    buf_adds(&row, EMPTY);
    assert_int_equal(session_state_parse_row(arena, row.data, row.len, &s, &f), ERR_OK);
    assert_int_equal(session_state_parse_row(arena, row.data, row.len - 1, &s, &f), ERR_PROTOCOL);
    assert_int_equal(session_state_parse_row(arena, row.data, 3, &s, &f), ERR_PROTOCOL);
    row.data[1] = 2;
    assert_int_equal(session_state_parse_row(arena, row.data, row.len, &s, &f), ERR_PROTOCOL);
}

static void differences(void **state)
{
    static const char *const pairs[][3] = {
        {"\"app\"", "\"x\"", "session_user: app became x"},
        {"\"none\"", "\"x\"", "role: none became x"},
        {"\"UTF8\"", "\"x\"", "client_encoding: UTF8 became x"},
        {"\"7s\"", "\"8s\"", "setting statement_timeout: \"7s\" became \"8s\""},
        {"app.x", "app.y", "setting app.x: \"1\" became \"(not set)\""},
        {"a\\\"b", "c", "channels listened to: a\"b"},
        {"select $1", "select $2", "prepared statement \"p\""},
        {"pg_catalog.text", "pg_catalog.int4", "prepared statement \"p\""},
        {"\"q\"", "\"r\"", "prepared statement \"q\""},
        {"true", "false", "prepared statement \"q\""},
        {"\"temp\":[]", "\"temp\":[\"table x\"]", "temporary objects: table x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        AUTO(arena) *arena = arena_new(4096);
        const char *at = strstr(FULL, pairs[i][0]);
        const char *changed;
        const char *why;

        assert_non_null(at);
        changed = arena_format(arena, "%.*s%s%s", (int)(at - FULL), FULL, pairs[i][1], at + strlen(pairs[i][0]));
        why = session_state_differs(good(arena, FULL), good(arena, changed), arena);
        assert_non_null(why);
        assert_string_equal(why, pairs[i][2]);
        if (strstr(pairs[i][0], "temp") == NULL) /* of the old session that is no difference: it is unmovable */
            assert_non_null(session_state_differs(good(arena, changed), good(arena, FULL), arena));
    }
}

/* --- bytes --- */

/* The kinds of messages, in their order; each must be as long as it says. */
static void kinds_of(const struct buf *b, struct buf *ret)
{
    struct bytes r = {.start = b->data, .at = b->data, .end = b->data + b->len};

    while (r.at < r.end) {
        uint8_t kind = bytes_u8(&r);
        uint32_t len = bytes_u32(&r);

        bytes_skip(&r, len - 4);
        assert_null(r.wrong);
        buf_addc(ret, (char)kind);
    }
}

static void the_questions_bytes(void **state)
{
    const char *customs[] = {"app.x"};
    AUTO_BUF b = {0};
    AUTO_BUF none = {0};
    AUTO_BUF kinds = {0};

    (void)state;
    inspect_request(&b, customs, 1, true);
    inspect_request(&none, NULL, 0, true);
    kinds_of(&b, &kinds);
    assert_string_equal(kinds.data, "PBECS");
    assert_memory_equal(b.data + 5, SESSION_INSPECT_NAME, sizeof SESSION_INSPECT_NAME);
    assert_int_equal(b.len - none.len, strlen("app.x"));
    assert_non_null(memmem(b.data, b.len, "'{app.x}'::pg_catalog.text[]", 28));
    assert_non_null(memmem(b.data, b.len, "WHERE true::pg_catalog.bool AND", 31));
    assert_null(memchr(b.data, '$', b.len)); /* no parameter is left: it is planned once */
}

static enum err rebuild(const char *json, const char *login, const char *unnamed, size_t unnamed_len, struct buf *ret,
                        struct fault *f)
{
    AUTO(arena) *arena = arena_new(4096);
    struct rebuild r = {
        .state = good(arena, json), .login_user = login, .unnamed = unnamed, .unnamed_len = unnamed_len};

    return rebuild_request(&r, ret, f);
}

static const char *find(const struct buf *b, const char *what)
{
    const char *at = memmem(b->data, b->len, what, strlen(what));

    if (at == NULL)
        fail_msg("\"%s\" is not sent", what);
    return at;
}

static void a_rebuildings_bytes(void **state)
{
    AUTO_BUF b = {0};
    AUTO_BUF kinds = {0};
    struct fault f = {0};

    (void)state;
    assert_int_equal(rebuild(FULL, "app", "\0select 5\0\0", 11, &b, &f), ERR_OK);
    kinds_of(&b, &kinds);
    /* encoding: P BE | settings and role: BE | LISTEN: PBEC | p: P | q: PBEC | timeout: BE | RESET: PBEC | C, unnamed,
     * Sync */
    assert_string_equal(kinds.data, "PBE"
                                    "BE"
                                    "PBEC"
                                    "P"
                                    "PBEC"
                                    "BE"
                                    "PBEC"
                                    "CPS");
    assert_true(find(&b, "search_path") < find(&b, "LISTEN \"a\"\"b\""));
    assert_true(find(&b, "LISTEN") < find(&b, "select $1") &&
                find(&b, "prepare q as select 2 ") < find(&b, "statement_timeout"));
    assert_true(find(&b, "RESET client_encoding") < find(&b, "select 5"));
    assert_null(memmem(b.data, b.len, "session_authorization", 21));
    buf_clear(&b);
    assert_int_equal(rebuild(FULL, "boss", NULL, 0, &b, &f), ERR_OK);
    assert_true(find(&b, "session_authorization") < find(&b, "LISTEN"));
}

static void what_cannot_be_rebuilt_adds_nothing(void **state)
{
    AUTO(arena) *arena = arena_new(4096);
    const char *at = strstr(FULL, "prepare q");
    AUTO_BUF b = {0};
    struct fault f = {0};

    (void)state;
    buf_adds(&b, "before");
    assert_int_equal(rebuild(arena_format(arena, "%.*s%s", (int)(at - FULL), FULL, at + strlen("prepare q")), "app",
                             NULL, 0, &b, &f),
                     ERR_UNMOVABLE);
    assert_string_equal(b.data, "before");
    assert_int_equal(b.len, 6);
}

/* --- one PREPARE out of a query string --- */

static void prepares(void **state)
{
    static const char *const cases[][3] = {
        {"prepare a as select 1", "a", "prepare a as select 1"},
        {"PREPARE A AS select 1;", "a", "PREPARE A AS select 1"},
        {"select 1; prepare a(int) as select ';'; select 2", "a", "prepare a(int) as select ';'"},
        {"/* x /* ; */ y */ -- ;\n prepare/**/\"A b\"\"c\" as select 1 -- ;\n;", "A b\"c",
         "prepare/**/\"A b\"\"c\" as select 1 -- ;\n"},
        {"prepare b as select 1; prepare a as select $x$;$x$, $1, E'\\';', \";\"", "a",
         "prepare a as select $x$;$x$, $1, E'\\';', \";\""},
        {"prepare a as select 'it''s;'; commit", "a", "prepare a as select 'it''s;'"},
        {"prepare a as select '\\d;'", "a", "prepare a as select '\\d;'"},
        {"prepare a as select 1; prepare A as select 2", "a", NULL},
        {"prepare \"A\" as select 1", "a", NULL},
        {"select 1", "a", NULL},
        {"preparea as select 1", "a", NULL},
        {"prepare a as select '\\'; drop table t; --'", "a", NULL},
        {"prepare a as select 'open", "a", NULL},
        {"", "a", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = 0;
        const char *found = rebuild_find_prepare(cases[i][0], cases[i][1], &len);

        if ((found == NULL) != (cases[i][2] == NULL))
            fail_msg("%s: %s", cases[i][0], found != NULL ? "found" : "not found");
        if (found != NULL)
            assert_true(len == strlen(cases[i][2]) && memcmp(found, cases[i][2], len) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_in_particular),
        cmocka_unit_test(everything),
        cmocka_unit_test(answers_that_are_refused),
        cmocka_unit_test(a_row),
        cmocka_unit_test(differences),
        cmocka_unit_test(the_questions_bytes),
        cmocka_unit_test(a_rebuildings_bytes),
        cmocka_unit_test(what_cannot_be_rebuilt_adds_nothing),
        cmocka_unit_test(prepares),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
