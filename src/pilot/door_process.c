/* pilot/door_process.c — see door_process.h.
 *
 * A door is no child of the pilot: it is found by what it says of itself (STATE/run/STORE.door.N.json), whoever started it. One that ends right
 * after it began (its address is taken, say) is tried again later and later, and says why in its log. */
#include "pilot/door_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/world.h"
#include "pilot/status.h"

#define LOOK_US ((int64_t)1000000)
#define LEAST_US ((int64_t)2000000)
#define MOST_US ((int64_t)60000000)
#define END_US ((int64_t)15000000)

struct door_process {
    const char *store;
    size_t nth;
    int64_t again_us; /* not to be started before */
    int64_t backoff_us;
};

struct door_keeper {
    const struct pilot_job *job;
    struct door_process *list;
    size_t count;
    int64_t looked_us;
};

static int pid_of(const char *state_dir, const char *store, size_t nth)
{
    AUTO_CHARS *name = mem_format("%s.door.%zu", store, nth);
    bool alive;
    json_t *o = pilot_store_status(state_dir, name, &alive);
    int pid = alive ? (int)json_integer_value(json_object_get(o, "pid")) : 0;

    json_decref(o);
    return pid;
}

static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* In the child: a grandchild is what stays, so that nobody has to reap it. */
static void become_door(int log, char *const argv[])
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)setsid();
    if (fork() != 0)
        _exit(0);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log >= 0 ? log : null, STDOUT_FILENO);
    (void)dup2(log >= 0 ? log : null, STDERR_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static void start(const struct door_keeper *k, const struct door_process *d)
{
    AUTO_CHARS *path = mem_format("%s/log/%s.door.%zu.log", k->job->state_dir, d->store, d->nth);
    AUTO_CHARS *nth = mem_format("%zu", d->nth);
    char *argv[] = {word("leat"), word("--config"), word(k->job->config->path), word("--state"), word(k->job->state_dir), word("door"), word(d->store), word("--nth"), nth, NULL};
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fork();

    if (pid == 0)
        become_door(log, argv);
    if (log >= 0)
        close(log);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}

struct door_keeper *door_keeper_new(const struct pilot_job *job)
{
    struct door_keeper *k = mem_alloc(sizeof *k);
    size_t total = 0;

    k->job = job;
    for (size_t i = 0; i < job->config->store_count; i++)
        total += job->config->stores[i].door_count;
    k->list = mem_alloc((total + 1) * sizeof *k->list);
    for (size_t i = 0; i < job->config->store_count; i++)
        for (size_t n = 0; n < job->config->stores[i].door_count; n++)
            k->list[k->count++] = (struct door_process){.store = job->config->stores[i].name, .nth = n};
    return k;
}

void door_keeper_free(struct door_keeper *k)
{
    if (k == NULL)
        return;
    free(k->list);
    free(k);
}

static void mind(const struct door_keeper *k, struct door_process *d)
{
    int64_t now = world_mono_us();

    if (pid_of(k->job->state_dir, d->store, d->nth) != 0) {
        if (now > d->again_us + MOST_US)
            d->backoff_us = 0;
        return;
    }
    if (now < d->again_us)
        return;
    d->backoff_us = d->backoff_us == 0 ? LEAST_US : d->backoff_us * 2 > MOST_US ? MOST_US : d->backoff_us * 2;
    d->again_us = now + d->backoff_us;
    start(k, d);
}

void door_keeper_turn(struct door_keeper *k)
{
    if (world_mono_us() - k->looked_us < LOOK_US)
        return;
    k->looked_us = world_mono_us();
    for (size_t i = 0; i < k->count; i++)
        mind(k, &k->list[i]);
}

/* --- from outside --- */

static int ask_all(const struct config *c, const char *state_dir, int number)
{
    int n = 0;

    for (size_t i = 0; i < c->store_count; i++)
        for (size_t nth = 0; nth < c->stores[i].door_count; nth++) {
            int pid = pid_of(state_dir, c->stores[i].name, nth);
            n += pid > 0 && kill(pid, number) == 0;
        }
    return n;
}

int doors_end(const struct config *c, const char *state_dir)
{
    int64_t deadline = world_mono_us() + END_US;
    int n = ask_all(c, state_dir, SIGTERM);

    while (ask_all(c, state_dir, 0) > 0 && world_mono_us() < deadline)
        (void)poll(NULL, 0, 50);
    return n;
}
