/* What a statement is to a door that sends reads to the target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "shift/reading.h"

static struct reading_names *names_of(bool whole)
{
    struct reading_names *n = reading_names_new();

    static const struct {
        const char *name;
        char volatility;
    } system[] = {{"count", 'i'}, {"lower", 'i'}, {"now", 's'}, {"extract", 'i'}, {"current_setting", 's'}, {"pg_backend_pid", 's'}, {"random", 'v'}, {"nextval", 'v'}, {"to_char", 's'},
                  {"pg_advisory_lock", 'v'}, {"set_config", 'v'}, {"generate_series", 'i'}, {"row_number", 'i'}, {"like_escape", 'i'}, {"max", 'i'}, {"sum", 'i'}};

    for (size_t i = 0; i < sizeof system / sizeof *system; i++)
        reading_names_function(n, "pg_catalog", system[i].name, system[i].volatility, false);
    reading_names_function(n, "public", "pure", 'i', false);
    reading_names_function(n, "public", "looks", 's', false);
    reading_names_function(n, "public", "acts", 'v', true);
    reading_names_function(n, "public", "both", 'i', false);
    reading_names_function(n, "other", "both", 'v', false);
    reading_names_relation(n, "public", "t", true, NULL, false);
    reading_names_relation(n, "public", "u", true, NULL, false);
    reading_names_relation(n, "public", "twice", true, NULL, false);
    reading_names_relation(n, "old", "twice", whole, NULL, false);
    reading_names_relation(n, "public", "good_view", false, " SELECT u.id FROM public.u WHERE u.id > 1;", false);
    reading_names_relation(n, "public", "over_view", false, " SELECT g.id FROM public.good_view g;", false);
    reading_names_relation(n, "public", "bad_view", false, " SELECT random() AS random;", false);
    reading_names_relation(n, "public", "loop_view", false, " SELECT * FROM public.loop_view;", false);
    reading_names_relation(n, "pg_catalog", "pg_class", false, NULL, true);
    reading_names_bad_operator(n, "<!>");
    reading_names_seal(n);
    return n;
}

static struct reading of(const struct reading_names *n, const char *sql)
{
    struct reading r;

    reading_of(n, sql, strlen(sql), &r);
    return r;
}

static void selects_that_are_good(void **state)
{
    static const char *const good[] = {
        "select 1", "SELECT * FROM t", "select t.id, count(*) from public.t t left join u on u.id = t.id where t.a like 'x%' and u.b between 1 and $1 group by 1 having count(*) > 2 order by 2 desc limit 5 offset $2",
        "select * from good_view", "select * from over_view o, t", "with x as (select 1 as a union all select 2) select a from x", "values (1), (2)", "table t",
        "select case when a then 1 else 2 end, coalesce(a, b), array[1, 2], row(1, 2), x[1], (r).f, a collate \"C\", current_user, pure(1) from t",
        "select lower(a) from t where id in (select id from u) or exists (select 1 from u) or a = any($1)", "select extract(year from d), d::date, interval '1 day' from t",
        "select row_number() over (partition by a order by b) from t", "select g from generate_series(1, 3) g", "select * from (select 1) s, lateral (select s.*) v", "select now()",
        "select a from t union select b from u except select c from t", "select 1;", "/* hint */ select 1 -- words", "select grouping(a), sum(b) from t group by rollup(a)"};
    struct reading_names *n = names_of(true);

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (of(n, good[i]).kind != READING_SELECT)
            fail_msg("not a read: %s", good[i]);
    assert_int_equal(of(n, "select looks(1) from twice").kind, READING_SELECT);
    assert_true(of(n, "select now()").clock && of(n, "select current_date").clock && of(n, "select 'now'::timestamptz").clock);
    assert_false(of(n, "select id from t").clock);
    reading_names_free(n);
}

static void what_is_not_proved_is_not_good(void **state)
{
    static const char *const bad[] = {
        "", ";", "select 1; select 2", "insert into t values (1)", "update t set a = 1", "delete from t", "select * from t for update", "select * from t for key share", "select * into x from t",
        "with d as (delete from t returning *) select * from d", "select random()", "select pg_catalog.random()", "select nextval('s')", "select pg_advisory_lock(1)", "select set_config('a.b', 'c', false)",
        "select acts(1)", "select t.acts from t", "select (t).acts from t", "select both(1)", "select unknown(1)", "select looks(1)", "select * from twice", "select * from old.twice", "select * from unknown",
        "select * from pg_class", "select * from pg_catalog.pg_class", "select * from public.unknown", "select * from bad_view", "select * from loop_view", "select current_setting('x')", "select pg_backend_pid()",
        "select 't'::regclass", "select $1::regtype", "select tableoid from t", "select t.xmin from t", "select ctid from t", "select current_catalog", "select 1 <!> 2", "select 1 operator(public.<!>) 2",
        "select * from t tablesample system (1)", "explain select 1", "show search_path", "set work_mem = 1", "copy t to stdout", "declare c cursor for select 1", "fetch c", "prepare p as select 1", "execute p",
        "listen x", "notify x", "do $$ begin end $$", "call p()", "discard all", "lock t", "select * from x.public.t", "select xmlelement(name a)", "savepoint a", "commit and chain", "rollback to a",
        "select * from good_view, (select random()) s", "select f from acts(1) f", "with x as (select * from unknown) select * from x", "select 1 order by 1 using <!>", "set transaction read only"};
    struct reading_names *n = names_of(false);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (of(n, bad[i]).kind != READING_OTHER)
            fail_msg("taken as %d: %s", of(n, bad[i]).kind, bad[i]);
    reading_names_free(n);
}

static void transactions(void **state)
{
    struct reading_names *n = names_of(true);

    (void)state;
    assert_int_equal(of(n, "begin").kind, READING_BEGIN);
    assert_int_equal(of(n, "begin").mode, MODE_UNSAID);
    assert_int_equal(of(n, "BEGIN READ ONLY").mode, MODE_READ_ONLY);
    assert_int_equal(of(n, "start transaction isolation level read committed, read only").mode, MODE_READ_ONLY);
    assert_int_equal(of(n, "start transaction isolation level read committed, read only").isolation, ISOLATION_READ_COMMITTED);
    assert_int_equal(of(n, "begin isolation level repeatable read read only").isolation, ISOLATION_HIGHER);
    assert_int_equal(of(n, "begin isolation level serializable, read only, deferrable").isolation, ISOLATION_HIGHER);
    assert_int_equal(of(n, "begin read write").mode, MODE_READ_WRITE);
    assert_int_equal(of(n, "begin read only, read write").mode, MODE_READ_WRITE);
    assert_int_equal(of(n, "commit").kind, READING_END);
    assert_int_equal(of(n, "END").kind, READING_END);
    assert_int_equal(of(n, "rollback").kind, READING_END);
    assert_int_equal(of(n, "abort").kind, READING_END);
    reading_names_free(n);
}

/* In a thread, as in the door: its stack is what it is. */
static void *parse_deep(void *arg)
{
    struct reading_names *n = arg;
    static const char *const parts[] = {"1+", "(", "array[", "case when ", "not ", "- ", "x.", "(select "};

    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        AUTO_BUF sql = {0};
        struct reading r;

        buf_adds(&sql, "select ");
        while (sql.len + strlen(parts[p]) < READING_MOST)
            buf_adds(&sql, parts[p]);
        reading_of(n, buf_cstr(&sql), sql.len, &r);
        buf_addc(&sql, '1');
        reading_of(n, buf_cstr(&sql), sql.len, &r);
        if (p == 0 && r.kind != READING_OTHER)
            return arg;
    }
    return NULL;
}

static void deep_texts_end_well(void **state)
{
    struct reading_names *n = names_of(true);
    pthread_t thread;
    void *wrong = n;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, parse_deep, n), 0);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    reading_names_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(selects_that_are_good), cmocka_unit_test(what_is_not_proved_is_not_good), cmocka_unit_test(transactions), cmocka_unit_test(deep_texts_end_well)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
