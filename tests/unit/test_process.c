/* Other programs: what they say and how they end, that they are given what they need and nothing else, and that none
 * stays. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/process.h"
#include "base/world.h"

static enum err run_shell(const char *script, const char *const *env, struct buf *out, struct buf *err, int *status,
                          struct fault *f)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct process p = {.argv = argv, .env = env, .timeout_us = 30000000};

    return process_run(&p, out, err, status, f);
}

static void test_output_and_status(void **state)
{
    AUTO_BUF out = {0};
    AUTO_BUF err = {0};
    struct fault f = {0};
    int status = -1;

    (void)state;
    assert_int_equal(run_shell("echo out; echo err >&2; exit 7", NULL, &out, &err, &status, &f), ERR_OK);
    assert_int_equal(status, 7);
    assert_string_equal(buf_cstr(&out), "out\n");
    assert_string_equal(buf_cstr(&err), "err\n");
    assert_int_equal(run_shell("kill -9 $$", NULL, NULL, NULL, &status, &f), ERR_OK);
    assert_int_equal(status, 128 + 9);
    assert_int_equal(run_shell("kill -2 $$", NULL, NULL, NULL, &status, &f), ERR_INTERRUPTED);
}

/* More than the pipes hold, on both at once, and the last bytes just before the end. */
static void test_much_output(void **state)
{
    AUTO_BUF out = {0};
    AUTO_BUF err = {0};
    struct fault f = {0};
    int status = -1;

    (void)state;
    assert_int_equal(run_shell("(yes e | head -c 3000000) >&2 & yes o | head -c 3000000; wait; printf last", NULL, &out,
                               &err, &status, &f),
                     ERR_OK);
    assert_int_equal(status, 0);
    assert_int_equal(out.len, 3000004);
    assert_memory_equal(out.data + out.len - 4, "last", 4);
    assert_int_equal(err.len, PROCESS_STDERR_CAP);
}

static void test_output_is_capped(void **state)
{
    AUTO_BUF out = {.cap = 100000};
    struct fault f = {0};
    int status = -1;

    (void)state;
    assert_int_equal(run_shell("yes", NULL, &out, NULL, &status, &f), ERR_SYSTEM);
    assert_non_null(strstr(f.why, "more than 100000 bytes"));
    assert_true(out.len <= 100000);
    assert_int_equal(status, -1);
}

static void test_environment(void **state)
{
    const char *const env[] = {"LEAT_TEST_A=new = value", "LEAT_TEST_B", "LEAT_TEST_D=", NULL};
    AUTO_BUF out = {0};
    struct fault f = {0};
    int status;

    (void)state;
    setenv("LEAT_TEST_A", "old", 1);
    setenv("LEAT_TEST_B", "old", 1);
    setenv("LEAT_TEST_C", "kept", 1);
    assert_int_equal(run_shell("echo \"$LEAT_TEST_A|${LEAT_TEST_B-gone}|$LEAT_TEST_C|${LEAT_TEST_D-gone}\"", env, &out,
                               NULL, &status, &f),
                     ERR_OK);
    assert_string_equal(buf_cstr(&out), "new = value|gone|kept|\n");
    assert_string_equal(getenv("LEAT_TEST_A"), "old");
}

/* Descriptors of ours, blocked and ignored signals do not reach the child; its stdin is empty. */
static void test_inherits_nothing(void **state)
{
    AUTO_BUF out = {0};
    struct fault f = {0};
    sigset_t blocked;
    sigset_t before;
    unsigned long long blocked_there;
    unsigned long long ignored_there;
    int status;
    int leak = open("/dev/null", O_RDONLY); /* without close-on-exec, as a careless library leaves it */

    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(
        run_shell("cat; grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n'; echo; (cd /proc/$$/fd && echo *)",
                  NULL, &out, NULL, &status, &f),
        ERR_OK);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(leak);
    /* 32 and 33 are the C library's own: whoever started us may have them ignored, and nobody can change that */
    assert_int_equal(sscanf(buf_cstr(&out), "SigBlk: %llxSigIgn: %llx", &blocked_there, &ignored_there), 2);
    assert_int_equal(blocked_there, 0);
    assert_int_equal(ignored_there & ~0x180000000ULL, 0);
    assert_non_null(strstr(buf_cstr(&out), "\n0 1 2\n"));
}

static void test_cannot_be_run(void **state)
{
    static const char *const argv[] = {"/no/such/program", NULL};
    static const char *const folder[] = {"/tmp", NULL};
    struct process p = {.argv = argv};
    struct fault f = {0};
    int status = -1;

    (void)state;
    assert_int_equal(process_run(&p, NULL, NULL, &status, &f), ERR_SYSTEM);
    assert_non_null(strstr(f.why, "/no/such/program cannot be run: No such file"));
    fault_clear(&f);
    p.argv = folder;
    assert_int_equal(process_run(&p, NULL, NULL, &status, &f), ERR_SYSTEM);
    assert_non_null(strstr(f.why, "Permission denied"));
    assert_int_equal(status, -1);
    assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* none left unreaped */
}

static void test_deadline(void **state)
{
    static const char *const argv[] = {"sh", "-c", "echo $$; exec sleep 1000", NULL};
    struct process p = {.argv = argv, .timeout_us = 200000};
    AUTO_BUF out = {0};
    struct fault f = {0};
    int64_t begin = world_mono_us();
    int status = -1;

    (void)state;
    assert_int_equal(process_run(&p, &out, NULL, &status, &f), ERR_BUSY);
    assert_true(world_mono_us() - begin < 20000000);
    assert_int_equal(kill((pid_t)strtol(buf_cstr(&out), NULL, 10), 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* A child deaf to SIGTERM is killed. The stop comes from a signal, so that no test sleeps. */
static _Atomic bool stop;

static void on_alarm(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

static void test_stop(void **state)
{
    static const char *const argv[] = {"sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1000; done", NULL};
    struct process p = {.argv = argv, .stop = &stop};
    AUTO_BUF out = {0};
    struct fault f = {0};
    int status = -1;

    (void)state;
    atomic_store(&stop, false);
    signal(SIGALRM, on_alarm);
    alarm(1);
    assert_int_equal(process_run(&p, &out, NULL, &status, &f), ERR_INTERRUPTED);
    assert_true(out.len > 0);
    assert_int_equal(kill((pid_t)strtol(buf_cstr(&out), NULL, 10), 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* A grandchild that keeps the pipes open does not keep us. */
static void test_grandchild_holds_pipes(void **state)
{
    AUTO_BUF out = {0};
    struct fault f = {0};
    int64_t begin = world_mono_us();
    int status = -1;
    pid_t left;

    (void)state;
    assert_int_equal(run_shell("sleep 1000 & echo $!", NULL, &out, NULL, &status, &f), ERR_OK);
    assert_true(world_mono_us() - begin < 20000000);
    left = (pid_t)strtol(buf_cstr(&out), NULL, 10);
    assert_true(left > 1);
    assert_int_equal(kill(left, SIGKILL), 0); /* it was still there */
}

/* The child holds a fifo open: it ends when the child does. */
static void test_dies_with_parent(void **state)
{
    static const char *const argv[] = {"sh", "-c", "exec 9>\"$FIFO\"; echo ready >&9; exec sleep 1000", NULL};
    char path[64];
    char text[32] = {0};
    pid_t parent;
    int fd;

    (void)state;
    snprintf(path, sizeof path, "/tmp/leat-test-process-%d", (int)getpid());
    assert_int_equal(mkfifo(path, 0600), 0);
    setenv("FIFO", path, 1);
    parent = fork();
    if (parent == 0) {
        struct process p = {.argv = argv};
        struct fault f = {0};
        int status;
        _exit(process_run(&p, NULL, NULL, &status, &f) == ERR_OK);
    }
    fd = open(path, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    assert_string_equal(text, "ready\n");
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20000), 1);
    assert_int_equal(read(fd, text, 1), 0);
    close(fd);
    unlink(path);
}

static void test_last_words(void **state)
{
    AUTO_BUF err = {0};
    char text[64];

    (void)state;
    assert_string_equal(process_last_words(&err, text, sizeof text), "");
    buf_adds(&err, "one\ntwo\tthree\n\n");
    assert_string_equal(process_last_words(&err, text, sizeof text), "one; two three");
    for (int i = 0; i < 1000; i++)
        buf_adds(&err, "x\n");
    buf_adds(&err, "the end");
    assert_non_null(strstr(process_last_words(&err, text, sizeof text), "the end"));
    assert_true(strlen(text) < sizeof text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_status),
        cmocka_unit_test(test_much_output),
        cmocka_unit_test(test_output_is_capped),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_inherits_nothing),
        cmocka_unit_test(test_cannot_be_run),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_grandchild_holds_pipes),
        cmocka_unit_test(test_dies_with_parent),
        cmocka_unit_test(test_last_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
