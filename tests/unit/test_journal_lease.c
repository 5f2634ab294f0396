/* Leases: one holder at a time, tokens that only grow, and holders that died, fell silent or live elsewhere. */
#include "../lib/journal_scratch.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/world.h"
#include "journal/holder.h"

#define TTL_US ((int64_t)3600 * 1000000) /* an hour: nothing here expires unless the test's clock is moved */

/* --- a clock the test moves --- */

static int64_t shift_us;

static int64_t shifted_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 + shift_us;
}

static int64_t shifted_mono_us(void)
{
    return shifted_us(CLOCK_MONOTONIC);
}

static int64_t shifted_wall_us(void)
{
    return shifted_us(CLOCK_REALTIME);
}

static const struct world_ops *real_world;

static void real_sleep_us(int64_t us)
{
    real_world->sleep_us(us);
}

static const struct world_ops shifted = {
    .mono_us = shifted_mono_us, .wall_us = shifted_wall_us, .sleep_us = real_sleep_us};

static int clock_setup(void **state)
{
    shift_us = 0;
    real_world = world_set(&shifted);
    return scratch_setup(state);
}

static int clock_teardown(void **state)
{
    world_set(NULL);
    return scratch_teardown(state);
}

/* --- another process --- */

struct other {
    pid_t pid;
    int stop; /* closing it lets the child end by itself */
};

/* A child that holds the lease until it is killed or let go. Nothing of the journal may be open here when it is made.
 */
static struct other other_takes(const struct scratch *s, int64_t *ret_token)
{
    int report[2];
    int stop[2];
    struct other other;

    assert_int_equal(pipe(report), 0);
    assert_int_equal(pipe(stop), 0);
    other.pid = fork();
    assert_true(other.pid >= 0);
    if (other.pid == 0) {
        struct journal *j = NULL;
        int64_t token = -1;
        char byte;

        close(stop[1]);
        if (journal_sqlite_open(s->dir, "shop", &j, NULL) != ERR_OK ||
            j->ops->lease_take(j, "run", TTL_US, &token, NULL) != ERR_OK)
            _exit(1);
        if (write(report[1], &token, sizeof token) != sizeof token)
            _exit(1);
        _exit(read(stop[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(report[1]);
    close(stop[0]);
    other.stop = stop[1];
    assert_int_equal(read(report[0], ret_token, sizeof *ret_token), sizeof *ret_token);
    close(report[0]);
    return other;
}

static void other_is_killed(struct other *other, bool reap)
{
    siginfo_t info;

    assert_int_equal(kill(other->pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)other->pid, &info, WEXITED | (reap ? 0 : WNOWAIT)), 0);
    close(other->stop);
}

static int64_t take(struct journal *j)
{
    int64_t token = -1;

    assert_ok(j->ops->lease_take(j, "run", TTL_US, &token, &f));
    return token;
}

/* --- the tests --- */

/* Trap P24: who took over later has the larger token. */
static void tokens_only_grow(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    int64_t other_name = -1;

    assert_int_equal(take(j), 1);
    assert_ok(j->ops->lease_renew(j, "run", 1, &f));
    assert_ok(j->ops->lease_drop(j, "run", 1, &f));
    assert_ok(j->ops->lease_drop(j, "run", 1, &f));
    assert_err(j->ops->lease_renew(j, "run", 1, &f), ERR_FENCED_OUT, "given up already");
    assert_int_equal(take(j), 2);
    assert_ok(j->ops->lease_drop(j, "run", 2, &f));
    journal_free(j);
    j = scratch_open(*state);
    assert_int_equal(take(j), 3);
    assert_ok(j->ops->lease_take(j, "orders", TTL_US, &other_name, &f));
    assert_int_equal(other_name, 1);
    scratch_verify(j);
}

static void a_live_holder_is_named(void **state)
{
    struct other other;
    AUTO(journal) *j = NULL;
    AUTO_CHARS *words = NULL;
    int64_t token = -1;
    int64_t before;

    other = other_takes(*state, &token);
    assert_int_equal(token, 1);
    j = scratch_open(*state);
    before = scratch_count(j);
    words = mem_format("process %d on ", (int)other.pid);
    assert_err(j->ops->lease_take(j, "run", TTL_US, &token, &f), ERR_LEASE_HELD, words);
    assert_int_equal(token, 1);
    assert_int_equal(scratch_count(j), before); /* a refusal leaves no trace */
    assert_err(j->ops->lease_renew(j, "run", 7, &f), ERR_FENCED_OUT, words);
    assert_err(j->ops->lease_drop(j, "run", 0, &f), ERR_FENCED_OUT, words);
    other_is_killed(&other, true);
}

/* This process itself counts like any other: two of its tasks must not both work. */
static void a_second_handle_is_another(void **state)
{
    AUTO(journal) *first = scratch_open(*state);
    AUTO(journal) *second = scratch_open(*state);
    AUTO_CHARS *words = mem_format("process %d on ", (int)getpid());
    int64_t token = -1;

    take(first);
    assert_err(second->ops->lease_take(second, "run", TTL_US, &token, &f), ERR_LEASE_HELD, words);
    assert_int_equal(token, -1);
}

static void a_dead_holder_is_taken_from(void **state)
{
    struct other other;
    AUTO(journal) *j = NULL;
    int64_t token = -1;

    other = other_takes(*state, &token);
    other_is_killed(&other, true);
    j = scratch_open(*state);
    assert_int_equal(take(j), 2);
    assert_err(j->ops->lease_renew(j, "run", 1, &f), ERR_FENCED_OUT, "token 2, ours is 1");
    assert_err(j->ops->lease_drop(j, "run", 1, &f), ERR_FENCED_OUT, "token 2, ours is 1");
    assert_ok(j->ops->lease_renew(j, "run", 2, &f));
    scratch_verify(j);
}

/* Killed, and its parent has not asked for it yet: /proc still shows it. */
static void a_zombie_is_dead(void **state)
{
    struct other other;
    AUTO(journal) *j = NULL;
    int64_t token = -1;

    other = other_takes(*state, &token);
    other_is_killed(&other, false);
    j = scratch_open(*state);
    assert_int_equal(take(j), 2);
    assert_int_equal(waitpid(other.pid, NULL, 0), other.pid);
}

/* The pid lives, but it is another process: ours, in the place of one that started earlier. */
static void a_reused_pid_is_noticed(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    int64_t token = -1;

    take(j);
    assert_err(j->ops->lease_take(j, "run", TTL_US, &token, &f), ERR_LEASE_HELD, "");
    scratch_sql(*state, "UPDATE leases SET started = started - 1");
    assert_int_equal(take(j), 2);
}

/* Trap P24: one that was paused too long has lost it. */
static void a_silent_holder_is_taken_from(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    int64_t token = -1;

    take(j);
    shift_us = TTL_US - 1000000;
    assert_err(j->ops->lease_take(j, "run", 1, &token, &f), ERR_LEASE_HELD,
               ""); /* the ttl that counts is the holder's */
    assert_ok(j->ops->lease_renew(j, "run", 1, &f));
    shift_us += TTL_US - 1000000;
    assert_err(j->ops->lease_take(j, "run", TTL_US, &token, &f), ERR_LEASE_HELD, "");
    shift_us += 1000000;
    assert_ok(j->ops->lease_renew(j, "run", 1, &f)); /* late, but nobody was faster */
    shift_us += TTL_US;
    assert_int_equal(take(j), 2);
    assert_err(j->ops->lease_renew(j, "run", 1, &f), ERR_FENCED_OUT, "token 2, ours is 1");
}

/* On another machine, or in another container, the pid says nothing: only silence counts, by the wall clock. */
static void a_holder_elsewhere_is_waited_for(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    int64_t token = -1;

    take(j);
    scratch_sql(*state, "UPDATE leases SET host = 'far', place = 'another boot', pid = 999999999, renewed_mono_us = 0");
    assert_err(j->ops->lease_take(j, "run", TTL_US, &token, &f), ERR_LEASE_HELD, "process 999999999 on far");
    shift_us = -TTL_US; /* its clock is ahead of ours: that is not silence */
    assert_err(j->ops->lease_take(j, "run", TTL_US, &token, &f), ERR_LEASE_HELD, "heard of 0.0 s ago");
    shift_us = TTL_US;
    assert_int_equal(take(j), 2);
}

static bool see_lease(void *ctx, const struct event *e)
{
    struct buf *seen = ctx;

    if (strncmp(e->kind, "lease.", 6) == 0)
        buf_addf(seen, "%s %s\n", e->kind, e->body);
    return true;
}

static void takings_are_recorded(void **state)
{
    struct other other;
    struct holder self;
    AUTO(journal) *j = NULL;
    AUTO_BUF seen = {0};
    AUTO_CHARS *wanted = NULL;
    int64_t token = -1;

    other = other_takes(*state, &token);
    other_is_killed(&other, true);
    j = scratch_open(*state);
    take(j);
    assert_ok(j->ops->lease_drop(j, "run", 2, &f));
    assert_ok(j->ops->read(j, 0, see_lease, &seen, &f));
    holder_self(&self);
    wanted = mem_format("lease.taken {\"lease\":\"run\",\"token\":1,\"pid\":%d,\"host\":\"%s\"}\n"
                        "lease.taken {\"lease\":\"run\",\"token\":2,\"pid\":%d,\"host\":\"%s\",\"from\":{\"pid\":%d,"
                        "\"host\":\"%s\",\"because\":\"its process has ended\"}}\n"
                        "lease.dropped {\"lease\":\"run\",\"token\":2}\n",
                        (int)other.pid, self.host, (int)getpid(), self.host, (int)other.pid, self.host);
    assert_string_equal(buf_cstr(&seen), wanted);
}

/* --- many at once --- */

#define MANY 8

/* Says 'w' (won), 'h' (held by another) or 'e' and stays until `stop` is closed, so that a winner is alive for all. */
static void contend(const struct scratch *s, int report, int stop)
{
    struct journal *j = NULL;
    int64_t token;
    char said = 'e';

    if (journal_sqlite_open(s->dir, "shop", &j, NULL) == ERR_OK) {
        enum err err = j->ops->lease_take(j, "run", TTL_US, &token, NULL);
        said = err == ERR_OK ? 'w' : err == ERR_LEASE_HELD ? 'h' : 'e';
    }
    _exit(write(report, &said, 1) == 1 && read(stop, &said, 1) == 0 ? 0 : 1);
}

/* Trap P24: of many that want the lease. */
static void one_of_many_wins(void **state)
{
    pid_t pids[MANY];
    char said[MANY + 1] = "";
    int report[2];
    int stop[2];
    int won = 0;

    assert_int_equal(pipe(report), 0);
    assert_int_equal(pipe(stop), 0);
    for (int i = 0; i < MANY; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(stop[1]);
            contend(*state, report[1], stop[0]);
        }
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(read(report[0], &said[i], 1), 1);
        assert_true(said[i] == 'w' || said[i] == 'h');
        won += said[i] == 'w';
    }
    assert_int_equal(won, 1);
    for (int end = 0; end < 2; end++)
        close(stop[end]);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    for (int end = 0; end < 2; end++)
        close(report[end]);
}

/* --- who is alive --- */

static void processes_are_told_apart(void **state)
{
    struct holder self;
    struct holder h;

    (void)state;
    holder_self(&self);
    assert_int_equal(self.pid, getpid());
    assert_true(self.started > 0 && self.host[0] != '\0' && self.place[0] != '\0');
    assert_int_equal(holder_look(&self), HOLDER_LIVES);
    h = self;
    h.started = 0; /* not known: the pid alone has to do */
    assert_int_equal(holder_look(&h), HOLDER_LIVES);
    h.pid = 1 << 30; /* beyond the largest pid Linux gives out */
    assert_int_equal(holder_look(&h), HOLDER_DEAD);
    h.place[0] = '\0';
    assert_int_equal(holder_look(&h), HOLDER_UNKNOWN);
}

#define LEASE_TEST(name) cmocka_unit_test_setup_teardown(name, clock_setup, clock_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEASE_TEST(tokens_only_grow),
        LEASE_TEST(a_live_holder_is_named),
        LEASE_TEST(a_second_handle_is_another),
        LEASE_TEST(a_dead_holder_is_taken_from),
        LEASE_TEST(a_zombie_is_dead),
        LEASE_TEST(a_reused_pid_is_noticed),
        LEASE_TEST(a_silent_holder_is_taken_from),
        LEASE_TEST(a_holder_elsewhere_is_waited_for),
        LEASE_TEST(takings_are_recorded),
        LEASE_TEST(one_of_many_wins),
        cmocka_unit_test(processes_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
