/* store/least_epoch.c — see least_epoch.h. */
#include "store/least_epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return synced;
}

static enum err forget(const char *state_dir, const char *path, struct fault *f)
{
    if ((unlink(path) != 0 && errno != ENOENT) || !sync_folder(state_dir))
        return fault_set(f, ERR_STATE_DIR, "cannot remove %s: %s", path, strerror(errno));
    return ERR_OK;
}

enum err least_epoch_write(const char *state_dir, const char *store, int64_t epoch, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/%s.least-epoch", state_dir, store);
    AUTO_CHARS *new = mem_format("%s.new", path);
    AUTO_CHARS *text = mem_format("%" PRId64 "\n", epoch);
    bool written;
    int fd;

    if (epoch == 0)
        return forget(state_dir, path, f);
    fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    written = fd >= 0 && write_all(fd, text);
    if (fd >= 0)
        close(fd);
    if (!written || rename(new, path) != 0 || !sync_folder(state_dir))
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
    return ERR_OK;
}

enum err least_epoch_raise(const char *state_dir, const char *store, int64_t epoch, struct fault *f)
{
    return least_epoch_read(state_dir, store) < epoch ? least_epoch_write(state_dir, store, epoch, f) : ERR_OK;
}
