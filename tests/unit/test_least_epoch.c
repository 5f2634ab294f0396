/* STATE/STORE.least-epoch: what this machine knows to have served only grows (store/least_epoch.h). */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/least_epoch.h"

static char dir[] = "/tmp/leat-least-XXXXXX";

static void expect(int64_t epoch)
{
    assert_int_equal(least_epoch_read(dir, "shop"), epoch);
}

static void test_it_only_grows(void **state)
{
    struct fault f = {0};

    (void)state;
    expect(0);
    assert_int_equal(least_epoch_raise(dir, "shop", 0, &f), ERR_OK);
    expect(0);
    assert_int_equal(least_epoch_raise(dir, "shop", 3, &f), ERR_OK);
    expect(3);
    assert_int_equal(least_epoch_raise(dir, "shop", 2, &f), ERR_OK);
    expect(3);
    assert_int_equal(least_epoch_raise(dir, "shop", 4, &f), ERR_OK);
    expect(4);
    assert_int_equal(least_epoch_read(dir, "other"), 0);
}

#define WRITERS 4
#define STEPS 50

static void *raise_often(void *arg)
{
    struct fault f = {0};

    for (int64_t i = *(const int64_t *)arg; i < WRITERS * STEPS; i += WRITERS)
        if (least_epoch_raise(dir, "many", i + 1, &f) != ERR_OK || least_epoch_read(dir, "many") < i + 1 ||
            least_epoch_read(dir, "many") > WRITERS * STEPS)
            return arg;
    return NULL;
}

/* Commands, doors, engines: whoever opens a side says so. */
static void test_many_raise_it_at_once(void **state)
{
    static int64_t first[WRITERS] = {0, 1, 2, 3};
    pthread_t threads[WRITERS];
    struct fault f = {0};

    (void)state;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, raise_often, &first[i]), 0);
    for (int i = 0; i < WRITERS; i++) {
        void *failed;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(least_epoch_read(dir, "many"), WRITERS * STEPS);
    assert_int_equal(least_epoch_write(dir, "many", 0, &f), ERR_OK);
}

/* Of a --force that certainly failed. */
static void test_it_is_taken_back(void **state)
{
    struct fault f = {0};

    (void)state;
    assert_int_equal(least_epoch_write(dir, "shop", 1, &f), ERR_OK);
    expect(1);
    assert_int_equal(least_epoch_write(dir, "shop", 0, &f), ERR_OK);
    expect(0);
    assert_int_equal(least_epoch_write(dir, "shop", 0, &f), ERR_OK);
}

/* Nothing is served by it, and nothing written over it by the way. */
static void test_one_that_cannot_be_read(void **state)
{
    AUTO_CHARS *path = mem_format("%s/shop.least-epoch", dir);
    struct fault f = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    (void)state;
    assert_int_equal(write(fd, "x\n", 2), 2);
    close(fd);
    expect(INT64_MAX);
    assert_int_equal(least_epoch_raise(dir, "shop", 5, &f), ERR_OK);
    expect(INT64_MAX);
    assert_int_equal(unlink(path), 0);
}

static void test_a_folder_that_is_gone(void **state)
{
    struct fault f = {0};

    (void)state;
    assert_int_equal(least_epoch_raise("/nowhere", "shop", 1, &f), ERR_STATE_DIR);
    assert_non_null(strstr(f.why, "/nowhere/shop.least-epoch"));
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    AUTO_CHARS *path = mem_format("%s/shop.least-epoch", dir);

    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_only_grows),         cmocka_unit_test(test_many_raise_it_at_once),
        cmocka_unit_test(test_it_is_taken_back),      cmocka_unit_test(test_one_that_cannot_be_read),
        cmocka_unit_test(test_a_folder_that_is_gone),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
