/* pilot/engine_process.c — see engine_process.h.
 *
 *   it ended                            then
 *   by a signal from outside            started again at once; more than DEATHS_A_MINUTE: as a transient error
 *   by us, for its silence              as by a signal from outside
 *   by a signal of its own (a bug)      as a transient error; CRASHES times without 60 s of health between: the store stops
 *   to begin anew, as it says           started again at once
 *   with a transient error, or asked to started again after 0.2 s, doubling to 10 s; from 0.2 s again after 60 s of health
 *   with any other error                the store stops, and says why
 *   with no word                        as its exit status says: its disk was full; or the store stops: it could not even begin
 *
 * An engine dies with its pilot (PR_SET_PDEATHSIG): no two of a store ever work because a pilot was killed. */
#include "pilot/engine_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/world.h"
#include "pilot/status.h"
#include "replicate/engine.h"

#define BACKOFF_LEAST_US ((int64_t)200000)
#define BACKOFF_MOST_US ((int64_t)10000000)
#define HEALTHY_US ((int64_t)60000000)
#define MINUTE_US ((int64_t)60000000)
#define DEATHS_A_MINUTE 20
#define CRASHES 10
#define LOOK_US ((int64_t)500000)

/* --- start --- */

/* In the child, between fork and exec: no allocation, everything was made before. */
static void become_engine(pid_t pilot, int log, char *const argv[])
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != pilot)
        _exit(127);
    (void)setpgid(0, 0); /* Ctrl-C is the pilot's to understand */
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log >= 0 ? log : null, STDOUT_FILENO);
    (void)dup2(log >= 0 ? log : null, STDERR_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

static enum err start(struct engine_process *e, const struct pilot_job *job, int64_t token, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/log/%s.log", job->state_dir, e->store);
    AUTO_CHARS *number = mem_format("%lld", (long long)token);
    char *argv[] = {word("leat"), word("--config"), word(job->config->path), word("--state"), word(job->state_dir), word("engine"), word(e->store),
                    word("--token"), number, job->consent ? word("--yes") : NULL, NULL};
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pilot = getpid();
    pid_t pid = fork();

    if (pid == 0)
        become_engine(pilot, log, argv);
    if (log >= 0)
        close(log);
    if (pid < 0)
        return fault_set(f, ERR_SYSTEM, "cannot start the engine of %s: %s", e->store, strerror(errno));
    e->pid = pid;
    e->started_us = world_mono_us();
    return ERR_OK;
}

/* --- end --- */

static void say(const struct pilot_job *job, const char *store, const char *text)
{
    if (job->view.event != NULL)
        job->view.event(job->view.ctx, store, text);
}

static void again_later(struct engine_process *e, const struct pilot_job *job, const char *why)
{
    AUTO_CHARS *text = NULL;

    if (world_mono_us() - e->started_us > HEALTHY_US || e->backoff_us == 0)
        e->backoff_us = BACKOFF_LEAST_US;
    else
        e->backoff_us = e->backoff_us * 2 > BACKOFF_MOST_US ? BACKOFF_MOST_US : e->backoff_us * 2;
    e->again_us = world_mono_us() + e->backoff_us;
    text = mem_format("%s; trying again in %.1f s", why, (double)e->backoff_us / 1e6);
    say(job, e->store, text);
}

static bool few_deaths(struct engine_process *e)
{
    if (world_mono_us() - e->minute_us > MINUTE_US) {
        e->minute_us = world_mono_us();
        e->deaths = 0;
    }
    return ++e->deaths <= DEATHS_A_MINUTE;
}

static void give_up(struct engine_process *e, const struct pilot_job *job)
{
    char text[4096];

    fault_add(&e->fault, "store %s", e->store);
    say(job, e->store, fault_text(&e->fault, text, sizeof text));
}

/* The engine said nothing: what status shows of it then, the pilot writes. */
static void give_up_for_it(struct engine_process *e, const struct pilot_job *job)
{
    pilot_store_note(job->state_dir, e->store, &e->fault);
    give_up(e, job);
}

static bool is_crash(int number)
{
    return number == SIGABRT || number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGSYS;
}

static void on_crash(struct engine_process *e, const struct pilot_job *job, int number)
{
    AUTO_CHARS *why = mem_format("the engine crashed (signal %d)", number);

    e->crashes = world_mono_us() - e->started_us > HEALTHY_US ? 1 : e->crashes + 1;
    if (e->crashes < CRASHES) {
        again_later(e, job, why);
        return;
    }
    e->fault.code = fault_set(&e->fault, ERR_BUG, "%s, %d times in a row; see the end of %s/log/%s.log", why, e->crashes, job->state_dir, e->store);
    give_up_for_it(e, job);
}

static void on_signalled(struct engine_process *e, const struct pilot_job *job, int number)
{
    AUTO_CHARS *why = mem_format("the engine was ended by signal %d", number);
    AUTO_CHARS *text = mem_format("%s; started again", why);

    if (is_crash(number)) {
        on_crash(e, job, number);
        return;
    }
    if (!few_deaths(e)) {
        again_later(e, job, why);
        return;
    }
    say(job, e->store, text);
    e->again_us = 0;
}

/* What it wrote, or, where it could not write, what its status tells. */
static void learn_why(const struct engine_process *e, const struct pilot_job *job, int status, struct fault *ret)
{
    enum err err = status > ENGINE_STATUS && status < ENGINE_STATUS + ERR_COUNT ? (enum err)(status - ENGINE_STATUS) : ERR_OK;

    pilot_store_fault(job->state_dir, e->store, ret);
    if (err == ERR_OK || ret->code == err)
        return;
    fault_clear(ret);
    ret->code = fault_set(ret, err == ERR_ANEW || err == ERR_INTERRUPTED || err_is_transient(err) ? err : ERR_STATE_DIR,
                          "the engine could not write down in %s why it ended (%s: %s): is there space left?", job->state_dir, err_info(err)->code, err_info(err)->text);
}

static void on_exited(struct engine_process *e, const struct pilot_job *job, int status)
{
    struct fault why;

    learn_why(e, job, status, &why);
    if (why.code == ERR_ANEW) {
        e->again_us = 0;
        say(job, e->store, why.why);
        return;
    }
    if (why.code == ERR_INTERRUPTED || err_is_transient(why.code)) {
        again_later(e, job, why.why);
        return;
    }
    e->fault = why;
    if (why.code != ERR_OK) {
        give_up(e, job);
        return;
    }
    e->fault.code = fault_set(&e->fault, ERR_BUG, "its engine ended with status %d and no word; see %s/log/%s.log", status, job->state_dir, e->store);
    give_up_for_it(e, job);
}

static bool reap(struct engine_process *e, int flags, int *ret_status)
{
    pid_t got;

    do
        got = waitpid(e->pid, ret_status, flags);
    while (got < 0 && errno == EINTR && flags == 0);
    if (got != e->pid)
        return false;
    e->pid = 0;
    return true;
}

/* While it prepares it may say nothing for long (a schema is made, a lock is waited for); from then on it does four times a second. */
static bool may_be_silent(const struct engine_process *e, const struct pilot_job *job)
{
    bool alive;
    json_t *o = pilot_store_status(job->state_dir, e->store, &alive);
    const char *phase = json_string_value(json_object_get(o, "phase"));
    bool own = (pid_t)json_integer_value(json_object_get(o, "pid")) == e->pid;
    bool may = !own || phase == NULL || strcmp(phase, "build") == 0;

    json_decref(o);
    return may;
}

static void mind_silence(struct engine_process *e, const struct pilot_job *job)
{
    int64_t now = world_mono_us();
    AUTO_CHARS *text = NULL;
    int64_t said;

    if (now < e->looked_us + LOOK_US)
        return;
    e->looked_us = now;
    said = pilot_store_written(job->state_dir, e->store);
    if (said != e->said_ns || e->heard_us < e->started_us)
        e->heard_us = now;
    e->said_ns = said;
    if (now - e->heard_us < job->config->limits.silence_us)
        return;
    if (!may_be_silent(e, job)) {
        text = mem_format("the engine has said nothing for %.0f s: a server, or a machine in between, does not answer; it is ended", (double)(now - e->heard_us) / 1e6);
        say(job, e->store, text);
        (void)kill(e->pid, SIGKILL);
    }
    e->heard_us = now;
}

void engine_process_turn(struct engine_process *e, const struct pilot_job *job, int64_t token)
{
    int status;
    struct fault f = {0};

    if (e->pid > 0 && reap(e, WNOHANG, &status)) {
        if (WIFSIGNALED(status))
            on_signalled(e, job, WTERMSIG(status));
        else
            on_exited(e, job, WEXITSTATUS(status));
    }
    if (e->pid > 0)
        mind_silence(e, job);
    if (e->pid == 0 && e->wanted && e->fault.code == ERR_OK && world_mono_us() >= e->again_us && start(e, job, token, &f) != ERR_OK)
        again_later(e, job, f.why);
}

void engine_process_revive(struct engine_process *e)
{
    fault_clear(&e->fault);
    e->again_us = 0;
    e->backoff_us = 0;
    e->crashes = 0;
}

void engine_process_ask(const struct engine_process *e)
{
    if (e->pid > 0)
        (void)kill(e->pid, SIGTERM);
}

bool engine_process_gone(struct engine_process *e, bool force)
{
    int status;

    if (e->pid > 0 && force)
        (void)kill(e->pid, SIGKILL);
    return e->pid == 0 || reap(e, force ? 0 : WNOHANG, &status);
}
