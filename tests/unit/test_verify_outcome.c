/* What is known of a store after several comparisons: of all tables, then of some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify/outcome.h"

static json_t *load(const char *text)
{
    json_t *o = json_loads(text, 0, NULL);

    assert_non_null(o);
    return o;
}

static void expect(const char *before, const char *names, const char *now, const char *wanted)
{
    json_t *b = before != NULL ? load(before) : NULL;
    json_t *n = names != NULL ? load(names) : NULL;
    json_t *f = load(now);
    json_t *w = load(wanted);
    json_t *got = outcome_merge(b, n, f);

    if (!json_equal(got, w)) {
        print_error("%s\n", json_dumps(got, 0));
        fail();
    }
    json_decref(b);
    json_decref(n);
    json_decref(f);
    json_decref(w);
    json_decref(got);
}

#define TESTED "\"self_test\": {\"planted\": 10, \"found\": 10}"
#define CLEAN "{\"clean\": true, \"at_us\": 5, \"rows\": 7, \"differences\": 0, " TESTED ", \"unverifiable\": [], \"objects\": [], \"differing\": []}"

static void test_whole(void **state)
{
    (void)state;
    expect(NULL, NULL, CLEAN, "{\"clean\": true, \"whole\": true, \"at_us\": 5, \"rows\": 7, \"differences\": 0, " TESTED ", \"unverifiable\": [], \"objects\": [], \"differing\": []}");
    expect("{\"whole\": false, \"differing\": [{\"table\": \"a.b\", \"differences\": 1}]}", NULL, CLEAN,
           "{\"clean\": true, \"whole\": true, \"at_us\": 5, \"rows\": 7, \"differences\": 0, " TESTED ", \"unverifiable\": [], \"objects\": [], \"differing\": []}");
}

static void test_some(void **state)
{
    (void)state;
    /* what was found of b is over, what was found of c stands; the age is that of the comparison of all */
    expect("{\"whole\": true, \"clean\": false, \"at_us\": 1, \"rows\": 100, \"differences\": 3, \"differing\": [{\"table\": \"a.b\", \"differences\": 1}, {\"table\": \"a.c\", \"differences\": 2}],"
           " \"unverifiable\": [], \"objects\": [], \"not_compared\": []}",
           "[\"a.b\"]", CLEAN,
           "{\"whole\": true, \"clean\": false, \"at_us\": 1, \"rows\": 100, \"differences\": 2, \"differing\": [{\"table\": \"a.c\", \"differences\": 2}], \"unverifiable\": [], \"objects\": [],"
           " \"not_compared\": [], \"due\": [], " TESTED "}");
    /* the last of them gone, it is clean; named without its schema, too */
    expect("{\"whole\": true, \"clean\": false, \"at_us\": 1, \"rows\": 100, \"differences\": 1, \"differing\": [{\"table\": \"a.b\", \"differences\": 1}],"
           " \"unverifiable\": [{\"object\": \"a.b\", \"why\": \"x\"}], \"objects\": [], \"not_compared\": []}",
           "[\"b\"]", CLEAN,
           "{\"whole\": true, \"clean\": true, \"at_us\": 1, \"rows\": 100, \"differences\": 0, \"differing\": [], \"unverifiable\": [], \"objects\": [], \"not_compared\": [], \"due\": [], " TESTED "}");
    /* an index that is missing is not mended by rows */
    expect("{\"whole\": true, \"clean\": false, \"at_us\": 1, \"rows\": 100, \"differences\": 0, \"differing\": [], \"unverifiable\": [], \"objects\": [{\"object\": \"i\"}], \"not_compared\": []}",
           "[\"b\"]", CLEAN,
           "{\"whole\": true, \"clean\": false, \"at_us\": 1, \"rows\": 100, \"differences\": 0, \"differing\": [], \"unverifiable\": [], \"objects\": [{\"object\": \"i\"}], \"not_compared\": [], \"due\": [], " TESTED "}");
}

static void test_stay(void **state)
{
    json_t *before = load("{\"whole\": true, \"clean\": true, \"at_us\": 1, \"rows\": 9, \"differences\": 0, \"differing\": [{\"table\": \"a.b\", \"differences\": 1}], \"unverifiable\": [], \"objects\": [],"
                          " \"due\": [\"a.x\"], " TESTED "}");
    json_t *found = load("[{\"table\": \"a.c\", \"differences\": 2}]");
    json_t *due = load("[\"a.y\", \"a.z\"]");
    json_t *wanted = load("{\"whole\": true, \"clean\": false, \"at_us\": 1, \"rows\": 9, \"differences\": 3, \"differing\": [{\"table\": \"a.b\", \"differences\": 1}, {\"table\": \"a.c\", \"differences\": 2}],"
                          " \"unverifiable\": [], \"objects\": [], \"due\": [\"a.y\", \"a.z\"], " TESTED "}");
    json_t *got = outcome_stay(before, found, due);
    json_t *names;

    (void)state;
    assert_true(json_equal(got, wanted));
    json_decref(wanted);
    /* a person's comparison of one of those that are due: it is due no more */
    wanted = load("[\"a.z\"]");
    json_decref(before);
    names = load("[\"y\"]");
    before = outcome_merge(got, names, got);
    assert_true(json_equal(json_object_get(before, "due"), wanted));
    json_decref(before);
    json_decref(got);
    json_decref(found);
    json_decref(names);
    json_decref(due);
    json_decref(wanted);
}

static void test_never_whole(void **state)
{
    (void)state;
    expect(NULL, "[\"a.b\"]", CLEAN, "{\"clean\": true, \"whole\": false, \"at_us\": 5, \"rows\": 7, \"differences\": 0, " TESTED ", \"unverifiable\": [], \"objects\": [], \"differing\": []}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_some), cmocka_unit_test(test_stay), cmocka_unit_test(test_never_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
