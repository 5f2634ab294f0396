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
    assert_false(lost("select set_config('work_mem', '1MB', false)"));
    assert_false(lost("select proname from pg_proc where proname = 'set_config'"));
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_custom_settings),
        cmocka_unit_test(names_that_cannot_be_had),
        cmocka_unit_test(too_many_names),
        cmocka_unit_test(values_of_sequences),
        cmocka_unit_test(other_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
