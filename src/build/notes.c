/* build/notes.c — see notes.h. */
#include "build/notes.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "build/build.h"

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

enum err notes_save(const char *dir, const char *name, const struct buf *notes, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = fd >= 0 && write_all(fd, buf_cstr(notes), notes->len);
    int reason = errno;

    if (fd >= 0)
        close(fd);
    return done ? ERR_OK : fault_set(f, ERR_STATE_DIR, "%s: %s", path, strerror(reason));
}

static enum err add_file(const char *dir, const char *name, struct buf *report, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char block[4096];
    ssize_t n = 0;
    int reason;

    if (fd < 0 && errno == ENOENT)
        return ERR_OK;
    while (fd >= 0 && (n = read(fd, block, sizeof block)) > 0)
        buf_add(report, block, (size_t)n);
    reason = errno;
    if (fd >= 0)
        close(fd);
    return fd >= 0 && n == 0 ? ERR_OK : fault_set(f, ERR_STATE_DIR, "%s: %s", path, strerror(reason));
}

enum err build_notes(const char *dir, struct buf *report, struct fault *f)
{
    TRY(add_file(dir, NOTES_OF_DUMP, report, f));
    return add_file(dir, NOTES_OF_SCHEMA, report, f);
}
