/* base/log.c — see log.h. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/world.h"

static int log_fd = STDERR_FILENO;
static enum log_level log_least = LOG_WARN;
static char *bound_path;
static int64_t bound_most;
static pthread_mutex_t bound_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault last_fault;
static int64_t last_fault_us;
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;

void log_level_set(enum log_level least)
{
    log_least = least;
}

enum err log_to(const char *path, struct fault *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd < 0)
        return fault_set(f, ERR_STATE_DIR, "cannot open the log %s: %s", path, strerror(errno));
    log_fd = fd;
    return ERR_OK;
}

/* The file at the path is ours only while it is the one stderr writes to. */
static void begin_anew(void)
{
    AUTO_CHARS *old = mem_format("%s.1", bound_path);
    struct stat here;
    struct stat there;
    int fd;

    if (fstat(STDERR_FILENO, &here) != 0 || here.st_size < bound_most || stat(bound_path, &there) != 0 || here.st_ino != there.st_ino || here.st_dev != there.st_dev)
        return;
    if (rename(bound_path, old) != 0)
        return;
    fd = open(bound_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* the old one goes on */
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    close(fd);
}

static void keep_bound(void)
{
    pthread_mutex_lock(&bound_lock);
    if (bound_path != NULL)
        begin_anew();
    pthread_mutex_unlock(&bound_lock);
}

void log_bound(const char *path, int64_t most)
{
    pthread_mutex_lock(&bound_lock);
    free(bound_path);
    bound_path = mem_dup(path);
    bound_most = most;
    pthread_mutex_unlock(&bound_lock);
    keep_bound();
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char now[WORLD_TIME_SIZE];
    char line[4096];
    va_list args;
    int n;

    if (level < log_least)
        return;
    n = snprintf(line, sizeof line, "%s %-5s %s: ", world_time_text(world_wall_us(), now), names[level], area);
    va_start(args, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
    va_end(args);
    if ((size_t)n > sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n] = '\n';
    if (write(log_fd, line, (size_t)n + 1) < 0)
        return; /* nowhere left to say it */
    keep_bound();
}

void log_fault(enum log_level level, const char *area, const struct fault *f)
{
    char text[4096];

    log_line(level, area, "%s", fault_text(f, text, sizeof text));
    pthread_mutex_lock(&last_lock);
    last_fault = *f;
    last_fault_us = world_wall_us();
    pthread_mutex_unlock(&last_lock);
}

bool log_last_fault(struct fault *ret, int64_t *ret_at_us)
{
    bool found;

    pthread_mutex_lock(&last_lock);
    found = last_fault_us != 0;
    if (found) {
        *ret = last_fault;
        *ret_at_us = last_fault_us;
    }
    pthread_mutex_unlock(&last_lock);
    return found;
}
