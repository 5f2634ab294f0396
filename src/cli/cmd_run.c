/* cli/cmd_run.c — leat run, start, stop, and the daemon itself. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/world.h"
#include "cli/cli.h"
#include "cli/view.h"

/* --- consent --- */

static bool ask_person(const struct cli *c)
{
    char line[16];

    fprintf(stderr, "This run changes the source%s of migration %s:\n", c->config->store_count > 1 ? "s" : "", c->config->migration);
    for (size_t i = 0; i < pilot_step_count; i++)
        if (pilot_steps[i].changes_source)
            fprintf(stderr, "  %s: %s\n    undo: %s\n", pilot_steps[i].name, pilot_steps[i].effect, pilot_steps[i].undo);
    fputs("Go on? [y/N] ", stderr);
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

/* Before the first step: nothing in the way, and consent to what changes the source. */
static enum err before_first(struct cli *c, struct fault *f)
{
    bool armed;

    TRY(pilot_armed(c->config, c->state_dir, &armed, f));
    if (armed) {
        c->yes = true; /* consented to when it was done */
        return ERR_OK;
    }
    TRY(pilot_check(c->config, c->state_dir, f));
    if (!c->yes && !c->json && isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
        c->yes = ask_person(c);
    if (!c->yes)
        return fault_set(f, ERR_CONSENT, "on the source: schema leat, publications, a replication slot, REPLICA IDENTITY FULL where a table has no key");
    return ERR_OK;
}

/* --- run --- */

static enum err check_until(const struct cli *c, struct fault *f)
{
    static const char *const later[] = {"assess", "build", "verify", "shift", "cutover", "decommission"};

    if (c->until == NULL || strcmp(c->until, "replicate") == 0)
        return ERR_OK;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (strcmp(c->until, later[i]) == 0)
            return fault_set(f, ERR_NOT_YET, "this release runs until replicate; %s comes with a later one", c->until);
    return fault_set(f, ERR_USAGE, "%s is no phase; the phases are assess build replicate verify shift cutover decommission", c->until);
}

static bool everything_follows(const struct cli *c)
{
    for (size_t i = 0; i < c->config->store_count; i++) {
        bool alive;
        json_t *o = pilot_store_status(c->state_dir, c->config->stores[i].name, &alive);
        bool follows = alive && json_is_true(json_object_get(o, "following"));
        json_decref(o);
        if (!follows)
            return false;
    }
    return true;
}

static volatile sig_atomic_t left;

static void on_interrupt(int number)
{
    (void)number;
    left = 1;
}

/* A daemon does the work: we only watch it. */
static enum err watch_daemon(struct cli *c, struct pilot_view view, struct fault *f)
{
    signal(SIGINT, on_interrupt);
    while (!everything_follows(c)) {
        if (left)
            return fault_set(f, ERR_INTERRUPTED, "no longer watching; the pilot in the background goes on");
        if (pilot_pid(c->state_dir) == 0)
            return fault_set(f, ERR_GATE, "the pilot in the background ended; see `leat status`");
        view.show(view.ctx, c->config, c->state_dir);
        (void)poll(NULL, 0, 250);
    }
    return ERR_OK;
}

static void say_reached(struct cli *c, int64_t us)
{
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "phase", json_string("replicate"));
        json_object_set_new(o, "seconds", json_real((double)us / 1e6));
        cli_answer(c, o, "leat start");
        return;
    }
    fprintf(stderr, "replicate: reached in %.1f s — all copied, indexes and foreign keys valid, statistics taken, lag under its gate\n", (double)us / 1e6);
    fprintf(stderr, "next: `leat start` keeps following in the background; `leat status` shows it\n");
}

int cmd_run(struct cli *c, struct fault *f)
{
    int64_t started = world_mono_us();
    struct view *v = view_new(c);
    struct pilot_view view = view_for_pilot(v);
    enum err err = check_until(c, f);

    if (err == ERR_OK && pilot_pid(c->state_dir) != 0) {
        err = watch_daemon(c, view, f);
    } else if (err == ERR_OK) {
        err = before_first(c, f);
        if (err == ERR_OK) {
            struct pilot_job job = {c->config, c->state_dir, c->yes, true, view};
            err = pilot_run(&job, f);
        }
    }
    view_free(v);
    if (err == ERR_OK)
        say_reached(c, world_mono_us() - started);
    return err_info(err)->exit_status;
}

/* --- the daemon --- */

static enum err write_pid(const char *state_dir, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/run/pilot.json", state_dir);
    json_t *o = json_pack("{s:i, s:I}", "pid", (int)getpid(), "started_us", (json_int_t)world_wall_us());
    int done = json_dump_file(o, path, JSON_COMPACT);

    json_decref(o);
    return done == 0 ? ERR_OK : fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
}

int cmd_pilot(struct cli *c, struct fault *f)
{
    struct pilot_job job = {.config = c->config, .state_dir = c->state_dir, .consent = c->yes};
    AUTO_CHARS *pid = mem_format("%s/run/pilot.json", c->state_dir);
    AUTO_CHARS *fault = mem_format("%s/run/pilot.fault", c->state_dir);
    enum err err = pilot_folders(c->state_dir, f);

    if (err == ERR_OK)
        err = write_pid(c->state_dir, f);
    if (err == ERR_OK)
        err = pilot_run(&job, f);
    (void)unlink(pid);
    if (err == ERR_INTERRUPTED) {
        fault_clear(f);
        return 0;
    }
    json_dump_file(json_pack("{s:s, s:s}", "code", err_info(f->code)->code, "why", f->why), fault, JSON_COMPACT);
    return err_info(err)->exit_status;
}

static void exec_daemon(const struct cli *c)
{
    AUTO_CHARS *log = mem_format("%s/log/pilot.log", c->state_dir);
    int null = open("/dev/null", O_RDONLY);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    setsid();
    if (fork() != 0)
        _exit(0);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(fd >= 0 ? fd : null, STDOUT_FILENO);
    (void)dup2(fd >= 0 ? fd : null, STDERR_FILENO);
    execl("/proc/self/exe", "leat", "--config", c->config_path, "--state", c->state_dir, "pilot", c->yes ? "--yes" : (char *)NULL, (char *)NULL);
    _exit(127);
}

int cmd_start(struct cli *c, struct fault *f)
{
    int64_t deadline = world_mono_us() + 15000000;
    pid_t pid;

    if (pilot_pid(c->state_dir) != 0)
        return err_info(fault_set(f, ERR_LEASE_HELD, "a pilot runs already, pid %d", pilot_pid(c->state_dir)))->exit_status;
    if (pilot_folders(c->state_dir, f) != ERR_OK || before_first(c, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    pid = fork();
    if (pid == 0)
        exec_daemon(c);
    (void)waitpid(pid, NULL, 0);
    while (pilot_pid(c->state_dir) == 0) {
        if (world_mono_us() > deadline)
            return err_info(fault_todo(f, ERR_SYSTEM, "see .leat/log/pilot.log", "the pilot did not start"))->exit_status;
        (void)poll(NULL, 0, 20);
    }
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "pid", json_integer(pilot_pid(c->state_dir)));
        cli_answer(c, o, "leat status --watch");
    } else {
        printf("the pilot runs in the background (pid %d)\nnext: `leat status --watch`; `leat stop` ends it\n", pilot_pid(c->state_dir));
    }
    return 0;
}

int cmd_stop(struct cli *c, struct fault *f)
{
    int pid = pilot_pid(c->state_dir);
    int64_t deadline = world_mono_us() + 120000000;

    if (pid != 0 && kill(pid, SIGTERM) != 0)
        return err_info(fault_set(f, ERR_SYSTEM, "cannot stop pid %d: %s", pid, strerror(errno)))->exit_status;
    while (pid != 0 && kill(pid, 0) == 0) {
        if (world_mono_us() > deadline)
            return err_info(fault_set(f, ERR_BUSY, "the pilot (pid %d) is still stopping", pid))->exit_status;
        (void)poll(NULL, 0, 50);
    }
    if (c->json)
        cli_answer(c, cli_object(c, true), "leat start");
    else
        puts(pid != 0 ? "stopped; `leat start` goes on where it was" : "no pilot was running");
    return 0;
}
