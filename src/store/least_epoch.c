/* store/least_epoch.c — see least_epoch.h. */
#include "store/least_epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

int64_t least_epoch_read(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = mem_format("%s/%s.least-epoch", state_dir, store);
    char text[32] = "";
    char *end;
    int64_t epoch;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return errno == ENOENT ? 0 : INT64_MAX;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    epoch = strtoll(text, &end, 10);
    return n > 1 && *end == '\n' && epoch > 0 ? epoch : INT64_MAX;
}

static bool write_all(int fd, const char *text)
{
    size_t n = strlen(text);

    return write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
}

/* Commands, doors and engines write it: one at a time. Gone with the descriptor. */
static int lock_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (fd >= 0 && flock(fd, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    return fd;
}

static enum err forget(int folder, const char *path, struct fault *f)
{
    if ((unlink(path) != 0 && errno != ENOENT) || fsync(folder) != 0)
        return fault_set(f, ERR_STATE_DIR, "cannot remove %s: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err replace(int folder, const char *path, int64_t epoch, struct fault *f)
{
    AUTO_CHARS *new = mem_format("%s.new", path);
    AUTO_CHARS *text = mem_format("%" PRId64 "\n", epoch);
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write_all(fd, text);

    if (fd >= 0)
        close(fd);
    if (!written || rename(new, path) != 0 || fsync(folder) != 0)
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err write_locked(const char *state_dir, const char *store, int64_t epoch, bool only_later, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/%s.least-epoch", state_dir, store);
    int folder = lock_folder(state_dir);
    enum err err = ERR_OK;

    if (folder < 0)
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: its folder: %s", path, strerror(errno));
    if (only_later && least_epoch_read(state_dir, store) >= epoch)
        err = ERR_OK;
    else if (epoch == 0)
        err = forget(folder, path, f);
    else
        err = replace(folder, path, epoch, f);
    close(folder);
    return err;
}

enum err least_epoch_write(const char *state_dir, const char *store, int64_t epoch, struct fault *f)
{
    return write_locked(state_dir, store, epoch, false, f);
}

enum err least_epoch_raise(const char *state_dir, const char *store, int64_t epoch, struct fault *f)
{
    if (least_epoch_read(state_dir, store) >= epoch)
        return ERR_OK;
    return write_locked(state_dir, store, epoch, true, f);
}

void least_epoch_remember(const char *state_dir, const char *store, int64_t epoch)
{
    struct fault f = {0};

    if (least_epoch_raise(state_dir, store, epoch, &f) != ERR_OK)
        log_fault(LOG_WARN, store, &f);
}
