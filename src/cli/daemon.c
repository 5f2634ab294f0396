/* cli/daemon.c — leat start, stop, resume, and the pilot as the daemon runs it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/world.h"
#include "cli/again.h"
#include "cli/before.h"
#include "cli/cli.h"
#include "pilot/door_process.h"
#include "pilot/pilot.h"
#include "pilot/presence.h"
#include "pilot/status.h"

#define START_US ((int64_t)30000000)
#define STOP_US ((int64_t)120000000)

/* --- the daemon itself; its stderr is STATE/log/pilot.log --- */

static void log_event(void *ctx, const char *store, const char *text)
{
    (void)ctx;
    log_line(LOG_INFO, store[0] != '\0' ? store : "pilot", "%s", text);
}

/* What it says as it ends is said before it is gone: whoever starts the next forgets that first. */
static void note_end(const struct cli *c, enum err err, struct fault *f)
{
    if (err == ERR_INTERRUPTED) /* as it should end */
        fault_clear(f);
    else
        pilot_store_note(c->state_dir, ".pilot", f);
    presence_remove(c->state_dir);
}

int cmd_pilot(struct cli *c, struct fault *f)
{
    struct pilot_job job = {.config = c->config, .state_dir = c->state_dir, .consent = c->yes, .daemon = true, .view = {.event = log_event}};
    AUTO_CHARS *log_path = mem_format("%s/log/pilot.log", c->state_dir);
    enum err err;

    log_level_set(LOG_INFO);
    log_bound(log_path, LOG_MOST);
    err = pilot_run(&job, f);
    note_end(c, err, f);
    return err == ERR_INTERRUPTED ? 0 : err_info(err)->exit_status;
}

/* --- start --- */

static void become_daemon(const struct cli *c, int log)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)setsid();
    if (fork() != 0)
        _exit(0);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    execl("/proc/self/exe", "leat", "--config", c->config_path, "--state", c->state_dir, "pilot", c->yes ? "--yes" : (char *)NULL, (char *)NULL);
    _exit(127);
}

static enum err spawn(const struct cli *c, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/log/pilot.log", c->state_dir);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid;

    if (log < 0)
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
    pid = fork();
    if (pid == 0)
        become_daemon(c, log);
    close(log);
    if (pid < 0)
        return fault_set(f, ERR_SYSTEM, "cannot start the pilot: %s", strerror(errno));
    (void)waitpid(pid, NULL, 0);
    return ERR_OK;
}

/* Until it works (it holds the lease then), or has said why not. */
static enum err wait_until_up(const struct cli *c, struct fault *f)
{
    int64_t deadline = world_mono_us() + START_US;

    while (pilot_pid(c->state_dir) == 0) {
        struct fault why;

        pilot_store_fault(c->state_dir, ".pilot", &why);
        if (why.code != ERR_OK) {
            *f = why;
            return why.code;
        }
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_SYSTEM, "the pilot did not start within %d s; see %s/log/pilot.log", (int)(START_US / 1000000), c->state_dir);
        (void)poll(NULL, 0, 20);
    }
    return ERR_OK;
}

static enum err start(struct cli *c, struct fault *f)
{
    if (pilot_pid(c->state_dir) != 0)
        return fault_todo(f, ERR_LEASE_HELD, "see `leat status`; `leat stop` ends it", "a pilot runs already in the background, pid %d", pilot_pid(c->state_dir));
    TRY(pilot_folders(c->state_dir, f));
    TRY(before_first(c, f));
    pilot_store_forget(c->state_dir, ".pilot");
    TRY(spawn(c, f));
    return wait_until_up(c, f);
}

static void say_up(const struct cli *c)
{
    int pid = pilot_pid(c->state_dir);

    if (c->json) {
        json_t *o = cli_object(c, true);

        json_object_set_new(o, "pid", json_integer(pid));
        cli_answer(c, o, "leat status --watch\nleat stop");
        return;
    }
    printf("the pilot works in the background (pid %d)\nnext: leat status --watch   (`leat stop` ends it)\n", pid);
}

int cmd_start(struct cli *c, struct fault *f)
{
    enum err err = start(c, f);

    if (err == ERR_OK)
        say_up(c);
    return err_info(err)->exit_status;
}

static bool all_heard(const struct cli *c)
{
    for (size_t i = 0; i < c->config->store_count; i++)
        if (!pilot_heard(c->state_dir, c->config->stores[i].name))
            return false;
    return true;
}

/* False: no pilot runs, or it ended before it heard. */
static bool wake(const struct cli *c, const char *store)
{
    bool woken = false;

    for (size_t i = 0; i < c->config->store_count; i++)
        if (store == NULL || strcmp(store, c->config->stores[i].name) == 0)
            woken = pilot_wake(c->state_dir, c->config->stores[i].name) || woken;
    while (woken && !all_heard(c)) {
        if (pilot_pid(c->state_dir) == 0)
            return false;
        (void)poll(NULL, 0, 20);
    }
    return woken;
}

/* Where a pilot runs, stores that have stopped are started again; else it is `start`. */
int cmd_resume(struct cli *c, struct fault *f)
{
    const char *store = c->arg_count > 0 ? c->args[0] : NULL;

    if (store != NULL && config_store_find(c->config, store) == NULL)
        return err_info(fault_todo(f, ERR_UNKNOWN_NAME, "the stores are those of leat.yaml", "there is no store %s", store))->exit_status;
    if (again_request(c, store, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    if (!wake(c, store))
        return cmd_start(c, f);
    say_up(c);
    return 0;
}

/* --- stop --- */

/* Until the process is gone, not only its word. */
static enum err wait_until_down(const struct cli *c, const struct holder *pilot, struct fault *f)
{
    int64_t deadline = world_mono_us() + STOP_US;
    int64_t said = world_mono_us();

    while (holder_look(pilot) == HOLDER_LIVES) {
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_BUSY, "the pilot (pid %d) is still stopping", (int)pilot->pid);
        if (!c->json && world_mono_us() - said > 2000000) {
            fputs("stopping: what is being applied is brought to its end\n", stderr);
            said = world_mono_us() + 8000000;
        }
        (void)poll(NULL, 0, 50);
    }
    return ERR_OK;
}

static void say_down(const struct cli *c, bool ran, int doors)
{
    if (c->json) {
        json_t *o = cli_object(c, true);

        json_object_set_new(o, "stopped", json_boolean(ran));
        json_object_set_new(o, "doors_ended", json_integer(doors));
        cli_answer(c, o, "leat start");
        return;
    }
    if (doors > 0)
        printf("%d door(s) ended\n", doors);
    puts(ran ? "stopped; the slot keeps what the source writes meanwhile\nnext: leat start" : "no pilot was running in the background");
}

int cmd_stop(struct cli *c, struct fault *f)
{
    struct holder pilot;
    bool runs = presence_read(c->state_dir, &pilot);

    if (runs && kill((pid_t)pilot.pid, SIGTERM) != 0 && errno != ESRCH)
        return err_info(fault_set(f, ERR_SYSTEM, "cannot stop the pilot, pid %d: %s", (int)pilot.pid, strerror(errno)))->exit_status;
    if (runs && wait_until_down(c, &pilot, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    say_down(c, runs, c->doors ? doors_end(c->config, c->state_dir) : 0);
    return 0;
}
