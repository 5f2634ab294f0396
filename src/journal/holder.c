/* journal/holder.c — see holder.h.
 *
 * Invariant: HOLDER_DEAD is said only of a process that cannot write any more. So a pid is looked up only in the very
 * place it was given out in: two containers on one machine, or machines of one name, do not see each other's pids. */
#include "journal/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

/* Up to size - 1 bytes of a small file, ended by NUL, without a last newline; "" if it cannot be read. */
static void read_small(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;

    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

/* State and start of a process. False if /proc does not show it. */
static bool read_stat(int64_t pid, char *ret_state, int64_t *ret_started)
{
    char path[64];
    char stat[1024];
    const char *p;

    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    read_small(path, stat, sizeof stat);
    p = strrchr(stat, ')'); /* the name before it may hold anything, brackets and blanks too */
    if (p == NULL || p[1] != ' ' || p[2] == '\0')
        return false;
    p += 2;
    *ret_state = *p; /* field 3 */
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (p == NULL)
            return false;
        p++;
    }
    *ret_started = strtoll(p, NULL, 10);
    return true;
}

static void read_place(char ret[HOLDER_TEXT_SIZE])
{
    char boot[64];
    char space[64];
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);

    read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    ret[0] = '\0';
    if (n <= 0 || boot[0] == '\0')
        return;
    space[n] = '\0';
    snprintf(ret, HOLDER_TEXT_SIZE, "%s %s", boot, space);
}

void holder_self(struct holder *ret)
{
    char state;

    memset(ret, 0, sizeof *ret);
    if (gethostname(ret->host, sizeof ret->host - 1) != 0 || ret->host[0] == '\0')
        snprintf(ret->host, sizeof ret->host, "localhost");
    read_place(ret->place);
    ret->pid = getpid();
    if (!read_stat(ret->pid, &state, &ret->started))
        ret->started = 0;
}

enum holder_state holder_look(const struct holder *h)
{
    char here[HOLDER_TEXT_SIZE];
    char state = '?';
    int64_t started = 0;

    read_place(here);
    if (here[0] == '\0' || strcmp(here, h->place) != 0 || h->pid <= 0)
        return HOLDER_UNKNOWN;
    if (!read_stat(h->pid, &state, &started)) /* gone, or hidden from us (hidepid) */
        return kill((pid_t)h->pid, 0) != 0 && errno == ESRCH ? HOLDER_DEAD : HOLDER_LIVES;
    if (state == 'Z' || state == 'X' || state == 'x') /* ended, and only not yet waited for */
        return HOLDER_DEAD;
    return h->started != 0 && started != h->started ? HOLDER_DEAD : HOLDER_LIVES;
}
