/* cli/cmd_run.c — leat run: the work in the foreground, or a look at the pilot that does it in the background. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/world.h"
#include "cli/before.h"
#include "cli/cli.h"
#include "cli/view.h"
#include "pilot/pilot.h"
#include "pilot/status.h"

static enum err check_until(const struct cli *c, struct fault *f)
{
    static const char *const later[] = {"assess", "build", "verify", "shift", "cutover", "decommission"};

    if (c->until == NULL || strcmp(c->until, "replicate") == 0)
        return ERR_OK;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (strcmp(c->until, later[i]) == 0)
            return fault_todo(f, ERR_NOT_YET, "leat run --until replicate", "this release runs until replicate; until %s comes with a later one", c->until);
    return fault_set(f, ERR_USAGE, "\"%s\" is no phase; the phases are assess build replicate verify shift cutover decommission", c->until);
}

/* --- a daemon does the work --- */

static volatile sig_atomic_t left;

static void on_interrupt(int number)
{
    (void)number;
    left = 1;
}

static enum err watch_daemon(struct cli *c, struct pilot_view view, struct fault *f)
{
    struct sigaction action = {.sa_handler = on_interrupt};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    view.event(view.ctx, "", "a pilot does this in the background; showing it (Ctrl-C leaves it at work)");
    while (!pilot_all_follow(c->config, c->state_dir)) {
        if (left)
            return fault_todo(f, ERR_INTERRUPTED, "`leat run` shows it again, `leat stop` ends it", "no longer watching; the pilot in the background goes on");
        TRY(pilot_stopped_store(c->config, c->state_dir, f));
        if (pilot_pid(c->state_dir) == 0)
            return fault_todo(f, ERR_GATE, "see `leat status`, then `leat start`", "the pilot in the background has ended");
        view.show(view.ctx, c->config, c->state_dir);
        (void)poll(NULL, 0, 250);
    }
    return ERR_OK;
}

/* --- the whole --- */

static void say_reached(const struct cli *c, int64_t us)
{
    bool daemon = pilot_pid(c->state_dir) != 0;

    if (c->json) {
        json_t *o = cli_object(c, true);

        json_object_set_new(o, "phase", json_string("replicate"));
        json_object_set_new(o, "seconds", json_real((double)us / 1e6));
        cli_answer(c, o, daemon ? "leat status" : "leat start");
        return;
    }
    fprintf(stderr, "replicate: reached in %.1f s; all is copied, indexed, valid, and followed\n", (double)us / 1e6);
    if (daemon)
        fputs("next: leat status --watch   (the pilot follows on)\n", stderr);
    else
        fputs("next: leat start   (follows on in the background; the slot keeps the log till then)\n", stderr);
}

static enum err run(struct cli *c, struct pilot_view view, struct fault *f)
{
    struct pilot_job job = {.config = c->config, .state_dir = c->state_dir, .until_replicate = true, .view = view};

    TRY(check_until(c, f));
    if (pilot_pid(c->state_dir) != 0)
        return watch_daemon(c, view, f);
    TRY(before_first(c, f));
    job.consent = c->yes;
    return pilot_run(&job, f);
}

int cmd_run(struct cli *c, struct fault *f)
{
    int64_t started = world_mono_us();
    struct view *v = view_new(c);
    enum err err = run(c, view_for_pilot(v), f);

    view_end(v, c->config, c->state_dir);
    view_free(v);
    if (err == ERR_OK)
        say_reached(c, world_mono_us() - started);
    return err_info(err)->exit_status;
}
