/* replicate/spool_recover.c — making a spool, and opening what an engine left: cleanly or not.
 *
 *   meta says: segments `first` to (segment, offset) are durable, sealed so
 *      before that place: each segment is there, whole in length, and follows the one before; its blocks are verified
 * when they are read after it:          block by block, as far as each is whole and follows the one before; then cut at
 * the end of the last complete transaction
 *
 * Invariants
 *  1. Nothing before the durable place is changed, or left out without ERR_SPOOL_DAMAGED.
 *  2. Files are cut and removed only after the durable place. What a crash brings back of them does not verify there
 * again, being sealed with what stood before it then. */
#include "replicate/spool_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/world.h"

#define META "meta"
#define META_NEW "meta.new"

struct numbers {
    uint64_t *list; /* ascending */
    size_t count;
};

struct scan { /* how far blocks follow each other after the durable place */
    uint64_t offset;
    uint64_t seal;
    bool inside;
    struct lsn last_end;
    struct spool_scratch stored;
    struct spool_scratch payload;
};

static enum err dir_fault(struct spool_file *s, const char *doing, const char *name, struct fault *f)
{
    return fault_set(f, ERR_STATE_DIR, "%s %s/%s: %s", doing, s->dir, name, strerror(errno));
}

/* --- the directory --- */

static enum err open_dir(struct spool_file *s, struct fault *f)
{
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        return dir_fault(s, "making", "", f);
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return s->dir_fd >= 0 ? ERR_OK : dir_fault(s, "opening", "", f);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Exactly the names spool_segment_name makes; anything else in the directory is not ours. */
static uint64_t number_of(const char *file)
{
    uint64_t number = strtoull(file, NULL, 10);
    char name[32];

    spool_segment_name(number, name);
    return strcmp(name, file) == 0 ? number : 0;
}

static enum err list_segments(struct spool_file *s, struct numbers *ret, struct fault *f)
{
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL)
        return dir_fault(s, "listing", "", f);
    while ((entry = readdir(dir)) != NULL) {
        uint64_t number = number_of(entry->d_name);
        if (number == 0)
            continue;
        ret->list = mem_grow(ret->list, (ret->count + 1) * sizeof *ret->list);
        ret->list[ret->count++] = number;
    }
    closedir(dir);
    if (ret->count > 0)
        qsort(ret->list, ret->count, sizeof *ret->list, by_number);
    return ERR_OK;
}

/* --- the meta record --- */

static void set_identity(struct spool_file *s)
{
    for (size_t i = 0; i < SPOOL_IDENTITY_SIZE; i++)
        snprintf(s->identity_text + 2 * i, 3, "%02x", s->meta.identity[i]);
}

/* Under another name until it is durable: a spool has a whole meta file or none. */
static enum err make_meta(struct spool_file *s, struct fault *f)
{
    struct spool_meta m = {.first = 1};

    world_random(m.identity, sizeof m.identity);
    s->meta_fd = openat(s->dir_fd, META_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s->meta_fd < 0)
        return dir_fault(s, "making", META_NEW, f);
    for (int i = 0; i < 2; i++) {
        m.serial++;
        TRY(spool_meta_write(s, &m, f));
    }
    if (renameat(s->dir_fd, META_NEW, s->dir_fd, META) != 0 || fsync(s->dir_fd) != 0)
        return dir_fault(s, "making", META, f);
    return ERR_OK;
}

static enum err read_meta(struct spool_file *s, struct fault *f)
{
    bool found = false;

    for (uint64_t slot = 0; slot < 2; slot++) {
        unsigned char bytes[SPOOL_META_RECORD] = {0};
        struct spool_meta m;
        enum spool_parse parse;
        size_t got;
        TRY(spool_read_at(s->meta_fd, bytes, sizeof bytes, slot * SPOOL_META_SLOT, &got, f));
        parse = spool_meta_decode(bytes, &m);
        if (parse == SPOOL_NEWER)
            return fault_set(f, ERR_STATE_NEWER, "the spool in %s", s->dir);
        if (parse == SPOOL_PARSED && (!found || m.serial > s->meta.serial)) {
            s->meta = m;
            found = true;
        }
    }
    if (!found)
        return fault_set(f, ERR_SPOOL_DAMAGED, "%s/%s: neither of its two records is whole", s->dir, META);
    return ERR_OK;
}

static enum err open_meta(struct spool_file *s, bool segments, struct fault *f)
{
    s->meta_fd = openat(s->dir_fd, META, O_RDWR | O_CLOEXEC);
    if (s->meta_fd < 0 && errno != ENOENT)
        return dir_fault(s, "opening", META, f);
    if (s->meta_fd < 0 && segments)
        return fault_set(f, ERR_SPOOL_DAMAGED, "%s/%s is missing, and segments are there", s->dir, META);
    if (s->meta_fd < 0)
        TRY(make_meta(s, f));
    if (flock(s->meta_fd, LOCK_EX | LOCK_NB) != 0)
        return fault_set(f, ERR_BUSY, "the spool in %s is open already", s->dir);
    TRY(read_meta(s, f));
    set_identity(s);
    s->durable = (struct spool_place){s->meta.segment, s->meta.offset, 0};
    s->written_end = s->meta.written_end;
    return ERR_OK;
}

/* --- segments --- */

static enum err read_segment(struct spool_file *s, uint64_t number, struct spool_segment *g, const char **ret_wrong,
                             struct fault *f)
{
    unsigned char bytes[SPOOL_SEGMENT_HEAD] = {0};
    enum spool_parse parse;
    struct stat st;
    char name[32];
    size_t got;

    spool_segment_name(number, name);
    g->fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (g->fd < 0 || fstat(g->fd, &st) != 0)
        return dir_fault(s, "opening", name, f);
    TRY(spool_read_at(g->fd, bytes, sizeof bytes, 0, &got, f));
    parse = spool_segment_head_decode(bytes, &g->head);
    if (parse == SPOOL_NEWER)
        return fault_set(f, ERR_STATE_NEWER, "%s/%s", s->dir, name);
    *ret_wrong = NULL;
    if (parse != SPOOL_PARSED)
        *ret_wrong = "the segment's header is not as it was written";
    else if (memcmp(g->head.identity, s->meta.identity, sizeof g->head.identity) != 0 || g->head.number != number)
        *ret_wrong = "it is of another spool, or has another number";
    g->size = (uint64_t)st.st_size;
    g->seal = g->head.seal;
    return ERR_OK;
}

/* NULL, or why g cannot follow the segment before; that one's size is then what g says it was. */
static const char *follows(struct spool_file *s, const struct spool_segment *g)
{
    struct spool_segment *last = s->segment_count > 0 ? s->segments[s->segment_count - 1] : NULL;

    if (last == NULL)
        return g->head.inside ? "it begins within a transaction, and the segment before is not there" : NULL;
    if (last->size < g->head.before_size)
        return "the segment before is shorter than it was";
    if (last->head.number == s->meta.segment && g->head.before_size < s->meta.offset)
        return "the segment before had no such end";
    if (g->head.before.v < last->head.before.v)
        return "it does not follow the segment before";
    last->size = g->head.before_size;
    return NULL;
}

static enum err take_segment(struct spool_file *s, uint64_t number, bool *ret_taken, struct fault *f)
{
    struct spool_segment *g = mem_alloc(sizeof *g);
    const char *wrong = NULL;
    enum err err;

    g->fd = -1;
    err = read_segment(s, number, g, &wrong, f);
    if (err == ERR_OK && wrong == NULL)
        wrong = follows(s, g);
    if (err == ERR_OK && wrong != NULL && number <= s->meta.segment)
        err = spool_damaged(s, number, 0, wrong, f);
    *ret_taken = err == ERR_OK && wrong == NULL;
    if (!*ret_taken) {
        spool_segment_free(g);
        return err;
    }
    if (number < s->meta.segment) { /* not written again */
        close(g->fd);
        g->fd = -1;
    }
    s->segments = mem_grow(s->segments, (s->segment_count + 1) * sizeof *s->segments);
    s->segments[s->segment_count++] = g;
    return ERR_OK;
}

static enum err remove_segment(struct spool_file *s, uint64_t number, struct fault *f)
{
    char name[32];

    spool_segment_name(number, name);
    if (unlinkat(s->dir_fd, name, 0) != 0 && errno != ENOENT)
        return dir_fault(s, "removing", name, f);
    return ERR_OK;
}

/* Those from `first` on, as far as they follow each other; what was to be trimmed goes, and so does what does not
 * follow. */
static enum err take_segments(struct spool_file *s, const struct numbers *numbers, struct fault *f)
{
    uint64_t next = s->meta.first;
    bool going = true;

    for (size_t i = 0; i < numbers->count; i++) {
        uint64_t number = numbers->list[i];
        if (number < s->meta.first) {
            TRY(remove_segment(s, number, f));
            continue;
        }
        if (number > next && next <= s->meta.segment)
            break;
        going = going && number == next;
        if (going)
            TRY(take_segment(s, number, &going, f));
        if (going)
            next++;
        else
            TRY(remove_segment(s, number, f));
    }
    if (next <= s->meta.segment)
        return spool_damaged(s, next, 0, "the segment is missing", f);
    return ERR_OK;
}

/* --- what stands after the durable place --- */

/* One block; false: it is not whole, or does not follow. */
static enum err scan_block(struct scan *scan, const struct spool_segment *g, bool *ret_good, struct fault *f)
{
    struct spool_block_head h;
    const char *wrong;
    char *payload;

    *ret_good = false;
    TRY(spool_read_head(g->fd, scan->offset, g->size, scan->seal, &h, &wrong, f));
    if (wrong != NULL || h.inside != scan->inside || (!h.open && h.first_end.v <= scan->last_end.v))
        return ERR_OK;
    payload = spool_scratch_need(&scan->payload, h.raw_len);
    TRY(spool_read_payload(g->fd, scan->offset, scan->seal, &h, &scan->stored, payload, &wrong, f));
    if (wrong != NULL)
        return ERR_OK;
    scan->offset += SPOOL_BLOCK_HEAD + (uint64_t)h.stored_len;
    scan->seal = h.seal;
    scan->inside = h.open;
    if (!h.open)
        scan->last_end = h.last_end;
    *ret_good = true;
    return ERR_OK;
}

static void note_complete(struct spool_file *s, const struct scan *scan, const struct spool_segment *g)
{
    s->complete = (struct spool_place){g->head.number, scan->offset, 0};
    s->complete_seal = scan->seal;
    s->written_end = scan->last_end;
}

static bool scan_enter(struct scan *scan, const struct spool_segment *g)
{
    if (g->head.before_seal != scan->seal || g->head.before_size != scan->offset || g->head.inside != scan->inside ||
        g->head.before.v != scan->last_end.v)
        return false;
    scan->offset = SPOOL_SEGMENT_HEAD;
    scan->seal = g->head.seal;
    return true;
}

static enum err scan_segments(struct spool_file *s, struct scan *scan, size_t from, struct fault *f)
{
    bool good = true;

    for (size_t i = from; i < s->segment_count && good; i++) {
        const struct spool_segment *g = s->segments[i];
        if (i > from && !scan_enter(scan, g))
            return ERR_OK;
        if (!scan->inside)
            note_complete(s, scan, g);
        while (good && scan->offset < g->size) {
            TRY(scan_block(scan, g, &good, f));
            if (good && !scan->inside)
                note_complete(s, scan, g);
        }
    }
    return ERR_OK;
}

static enum err scan_tail(struct spool_file *s, struct fault *f)
{
    struct scan scan = {.offset = SPOOL_SEGMENT_HEAD, .seal = s->segments[0]->head.seal, .last_end = s->written_end};
    size_t from = 0;
    enum err err;

    if (s->meta.segment > 0) {
        from = s->meta.segment - s->meta.first;
        if (s->segments[from]->size < s->meta.offset)
            return spool_damaged(s, s->meta.segment, s->segments[from]->size, "the segment ends before what was synced",
                                 f);
        scan.offset = s->meta.offset;
        scan.seal = s->meta.seal;
    }
    err = scan_segments(s, &scan, from, f);
    spool_scratch_fini(&scan.stored);
    spool_scratch_fini(&scan.payload);
    return err;
}

/* Cuts at the last complete transaction. */
static enum err cut_tail(struct spool_file *s, struct fault *f)
{
    struct spool_segment *tail;

    while (s->segments[s->segment_count - 1]->head.number > s->complete.segment) {
        struct spool_segment *g = s->segments[--s->segment_count];
        uint64_t number = g->head.number;
        spool_segment_free(g);
        TRY(remove_segment(s, number, f));
    }
    tail = s->tail = s->segments[s->segment_count - 1];
    if (ftruncate(tail->fd, (off_t)s->complete.offset) != 0)
        return dir_fault(s, "cutting the torn end of the spool in", "", f);
    tail->size = s->complete.offset;
    tail->seal = s->complete_seal;
    for (size_t i = 0; i < s->segment_count; i++)
        s->bytes += s->segments[i]->size;
    return ERR_OK;
}

static enum err recover(struct spool_file *s, struct fault *f)
{
    struct spool_segment_head h = {.number = 1};

    s->end = s->meta.end;
    s->dir_dirty = true;
    if (s->segment_count == 0) {
        memcpy(h.identity, s->meta.identity, sizeof h.identity);
        return spool_add_segment(s, &h, f);
    }
    TRY(scan_tail(s, f));
    TRY(cut_tail(s, f));
    s->end = lsn_max(s->meta.end, s->written_end);
    return ERR_OK;
}

/* --- open, free --- */

static enum err open_all(struct spool_file *s, struct fault *f)
{
    struct numbers numbers = {0};
    enum err err;

    TRY(open_dir(s, f));
    err = list_segments(s, &numbers, f);
    if (err == ERR_OK)
        err = open_meta(s, numbers.count > 0, f);
    if (err == ERR_OK)
        err = take_segments(s, &numbers, f);
    free(numbers.list);
    TRY(err);
    return recover(s, f);
}

static void writer_init(struct spool_file *s)
{
    s->zstd = ZSTD_createCCtx();
    ENSURE(s->zstd != NULL);
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, 1);
    s->out_size = SPOOL_BLOCK_HEAD + ZSTD_compressBound(s->sizes.block_bytes + ((size_t)64 << 10));
    s->out = mem_alloc(s->out_size);
    s->buffer.size = s->sizes.block_bytes + ((size_t)64 << 10);
    s->buffer.data = mem_alloc(s->buffer.size);
}

void spool_file_free(struct spool *spool)
{
    struct spool_file *s = (struct spool_file *)spool;

    for (size_t i = 0; i < s->segment_count; i++)
        spool_segment_free(s->segments[i]);
    free(s->segments);
    if (s->meta_fd >= 0)
        close(s->meta_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    spool_relations_fini(&s->relations);
    ZSTD_freeCCtx(s->zstd);
    free(s->out);
    free(s->buffer.data);
    free(s->dir);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->write_lock);
    pthread_mutex_destroy(&s->meta_lock);
    free(s);
}

enum err spool_file_open_sized(const char *dir, uint64_t limit_bytes, struct spool_sizes sizes,
                               const struct spool_decoder *decoder, struct spool **ret, struct fault *f)
{
    struct spool_file *s = mem_alloc(sizeof *s);
    enum err err;

    s->spool.ops = &spool_file_ops;
    s->decoder = decoder;
    s->dir = mem_dup(dir);
    s->dir_fd = s->meta_fd = -1;
    s->limit_bytes = limit_bytes;
    s->sizes = sizes;
    pthread_mutex_init(&s->meta_lock, NULL);
    pthread_mutex_init(&s->write_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    writer_init(s);
    err = open_all(s, f);
    if (err != ERR_OK) {
        spool_file_free(&s->spool);
        fault_add(f, "opening the spool");
        return err;
    }
    *ret = &s->spool;
    return ERR_OK;
}

enum err spool_file_open(const char *dir, uint64_t limit_bytes, const struct spool_decoder *decoder, struct spool **ret,
                         struct fault *f)
{
    return spool_file_open_sized(dir, limit_bytes, (struct spool_sizes){SPOOL_SEGMENT_BYTES, SPOOL_BLOCK_BYTES},
                                 decoder, ret, f);
}
