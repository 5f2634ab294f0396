/* cutover/attempt.c — see attempt.h. */
#include "cutover/attempt.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"

#define LEAST_DEADLINE_US ((int64_t)1000000)
#define LOOK_US ((int64_t)300)

void attempt_say(const struct switch_job *job, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (job->say == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    job->say(job->ctx, text);
}

/* For tests of what happens where somebody dies: this process stops itself as it comes to the step named, as a debugger
 * would. */
static void halt_at(enum switch_step step)
{
    const char *at = getenv("LEAT_HALT_AT");

    if (at != NULL && strcmp(at, switch_step_name(step)) == 0)
        (void)raise(SIGSTOP);
}

void attempt_begins(struct attempt *a, enum switch_step step)
{
    a->began_us = world_mono_us();
    halt_at(step);
}

void attempt_ends(struct attempt *a, enum switch_step step)
{
    a->report->step_us[step] = world_mono_us() - a->began_us;
}

int64_t attempt_deadline_ms(const struct attempt *a)
{
    return a->deadline_us / 1000;
}

enum err attempt_open(const struct switch_job *job, struct attempt *a, struct fault *f)
{
    const struct config_store *c = job->stream;

    a->job = job;
    a->base = config_stream_base(c);
    a->old_side = c->back ? "target" : "source";
    a->new_side = c->back ? "source" : "target";
    a->deadline_us =
        4 * job->config->gates.pause_us > LEAST_DEADLINE_US ? 4 * job->config->gates.pause_us : LEAST_DEADLINE_US;
    TRY(store_new(job->config, c, job->state_dir, 0, job->stop, &a->store, f));
    a->ops = a->store->ops;
    TRY(a->ops->switch_open(a->store, &a->sw, f));
    return doors_open(job->state_dir, a->base, &a->doors, f);
}

void attempt_close(struct attempt *a)
{
    if (a->sw != NULL)
        a->ops->switch_close(a->sw);
    doors_free(a->doors);
    store_free(a->store);
}

bool attempt_stopped(const struct attempt *a)
{
    return a->job->stop != NULL && atomic_load(a->job->stop);
}

enum err attempt_ours(const struct attempt *a, struct fault *f)
{
    return a->job->ours != NULL ? a->job->ours(a->job->ctx, f) : ERR_OK;
}

/* There and back meanwhile, by another command, is not decided: the epoch alone does not tell. */
void attempt_settled(struct attempt *a, const struct switch_settled *settled)
{
    bool new_serves = settled->source_serves == a->job->stream->back;

    a->report->decided = new_serves;
    a->epoch = settled->epoch - new_serves;
}

enum err attempt_connect_again(struct attempt *a, struct fault *f)
{
    struct store_switch *fresh;

    TRY(a->ops->switch_open(a->store, &fresh, f));
    a->ops->switch_close(a->sw);
    a->sw = fresh;
    return ERR_OK;
}

enum err attempt_doors_again(struct attempt *a, struct fault *f)
{
    struct doors *doors;

    ENSURE(!a->holds); /* doors settle where the connection that holds is lost */
    TRY(doors_open(a->job->state_dir, a->base, &doors, f));
    doors_free(a->doors);
    a->doors = doors;
    return ERR_OK;
}

/* For another try: doors that came back are spoken to again. */
enum err attempt_begin_again(struct attempt *a, struct fault *f)
{
    TRY(attempt_connect_again(a, f));
    a->holds = false; /* of those that could not be told: they settle */
    return attempt_doors_again(a, f);
}

int64_t attempt_new_mark(struct attempt *a)
{
    int64_t now = world_wall_us();

    a->mark =
        now > a->mark ? now : a->mark + 1; /* marks only grow: one that comes round late counts for none after it */
    return a->mark;
}

enum err attempt_await_mark(struct attempt *a, enum store_side on, int64_t mark, int64_t until_us, enum err late,
                            const char *what, struct fault *f)
{
    for (;;) {
        bool came;
        TRY(a->ops->switch_came(a->sw, on, mark, &came, f));
        if (came)
            return ERR_OK;
        if (attempt_stopped(a))
            return fault_set(f, ERR_INTERRUPTED, "asked to stop");
        if (world_mono_us() > until_us)
            return fault_set(f, late, "%s", what);
        world_sleep_us(LOOK_US);
    }
}
