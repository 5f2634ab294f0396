/* replicate/spool_cursor.c — reading the spool: blocks back into parcels, alongside the writer.
 *
 *   locate --> on disk: read, verify, unpack --\
 *         \--> the buffer: copied --------------+--> records --> decoder --> parcel
 *
 * Invariants
 *  1. A cursor never passes `complete`: what it reads belongs to transactions whose last part was appended.
 *  2. The segment it stands in is pinned, and so are those after it.
 *  3. It starts at the beginning of a segment, so that its decoder has been told of every relation a change needs; what
 *     ends at or before `after` is passed over, its relation descriptions are not.
 *  4. Nothing of a block is used before its checksum and every length in it were found right.
 *  5. After an error it returns that error for ever: whoever wants to go on opens another at what he has. */
#include "replicate/spool_internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/world.h"

#define GIANT                                                                                                          \
    ((uint32_t)4 << 20) /* payloads from here on are unpacked where the changes will point: no second copy             \
                         */

enum where { CAUGHT_UP, IN_BUFFER, ON_DISK, AT_SEGMENT_END };

struct spool_cursor {
    struct spool_file *s;
    void *decoder;
    struct spool_relations told; /* what the decoder knows */

    struct spool_segment *segment;
    int fd;
    uint64_t offset; /* of the block stood in, and what stands before it is sealed with */
    uint64_t seal;
    bool on_disk; /* the payload is all of `block` */
    struct spool_block_head block;

    char *payload; /* verified records; [at, len) are still to be read */
    size_t at;
    size_t len;
    uint64_t base; /* place of payload[0] in the block's payload */
    bool borrowed; /* it lies in the parcel's arena */
    struct spool_scratch own;
    struct spool_scratch stored;

    bool seeking; /* no transaction with end > after was met yet */
    struct lsn after;
    bool inside; /* between BEGIN and END of txn */
    bool skipping;
    bool part_given;
    struct spool_begin txn;

    /* during next */
    struct parcel *parcel;
    struct txn *part;
    uint64_t max_bytes;
    bool full;

    struct fault failed;
};

/* --- finding the next block --- */

static enum err damaged(struct spool_cursor *c, uint64_t offset, const char *wrong, struct fault *f)
{
    return spool_damaged(c->s, c->segment->head.number, offset, wrong, f);
}

/* Under the lock. *ret_limit: blocks on disk end here at most. */
static enum where locate(const struct spool_file *s, const struct spool_segment *g, uint64_t offset, uint64_t raw,
                         uint64_t *ret_limit)
{
    const struct spool_place *complete = &s->complete;

    if (g->head.number == complete->segment && offset == complete->offset)
        return raw < complete->raw ? IN_BUFFER : CAUGHT_UP;
    *ret_limit = g->head.number == complete->segment ? complete->offset : g->size;
    return g->head.number < complete->segment && offset == g->size ? AT_SEGMENT_END : ON_DISK;
}

static void copy_buffer(struct spool_cursor *c)
{
    size_t len = c->s->complete.raw - c->base;

    c->payload = spool_scratch_need(&c->own, len);
    memcpy(c->payload, c->s->buffer.data + c->base, len);
    c->at = 0;
    c->len = len;
    c->borrowed = c->on_disk = false;
}

static enum err move_on(struct spool_cursor *c, struct fault *f)
{
    struct spool_segment *old = c->segment;
    struct spool_segment *next;
    int fd = -1;

    pthread_mutex_lock(&c->s->lock);
    next = spool_find_segment(c->s, old->head.number + 1);
    ENSURE(next != NULL);
    next->pins++;
    old->pins--;
    c->segment = next;
    pthread_mutex_unlock(&c->s->lock);
    if (next->head.before_seal != c->seal || next->head.before_size != c->offset || next->head.inside != c->inside)
        return damaged(c, 0, "it does not follow the segment before", f);
    TRY(spool_open_segment(c->s, next, &fd, f));
    close(c->fd);
    c->fd = fd;
    c->offset = SPOOL_SEGMENT_HEAD;
    c->seal = next->head.seal;
    c->base = 0;
    return ERR_OK;
}

/* Leaves the block read to its end. */
static void leave_payload(struct spool_cursor *c)
{
    c->base += c->len;
    c->at = c->len = 0;
    c->payload = NULL;
    c->borrowed = false;
    if (!c->on_disk)
        return;
    c->offset += SPOOL_BLOCK_HEAD + (uint64_t)c->block.stored_len;
    c->seal = c->block.seal;
    c->base = 0;
    c->on_disk = false;
}

static enum err unpack(struct spool_cursor *c, struct fault *f)
{
    const struct spool_block_head *h = &c->block;
    const char *wrong;

    c->borrowed = h->raw_len >= GIANT;
    c->payload = c->borrowed ? arena_alloc(c->parcel->arena, h->raw_len) : spool_scratch_need(&c->own, h->raw_len);
    TRY(spool_read_payload(c->fd, c->offset, c->seal, h, &c->stored, c->payload, &wrong, f));
    if (wrong != NULL)
        return damaged(c, c->offset, wrong, f);
    if (c->borrowed)
        spool_scratch_fini(&c->stored); /* a giant is not held packed as well */
    c->at = c->base;
    c->len = h->raw_len;
    return ERR_OK;
}

static enum err read_block(struct spool_cursor *c, uint64_t limit, struct fault *f)
{
    const char *wrong;

    TRY(spool_read_head(c->fd, c->offset, limit, c->seal, &c->block, &wrong, f));
    if (wrong == NULL && c->block.raw_len < c->base)
        wrong = "the block is shorter than it was in memory";
    if (wrong == NULL && c->base == 0 && c->block.inside != c->inside)
        wrong = "the block does not go on where the one before ended";
    if (wrong != NULL)
        return damaged(c, c->offset, wrong, f);
    if (c->block.raw_len >= GIANT && c->parcel->change_count > 0) {
        c->full = true; /* it has a parcel of its own */
        return ERR_OK;
    }
    if (c->block.raw_len > c->base) /* else all of it was read from the buffer */
        TRY(unpack(c, f));
    c->base = 0;
    c->on_disk = true;
    return ERR_OK;
}

/* Until there are records to read. *ret_more false: caught up, or the parcel is full. */
static enum err fill(struct spool_cursor *c, bool *ret_more, struct fault *f)
{
    uint64_t limit = 0;
    enum where where;

    while (c->at == c->len && !c->full) {
        leave_payload(c);
        pthread_mutex_lock(&c->s->lock);
        where = locate(c->s, c->segment, c->offset, c->base, &limit);
        if (where == IN_BUFFER)
            copy_buffer(c);
        pthread_mutex_unlock(&c->s->lock);
        if (where == CAUGHT_UP)
            break;
        if (where == AT_SEGMENT_END)
            TRY(move_on(c, f));
        else if (where == ON_DISK)
            TRY(read_block(c, limit, f));
    }
    *ret_more = c->at < c->len && !c->full;
    return ERR_OK;
}

/* --- where a transaction ends that goes on beyond this block --- */

struct ahead {
    const struct spool_segment *segment; /* after the cursor's: not trimmed before that one */
    int fd;                              /* -1: the cursor's */
    uint64_t offset;
    uint64_t seal;
    struct lsn end;
};

static enum err ahead_segment(struct spool_cursor *c, struct ahead *a, struct fault *f)
{
    int fd = -1;

    pthread_mutex_lock(&c->s->lock);
    a->segment = spool_find_segment(c->s, a->segment->head.number + 1);
    pthread_mutex_unlock(&c->s->lock);
    ENSURE(a->segment != NULL);
    TRY(spool_open_segment(c->s, a->segment, &fd, f));
    if (a->fd >= 0)
        close(a->fd);
    a->fd = fd;
    a->offset = SPOOL_SEGMENT_HEAD;
    a->seal = a->segment->head.seal;
    return ERR_OK;
}

static enum err ahead_step(struct spool_cursor *c, struct ahead *a, struct fault *f)
{
    struct spool_block_head h;
    const char *wrong;
    uint64_t limit = 0;
    enum where where;

    pthread_mutex_lock(&c->s->lock);
    where = locate(c->s, a->segment, a->offset, 0, &limit);
    if (where == IN_BUFFER)
        a->end = c->s->buffer.first_end;
    pthread_mutex_unlock(&c->s->lock);
    ENSURE(where != CAUGHT_UP); /* the transaction is complete */
    if (where == IN_BUFFER)
        return ERR_OK;
    if (where == AT_SEGMENT_END)
        return ahead_segment(c, a, f);
    TRY(spool_read_head(a->fd >= 0 ? a->fd : c->fd, a->offset, limit, a->seal, &h, &wrong, f));
    if (wrong != NULL)
        return spool_damaged(c->s, a->segment->head.number, a->offset, wrong, f);
    a->end = h.first_end;
    a->offset += SPOOL_BLOCK_HEAD + (uint64_t)h.stored_len;
    a->seal = h.seal;
    return ERR_OK;
}

static enum err look_ahead(struct spool_cursor *c, struct lsn *ret_end, struct fault *f)
{
    struct ahead a = {.segment = c->segment,
                      .fd = -1,
                      .offset = c->offset + SPOOL_BLOCK_HEAD + c->block.stored_len,
                      .seal = c->block.seal};
    enum err err = ERR_OK;

    ENSURE(c->on_disk);
    while (err == ERR_OK && a.end.v == 0)
        err = ahead_step(c, &a, f);
    if (a.fd >= 0)
        close(a.fd);
    TRY(err);
    *ret_end = a.end;
    return ERR_OK;
}

/* --- records into the parcel --- */

static struct txn *part_of(struct spool_cursor *c)
{
    if (c->part == NULL) {
        c->part = parcel_add_txn(c->parcel, c->txn.xid, !c->part_given);
        c->part->commit = c->txn.commit;
        c->part->commit_us = c->txn.commit_us;
        c->part_given = true;
    }
    return c->part;
}

/* A transaction that fits no more waits for the next parcel; one larger than a parcel begins one. */
static enum err on_first(struct spool_cursor *c, const struct spool_begin *b, struct fault *f)
{
    uint64_t bytes;
    struct lsn end_here = spool_txn_extent(c->payload, c->len, c->at, &bytes);
    struct lsn end = end_here;
    bool skip = false;

    if (c->seeking) {
        if (end.v == 0)
            TRY(look_ahead(c, &end, f));
        skip = lsn_le(end, c->after);
        c->seeking = skip;
    }
    if (!skip && c->parcel->txn_count > 0 && (end_here.v == 0 || c->parcel->bytes + bytes > c->max_bytes)) {
        c->full = true;
        return ERR_OK;
    }
    c->txn = *b;
    c->inside = true;
    c->skipping = skip;
    c->part = NULL;
    c->part_given = false;
    return ERR_OK;
}

static enum err on_begin(struct spool_cursor *c, const struct spool_record *r, struct fault *f)
{
    struct spool_begin b = spool_begin_decode(r->data);

    if (b.first == c->inside || (!b.first && b.xid != c->txn.xid))
        return damaged(c, c->offset, "a transaction does not go on where it was left", f);
    return b.first ? on_first(c, &b, f) : ERR_OK;
}

static enum err on_relation(struct spool_cursor *c, const struct spool_record *r, struct fault *f)
{
    const char *raw = r->data + SPOOL_RELATION_HEAD;
    uint32_t raw_len = r->len - SPOOL_RELATION_HEAD;
    struct change *none = NULL;

    if (!spool_relations_note(&c->told, spool_u32_decode(r->data), raw, raw_len))
        return ERR_OK;
    TRY(c->s->decoder->decode(c->decoder, c->parcel->arena, raw, raw_len, &none, f));
    return none == NULL ? ERR_OK : damaged(c, c->offset, "a change stands in a relation's place", f);
}

static enum err on_change(struct spool_cursor *c, const struct spool_record *r, struct fault *f)
{
    struct change *change = NULL;
    const char *raw = r->data;

    if (c->skipping)
        return ERR_OK;
    if (c->parcel->bytes > 0 && c->parcel->bytes + r->len > c->max_bytes) {
        c->full = true;
        return ERR_OK;
    }
    if (!c->borrowed)
        raw = arena_copy(c->parcel->arena, raw, r->len);
    TRY(c->s->decoder->decode(c->decoder, c->parcel->arena, raw, r->len, &change, f));
    if (change == NULL)
        return damaged(c, c->offset, "a relation stands in a change's place", f);
    txn_add_change(c->parcel, part_of(c), change);
    return ERR_OK;
}

static void on_end(struct spool_cursor *c, const struct spool_record *r)
{
    if (!c->skipping) {
        struct txn *t = part_of(c);
        t->last = true;
        t->end.v = spool_u64_decode(r->data);
        c->parcel->idle_end = t->end;
    }
    c->inside = c->skipping = false;
    c->part = NULL;
}

static enum err take_record(struct spool_cursor *c, const struct spool_record *r, struct fault *f)
{
    if (r->kind == SPOOL_BEGIN)
        return on_begin(c, r, f);
    if (r->kind == SPOOL_RELATION)
        return on_relation(c, r, f);
    if (r->kind == SPOOL_CHANGE)
        return on_change(c, r, f);
    on_end(c, r);
    return ERR_OK;
}

static enum err take_records(struct spool_cursor *c, struct fault *f)
{
    struct spool_record r;

    while (c->at < c->len) {
        ENSURE(spool_record_at(c->payload, c->len, c->at, &r));
        TRY(take_record(c, &r, f));
        if (c->full)
            break;
        c->at = r.next;
    }
    return ERR_OK;
}

/* --- the cursor --- */

/* What is left of a payload in the parcel's arena must not go with the parcel. */
static void own_payload(struct spool_cursor *c)
{
    if (!c->borrowed || c->at == c->len)
        return;
    c->payload = memcpy(spool_scratch_need(&c->own, c->len), c->payload, c->len);
    c->borrowed = false;
}

static enum err read_parcel(struct spool_cursor *c, struct fault *f)
{
    bool more = true;

    TRY(fill(c, &more, f));
    while (more) {
        TRY(take_records(c, f));
        TRY(fill(c, &more, f));
    }
    own_payload(c);
    if (c->inside)
        c->parcel->idle_end = LSN_ZERO;
    return ERR_OK;
}

enum err spool_cursor_next(struct spool_cursor *c, uint64_t max_bytes, struct parcel **ret, struct fault *f)
{
    AUTO(parcel) *parcel = NULL;
    enum err err;

    if (c->failed.code != ERR_OK)
        return fault_set(f, c->failed.code, "%s", c->failed.why);
    TRY(spool_broken(c->s, f));
    parcel = c->parcel = parcel_new();
    c->part = NULL;
    c->max_bytes = max_bytes;
    c->full = false;
    err = read_parcel(c, &c->failed);
    c->parcel = NULL;
    c->part = NULL;
    if (err != ERR_OK)
        return fault_set(f, err, "%s", c->failed.why);
    parcel->received_us = world_mono_us();
    *ret = parcel->txn_count > 0 ? TAKE(parcel) : NULL;
    return ERR_OK;
}

/* Under the lock: the last segment that begins between two transactions, before any with end > after. */
static struct spool_segment *start_segment(struct spool_file *s, struct lsn after)
{
    for (size_t i = s->segment_count; i > 0; i--) {
        struct spool_segment *g = s->segments[i - 1];
        if (g->head.number <= s->complete.segment && !g->head.inside && lsn_le(g->head.before, after))
            return g;
    }
    return after.v == 0 ? s->segments[0] : NULL;
}

enum err spool_cursor_open(struct spool *spool, struct lsn after, struct spool_cursor **ret, struct fault *f)
{
    struct spool_file *s = (struct spool_file *)spool;
    struct spool_segment *g;
    struct spool_cursor *c;
    enum err err;

    pthread_mutex_lock(&s->lock);
    g = start_segment(s, after);
    if (g != NULL)
        g->pins++;
    pthread_mutex_unlock(&s->lock);
    if (g == NULL)
        return fault_set(f, ERR_SPOOL_DAMAGED, "the spool in %s was trimmed beyond %llu", s->dir,
                         (unsigned long long)after.v);

    c = mem_alloc(sizeof *c);
    *c = (struct spool_cursor){.s = s, .segment = g, .fd = -1, .after = after, .seeking = true};
    c->offset = SPOOL_SEGMENT_HEAD;
    c->seal = g->head.seal;
    c->decoder = s->decoder->make();
    err = spool_open_segment(s, g, &c->fd, f);
    if (err != ERR_OK) {
        spool_cursor_close(c);
        return err;
    }
    *ret = c;
    return ERR_OK;
}

void spool_cursor_close(struct spool_cursor *c)
{
    pthread_mutex_lock(&c->s->lock);
    c->segment->pins--;
    pthread_mutex_unlock(&c->s->lock);
    if (c->fd >= 0)
        close(c->fd);
    c->s->decoder->drop(c->decoder);
    spool_relations_fini(&c->told);
    spool_scratch_fini(&c->own);
    spool_scratch_fini(&c->stored);
    free(c);
}
