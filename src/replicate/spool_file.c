/* replicate/spool_file.c — the spool in files: appending, syncing, trimming.
 *
 *   append --records--> buffer --1 MB--> block (zstd, XXH3-64) --16 MB--> next segment
 *                          |                |
 *                       readers          readers           sync: fdatasync of segments, directory, then the meta record
 *
 * Invariants
 *  1. `end` after opening again is at least the last synced end, and everything synced is read back exactly, in order,
 *     nothing twice. The meta record, written after the data is on disk, says where durable ends; that place is always
 *     the end of a transaction and of a block.
 *  2. What stands after the durable place is taken over at opening as far as it is whole; it is cut at the last
 * complete transaction, which the stream delivers again.
 *  3. Damage before the durable place is ERR_SPOOL_DAMAGED with segment and offset, never skipped: every block is
 * sealed with the seal of what stands before it (spool_codec.c), every segment names the one before, its size and seal.
 *  4. A transaction that cannot be appended whole (limit, full disk) is taken back whole. What was appended before
 * stays in the buffer when the disk is full, and is written once there is space.
 *  5. Memory is bounded by one block and one message: a transaction of any size is written in parts, a message larger
 * than a block from where it lies.
 *  6. Only whole segments are trimmed, from the front, that are durable, at or before `upto`, and that no cursor needs.
 *  7. A reader sees complete transactions only: up to `complete`, on disk or in the buffer, so that it never waits for
 * the writer's block to fill, nor makes it write a small one.
 *
 * append makes no system call but to write a full block, and readers go on meanwhile. keep() is called while the writer
 * is locked out of the spool: it must not wait for a thread that syncs. */
#include "replicate/spool_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct spool_file *file_of(struct spool *spool)
{
    return (struct spool_file *)spool;
}

enum err spool_broken(struct spool_file *s, struct fault *f)
{
    if (s->broken == ERR_OK)
        return ERR_OK;
    return fault_set(f, (enum err)s->broken, "the spool in %s failed before and has to be opened again", s->dir);
}

/* --- append --- */

static void put_record(struct spool_file *s, enum spool_record_kind kind, const void *data, uint32_t len)
{
    unsigned char head[SPOOL_RECORD_HEAD];

    spool_record_head_encode(kind, len, head);
    spool_buffer_put(s, head, sizeof head);
    spool_buffer_put(s, data, len);
}

static void put_begin(struct spool_file *s, const struct txn *t)
{
    struct spool_begin b = {.xid = t->xid, .first = !s->txn_written, .commit = t->commit, .commit_us = t->commit_us};
    unsigned char data[SPOOL_BEGIN_SIZE];

    if (s->buffer.len == 0)
        s->buffer.inside = !b.first;
    spool_begin_encode(&b, data);
    put_record(s, SPOOL_BEGIN, data, sizeof data);
    s->in_block = s->txn_written = true;
}

static void put_relation(struct spool_file *s, const struct relation *r)
{
    unsigned char head[SPOOL_RECORD_HEAD];
    unsigned char id[SPOOL_RELATION_HEAD];

    ENSURE(r->raw != NULL && r->raw_len > 0);
    if (!spool_relations_note(&s->relations, r->id, r->raw, r->raw_len))
        return;
    spool_record_head_encode(SPOOL_RELATION, SPOOL_RELATION_HEAD + r->raw_len, head);
    spool_u32_encode(r->id, id);
    spool_buffer_put(s, head, sizeof head);
    spool_buffer_put(s, id, sizeof id);
    spool_buffer_put(s, r->raw, r->raw_len);
}

/* Room for a change of `need` bytes in the block, unless it is larger than a block: then an empty one. */
static enum err make_room(struct spool_file *s, uint64_t need, struct fault *f)
{
    if (s->buffer.len + need > s->sizes.block_bytes) {
        TRY(spool_flush_complete(s, f));
        if (s->buffer.len > 0 && s->buffer.len + need > s->sizes.block_bytes)
            TRY(spool_flush_open(s, NULL, 0, f));
    }
    if (s->buffer.len == 0 && s->tail->size >= s->sizes.segment_bytes)
        TRY(spool_roll(s, f));
    return ERR_OK;
}

/* Counts as if nothing compressed: the buffer always fits when it is written. */
static enum err check_limit(struct spool_file *s, uint64_t need, struct fault *f)
{
    uint64_t taken = s->bytes + s->buffer.len + need + 2 * SPOOL_SEGMENT_HEAD;

    if (taken <= s->limit_bytes)
        return ERR_OK;
    return fault_set(f, ERR_SPOOL_FULL, "the spool in %s would take %llu bytes of the %llu it may", s->dir,
                     (unsigned long long)taken, (unsigned long long)s->limit_bytes);
}

static uint64_t relation_bytes(const struct change *c)
{
    uint64_t bytes = c->relation != NULL ? c->relation->raw_len : 0;

    for (uint32_t i = 0; i < c->truncate_count; i++)
        bytes += SPOOL_RECORD_HEAD + SPOOL_RELATION_HEAD + (uint64_t)c->truncated[i]->raw_len;
    return bytes;
}

static enum err put_change(struct spool_file *s, const struct txn *t, const struct change *c, struct fault *f)
{
    uint64_t need = SPOOL_RECORD_HEAD + (uint64_t)c->raw_len;
    unsigned char head[SPOOL_RECORD_HEAD];

    ENSURE(c->raw != NULL && c->raw_len > 0);
    if (c->raw_len > SPOOL_MESSAGE_MAX)
        return fault_set(f, ERR_PROTOCOL, "a message of %u bytes is larger than any there can be", c->raw_len);
    TRY(check_limit(s, need + relation_bytes(c), f));
    TRY(make_room(s, need, f));
    if (!s->in_block)
        put_begin(s, t);
    if (c->relation != NULL)
        put_relation(s, c->relation);
    for (uint32_t i = 0; i < c->truncate_count; i++)
        put_relation(s, c->truncated[i]);
    spool_record_head_encode(SPOOL_CHANGE, c->raw_len, head);
    spool_buffer_put(s, head, sizeof head);
    if (need > s->sizes.block_bytes)
        return spool_flush_open(s, c->raw, c->raw_len, f);
    spool_buffer_put(s, c->raw, c->raw_len);
    return ERR_OK;
}

static void finish_txn(struct spool_file *s, const struct txn *t)
{
    unsigned char end[SPOOL_END_SIZE];

    if (s->txn_written) {
        if (!s->in_block)
            put_begin(s, t);
        spool_u64_encode(t->end.v, end);
        put_record(s, SPOOL_END, end, sizeof end);
    }
    pthread_mutex_lock(&s->lock);
    s->end = t->end;
    if (s->txn_written) {
        s->written_end = t->end;
        if (s->buffer.first_end.v == 0)
            s->buffer.first_end = t->end;
        s->complete = (struct spool_place){s->tail->head.number, s->tail->size, s->buffer.len};
        s->complete_seal = s->tail->seal;
    }
    pthread_mutex_unlock(&s->lock);
    s->in_txn = s->txn_written = s->in_block = false;
}

/* A first part while another transaction is open: that one's stream broke off, and delivers it again. */
static enum err begin_part(struct spool_file *s, const struct txn *t, struct fault *f)
{
    TRY(spool_broken(s, f));
    if (t->first && s->in_txn)
        spool_take_back(s);
    TRY(spool_broken(s, f));
    if (!t->first && !s->in_txn)
        return fault_set(f, ERR_BUG, "a later part of transaction %u for the spool, without its first", t->xid);
    if (t->last && t->end.v <= s->end.v)
        return fault_set(f, ERR_BUG, "transaction %u for the spool ends at %llu, which it has passed", t->xid,
                         (unsigned long long)t->end.v);
    s->in_txn = true;
    return ERR_OK;
}

static enum err append_part(struct spool_file *s, const struct txn *t, bool (*keep)(void *ctx, const struct change *c),
                            void *ctx, struct fault *f)
{
    TRY(begin_part(s, t, f));
    for (const struct change *c = t->changes; c != NULL; c = c->next) {
        enum err err = keep(ctx, c) ? put_change(s, t, c, f) : ERR_OK;
        if (err != ERR_OK) {
            spool_take_back(s);
            return err;
        }
    }
    if (t->last)
        finish_txn(s, t);
    return ERR_OK;
}

static enum err file_append(struct spool *spool, const struct txn *t, bool (*keep)(void *ctx, const struct change *c),
                            void *ctx, struct fault *f)
{
    struct spool_file *s = file_of(spool);
    enum err err;

    pthread_mutex_lock(&s->write_lock);
    err = append_part(s, t, keep, ctx, f);
    pthread_mutex_unlock(&s->write_lock);
    TRY_WITH(err, f, "spooling transaction %u", t->xid);
    return ERR_OK;
}

/* --- sync --- */

struct sync_job {
    struct spool_meta meta; /* what will be durable */
    bool data;              /* files have to be synced for it */
    bool dir;
    int *fds; /* copies: the writer may close its own meanwhile */
    size_t count;
};

static void job_fini(struct sync_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        close(job->fds[i]);
    free(job->fds);
}

/* The files the writer has open are those not synced since they were written. */
static enum err job_collect(struct spool_file *s, struct sync_job *job, struct fault *f)
{
    int failed = 0;

    pthread_mutex_lock(&s->lock);
    job->fds = mem_alloc(s->segment_count * sizeof *job->fds);
    for (size_t i = 0; i < s->segment_count && failed == 0; i++) {
        int copy = s->segments[i]->fd >= 0 ? fcntl(s->segments[i]->fd, F_DUPFD_CLOEXEC, 0) : -1;
        if (copy >= 0)
            job->fds[job->count++] = copy;
        else if (s->segments[i]->fd >= 0)
            failed = errno;
    }
    pthread_mutex_unlock(&s->lock);
    errno = failed;
    return failed == 0 ? ERR_OK : spool_io_fault(f, "syncing", s->dir);
}

static enum err job_prepare(struct spool_file *s, struct sync_job *job, struct fault *f)
{
    struct spool_meta *m = &job->meta;

    TRY(spool_flush_complete(s, f));
    job->data = m->segment != s->complete.segment || m->offset != s->complete.offset;
    m->segment = s->complete.segment;
    m->offset = s->complete.offset;
    m->seal = s->complete_seal;
    m->end = s->end;
    m->written_end = s->written_end;
    if (!job->data)
        return ERR_OK;
    TRY(job_collect(s, job, f));
    job->dir = s->dir_dirty;
    s->dir_dirty = false;
    return ERR_OK;
}

static enum err job_run(struct spool_file *s, struct sync_job *job, struct fault *f)
{
    int failed = 0;
    enum err err;

    for (size_t i = 0; i < job->count && failed == 0; i++)
        failed = fdatasync(job->fds[i]);
    if (failed == 0 && job->dir)
        failed = fsync(s->dir_fd);
    if (failed == 0)
        return ERR_OK;
    err = spool_io_fault(f, "syncing", s->dir);
    spool_break(s, err);
    return err;
}

/* Segments before the durable place are not written again. */
static void job_settle(struct spool_file *s, const struct sync_job *job)
{
    pthread_mutex_lock(&s->write_lock);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->segment_count; i++) {
        struct spool_segment *g = s->segments[i];
        if (g->fd >= 0 && g->head.number < job->meta.segment) {
            close(g->fd);
            g->fd = -1;
        }
    }
    s->durable = (struct spool_place){job->meta.segment, job->meta.offset, 0};
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_unlock(&s->write_lock);
}

static enum err sync_with(struct spool_file *s, struct sync_job *job, struct fault *f)
{
    enum err err = spool_broken(s, f);

    if (err == ERR_OK) {
        pthread_mutex_lock(&s->write_lock);
        err = job_prepare(s, job, f);
        pthread_mutex_unlock(&s->write_lock);
    }
    TRY(err);
    if (!job->data && job->meta.end.v == s->meta.end.v)
        return ERR_OK;
    if (job->data)
        TRY(job_run(s, job, f));
    job->meta.serial++;
    TRY(spool_meta_write(s, &job->meta, f));
    job_settle(s, job);
    return ERR_OK;
}

static enum err file_sync(struct spool *spool, struct lsn *ret_durable_end, struct fault *f)
{
    struct spool_file *s = file_of(spool);
    struct sync_job job = {0};
    struct lsn end;
    enum err err;

    pthread_mutex_lock(&s->meta_lock);
    job.meta = s->meta;
    err = sync_with(s, &job, f);
    end = s->meta.end;
    pthread_mutex_unlock(&s->meta_lock);
    job_fini(&job);
    TRY_WITH(err, f, "syncing the spool");
    *ret_durable_end = end;
    return ERR_OK;
}

/* --- trim --- */

/* The segment that shall be the first: nothing before it is needed. */
static uint64_t trim_bound(struct spool_file *s, struct lsn upto)
{
    uint64_t bound = 0;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->segment_count; i++) {
        const struct spool_segment *g = s->segments[i];
        if (g->head.number > s->durable.segment || g->head.before.v > upto.v)
            break;
        if (!g->head.inside)
            bound = g->head.number;
        if (g->pins > 0)
            break;
    }
    pthread_mutex_unlock(&s->lock);
    return bound;
}

/* A cursor may have been opened in one of them meanwhile: then false, and they stay. */
static bool drop_before(struct spool_file *s, uint64_t bound)
{
    size_t count = 0;
    bool free_of_readers = true;

    pthread_mutex_lock(&s->lock);
    while (s->segments[count]->head.number < bound)
        free_of_readers &= s->segments[count++]->pins == 0;
    for (size_t i = 0; i < count && free_of_readers; i++) {
        s->bytes -= s->segments[i]->size;
        spool_segment_free(s->segments[i]);
    }
    if (free_of_readers) {
        s->segment_count -= count;
        memmove(s->segments, s->segments + count, s->segment_count * sizeof *s->segments);
    }
    pthread_mutex_unlock(&s->lock);
    return free_of_readers;
}

/* When everything kept is at or before `upto`, the log goes on in a new segment, so that all before it can go: also a
 * transaction that takes up the whole limit, within which the tail began. Without room for that, what can go goes. */
static enum err begin_anew(struct spool_file *s, struct lsn upto, struct fault *f)
{
    struct sync_job job = {.meta = s->meta};
    struct fault full = {0};
    bool begun = false;
    enum err err = ERR_OK;

    pthread_mutex_lock(&s->write_lock);
    if (!s->txn_written && lsn_le(s->written_end, upto) && (s->tail->size > SPOOL_SEGMENT_HEAD || s->buffer.len > 0)) {
        err = spool_flush_complete(s, &full);
        if (err == ERR_OK)
            err = spool_roll(s, &full);
        begun = err == ERR_OK;
    }
    pthread_mutex_unlock(&s->write_lock);
    if (err != ERR_OK && err != ERR_SPOOL_FULL)
        return fault_set(f, err, "%s", full.why);
    if (begun)
        err = sync_with(s, &job, f);
    job_fini(&job);
    return begun ? err : ERR_OK;
}

/* Both records say so before the first file goes: whichever is read, it does not miss what was meant to go. */
static enum err trim_locked(struct spool_file *s, struct lsn upto, struct fault *f)
{
    uint64_t first = s->meta.first;
    struct spool_meta m;
    uint64_t bound;
    char name[32];

    TRY(spool_broken(s, f));
    TRY(begin_anew(s, upto, f));
    bound = trim_bound(s, upto);
    if (bound <= first || !drop_before(s, bound))
        return ERR_OK;
    m = s->meta;
    m.first = bound;
    for (int i = 0; i < 2; i++) {
        m.serial++;
        TRY(spool_meta_write(s, &m, f));
    }
    for (uint64_t number = first; number < bound; number++) {
        spool_segment_name(number, name);
        if (unlinkat(s->dir_fd, name, 0) != 0 && errno != ENOENT)
            return spool_io_fault(f, "removing", name);
    }
    return ERR_OK;
}

static enum err file_trim(struct spool *spool, struct lsn upto, struct fault *f)
{
    struct spool_file *s = file_of(spool);
    enum err err;

    pthread_mutex_lock(&s->meta_lock);
    err = trim_locked(s, upto, f);
    pthread_mutex_unlock(&s->meta_lock);
    TRY_WITH(err, f, "trimming the spool");
    return ERR_OK;
}

/* --- the rest --- */

static const char *file_identity(struct spool *spool)
{
    return file_of(spool)->identity_text;
}

static struct lsn file_end(struct spool *spool)
{
    struct spool_file *s = file_of(spool);
    struct lsn end;

    pthread_mutex_lock(&s->lock);
    end = s->end;
    pthread_mutex_unlock(&s->lock);
    return end;
}

static uint64_t file_bytes(struct spool *spool)
{
    return file_of(spool)->bytes;
}

const struct spool_ops spool_file_ops = {
    .free = spool_file_free,
    .identity = file_identity,
    .append = file_append,
    .sync = file_sync,
    .end = file_end,
    .bytes = file_bytes,
    .trim = file_trim,
    .open_cursor = spool_cursor_open,
    .next = spool_cursor_next,
    .close_cursor = spool_cursor_close,
};
