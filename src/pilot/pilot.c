/* pilot/pilot.c — see pilot.h.
 *
 *   engine ends with → 0, or by signal: started again at once, with back-off
 *                      transient error: started again with back-off (0.2 s doubling to 10 s, reset after 60 s of health)
 *                      anything else:   the store stops, and with it the run
 */
#include "pilot/pilot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "assess/doctor.h"
#include "base/world.h"
#include "journal/journal.h"

#define TURN_MS 100
#define LEASE_TTL_US ((int64_t)30000000)
#define BACKOFF_LEAST_US ((int64_t)200000)
#define BACKOFF_MOST_US ((int64_t)10000000)
#define DEATHS_A_MINUTE 20
#define HEALTHY_US ((int64_t)60000000)

const struct pilot_step pilot_steps[] = {
#define X(ID, name, phase, source, effect, undo, risk) {name, phase, effect, undo, risk, source},
#include "pilot/steps.def"
#undef X
};
const size_t pilot_step_count = sizeof pilot_steps / sizeof *pilot_steps;

static _Atomic int asked; /* times a stop was asked for */

struct engine_child {
    const char *store;
    pid_t pid;           /* 0: none */
    int64_t started_us;
    int64_t again_us;    /* when to start it again */
    int64_t backoff_us;
    int64_t minute_us;   /* when the minute began in which ... */
    int deaths;          /* ... it was ended by a signal so many times */
};

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&asked, 1);
}

enum err pilot_folders(const char *state_dir, struct fault *f)
{
    static const char *const folders[] = {"", "/run", "/log"};

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        AUTO_CHARS *path = mem_format("%s%s", state_dir, folders[i]);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", path, strerror(errno));
    }
    return ERR_OK;
}

/* --- engines --- */

static void exec_engine(const struct pilot_job *job, const char *store)
{
    AUTO_CHARS *log = mem_format("%s/log/%s.log", job->state_dir, store);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    char *argv[] = {(char *)(uintptr_t)"leat", (char *)(uintptr_t)"--config", (char *)(uintptr_t)job->config->path, (char *)(uintptr_t)"--state",
                    (char *)(uintptr_t)job->state_dir, (char *)(uintptr_t)"engine", (char *)(uintptr_t)store, job->consent ? (char *)(uintptr_t)"--yes" : NULL, NULL};

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)setpgid(0, 0); /* Ctrl-C is the pilot's to understand */
    if (fd >= 0) {
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
    }
    execv("/proc/self/exe", argv);
    _exit(127);
}

static enum err start_engine(const struct pilot_job *job, struct engine_child *e, struct fault *f)
{
    e->pid = fork();
    if (e->pid < 0) {
        e->pid = 0;
        return fault_set(f, ERR_SYSTEM, "cannot start the engine of %s: %s", e->store, strerror(errno));
    }
    if (e->pid == 0)
        exec_engine(job, e->store);
    e->started_us = world_mono_us();
    return ERR_OK;
}

static void copy_text(char *to, size_t size, const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    snprintf(to, size, "%s", text != NULL ? text : "");
}

/* What the engine wrote when it ended; code ERR_OK when it wrote nothing. */
static void read_fault(const char *state_dir, const char *store, struct fault *ret)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", state_dir, store);
    json_t *o = json_load_file(path, 0, NULL);
    const char *code = json_string_value(json_object_get(o, "code"));

    fault_clear(ret);
    if (code != NULL) {
        ret->code = err_by_code(code);
        copy_text(ret->what, sizeof ret->what, o, "what");
        copy_text(ret->why, sizeof ret->why, o, "why");
        copy_text(ret->todo, sizeof ret->todo, o, "todo");
    }
    json_decref(o);
}

static void say(const struct pilot_job *job, const char *store, const char *text)
{
    if (job->view.event != NULL)
        job->view.event(job->view.ctx, store, text);
}

static void plan_again(const struct pilot_job *job, struct engine_child *e, const char *why)
{
    AUTO_CHARS *text = NULL;

    if (world_mono_us() - e->started_us > HEALTHY_US || e->backoff_us == 0)
        e->backoff_us = BACKOFF_LEAST_US;
    else
        e->backoff_us = e->backoff_us * 2 > BACKOFF_MOST_US ? BACKOFF_MOST_US : e->backoff_us * 2;
    e->again_us = world_mono_us() + e->backoff_us;
    text = mem_format("%s — trying again in %.1f s", why, (double)e->backoff_us / 1e6);
    say(job, e->store, text);
}

static bool few_deaths(struct engine_child *e)
{
    if (world_mono_us() - e->minute_us > 60000000) {
        e->minute_us = world_mono_us();
        e->deaths = 0;
    }
    return ++e->deaths <= DEATHS_A_MINUTE;
}

/* An engine has ended. ERR_OK: it will be started again. */
static enum err on_end(const struct pilot_job *job, struct engine_child *e, int status, struct fault *f)
{
    struct fault why;
    AUTO_CHARS *text = NULL;

    e->pid = 0;
    if (WIFSIGNALED(status) && few_deaths(e)) { /* somebody killed it: nothing is wrong with the work */
        e->again_us = 0;
        return ERR_OK;
    }
    if (WIFSIGNALED(status)) {
        text = mem_format("the engine was ended by signal %d", WTERMSIG(status));
        plan_again(job, e, text);
        return ERR_OK;
    }
    read_fault(job->state_dir, e->store, &why);
    if (why.code == ERR_OK)
        return fault_set(f, ERR_BUG, "the engine of %s ended with status %d and no word; see %s/log/%s.log", e->store, WEXITSTATUS(status), job->state_dir, e->store);
    if (err_is_transient(why.code) || why.code == ERR_INTERRUPTED) {
        plan_again(job, e, why.why);
        return ERR_OK;
    }
    fault_add(&why, "store %s", e->store);
    *f = why;
    return why.code;
}

static enum err turn(const struct pilot_job *job, struct engine_child *engines, struct fault *f)
{
    for (size_t i = 0; i < job->config->store_count; i++) {
        struct engine_child *e = &engines[i];
        int status;
        if (e->pid > 0 && waitpid(e->pid, &status, WNOHANG) == e->pid)
            TRY(on_end(job, e, status, f));
        if (e->pid == 0 && world_mono_us() >= e->again_us)
            TRY(start_engine(job, e, f));
    }
    return ERR_OK;
}

static void stop_engines(const struct pilot_job *job, struct engine_child *engines)
{
    for (size_t i = 0; i < job->config->store_count; i++)
        if (engines[i].pid > 0)
            (void)kill(engines[i].pid, SIGTERM);
    for (size_t i = 0; i < job->config->store_count; i++)
        while (engines[i].pid > 0 && waitpid(engines[i].pid, NULL, 0) < 0 && errno == EINTR)
            continue;
}

/* --- status --- */

json_t *pilot_store_status(const char *state_dir, const char *store, bool *ret_alive)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.json", state_dir, store);
    json_t *o = json_load_file(path, 0, NULL);
    json_int_t pid = json_integer_value(json_object_get(o, "pid"));
    json_int_t at = json_integer_value(json_object_get(o, "at_us"));

    *ret_alive = o != NULL && pid > 0 && kill((pid_t)pid, 0) == 0 && world_wall_us() - at < 15000000;
    return o;
}

static bool all_follow(const struct pilot_job *job, const struct engine_child *engines)
{
    for (size_t i = 0; i < job->config->store_count; i++) {
        bool alive;
        json_t *o = pilot_store_status(job->state_dir, job->config->stores[i].name, &alive);
        bool follows = json_is_true(json_object_get(o, "following")) && json_integer_value(json_object_get(o, "pid")) == engines[i].pid;
        json_decref(o);
        if (!follows)
            return false;
    }
    return true;
}

/* --- the run --- */

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static enum err supervise(const struct pilot_job *job, struct engine_child *engines, struct journal *j, int64_t token, struct fault *f)
{
    int64_t renewed = world_mono_us();
    int64_t shown = 0;

    while (atomic_load(&asked) == 0) {
        TRY(turn(job, engines, f));
        if (world_mono_us() - renewed > LEASE_TTL_US / 3) {
            TRY(j->ops->lease_renew(j, "pilot", token, f));
            renewed = world_mono_us();
        }
        if (job->view.show != NULL && world_mono_us() - shown > 250000) {
            job->view.show(job->view.ctx, job->config, job->state_dir);
            shown = world_mono_us();
        }
        if (job->until_replicate && all_follow(job, engines))
            return ERR_OK;
        (void)poll(NULL, 0, TURN_MS); /* a signal ends it early */
    }
    return fault_set(f, ERR_INTERRUPTED, "asked to stop");
}

static void forget_old_status(const struct pilot_job *job)
{
    for (size_t i = 0; i < job->config->store_count; i++) {
        AUTO_CHARS *path = mem_format("%s/run/%s.fault", job->state_dir, job->config->stores[i].name);
        (void)unlink(path);
    }
}

enum err pilot_run(const struct pilot_job *job, struct fault *f)
{
    AUTO(journal) *j = NULL;
    struct engine_child *engines;
    int64_t token;
    enum err err;

    TRY(pilot_folders(job->state_dir, f));
    TRY(journal_sqlite_open(job->state_dir, job->config->migration, &j, f));
    TRY(j->ops->lease_take(j, "pilot", LEASE_TTL_US, &token, f));
    watch_signals();
    forget_old_status(job);
    engines = mem_alloc(job->config->store_count * sizeof *engines);
    for (size_t i = 0; i < job->config->store_count; i++)
        engines[i].store = job->config->stores[i].name;
    err = supervise(job, engines, j, token, f);
    stop_engines(job, engines);
    free(engines);
    (void)j->ops->lease_drop(j, "pilot", token, NULL);
    return err;
}

int pilot_pid(const char *state_dir)
{
    AUTO_CHARS *path = mem_format("%s/run/pilot.json", state_dir);
    json_t *o = json_load_file(path, 0, NULL);
    int pid = (int)json_integer_value(json_object_get(o, "pid"));

    json_decref(o);
    return pid > 0 && kill(pid, 0) == 0 ? pid : 0;
}

/* --- before the first step --- */

enum err pilot_armed(const struct config *c, const char *state_dir, bool *ret_armed, struct fault *f)
{
    AUTO(journal) *j = NULL;
    AUTO(arena) *a = arena_new(1024);
    bool armed = true;

    TRY(pilot_folders(state_dir, f));
    TRY(journal_sqlite_open(state_dir, c->migration, &j, f));
    for (size_t i = 0; i < c->store_count; i++) {
        const char *fact;
        TRY(j->ops->fact_get(j, c->stores[i].name, "armed", a, &fact, f));
        armed = armed && fact != NULL;
    }
    *ret_armed = armed;
    return ERR_OK;
}

enum err pilot_check(const struct config *c, const char *state_dir, struct fault *f)
{
    struct findings findings;
    const struct finding *first = NULL;
    size_t count;
    enum err err = ERR_OK;

    TRY(doctor_examine_with(c, state_dir, &findings, f));
    count = findings_count(&findings, SEVERITY_BLOCKER);
    for (size_t i = 0; i < findings.count && first == NULL; i++)
        if (findings.list[i].severity == SEVERITY_BLOCKER)
            first = &findings.list[i];
    if (first != NULL) {
        enum err known = err_by_code(first->id); /* unreachable, auth, ...: say it by its own name */
        AUTO_CHARS *todo = mem_format("%s%s", first->fix, count > 1 ? " (then `leat doctor` for the others)" : "");
        err = fault_todo(f, known != ERR_OK ? known : ERR_DOCTOR, first->fix[0] != '\0' ? todo : NULL, "%s %s: %s: %s", first->store, first->object, first->id, first->why);
    }
    findings_fini(&findings);
    return err;
}
