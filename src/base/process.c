/* base/process.c — see process.h. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/world.h"

#define TICK_MS 50                  /* how soon *stop is seen; and the child's end, where the kernel has no pidfd */
#define GRACE_US ((int64_t)2000000) /* between SIGTERM and SIGKILL */
#define READ_SIZE 65536
#define DRAIN_READS 64

extern char **environ;

/* What the child needs, all made before the fork: between fork and exec only async-signal-safe calls are allowed. */
struct launch {
    const char *path;
    char *const *argv;
    char **env;
    int out[2];
    int err[2];
    int failed[2]; /* close-on-exec: carries errno when exec fails, ends empty when it does not */
    int null;
    pid_t parent;
};

struct child {
    pid_t pid;
    int pidfd; /* -1: the kernel has none */
    int out;   /* -1: at its end */
    int err;
    int status;
    bool reaped;
};

/* --- starting --- */

static const char *find_program(struct arena *a, const char *name)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/') != NULL)
        return name;
    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        const char *candidate = arena_format(a, "%.*s%s%s", (int)n, path, n > 0 ? "/" : "./", name);
        if (access(candidate, X_OK) == 0)
            return candidate;
        path += n + (path[n] == ':');
    }
    return name;
}

/* Whether `entry` ("NAME=value") is replaced or removed by one of `changes`. */
static bool overridden(const char *entry, const char *const *changes)
{
    size_t n = strcspn(entry, "=");

    for (; *changes != NULL; changes++)
        if (strcspn(*changes, "=") == n && strncmp(*changes, entry, n) == 0)
            return true;
    return false;
}

static char **merge_env(struct arena *a, const char *const *changes)
{
    static const char *const none[] = {NULL};
    size_t count = 0;
    size_t n = 0;
    char **env;

    changes = changes != NULL ? changes : none;
    for (char **e = environ; *e != NULL; e++)
        count++;
    for (const char *const *c = changes; *c != NULL; c++)
        count++;
    env = arena_alloc(a, (count + 1) * sizeof *env);
    for (char **e = environ; *e != NULL; e++)
        if (!overridden(*e, changes))
            env[n++] = *e;
    for (const char *const *c = changes; *c != NULL; c++)
        if (strchr(*c, '=') != NULL)
            env[n++] = arena_strdup(a, *c);
    env[n] = NULL;
    return env;
}

static void child_failed(const struct launch *l)
{
    int reason = errno;

    while (write(l->failed[1], &reason, sizeof reason) < 0 && errno == EINTR)
        ;
    _exit(127);
}

static void child_begin(const struct launch *l)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != l->parent) /* it died before the line above */
        _exit(127);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &plain, NULL); /* those that cannot be set stay as they are */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what a library left open without close-on-exec */
    if (dup2(l->null, 0) < 0 || dup2(l->out[1], 1) < 0 || dup2(l->err[1], 2) < 0)
        child_failed(l);
    execve(l->path, l->argv, l->env);
    child_failed(l);
}

static void close_all(struct launch *l)
{
    int *all[] = {&l->out[0], &l->out[1], &l->err[0], &l->err[1], &l->failed[0], &l->failed[1], &l->null};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}

/* Descriptors above 2, so that dup2() in the child never meets its own source (a parent may run with 0, 1 or 2 closed).
 */
static int above_standard(int fd)
{
    int higher;

    if (fd < 0 || fd > 2)
        return fd;
    higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return higher;
}

static bool make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    ends[0] = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    return ends[0] >= 0 && ends[1] >= 0;
}

/* 0, or the errno with which exec failed. */
static int exec_outcome(struct launch *l)
{
    int reason = 0;
    ssize_t n;

    close(l->failed[1]);
    l->failed[1] = -1;
    do {
        n = read(l->failed[0], &reason, sizeof reason);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof reason ? reason : 0;
}

static enum err start(struct launch *l, struct child *ret, struct fault *f)
{
    int reason;
    pid_t pid;

    l->null = above_standard(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (l->null < 0 || !make_pipe(l->out) || !make_pipe(l->err) || !make_pipe(l->failed))
        return fault_set(f, ERR_SYSTEM, "pipes for %s: %s", l->path, strerror(errno));
    l->parent = getpid();
    pid = fork();
    if (pid == 0)
        child_begin(l);
    if (pid < 0)
        return fault_set(f, ERR_SYSTEM, "a process for %s: %s", l->path, strerror(errno));
    reason = exec_outcome(l);
    if (reason != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return fault_set(f, ERR_SYSTEM, "%s cannot be run: %s", l->path, strerror(reason));
    }
    *ret = (struct child){.pid = pid, .pidfd = pidfd_open(pid, 0), .out = l->out[0], .err = l->err[0]};
    l->out[0] = l->err[0] = -1;
    return ERR_OK;
}

/* --- waiting --- */

static void reap(struct child *c, bool wait)
{
    pid_t pid;

    if (c->reaped)
        return;
    do {
        pid = waitpid(c->pid, &c->status, wait ? 0 : WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid < 0) { /* somebody else reaped it: SIGCHLD ignored, or a waitpid(-1) elsewhere */
        c->status = 255 << 8;
        pid = c->pid;
    }
    c->reaped = pid == c->pid;
}

static void child_fini(struct child *c)
{
    int *all[] = {&c->pidfd, &c->out, &c->err};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i] >= 0)
            close(*all[i]);
}

/* SIGTERM, time to say goodbye to its server, SIGKILL. Its output is no longer read: the pipes are closed first. */
static void end_child(struct child *c)
{
    int64_t deadline = world_mono_us() + GRACE_US;

    if (c->out >= 0)
        close(c->out);
    if (c->err >= 0)
        close(c->err);
    c->out = c->err = -1;
    reap(c, false);
    if (!c->reaped)
        kill(c->pid, SIGTERM);
    while (!c->reaped && world_mono_us() < deadline) {
        struct pollfd gone = {.fd = c->pidfd, .events = POLLIN};
        (void)poll(&gone, 1, TICK_MS);
        reap(c, false);
    }
    if (!c->reaped)
        kill(c->pid, SIGKILL);
    reap(c, true);
}

/* One read. False when `into` may not grow any more and `strict`. *fd becomes -1 at the end. */
static bool take_output(int *fd, struct buf *into, size_t cap, bool strict)
{
    char block[READ_SIZE];
    ssize_t n = read(*fd, block, sizeof block);
    size_t room;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        close(*fd);
        *fd = -1;
        return true;
    }
    if (into == NULL)
        return true;
    room = into->len < cap ? cap - into->len : 0;
    if ((size_t)n > room && strict)
        return false;
    buf_add(into, block, (size_t)n < room ? (size_t)n : room);
    return true;
}

struct capture {
    struct buf *out;
    struct buf *err;
    size_t out_cap;
};

/* Waits for something, at most a tick, and takes what there is. False: too much output. */
static bool step(struct child *c, const struct capture *to)
{
    struct pollfd fds[] = {
        {.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}, {.fd = c->pidfd, .events = POLLIN}};

    if (poll(fds, 3, TICK_MS) < 0)
        return true; /* EINTR */
    if (fds[0].revents != 0 && !take_output(&c->out, to->out, to->out_cap, true))
        return false;
    if (fds[1].revents != 0)
        take_output(&c->err, to->err, PROCESS_STDERR_CAP, false);
    if (fds[0].revents == 0 && fds[1].revents == 0)
        reap(c, false);
    return true;
}

/* What the child wrote between the last look at its pipes and its end. Bounded: a grandchild may write on. */
static bool drain(struct child *c, const struct capture *to)
{
    for (int i = 0; i < DRAIN_READS; i++) {
        struct pollfd fds[] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}};
        if (poll(fds, 2, 0) <= 0)
            return true;
        if (fds[0].revents != 0 && !take_output(&c->out, to->out, to->out_cap, true))
            return false;
        if (fds[1].revents != 0)
            take_output(&c->err, to->err, PROCESS_STDERR_CAP, false);
    }
    return true;
}

static enum err too_much(const struct process *p, const struct capture *to, struct fault *f)
{
    return fault_set(f, ERR_SYSTEM, "%s wrote more than %zu bytes", p->argv[0], to->out_cap);
}

/* The child's end is what counts, not that of its pipes: a grandchild may hold them open for ever. */
static enum err follow(struct child *c, const struct process *p, const struct capture *to, struct fault *f)
{
    int64_t deadline = p->timeout_us > 0 ? world_mono_us() + p->timeout_us : INT64_MAX;

    while (!c->reaped) {
        if (p->stop != NULL && atomic_load(p->stop))
            return fault_set(f, ERR_INTERRUPTED, "%s was ended", p->argv[0]);
        if (world_mono_us() >= deadline)
            return fault_set(f, ERR_BUSY, "%s was not done after %lld s", p->argv[0],
                             (long long)(p->timeout_us / 1000000));
        if (!step(c, to))
            return too_much(p, to, f);
    }
    return drain(c, to) ? ERR_OK : too_much(p, to, f);
}

static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static enum err run_launched(struct launch *l, const struct process *p, const struct capture *to, int *ret_status,
                             struct fault *f)
{
    struct child c;
    enum err err;

    err = start(l, &c, f);
    close_all(l);
    if (err != ERR_OK)
        return err;
    err = follow(&c, p, to, f);
    if (err != ERR_OK)
        end_child(&c);
    child_fini(&c);
    if (err == ERR_OK && status_of(c.status) == 128 + SIGINT)
        err = fault_set(f, ERR_INTERRUPTED, "%s was interrupted", p->argv[0]);
    if (err == ERR_OK)
        *ret_status = status_of(c.status);
    return err;
}

enum err process_run(const struct process *p, struct buf *out, struct buf *err, int *ret_status, struct fault *f)
{
    struct launch l = {.out = {-1, -1}, .err = {-1, -1}, .failed = {-1, -1}, .null = -1};
    struct capture to = {
        .out = out, .err = err, .out_cap = out != NULL && out->cap != 0 ? out->cap : BUF_CAP_DEFAULT - 1};
    AUTO(arena) *a = arena_new(4096);

    ENSURE(p->argv[0] != NULL);
    l.path = find_program(a, p->argv[0]);
    l.argv = (char *const *)p->argv;
    l.env = merge_env(a, p->env);
    return run_launched(&l, p, &to, ret_status, f);
}

const char *process_last_words(const struct buf *err, char *text, size_t size)
{
    const char *said = buf_cstr(err);
    size_t len = err->len;
    size_t n = 0;

    while (len > 0 && (said[len - 1] == '\n' || said[len - 1] == '\r'))
        len--;
    for (size_t i = len > size / 2 ? len - size / 2 : 0; i < len && n + 3 < size; i++) {
        if (said[i] == '\n')
            text[n++] = ';';
        text[n++] = said[i] == '\n' || said[i] == '\t' || said[i] == '\r' ? ' ' : said[i];
    }
    text[n] = '\0';
    return text;
}
