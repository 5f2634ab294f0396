/* replicate/applied.c — see applied.h. */
#include "replicate/applied.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/world.h"

#define APPLIED_MAGIC 0x6c65617461707031ull /* "leatapp1" */

struct applied_file {
    uint64_t magic;
    _Atomic int64_t alive_us; /* monotonic: until then, and APPLIED_ALIVE_US, it counts; 0: it does not */
    _Atomic uint64_t mark;
    _Atomic uint64_t applied;
};

struct applied {
    struct applied_file *file;
};

static struct applied_file *map(int fd, int protection)
{
    void *p = mmap(NULL, sizeof(struct applied_file), protection, MAP_SHARED, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

static struct applied_file *open_file(const char *path, int flags, int protection)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    struct applied_file *file = NULL;
    struct stat st;

    if (fd < 0)
        return NULL;
    if (((flags & O_CREAT) == 0 || ftruncate(fd, sizeof *file) == 0) && fstat(fd, &st) == 0 && st.st_size == sizeof *file)
        file = map(fd, protection);
    close(fd);
    return file;
}

/* Whoever has it mapped is to believe it no longer. */
static void take_back(const char *path)
{
    struct applied_file *before = open_file(path, O_RDWR, PROT_READ | PROT_WRITE);

    if (before == NULL)
        return;
    atomic_store(&before->alive_us, 0);
    (void)munmap(before, sizeof *before);
}

struct applied *applied_open(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.applied", state_dir, store);
    AUTO_CHARS *fresh = mem_format("%s.new", path);
    struct applied_file *file;
    struct applied *a;

    take_back(path);
    (void)unlink(fresh);
    file = open_file(fresh, O_RDWR | O_CREAT | O_EXCL, PROT_READ | PROT_WRITE);
    if (file == NULL)
        return NULL;
    file->magic = APPLIED_MAGIC;
    if (rename(fresh, path) != 0) {
        (void)munmap(file, sizeof *file);
        return NULL;
    }
    a = mem_alloc(sizeof *a);
    a->file = file;
    return a;
}

void applied_close(struct applied *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->file->alive_us, 0);
    (void)munmap(a->file, sizeof *a->file);
    free(a);
}

void applied_put(struct applied *a, struct lsn applied, struct lsn mark)
{
    if (a == NULL)
        return;
    atomic_store(&a->file->mark, mark.v);
    atomic_store(&a->file->applied, applied.v);
}

void applied_stand(struct applied *a, bool follows)
{
    if (a != NULL)
        atomic_store(&a->file->alive_us, follows ? world_mono_us() : 0);
}

static bool read_file(const struct applied_file *file, struct lsn *ret_applied, struct lsn *ret_mark)
{
    int64_t alive_us = atomic_load(&file->alive_us);
    uint64_t applied = atomic_load(&file->applied); /* before the mark */
    uint64_t mark = atomic_load(&file->mark);

    if (file->magic != APPLIED_MAGIC || alive_us == 0 || world_mono_us() - alive_us > APPLIED_ALIVE_US)
        return false;
    *ret_applied = (struct lsn){applied};
    *ret_mark = (struct lsn){mark};
    return true;
}

bool applied_read(const char *state_dir, const char *store, struct lsn *ret_applied, struct lsn *ret_mark)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.applied", state_dir, store);
    struct applied_file *file = open_file(path, O_RDONLY, PROT_READ);
    bool known = file != NULL && read_file(file, ret_applied, ret_mark);

    if (file != NULL)
        (void)munmap(file, sizeof *file);
    return known;
}
