/* replicate/touched_log.c — see touched_log.h. A segment is a file named by its number; a record is its length (4 bytes, big end first)
 * and its bytes. */
#include "replicate/touched_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_BYTES ((uint64_t)16 << 20)
#define READ_BYTES ((size_t)256 << 10)

struct touched_log {
    char *dir;
    int fd;
    uint64_t first;  /* the oldest segment there is */
    uint64_t bytes;  /* of the segments before the one written to */
    struct touched_place end;
};

static char *path_of(const struct touched_log *l, uint64_t segment)
{
    return mem_format("%s/%016" PRIx64, l->dir, segment);
}

static enum err roll(struct touched_log *l, struct fault *f)
{
    AUTO_CHARS *path = path_of(l, l->end.segment + 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return fault_set(f, errno == ENOSPC || errno == EDQUOT ? ERR_SPOOL_FULL : ERR_STATE_DIR, "cannot make %s: %s", path, strerror(errno));
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = fd;
    l->bytes += l->end.at;
    l->end = (struct touched_place){l->end.segment + 1, 0};
    return ERR_OK;
}

/* Calls each for the segments there are. */
static enum err list(struct touched_log *l, void (*each)(struct touched_log *l, uint64_t segment), struct fault *f)
{
    DIR *d = opendir(l->dir);
    struct dirent *e;

    if (d == NULL)
        return fault_set(f, ERR_STATE_DIR, "cannot read %s: %s", l->dir, strerror(errno));
    while ((e = readdir(d)) != NULL) {
        char *end;
        uint64_t n = strtoull(e->d_name, &end, 16);
        if (n > 0 && end == e->d_name + 16 && *end == '\0')
            each(l, n);
    }
    (void)closedir(d);
    return ERR_OK;
}

static void take_note(struct touched_log *l, uint64_t segment)
{
    AUTO_CHARS *path = path_of(l, segment);
    struct stat st;

    if (stat(path, &st) == 0)
        l->bytes += (uint64_t)st.st_size;
    if (l->first == 0 || segment < l->first)
        l->first = segment;
    if (segment > l->end.segment)
        l->end.segment = segment;
}

enum err touched_log_open(const char *dir, struct touched_log **ret, struct fault *f)
{
    AUTO(touched_log) *l = mem_alloc(sizeof *l);

    l->fd = -1;
    l->dir = mem_format("%s", dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", dir, strerror(errno));
    TRY(list(l, take_note, f));
    TRY(roll(l, f));
    if (l->first == 0)
        l->first = l->end.segment;
    *ret = l;
    l = NULL;
    return ERR_OK;
}

void touched_log_free(struct touched_log *l)
{
    if (l == NULL)
        return;
    if (l->fd >= 0)
        (void)close(l->fd);
    free(l->dir);
    free(l);
}

/* --- writing --- */

void touched_log_frame(struct buf *framed, const void *record, uint32_t size)
{
    buf_add_u32be(framed, size);
    buf_add(framed, record, size);
}

enum err touched_log_append(struct touched_log *l, const struct buf *framed, uint64_t most_bytes, struct fault *f)
{
    ssize_t n;

    if (l->bytes + l->end.at + framed->len > most_bytes)
        return fault_set(f, ERR_SPOOL_FULL, "%" PRIu64 " bytes of it are waiting to be compared", l->bytes + l->end.at);
    if (l->end.at > 0 && l->end.at + framed->len > SEGMENT_BYTES)
        TRY(roll(l, f));
    do
        n = write(l->fd, framed->data, framed->len);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)framed->len)
        return fault_set(f, ERR_SPOOL_FULL, "cannot write to %s: %s", l->dir, n < 0 ? strerror(errno) : "the disk is full");
    l->end.at += framed->len;
    return ERR_OK;
}

struct touched_place touched_log_end(const struct touched_log *l)
{
    return l->end;
}

static void drop(struct touched_log *l, uint64_t segment)
{
    AUTO_CHARS *path = path_of(l, segment);
    struct stat st;

    if (stat(path, &st) == 0 && unlink(path) == 0)
        l->bytes -= l->bytes < (uint64_t)st.st_size ? l->bytes : (uint64_t)st.st_size;
}

void touched_log_drop(struct touched_log *l, struct touched_place before)
{
    for (; l->first < before.segment && l->first < l->end.segment; l->first++)
        drop(l, l->first);
}

enum err touched_log_clear(struct touched_log *l, struct fault *f)
{
    TRY(list(l, drop, f));
    TRY(roll(l, f));
    l->first = l->end.segment;
    l->bytes = 0;
    return ERR_OK;
}

/* --- reading --- */

bool touched_log_has(const struct touched_log *l, struct touched_place from)
{
    for (uint64_t n = from.segment; n < l->end.segment; n++) {
        AUTO_CHARS *path = path_of(l, n);
        struct stat st;
        if (stat(path, &st) != 0 || (n == from.segment && (uint64_t)st.st_size < from.at))
            return false;
    }
    return from.segment > 0 && (from.segment < l->end.segment || (from.segment == l->end.segment && from.at <= l->end.at));
}

struct reading {
    int fd;
    uint64_t at;   /* of data, in the file */
    uint64_t upto;
    char *data;
    size_t size;
    size_t have;
    int failed; /* errno */
};

/* Until `want` bytes are there; false: the segment ends before. */
static bool have(struct reading *r, size_t want)
{
    while (r->have < want) {
        uint64_t left = r->upto - r->at - r->have;
        ssize_t n;
        if (r->size < want || r->size == r->have) {
            r->size = want > 2 * r->size ? want : 2 * r->size;
            r->data = mem_grow(r->data, r->size);
        }
        do
            n = pread(r->fd, r->data + r->have, r->size - r->have < left ? r->size - r->have : left, (off_t)(r->at + r->have));
        while (n < 0 && errno == EINTR);
        r->failed = n < 0 ? errno : 0;
        if (n <= 0)
            return false;
        r->have += (size_t)n;
    }
    return true;
}

static uint32_t size_at(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* A segment from `at` on. False: `each` has enough. */
static bool read_records(struct reading *r, bool (*each)(void *ctx, const char *record, uint32_t size), void *ctx)
{
    size_t done = 0;

    for (;;) {
        uint32_t size;
        if (done > READ_BYTES) {
            memmove(r->data, r->data + done, r->have - done);
            r->have -= done;
            r->at += done;
            done = 0;
        }
        if (!have(r, done + 4))
            break;
        size = size_at(r->data + done);
        if (size > r->upto || !have(r, done + 4 + size))
            break;
        if (!each(ctx, r->data + done + 4, size)) {
            r->at += done;
            return false;
        }
        done += 4 + size;
    }
    r->at += done;
    return true;
}

enum err touched_log_read(const struct touched_log *l, struct touched_place from, struct touched_place upto, bool (*each)(void *ctx, const char *record, uint32_t size), void *ctx,
                          struct touched_place *ret, struct fault *f)
{
    bool on = true;

    *ret = from;
    for (uint64_t n = from.segment; on && n <= upto.segment; n++) {
        AUTO_CHARS *path = path_of(l, n);
        struct reading r = {.fd = open(path, O_RDONLY | O_CLOEXEC), .at = n == from.segment ? from.at : 0, .upto = UINT32_MAX, .size = READ_BYTES};

        if (r.fd < 0)
            return fault_set(f, ERR_STATE_DIR, "cannot read %s: %s", path, strerror(errno));
        if (n == upto.segment)
            r.upto = upto.at;
        r.data = mem_alloc(r.size);
        on = read_records(&r, each, ctx);
        *ret = (struct touched_place){n, r.at};
        free(r.data);
        (void)close(r.fd);
        if (r.failed != 0)
            return fault_set(f, ERR_STATE_DIR, "cannot read %s: %s", path, strerror(r.failed));
    }
    return ERR_OK;
}
