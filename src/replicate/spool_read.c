/* replicate/spool_read.c — a block from disk, for recovery and cursors: read, verified, unpacked. */
#include "replicate/spool_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void spool_scratch_fini(struct spool_scratch *b)
{
    free(b->data);
    *b = (struct spool_scratch){0};
}

/* What one giant message needed is given back with the next ordinary block. */
char *spool_scratch_need(struct spool_scratch *b, size_t size)
{
    if (b->size >= size && b->size / 4 <= size + SPOOL_BLOCK_BYTES)
        return b->data;
    free(b->data);
    b->size = size;
    b->data = mem_alloc(size);
    return b->data;
}

enum err spool_read_at(int fd, void *p, size_t n, uint64_t offset, size_t *ret_got, struct fault *f)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(f, ERR_SYSTEM, "reading a segment: %s", strerror(errno));
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_got = done;
    return ERR_OK;
}

enum err spool_read_head(int fd, uint64_t offset, uint64_t limit, uint64_t seed, struct spool_block_head *ret,
                         const char **ret_wrong, struct fault *f)
{
    unsigned char bytes[SPOOL_BLOCK_HEAD];
    size_t got = 0;

    *ret_wrong = "the block's header is cut off";
    if (limit < offset || limit - offset < sizeof bytes)
        return ERR_OK;
    TRY(spool_read_at(fd, bytes, sizeof bytes, offset, &got, f));
    if (got < sizeof bytes)
        return ERR_OK;
    *ret_wrong = "the block's header is not as it was written";
    if (!spool_block_head_decode(bytes, seed, ret))
        return ERR_OK;
    *ret_wrong = ret->stored_len > limit - offset - sizeof bytes ? "the block is cut off" : NULL;
    return ERR_OK;
}

enum err spool_read_payload(int fd, uint64_t offset, uint64_t seed, const struct spool_block_head *h,
                            struct spool_scratch *stored, char *ret_payload, const char **ret_wrong, struct fault *f)
{
    char *bytes = spool_scratch_need(stored, h->stored_len);
    size_t got = 0;

    TRY(spool_read_at(fd, bytes, h->stored_len, offset + SPOOL_BLOCK_HEAD, &got, f));
    *ret_wrong = got < h->stored_len ? "the block is cut off" : spool_block_unpack(h, seed, bytes, ret_payload);
    return ERR_OK;
}

enum err spool_open_segment(struct spool_file *s, const struct spool_segment *g, int *ret_fd, struct fault *f)
{
    char name[32];
    int fd;

    spool_segment_name(g->head.number, name);
    fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return spool_damaged(s, g->head.number, 0, "the segment is missing", f);
    if (fd < 0)
        return spool_io_fault(f, "opening", name);
    *ret_fd = fd;
    return ERR_OK;
}

enum err spool_damaged(struct spool_file *s, uint64_t segment, uint64_t offset, const char *wrong, struct fault *f)
{
    char name[32];

    TRY(spool_broken(s, f)); /* then the writer has cut off what was not durable, and readers see it */
    spool_segment_name(segment, name);
    return fault_set(f, ERR_SPOOL_DAMAGED, "%s/%s at offset %llu: %s", s->dir, name, (unsigned long long)offset, wrong);
}
