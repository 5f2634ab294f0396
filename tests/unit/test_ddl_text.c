/* What is said of statements from their text: picked out of many, and whether they compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "store/postgres/ddl_text.h"

static void picks(const char *text, const char *tag, int nth, int of, const char *want)
{
    AUTO(arena) *a = arena_new(1024);
    const char *got = ddl_text_pick(a, text, tag, nth, of);

    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got != NULL ? got : "(none)", want);
}

static void picked_out_of_many(void **state)
{
    (void)state;
    picks("alter table t add y int", "ALTER TABLE", 0, 1, "alter table t add y int");
    picks(" -- a;b\n/* ; /* ; */ */ ALTER TABLE t ADD y text DEFAULT ';' ; ", "ALTER TABLE", 0, 1, "ALTER TABLE t ADD y text DEFAULT ';'");
    picks("insert into t values ('alter table'); alter table t add y int; update t set y = 1", "ALTER TABLE", 0, 1, "alter table t add y int");
    picks("alter table t add y int; alter table t add z int", "ALTER TABLE", 1, 2, "alter table t add z int");
    picks("create unique index concurrently i on t (a)", "CREATE INDEX", 0, 1, "create unique index concurrently i on t (a)");
    picks("create or replace function f() returns int language sql as $q$ select 1; select 2 $q$; select f()", "CREATE FUNCTION", 0, 1,
          "create or replace function f() returns int language sql as $q$ select 1; select 2 $q$");
    picks("create table \"a;b\" (x text default E'\\';')", "CREATE TABLE", 0, 1, "create table \"a;b\" (x text default E'\\';')");
    picks("create table n as select 1", "CREATE TABLE AS", 0, 1, "create table n as select 1");
}

static void left_alone_where_in_doubt(void **state)
{
    (void)state;
    picks("select migrate()", "ALTER TABLE", 0, 1, NULL);
    picks("do $$ begin alter table t add y int; end $$", "ALTER TABLE", 0, 1, NULL);
    picks("alter table if exists nothing add y int; alter table t add z int", "ALTER TABLE", 0, 1, NULL); /* two statements, one note */
    picks("", "ALTER TABLE", 0, 1, NULL);
    picks("alter view v rename to w", "ALTER TABLE", 0, 1, NULL);
    picks("alter table t add y text default 'not closed; alter table", "CREATE TABLE", 0, 1, NULL);
}

static void what_computes(void **state)
{
    static const char *const no[] = {"alter table t add y int", "alter table t add y numeric(10,2) default 1.5", "alter table t add y text default 'a(b)'::varchar(5)", "alter table t alter y set default now()",
                                     "alter table t alter y type int using y::int", "alter table t alter y type numeric(10,2) using (y::numeric(10,2))", "alter table t add check (f(y) > 0)",
                                     "alter table t add y int default -1 not null, add z bool default false"};
    static const char *const yes[] = {"alter table t add y timestamptz default now()", "alter table t add y bigserial", "alter table t add y int generated always as identity",
                                      "alter table t add y date default current_date", "alter table t add y timestamptz default 'now'", "alter table t alter y type int using f(y)",
                                      "alter table t add y uuid default public.gen()", "alter table t add a int default 1, add b float default random()"};

    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (ddl_text_computes(no[i]))
            fail_msg("%s", no[i]);
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!ddl_text_computes(yes[i]))
            fail_msg("%s", yes[i]);
}

static void words(void **state)
{
    (void)state;
    assert_true(ddl_text_has("create index Concurrently on t (a)", "CONCURRENTLY"));
    assert_false(ddl_text_has("create index on t (\"concurrently\", 'concurrently') -- concurrently", "CONCURRENTLY"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picked_out_of_many), cmocka_unit_test(left_alone_where_in_doubt), cmocka_unit_test(what_computes), cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
