/* The journal among several writers: threads and processes at once, processes killed at any instant, a full disk. */
#include "../lib/journal_scratch.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/world.h"

/* Nothing of the journal may be open in the test when it forks: SQLite's locks do not survive that. */
static pid_t fork_or_fail(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    return pid;
}

static void assert_ended_well(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool append_numbered(struct journal *j, int writer, int number)
{
    AUTO_CHARS *body = mem_format("{\"writer\":%d,\"number\":%d}", writer, number);

    return j->ops->append(j, "orders", EVENT_GOVERNOR, body, NULL) == ERR_OK;
}

/* --- who wrote what, in which order --- */

#define WRITERS_MAX 8

struct tally {
    int next[WRITERS_MAX]; /* each writer's events come in its own order, without a gap */
    bool ordered;
};

static bool tally_one(void *ctx, const struct event *e)
{
    struct tally *tally = ctx;
    int writer;
    int number;

    if (strcmp(e->kind, event_kind_name(EVENT_GOVERNOR)) != 0)
        return true;
    if (sscanf(e->body, "{\"writer\":%d,\"number\":%d}", &writer, &number) != 2 || tally->next[writer] != number)
        tally->ordered = false;
    else
        tally->next[writer]++;
    return tally->ordered;
}

/* Verifies, and counts. Opens the journal anew. */
static struct tally tally_of(const struct scratch *s)
{
    AUTO(journal) *j = scratch_open(s);
    struct tally tally = {.ordered = true};

    scratch_verify(j);
    assert_ok(j->ops->read(j, 0, tally_one, &tally, &f));
    assert_true(tally.ordered);
    return tally;
}

/* --- at once --- */

#define EACH 500

static void append_each(const struct scratch *s, int writer)
{
    struct journal *j = NULL;

    if (journal_sqlite_open(s->dir, "shop", &j, NULL) != ERR_OK)
        _exit(1);
    for (int i = 0; i < EACH; i++)
        if (!append_numbered(j, writer, i))
            _exit(2);
    journal_free(j);
    _exit(0);
}

static void two_processes_lose_nothing(void **state)
{
    struct scratch *s = *state;
    struct tally tally;
    pid_t pids[2];
    int64_t began = world_mono_us();

    for (int w = 0; w < 2; w++)
        if ((pids[w] = fork_or_fail()) == 0)
            append_each(s, w);
    for (int w = 0; w < 2; w++)
        assert_ended_well(pids[w]);
    print_message("two processes: %.0f appends/s together\n", 2 * EACH / ((double)(world_mono_us() - began) / 1e6));
    tally = tally_of(s);
    assert_int_equal(tally.next[0], EACH);
    assert_int_equal(tally.next[1], EACH);
}

/* All find no directory, and make it. */
static void many_make_it_at_once(void **state)
{
    struct scratch *s = *state;
    pid_t pids[WRITERS_MAX];
    struct tally tally;
    int start[2];
    char byte;

    assert_int_equal(pipe(start), 0);
    for (int w = 0; w < WRITERS_MAX; w++) {
        pids[w] = fork_or_fail();
        if (pids[w] == 0) {
            struct journal *j = NULL;
            close(start[1]);
            if (read(start[0], &byte, 1) != 0 || journal_sqlite_open(s->dir, "shop", &j, NULL) != ERR_OK)
                _exit(1);
            _exit(append_numbered(j, w, 0) ? 0 : 2);
        }
    }
    close(start[0]);
    close(start[1]);
    for (int w = 0; w < WRITERS_MAX; w++)
        assert_ended_well(pids[w]);
    tally = tally_of(s);
    for (int w = 0; w < WRITERS_MAX; w++)
        assert_int_equal(tally.next[w], 1);
}

struct thread_work {
    struct journal *j;
    int writer;
    bool ok;
};

static void *thread_appends(void *arg)
{
    struct thread_work *work = arg;
    enum step_state step;
    int64_t count;

    work->ok = true;
    for (int i = 0; i < 50 && work->ok; i++) {
        work->ok = append_numbered(work->j, work->writer, i);
        if (i % 10 == 0 && work->ok)
            work->ok = work->j->ops->verify(work->j, &count, NULL) == ERR_OK &&
                       work->j->ops->step_set(work->j, "orders", "arm", STEP_INTENT, NULL, NULL) == ERR_OK &&
                       work->j->ops->step_get(work->j, "orders", "arm", &step, NULL) == ERR_OK && step == STEP_INTENT;
    }
    return NULL;
}

static void threads_share_a_handle(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    struct thread_work work[4];
    pthread_t threads[4];
    struct tally tally;

    for (int t = 0; t < 4; t++) {
        work[t] = (struct thread_work){j, t, false};
        assert_int_equal(pthread_create(&threads[t], NULL, thread_appends, &work[t]), 0);
    }
    for (int t = 0; t < 4; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    tally = tally_of(*state);
    for (int t = 0; t < 4; t++) {
        assert_true(work[t].ok);
        assert_int_equal(tally.next[t], 50);
    }
}

static void a_child_may_not_use_it(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    pid_t pid = fork_or_fail();

    if (pid == 0) {
        struct fault f = {0};
        int64_t count;
        bool refused =
            j->ops->append(j, "", EVENT_PAUSED, NULL, &f) == ERR_BUG && j->ops->verify(j, &count, &f) == ERR_BUG;
        journal_free(j);
        _exit(refused ? 0 : 1);
    }
    assert_ended_well(pid);
    scratch_append(j, "", EVENT_RESUMED, NULL);
    assert_int_equal(scratch_verify(j), 2);
}

/* --- killed --- */

/* Appends without end, telling the number of each event once its append has returned. */
static void append_and_tell(const struct scratch *s, int writer, int first, int report)
{
    struct journal *j = NULL;

    if (journal_sqlite_open(s->dir, "shop", &j, NULL) != ERR_OK)
        _exit(1);
    for (int i = first;; i++) {
        if (!append_numbered(j, writer, i) || write(report, &i, sizeof i) != sizeof i)
            _exit(2);
    }
}

struct victim {
    pid_t pid;
    int report;
};

static struct victim victim_start(const struct scratch *s, int writer, int first)
{
    struct victim victim;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    victim.pid = fork_or_fail();
    if (victim.pid == 0)
        append_and_tell(s, writer, first, ends[1]);
    close(ends[1]);
    victim.report = ends[0];
    return victim;
}

/* Reads reports until `until` events were told of, or the pipe ends. Returns the number after the last one told of. */
static int victim_listen(struct victim *victim, int next, int until)
{
    int told;

    while (next < until && read(victim->report, &told, sizeof told) == sizeof told)
        next = told + 1;
    return next;
}

static int random_below(int n)
{
    uint32_t r;

    world_random(&r, sizeof r);
    return (int)(r % (uint32_t)n);
}

static void burn_us(int64_t us)
{
    int64_t until = world_mono_us() + us;

    while (world_mono_us() < until)
        ;
}

/* Two writers; both are killed at random instants, often in the middle of opening (and of recovering after the last
 * kill), of a commit or of a checkpoint. What an append has returned for is there, and at most one event more. */
static void killed_writers_lose_nothing(void **state)
{
    struct scratch *s = *state;
    int next[2] = {0, 0};

    for (int round = 0; round < 60; round++) {
        struct victim victims[2];
        struct tally tally;

        for (int w = 0; w < 2; w++)
            victims[w] = victim_start(s, w, next[w]);
        next[0] = victim_listen(&victims[0], next[0], next[0] + random_below(20)); /* none: while it opens */
        burn_us(random_below(5000));
        for (int w = 0; w < 2; w++)
            assert_int_equal(kill(victims[w].pid, SIGKILL), 0);
        for (int w = 0; w < 2; w++) {
            int status;
            assert_int_equal(waitpid(victims[w].pid, &status, 0), victims[w].pid);
            assert_true(WIFSIGNALED(status)); /* it did not give up by itself before */
            next[w] = victim_listen(&victims[w], next[w], INT_MAX);
            close(victims[w].report);
        }
        tally = tally_of(s);
        for (int w = 0; w < 2; w++) {
            assert_in_range(tally.next[w], next[w], next[w] + 1);
            next[w] = tally.next[w];
        }
    }
    assert_true(next[0] > 60 && next[1] > 0); /* the killing did not prevent all work */
    print_message("killed 120 times: %d and %d events, all there\n", next[0], next[1]);
}

/* --- no room --- */

/* In a process of its own: files may not grow beyond where they are. Every failure must be said, none may lose or
 * change what was there, and with room again the journal goes on. */
static void fill_up(const struct scratch *s)
{
    struct rlimit limit = {(rlim_t)256 << 10, RLIM_INFINITY};
    struct journal *j = NULL;
    struct fault f = {0};
    int kept = 0;
    int64_t count = 0;

    signal(SIGXFSZ, SIG_IGN);
    if (journal_sqlite_open(s->dir, "shop", &j, NULL) != ERR_OK || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(1);
    while (kept < 10000 && append_numbered(j, 0, kept))
        kept++;
    for (int again = 0; again < 3; again++) {
        fault_clear(&f);
        if (j->ops->append(j, "", EVENT_PAUSED, NULL, &f) != ERR_STATE_DIR || f.why[0] == '\0')
            _exit(2);
    }
    limit.rlim_cur = RLIM_INFINITY;
    if (kept == 0 || kept == 10000 || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(3);
    if (!append_numbered(j, 0, kept) || j->ops->verify(j, &count, NULL) != ERR_OK || count != kept + 2)
        _exit(4);
    journal_free(j);
    _exit(0);
}

static void a_full_disk_loses_nothing(void **state)
{
    struct scratch *s = *state;
    pid_t pid = fork_or_fail();

    if (pid == 0)
        fill_up(s);
    assert_ended_well(pid);
    assert_true(tally_of(s).next[0] > 1);
}

static void open_read_only(const struct scratch *s, const char *words)
{
    struct journal *j = NULL;
    struct fault f = {0};

    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(1);
    if (journal_sqlite_open(s->dir, "shop", &j, &f) != ERR_STATE_DIR)
        _exit(2);
    if (strstr(f.why, words) == NULL) {
        fprintf(stderr, "%s\n", f.why);
        _exit(3);
    }
    _exit(0);
}

static void a_read_only_directory_is_said(void **state)
{
    struct scratch *s = *state;
    pid_t pid;

    assert_int_equal(chmod(s->root, 0555), 0);
    if ((pid = fork_or_fail()) == 0)
        open_read_only(s, "cannot be made: Permission denied");
    assert_ended_well(pid);
    assert_int_equal(chmod(s->root, 0755), 0);

    assert_int_equal(mkdir(s->dir, 0755), 0);
    assert_int_equal(chmod(s->dir, 0555), 0);
    if ((pid = fork_or_fail()) == 0)
        open_read_only(s, "cannot be written: Permission denied");
    assert_ended_well(pid);
    assert_int_equal(chmod(s->dir, 0777), 0);

    journal_free(scratch_open(s));
    assert_int_equal(chmod(s->file, 0444), 0);
    if ((pid = fork_or_fail()) == 0)
        open_read_only(s, "may only be read");
    assert_ended_well(pid);
}

/* --- the figure --- */

static void the_rate_is_told(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    int64_t began = world_mono_us();
    int64_t appended;

    for (int i = 0; i < 1000; i++)
        assert_true(append_numbered(j, 0, i));
    appended = world_mono_us();
    assert_int_equal(scratch_verify(j), 1001);
    print_message("one process: %.0f appends/s; verify: %.0f events/s\n", 1000 / ((double)(appended - began) / 1e6),
                  1001 / ((double)(world_mono_us() - appended) / 1e6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(two_processes_lose_nothing),    JOURNAL_TEST(many_make_it_at_once),
        JOURNAL_TEST(threads_share_a_handle),        JOURNAL_TEST(a_child_may_not_use_it),
        JOURNAL_TEST(killed_writers_lose_nothing),   JOURNAL_TEST(a_full_disk_loses_nothing),
        JOURNAL_TEST(a_read_only_directory_is_said), JOURNAL_TEST(the_rate_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
