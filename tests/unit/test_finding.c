/* The findings: a list that grows, and a table in which every id stands once and says everything. */
#include "assess/finding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void list_copies_what_it_is_given(void **state)
{
    struct findings fs;
    char text[32];

    (void)state;
    findings_init(&fs);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "object %d", i);
        findings_add(&fs, "wal-level", (enum severity)(i % 4), "shop", text, text, NULL);
    }
    snprintf(text, sizeof text, "overwritten");
    assert_int_equal(fs.count, 1000);
    assert_string_equal(fs.list[0].object, "object 0");
    assert_string_equal(fs.list[999].why, "object 999");
    assert_string_equal(fs.list[999].fix, "");
    assert_int_equal(findings_count(&fs, SEVERITY_OK), 1000);
    assert_int_equal(findings_count(&fs, SEVERITY_WARNING), 500);
    assert_int_equal(findings_count(&fs, SEVERITY_BLOCKER), 250);
    findings_fini(&fs);
}

static void formatted_text_is_not_cut(void **state)
{
    struct findings fs;
    char word[5000];

    (void)state;
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    findings_init(&fs);
    findings_addf(&fs, "slots", SEVERITY_NOTE, "", "source", "fix %s", "%s %d", word, 7);
    assert_int_equal(strlen(fs.list[0].why), sizeof word + 1);
    assert_string_equal(fs.list[0].fix, "fix %s");
    findings_fini(&fs);
}

static void every_id_stands_once_and_is_explained(void **state)
{
    size_t count;
    const struct finding_info *infos = finding_infos(&count);

    (void)state;
    assert_true(count > 50);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(finding_info(infos[i].id), &infos[i]); /* the first of its id: there is no second */
        assert_true(strlen(infos[i].what) > 10);
        assert_true(infos[i].severity == SEVERITY_OK || (strlen(infos[i].why) > 10 && strlen(infos[i].todo) > 5));
        for (const char *p = infos[i].id; *p != '\0'; p++)
            assert_true(*p == '-' || (*p >= 'a' && *p <= 'z'));
    }
    assert_null(finding_info("no-such-finding"));
}

static void an_id_that_is_an_error_too_blocks_or_can_be_consented_to(void **state)
{
    size_t count;
    const struct finding_info *infos = finding_infos(&count);
    int shared = 0;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        enum err err = err_by_code(infos[i].id);
        if (err == ERR_OK)
            continue;
        shared++;
        assert_true(infos[i].severity == SEVERITY_BLOCKER || err == ERR_NO_IDENTITY);
    }
    assert_true(shared >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_copies_what_it_is_given),
        cmocka_unit_test(formatted_text_is_not_cut),
        cmocka_unit_test(every_id_stands_once_and_is_explained),
        cmocka_unit_test(an_id_that_is_an_error_too_blocks_or_can_be_consented_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
