/* replicate/spool_block.c — the writer's work on files: blocks, segments, taking back, the meta record.
 *
 * Invariants
 *  1. A block that ends within a transaction holds nothing of any other: what is complete before it was written as a
 * block of its own. So the end of every complete transaction that is not in the buffer is the end of a block, or lies
 * in one that ends complete, and taking back is cutting at a block.
 *  2. The buffer belongs to the tail segment: a segment is begun only while the buffer is empty.
 *  3. Only the writer changes buffer, tail and places, and changes what readers look at only under the lock; so it
 * reads them without, and compresses and writes while readers go on. */
#include "replicate/spool_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

enum err spool_io_fault(struct fault *f, const char *doing, const char *name)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

    return fault_set(f, full ? ERR_SPOOL_FULL : ERR_SYSTEM, "%s %s: %s", doing, name, strerror(errno));
}

void spool_segment_name(uint64_t number, char name[32])
{
    snprintf(name, 32, "%08llu.spool", (unsigned long long)number);
}

enum err spool_write_at(int fd, const void *p, size_t n, uint64_t offset, const char *name, struct fault *f)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pwrite(fd, (const char *)p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO;
        if (got <= 0)
            return spool_io_fault(f, "writing", name);
        done += (size_t)got;
    }
    return ERR_OK;
}

void spool_buffer_put(struct spool_file *s, const void *p, size_t n)
{
    struct spool_buffer *b = &s->buffer;

    if (b->size - b->len < n) {
        pthread_mutex_lock(&s->lock); /* a reader may be copying from it */
        b->size = (b->len + n) * 3 / 2;
        b->data = mem_grow(b->data, b->size);
        pthread_mutex_unlock(&s->lock);
    }
    memcpy(b->data + b->len, p, n);
    b->len += n;
}

/* --- a block --- */

struct block_out { /* stored bytes on their way into the tail segment */
    struct spool_file *s;
    ZSTD_outBuffer out;
    XXH3_state_t *hash;
    uint64_t begin;   /* of the block */
    uint64_t written; /* bytes of it that are in the file; 0 = all still in `out`, behind room for the header */
    uint64_t stored;
};

static void out_hash(struct block_out *o)
{
    size_t from = o->written == 0 ? SPOOL_BLOCK_HEAD : 0;

    XXH3_64bits_update(o->hash, (char *)o->out.dst + from, o->out.pos - from);
    o->stored += o->out.pos - from;
}

static enum err out_write(struct block_out *o, struct fault *f)
{
    char name[32];

    spool_segment_name(o->s->tail->head.number, name);
    TRY(spool_write_at(o->s->tail->fd, o->out.dst, o->out.pos, o->begin + o->written, name, f));
    o->written += o->out.pos;
    o->out.pos = 0;
    return ERR_OK;
}

static enum err out_feed(struct block_out *o, const char *p, size_t n, bool finish, struct fault *f)
{
    ZSTD_inBuffer in = {.src = p, .size = n};

    for (;;) {
        size_t left = ZSTD_compressStream2(o->s->zstd, &o->out, &in, finish ? ZSTD_e_end : ZSTD_e_continue);
        ENSURE(!ZSTD_isError(left)); /* it has all the memory and room it asked for */
        if (finish ? left == 0 : in.pos == in.size)
            return ERR_OK;
        if (o->out.pos == o->out.size) {
            out_hash(o);
            TRY(out_write(o, f));
        }
    }
}

/* The header comes last, or with all the rest: without it, what was written before it is nothing. */
static enum err out_finish(struct block_out *o, struct spool_block_head *h, struct fault *f)
{
    unsigned char head[SPOOL_BLOCK_HEAD];
    bool whole = o->written == 0;

    out_hash(o);
    ENSURE(o->stored <= UINT32_MAX);
    h->stored_len = (uint32_t)o->stored;
    h->payload_hash = XXH3_64bits_digest(o->hash);
    spool_block_head_encode(h, o->s->tail->seal, head);
    if (whole)
        memcpy(o->out.dst, head, sizeof head);
    TRY(out_write(o, f));
    if (whole)
        return ERR_OK;
    memcpy(o->out.dst, head, sizeof head);
    o->out.pos = sizeof head;
    o->written = 0;
    return out_write(o, f);
}

static enum err block_put(struct spool_file *s, const char *a, size_t a_len, const char *b, size_t b_len,
                          struct spool_block_head *h, struct fault *f)
{
    struct block_out o = {.s = s, .begin = s->tail->size, .hash = XXH3_createState()};
    enum err err = ERR_OK;

    ENSURE(o.hash != NULL);
    h->raw_len = (uint32_t)(a_len + b_len);
    o.out = (ZSTD_outBuffer){.dst = s->out, .size = s->out_size, .pos = SPOOL_BLOCK_HEAD};
    memset(s->out, 0, SPOOL_BLOCK_HEAD);
    XXH3_64bits_reset_withSeed(o.hash, s->tail->seal);
    ZSTD_CCtx_reset(s->zstd, ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(s->zstd, a_len + b_len);
    if (b_len > 0)
        err = out_feed(&o, a, a_len, false, f);
    if (err == ERR_OK)
        err = b_len > 0 ? out_feed(&o, b, b_len, true, f) : out_feed(&o, a, a_len, true, f);
    if (err == ERR_OK)
        err = out_finish(&o, h, f);
    XXH3_freeState(o.hash);
    if (err != ERR_OK && ftruncate(s->tail->fd, (off_t)s->tail->size) != 0)
        fault_add(f, "(and what was begun could not be cut off: %s)", strerror(errno));
    return err;
}

/* Makes a written block visible, and the buffer begin after the `taken` bytes of it that are in the block. */
static void block_publish(struct spool_file *s, const struct spool_block_head *h, size_t taken)
{
    uint64_t size = SPOOL_BLOCK_HEAD + (uint64_t)h->stored_len;

    pthread_mutex_lock(&s->lock);
    s->tail->size += size;
    s->tail->seal = h->seal;
    s->bytes += size;
    memmove(s->buffer.data, s->buffer.data + taken, s->buffer.len - taken);
    s->buffer.len -= taken;
    s->buffer.inside = false;
    s->buffer.first_end = LSN_ZERO;
    if (!h->open) {
        s->complete = (struct spool_place){s->tail->head.number, s->tail->size, 0};
        s->complete_seal = h->seal;
    }
    pthread_mutex_unlock(&s->lock);
}

enum err spool_flush_complete(struct spool_file *s, struct fault *f)
{
    size_t taken = s->complete.raw;
    struct spool_block_head h = {
        .inside = s->buffer.inside, .first_end = s->buffer.first_end, .last_end = s->written_end};

    if (taken == 0)
        return ERR_OK;
    ENSURE(s->complete.segment == s->tail->head.number && s->complete.offset == s->tail->size);
    TRY(block_put(s, s->buffer.data, taken, NULL, 0, &h, f));
    block_publish(s, &h, taken);
    return ERR_OK;
}

enum err spool_flush_open(struct spool_file *s, const char *more, size_t more_len, struct fault *f)
{
    struct spool_block_head h = {.inside = s->buffer.inside, .open = true};

    ENSURE(s->complete.raw == 0 && s->txn_written && s->buffer.len > 0);
    TRY(block_put(s, s->buffer.data, s->buffer.len, more, more_len, &h, f));
    block_publish(s, &h, s->buffer.len);
    s->in_block = false;
    return ERR_OK;
}

/* --- segments --- */

void spool_segment_free(struct spool_segment *g)
{
    if (g->fd >= 0)
        close(g->fd);
    free(g);
}

struct spool_segment *spool_find_segment(struct spool_file *s, uint64_t number)
{
    uint64_t first = s->segment_count > 0 ? s->segments[0]->head.number : 0;

    if (s->segment_count == 0 || number < first || number - first >= s->segment_count)
        return NULL;
    return s->segments[number - first];
}

static void segment_append(struct spool_file *s, struct spool_segment *g)
{
    pthread_mutex_lock(&s->lock);
    s->segments = mem_grow(s->segments, (s->segment_count + 1) * sizeof *s->segments);
    s->segments[s->segment_count++] = g;
    s->tail = g;
    s->bytes += g->size;
    if (!g->head.inside) {
        s->complete = (struct spool_place){g->head.number, g->size, 0};
        s->complete_seal = g->seal;
    }
    pthread_mutex_unlock(&s->lock);
    s->dir_dirty = true;
    spool_relations_forget(&s->relations);
}

enum err spool_add_segment(struct spool_file *s, const struct spool_segment_head *h, struct fault *f)
{
    struct spool_segment *g = mem_alloc(sizeof *g);
    unsigned char bytes[SPOOL_SEGMENT_HEAD];
    enum err err = ERR_OK;
    char name[32];

    g->head = *h;
    spool_segment_name(h->number, name);
    spool_segment_head_encode(&g->head, bytes);
    g->size = sizeof bytes;
    g->seal = g->head.seal;
    g->fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (g->fd < 0)
        err = spool_io_fault(f, "making", name);
    if (err == ERR_OK && (err = spool_write_at(g->fd, bytes, sizeof bytes, 0, name, f)) != ERR_OK)
        unlinkat(s->dir_fd, name, 0);
    if (err != ERR_OK) {
        spool_segment_free(g);
        return err;
    }
    segment_append(s, g);
    return ERR_OK;
}

/* So that files waiting for sync stay few when nobody calls it. */
static enum err sync_oldest(struct spool_file *s, struct fault *f)
{
    struct spool_segment *oldest = NULL;
    unsigned waiting = 0;
    int synced;

    pthread_mutex_lock(&s->lock);
    for (size_t i = s->segment_count; i > 0 && s->segments[i - 1]->fd >= 0; i--) {
        oldest = s->segments[i - 1];
        waiting++;
    }
    pthread_mutex_unlock(&s->lock);
    if (waiting <= SPOOL_UNSYNCED_MAX)
        return ERR_OK;
    synced = fdatasync(oldest->fd);
    if (synced != 0) {
        enum err err = spool_io_fault(f, "syncing a segment of", s->dir);
        spool_break(s, err);
        return err;
    }
    close(oldest->fd);
    oldest->fd = -1;
    return ERR_OK;
}

enum err spool_roll(struct spool_file *s, struct fault *f)
{
    struct spool_segment_head h = {.inside = s->txn_written,
                                   .number = s->tail->head.number + 1,
                                   .before = s->written_end,
                                   .before_size = s->tail->size,
                                   .before_seal = s->tail->seal};

    ENSURE(s->buffer.len == 0);
    memcpy(h.identity, s->tail->head.identity, sizeof h.identity);
    TRY(sync_oldest(s, f));
    return spool_add_segment(s, &h, f);
}

/* --- taking back --- */

static void drop_last_segment(struct spool_file *s)
{
    struct spool_segment *g;
    char name[32];

    pthread_mutex_lock(&s->lock);
    g = s->segments[--s->segment_count];
    ENSURE(g->pins == 0);
    s->bytes -= g->size;
    s->tail = s->segments[s->segment_count - 1];
    pthread_mutex_unlock(&s->lock);
    spool_segment_name(g->head.number, name);
    if (unlinkat(s->dir_fd, name, 0) != 0)
        spool_break(s, ERR_SYSTEM);
    spool_segment_free(g);
}

/* The file of a segment that was synced and closed is opened once more. */
static bool cut_tail(struct spool_file *s)
{
    struct spool_segment *g = s->tail;
    char name[32];

    spool_segment_name(g->head.number, name);
    if (g->fd < 0)
        g->fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (g->fd < 0 || ftruncate(g->fd, (off_t)s->complete.offset) != 0)
        return false;
    pthread_mutex_lock(&s->lock);
    s->bytes -= g->size - s->complete.offset;
    g->size = s->complete.offset;
    g->seal = s->complete_seal;
    pthread_mutex_unlock(&s->lock);
    return true;
}

void spool_take_back(struct spool_file *s)
{
    while (s->tail->head.number > s->complete.segment)
        drop_last_segment(s);
    if ((s->tail->size > s->complete.offset || s->tail->fd < 0) && !cut_tail(s))
        spool_break(s, ERR_SYSTEM);
    s->buffer.len = s->complete.raw;
    if (s->complete.raw == 0)
        s->buffer.inside = false;
    s->in_txn = s->txn_written = s->in_block = false;
    spool_relations_forget(&s->relations); /* some may have stood in what was dropped */
}

void spool_break(struct spool_file *s, enum err err)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&s->broken, &none, (int)err))
        return;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->segment_count; i++) {
        struct spool_segment *g = s->segments[i];
        uint64_t keep = g->head.number == s->durable.segment ? s->durable.offset : 0;
        if (g->fd >= 0 && g->head.number >= s->durable.segment && ftruncate(g->fd, (off_t)keep) != 0)
            continue; /* nothing more can be done here; opening again checks every byte it takes */
    }
    pthread_mutex_unlock(&s->lock);
}

/* --- the meta record --- */

enum err spool_meta_write(struct spool_file *s, const struct spool_meta *m, struct fault *f)
{
    unsigned char bytes[SPOOL_META_RECORD];

    spool_meta_encode(m, bytes);
    TRY(spool_write_at(s->meta_fd, bytes, sizeof bytes, (m->serial % 2) * SPOOL_META_SLOT, "meta", f));
    if (fdatasync(s->meta_fd) != 0)
        return spool_io_fault(f, "syncing", "meta");
    s->meta = *m;
    return ERR_OK;
}
