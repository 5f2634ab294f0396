/* What is noted from the texts a session sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shift/notes.h"

static void note(struct session_notes *n, const char *sql)
{
    session_notes_text(n, sql, strlen(sql), SESSION_TEXT_ONCE);
}

/* The names noted from one text, in order, with blanks between them. */
static void customs(const char *sql, const char *names)
{
    struct session_notes n = {0};
    AUTO_BUF found = {0};

    note(&n, sql);
    for (size_t i = 0; i < n.custom_count; i++)
        buf_addf(&found, "%s%s", i > 0 ? " " : "", n.customs[i]);
    if (strcmp(buf_cstr(&found), names) != 0)
        fail_msg("%s: found \"%s\"", sql, buf_cstr(&found));
    session_notes_fini(&n);
}

static void names_of_custom_settings(void **state)
{
    (void)state;
    customs("set app.tenant = 'x'", "app.tenant");
    customs("SET SESSION App.Tenant TO 1; set local\n\tb.c = 2;set work_mem=1", "app.tenant b.c");
    customs("set \"app\".\"user\" = 1; set \"a.b\" = 1", "app.user a.b");
    customs("select set_config('app.x', $1, false), SET_CONFIG ( 'app.x', 'y', true)", "app.x");
    customs("do $$ begin perform pg_catalog.set_config('in.body', 'x', false); end $$", "in.body");
    customs("set search_path = app.x; select 'set a'; reset app.y; offset app.z; set_configs('a.b')", "");
    customs("set/*c*/app.x = 1; set -- c\n app.y = 1; set /* a /* b */ c */ local /**/ app . z = 1",
            "app.x app.y app.z");
    customs("set session.tenant = 1; set session session.a = 1; set local.b = 1; set\"app\".c = 1",
            "session.tenant session.a local.b app.c");
    customs("select set_config /*c*/ ( -- c\n 'app.x' , $1, false), \"set_config\"('app.y', 'y', true), "
            "pg_catalog.\"set_config\" /**/ ('app.z'::text, 'y', true)",
            "app.x app.y app.z");
    customs("", "");
    customs("set", "");
    customs("set ", "");
    customs("set_config", "");
    customs("set_config('a.b", "");
}

static bool lost(const char *sql)
{
    struct session_notes n = {0};
    bool is;

    note(&n, sql);
    is = n.customs_lost;
    assert_true(is == (session_notes_unmovable(&n) != NULL));
    session_notes_fini(&n);
    return is;
}

static void names_that_cannot_be_had(void **state)
{
    (void)state;
    assert_true(lost("select set_config($1, $2, false)"));
    assert_true(lost("select set_config(n, 'x', false) from names"));
    assert_true(lost("select set_config('it''s.x', 'x', false)"));
    assert_true(lost("select set_config('app.x"));
    assert_true(lost("set app.gr\xC3\xB6\xC3\x9F"
                     "e = 1"));
    assert_true(lost("select set_config /*c*/ ($1, 'x', false)"));
    assert_true(lost("select \"set_config\"($1, 'x', false)"));
    assert_true(lost("select set_config('app.' || $1, 'x', false)"));
    assert_true(lost("select set_config('app.'\n'x', 'x', false)"));
    assert_true(lost("do $$ begin execute format('set %I = 1', 'app.x'); end $$"));
    assert_true(lost("do $$ begin execute format('set local app.%I = 1', 'x'); end $$"));
    assert_true(lost("do $$ begin execute 'set ' || 'app.x = 1'; end $$"));
    assert_true(lost("set U&\"app\".x = 1"));
    assert_true(lost("set \"app\".\"a\"\"b\" = 1"));
    assert_true(lost(
        "set app.a123456789012345678901234567890123456789012345678901234567890123 = 1")); /* the server cuts it off */
    assert_false(lost("select set_config('work_mem', '1MB', false)"));
    assert_false(lost("update t set a = 1, b = 'set'; update t set (a, b) = (1, 2); update t set \"gr\xC3\xB6\xC3\x9F"
                      "e\" = 1; select 'a set, a %set%', 'set'"));
    assert_false(lost("set /* app.x"));
    assert_false(lost("select proname from pg_proc where proname = 'set_config'"));
}

/* A text that comes in two pieces, wherever it is cut, is the text it is. */
static void in_two_pieces(const char *sql, bool wide)
{
    AUTO_BUF text = {0};
    struct session_notes whole = {0};

    for (int i = 0; i < (wide ? 3000 : 0); i++)
        buf_adds(&text, "x ");
    buf_adds(&text, sql);
    for (int i = 0; i < (wide ? 3000 : 0); i++)
        buf_adds(&text, " y");
    session_notes_text(&whole, text.data, text.len, SESSION_TEXT_PREPARED);
    for (size_t cut = wide ? 5000 : 0; cut <= text.len && cut < 8000; cut++) {
        struct session_notes n = {0};

        session_notes_piece(&n, text.data, cut, SESSION_TEXT_PREPARED, true);
        session_notes_piece(&n, text.data + cut, text.len - cut, SESSION_TEXT_PREPARED, false);
        if (n.custom_count != whole.custom_count || n.customs_lost != whole.customs_lost || n.dblink != whole.dblink ||
            n.reads_sequences != whole.reads_sequences)
            fail_msg("%s: cut at %zu it is another", sql, cut);
        for (size_t i = 0; i < n.custom_count; i++)
            assert_string_equal(n.customs[i], whole.customs[i]);
        session_notes_fini(&n);
    }
    session_notes_fini(&whole);
}

static void texts_in_pieces(void **state)
{
    static const char *const texts[] = {
        "set app.tenant = 1",
        "select set_config('app.x', 'y', false), \"set_config\" /* c */ ('app.z', 'y', false)",
        "select set_config($1, 'x', false)",
        "set session /* c */ app.a = 1; set local \"b\".\"c\" = 1",
        "offset app.z",
        "select currval('s')",
        "select dblink_connect('x')"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        in_two_pieces(texts[i], false);
        in_two_pieces(texts[i], true);
    }
}

static void a_comment_longer_than_what_is_kept(void **state)
{
    struct session_notes n = {0};
    AUTO_BUF text = {0};

    (void)state;
    buf_adds(&text, "set /*");
    for (int i = 0; i < 2000; i++)
        buf_addc(&text, '*');
    session_notes_piece(&n, text.data, text.len, SESSION_TEXT_ONCE, true);
    session_notes_piece(&n, "*/ app.x = 1", 12, SESSION_TEXT_ONCE, false);
    assert_true(n.customs_lost);
    session_notes_fini(&n);
}

static void too_many_names(void **state)
{
    struct session_notes n = {0};
    char sql[64];

    (void)state;
    for (int i = 0; i < SESSION_CUSTOMS_MOST; i++) {
        snprintf(sql, sizeof sql, "set app.x%d = 1", i);
        note(&n, sql);
        note(&n, sql);
    }
    assert_true(n.custom_count == SESSION_CUSTOMS_MOST && !n.customs_lost);
    note(&n, "set app.one_more = 1");
    assert_true(n.custom_count == SESSION_CUSTOMS_MOST && n.customs_lost);
    session_notes_fini(&n);
}

static void values_of_sequences(void **state)
{
    struct session_notes n = {0};

    (void)state;
    note(&n, "insert into t values (1); select currval('s')");
    note(&n, "select lastval()");
    assert_null(session_notes_unmovable(&n)); /* all in one transaction */
    session_notes_idle(&n);
    note(&n, "select CURRVAL('s')");
    assert_string_equal(session_notes_unmovable(&n), "currval or lastval across transactions");
    session_notes_fini(&n);

    note(&n, "select nextval('s')");
    session_notes_text(&n, "select lastval()", 16, SESSION_TEXT_PREPARED);
    assert_non_null(session_notes_unmovable(&n)); /* may run at any time */
    session_notes_fini(&n);

    session_notes_text(&n, "insert into t values ($1)", 25, SESSION_TEXT_PREPARED);
    note(&n, "select my_currval(), currvals, 'x' from nextvals");
    assert_false(n.advanced || n.reads_sequences);
    session_notes_fini(&n);
}

static void other_words(void **state)
{
    struct session_notes n = {0};

    (void)state;
    note(&n, "reset work_mem; select dblink('x')");
    assert_false(n.discard || n.dblink);
    note(&n, "Reset\n All");
    assert_true(n.discard);
    n.discard = false;
    note(&n, "discard temp");
    assert_true(n.discard && session_notes_unmovable(&n) == NULL);
    note(&n, "select dblink_connect('c', 'dbname=x')");
    assert_string_equal(session_notes_unmovable(&n), "a connection of dblink");
    session_notes_fini(&n);
    note(&n, "select random(), seed from setseeds; set seeds.seed = 1; update planet set seed = 5");
    assert_null(session_notes_unmovable(&n));
    note(&n, "select setseed(0.5)");
    assert_string_equal(session_notes_unmovable(&n), "setseed: what random() gives next");
    session_notes_fini(&n);
    note(&n, "select set_config('Seed', '0.5', false)");
    assert_string_equal(session_notes_unmovable(&n), "setseed: what random() gives next");
    session_notes_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_custom_settings),
        cmocka_unit_test(names_that_cannot_be_had),
        cmocka_unit_test(texts_in_pieces),
        cmocka_unit_test(a_comment_longer_than_what_is_kept),
        cmocka_unit_test(too_many_names),
        cmocka_unit_test(values_of_sequences),
        cmocka_unit_test(other_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
