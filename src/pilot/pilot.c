/* pilot/pilot.c — see pilot.h.
 *
 * Invariants
 *  1. No engine runs but under the lease "pilot"; when the lease is lost they are stopped.
 *  2. No engine is left when pilot_run returns: each was asked, waited for, and after STOP_US ended. They are crash-only: the next
 *     one takes everything up from the record.
 *  3. A store's failure stops that store alone; that of a way back, neither its store nor anybody's waiting. */
#include "pilot/pilot.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/world.h"
#include "cutover/record.h"
#include "journal/journal.h"
#include "pilot/door_process.h"
#include "pilot/engine_process.h"
#include "pilot/presence.h"
#include "pilot/status.h"

#define TURN_MS 100
#define SHOW_US ((int64_t)250000)
#define STOP_US ((int64_t)60000000)
#define LOOK_US ((int64_t)500000)
#define ASKED_US ((int64_t)3000000)
#define LEASE_TTL_US ((int64_t)30000000)

static _Atomic int asked; /* times a stop was asked for */
static _Atomic bool woken;

struct pilot {
    const struct pilot_job *job;
    struct journal *journal;
    struct engine_process *engines; /* of the stores, then of their ways back */
    struct door_keeper *doors; /* NULL: a run in the foreground keeps none, they would outlive it */
    size_t stores;
    size_t count;
    int64_t looked_us;
    int64_t token;
    int64_t renewed_us;
    int64_t shown_us;
};

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

/* --- signals: all they do is end the poll and leave a word --- */

static void on_stop(int number)
{
    (void)number;
    atomic_fetch_add(&asked, 1);
}

static void on_wake(int number)
{
    if (number == SIGUSR1)
        atomic_store(&woken, true);
}

static void watch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop};
    struct sigaction wake = {.sa_handler = on_wake};

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGUSR1, &wake, NULL);
    sigaction(SIGCHLD, &wake, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void say(const struct pilot *p, const char *text)
{
    if (p->job->view.event != NULL)
        p->job->view.event(p->job->view.ctx, "", text);
}

/* --- the run --- */

/* A journal that is busy for a moment is no reason to stop, as long as the lease has not run out. */
static enum err renew(struct pilot *p, struct fault *f)
{
    int64_t age = world_mono_us() - p->renewed_us;
    struct fault why = {0};
    enum err err;

    if (age < LEASE_TTL_US / 3)
        return ERR_OK;
    err = p->journal->ops->lease_renew(p->journal, "pilot", p->token, &why);
    if (err == ERR_OK) {
        p->renewed_us = world_mono_us();
        return ERR_OK;
    }
    if (err_is_transient(err) && age < LEASE_TTL_US)
        return ERR_OK;
    *f = why;
    return err;
}

static void show(struct pilot *p)
{
    if (p->job->view.show == NULL || world_mono_us() - p->shown_us < SHOW_US)
        return;
    p->job->view.show(p->job->view.ctx, p->job->config, p->job->state_dir);
    p->shown_us = world_mono_us();
}

static void revive_one(struct pilot *p, struct engine_process *e)
{
    pilot_store_forget(p->job->state_dir, e->store);
    engine_process_revive(e);
    e->asked_us = 0;
}

/* An engine may be on its way to its end still when a person has read in its status what it waits for, and has done it. */
static void revive(struct pilot *p)
{
    if (atomic_exchange(&woken, false))
        for (size_t i = 0; i < p->stores; i++)
            if (presence_woken(p->job->state_dir, p->engines[i].store))
                p->engines[i].asked_us = p->engines[p->stores + i].asked_us = world_mono_us(); /* its way back with it */
    for (size_t i = 0; i < p->count; i++) {
        struct engine_process *e = &p->engines[i];
        if (e->asked_us != 0 && e->fault.code != ERR_OK)
            revive_one(p, e);
        else if (e->asked_us != 0 && world_mono_us() - e->asked_us > ASKED_US)
            e->asked_us = 0;
    }
}

/* A way back is armed by the first rehearsal (cutover/), and is current from then on. */
static enum err look_for_ways_back(struct pilot *p, struct fault *f)
{
    if (world_mono_us() - p->looked_us < LOOK_US)
        return ERR_OK;
    p->looked_us = world_mono_us();
    for (size_t i = 0; i < p->stores; i++)
        TRY(record_armed(p->journal, p->engines[i].store, &p->engines[p->stores + i].wanted, f));
    return ERR_OK;
}

static bool follows(const struct pilot *p, const struct engine_process *e)
{
    bool alive;
    json_t *o = pilot_store_status(p->job->state_dir, e->store, &alive);
    bool yes = json_is_true(json_object_get(o, "following")) && json_integer_value(json_object_get(o, "pid")) == e->pid;

    json_decref(o);
    return yes;
}

/* Whether nothing is left to wait for: every store has failed, or is where it was to come. */
static bool settled(const struct pilot *p)
{
    for (size_t i = 0; i < p->stores; i++)
        if (p->engines[i].fault.code == ERR_OK && !(p->job->until_replicate && follows(p, &p->engines[i])))
            return false;
    return true;
}

static enum err first_failure(const struct pilot *p, struct fault *f)
{
    for (size_t i = 0; i < p->stores; i++)
        if (p->engines[i].fault.code != ERR_OK) {
            *f = p->engines[i].fault;
            return f->code;
        }
    return ERR_OK;
}

static enum err supervise(struct pilot *p, struct fault *f)
{
    while (atomic_load(&asked) == 0) {
        revive(p);
        TRY(look_for_ways_back(p, f));
        for (size_t i = 0; i < p->count; i++)
            engine_process_turn(&p->engines[i], p->job, p->token);
        if (p->doors != NULL)
            door_keeper_turn(p->doors);
        TRY(renew(p, f));
        show(p);
        if (settled(p))
            return first_failure(p, f);
        if (p->job->reached != NULL && p->job->reached(p->job->reached_ctx))
            return ERR_OK;
        (void)poll(NULL, 0, TURN_MS); /* a signal ends it early */
    }
    say(p, "stopping safely; what was done is kept");
    return fault_set(f, ERR_INTERRUPTED, "asked to stop");
}

static bool all_gone(struct pilot *p, bool force)
{
    bool gone = true;

    for (size_t i = 0; i < p->count; i++)
        gone = engine_process_gone(&p->engines[i], force) && gone;
    return gone;
}

static void stop_engines(struct pilot *p)
{
    int64_t deadline = world_mono_us() + STOP_US;
    int heard = atomic_load(&asked);

    for (size_t i = 0; i < p->count; i++)
        engine_process_ask(&p->engines[i]);
    while (!all_gone(p, world_mono_us() > deadline)) {
        struct fault ignored = {0};

        (void)renew(p, &ignored);
        if (atomic_load(&asked) > heard) {
            heard = atomic_load(&asked);
            say(p, "still stopping: what is being applied is brought to its end");
        }
        (void)poll(NULL, 0, TURN_MS / 2);
    }
}

static enum err work(struct pilot *p, struct fault *f)
{
    enum err err = ERR_OK;

    watch_signals();
    p->renewed_us = world_mono_us();
    p->stores = p->job->config->store_count;
    p->count = 2 * p->stores;
    p->engines = mem_alloc(p->count * sizeof *p->engines);
    for (size_t i = 0; i < p->count; i++) {
        const struct config_store *store = &p->job->config->stores[i % p->stores];
        p->engines[i].store = i < p->stores ? store->name : store->other->name;
        p->engines[i].wanted = i < p->stores;
        pilot_store_forget(p->job->state_dir, p->engines[i].store);
        (void)presence_woken(p->job->state_dir, p->engines[i].store);
    }
    if (p->job->daemon) {
        p->doors = door_keeper_new(p->job);
        err = presence_write(p->job->state_dir, f);
    }
    if (err == ERR_OK)
        err = supervise(p, f);
    stop_engines(p);
    door_keeper_free(p->doors);
    free(p->engines);
    return err;
}

enum err pilot_run(const struct pilot_job *job, struct fault *f)
{
    AUTO(journal) *j = NULL;
    struct pilot p = {.job = job};
    enum err err;

    TRY(pilot_folders(job->state_dir, f));
    TRY(journal_sqlite_open(job->state_dir, job->config->migration, &j, f));
    TRY(j->ops->lease_take(j, "pilot", LEASE_TTL_US, &p.token, f));
    p.journal = j;
    err = work(&p, f);
    (void)j->ops->lease_drop(j, "pilot", p.token, NULL);
    return err;
}
