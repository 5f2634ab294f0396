/* replicate/spool_internal.h — what the files of the spool in files share, and no one else includes (but its tests).
 *
 *   spool_codec.c      bytes <-> headers, records, the meta record: pure
 *   spool_relations.c  which relation descriptions were written (or read) last
 *   spool_block.c      the writer's file work: blocks, segments, taking back
 *   spool_recover.c    making, opening, cutting the torn end
 *   spool_read.c       a block from disk
 *   spool_file.c       the vtable: append, sync, trim
 *   spool_cursor.c     reading
 *
 * The format is docs/formats/spool.md. */
#ifndef LEAT_REPLICATE_SPOOL_INTERNAL_H
#define LEAT_REPLICATE_SPOOL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "replicate/spool.h"

#define SPOOL_VERSION 1u
#define SPOOL_SEGMENT_BYTES ((uint64_t)16 << 20) /* a segment reaching this is the last one's end */
#define SPOOL_BLOCK_BYTES                                                                                              \
    ((uint64_t)1 << 20)                       /* of raw payload; only a message larger than this makes a larger block  \
                                               */
#define SPOOL_MESSAGE_MAX ((uint64_t)1 << 30) /* PostgreSQL makes none of 1 GiB or more */
#define SPOOL_RAW_MAX (SPOOL_MESSAGE_MAX + ((uint64_t)64 << 20))
#define SPOOL_UNSYNCED_MAX 16u /* closed segments that wait for sync; more are synced while appending */

/* --- the codec --- */

#define SPOOL_IDENTITY_SIZE 16
#define SPOOL_SEGMENT_HEAD 72
#define SPOOL_BLOCK_HEAD 48
#define SPOOL_META_RECORD 96
#define SPOOL_META_SLOT 4096 /* two of them: they share no sector */
#define SPOOL_RECORD_HEAD 5
#define SPOOL_BEGIN_SIZE 21
#define SPOOL_END_SIZE 8
#define SPOOL_RELATION_HEAD 4

struct spool_segment_head {
    unsigned char identity[SPOOL_IDENTITY_SIZE];
    bool inside;          /* begins within a transaction of the segment before */
    uint64_t number;      /* from 1 */
    struct lsn before;    /* end of the last transaction that ends in an earlier segment */
    uint64_t before_size; /* of the segment before: the whole of it */
    uint64_t before_seal; /* seal of the last block before, 0 in segment 1 */
    uint64_t seal;        /* set by encoding and decoding: the first block's seed */
};

struct spool_block_head {
    bool inside; /* begins within a transaction */
    bool open;   /* ends within one: then it holds nothing of any other, and both ends are zero */
    uint32_t raw_len;
    uint32_t stored_len;
    struct lsn first_end; /* of the first and last transaction that ends in it */
    struct lsn last_end;
    uint64_t payload_hash; /* XXH3-64 of the stored bytes, seeded with the seal before */
    uint64_t seal;         /* XXH3-64 of the header, seeded alike: set by encoding and decoding */
};

struct spool_meta {
    unsigned char identity[SPOOL_IDENTITY_SIZE];
    uint64_t serial;  /* the valid record with the greater one counts */
    uint64_t first;   /* segments before it are trimmed */
    uint64_t segment; /* durable up to this place, which is a block's and a transaction's end; 0 = nothing yet */
    uint64_t offset;
    uint64_t seal;          /* of the block that ends there */
    struct lsn end;         /* durable end, of transactions kept or not */
    struct lsn written_end; /* of the last one before that place of which something was kept */
};

enum spool_parse { SPOOL_PARSED, SPOOL_BAD, SPOOL_NEWER };

void spool_segment_head_encode(struct spool_segment_head *h, unsigned char out[SPOOL_SEGMENT_HEAD]);
enum spool_parse spool_segment_head_decode(const unsigned char in[SPOOL_SEGMENT_HEAD], struct spool_segment_head *ret);
void spool_block_head_encode(struct spool_block_head *h, uint64_t seed, unsigned char out[SPOOL_BLOCK_HEAD]);
/* False: not the header of a block that follows the one sealed with `seed`, or impossible. */
bool spool_block_head_decode(const unsigned char in[SPOOL_BLOCK_HEAD], uint64_t seed, struct spool_block_head *ret);
void spool_meta_encode(const struct spool_meta *m, unsigned char out[SPOOL_META_RECORD]);
enum spool_parse spool_meta_decode(const unsigned char in[SPOOL_META_RECORD], struct spool_meta *ret);

enum spool_record_kind { SPOOL_BEGIN = 'B', SPOOL_RELATION = 'R', SPOOL_CHANGE = 'C', SPOOL_END = 'E' };

struct spool_record {
    enum spool_record_kind kind;
    uint32_t len;
    const char *data;
    size_t next; /* where the following record begins */
};

struct spool_begin { /* every block, and every transaction, begins with one */
    uint32_t xid;
    bool first;
    struct lsn commit;
    int64_t commit_us;
};

void spool_record_head_encode(enum spool_record_kind kind, uint32_t len, unsigned char out[SPOOL_RECORD_HEAD]);
void spool_begin_encode(const struct spool_begin *b, unsigned char out[SPOOL_BEGIN_SIZE]);
struct spool_begin spool_begin_decode(const char *data);
void spool_u64_encode(uint64_t v, unsigned char out[8]);
uint64_t spool_u64_decode(const char *data);
void spool_u32_encode(uint32_t v, unsigned char out[4]);
uint32_t spool_u32_decode(const char *data);

/* The record at `at`; false when it does not lie within the payload or cannot be one. */
bool spool_record_at(const char *payload, size_t len, size_t at, struct spool_record *ret);
/* Whether the payload reads as the header says, record for record. After this spool_record_at cannot fail. */
bool spool_payload_check(const struct spool_block_head *h, const char *payload, size_t len);
/* From the BEGIN at `at`: message bytes up to the transaction's end, and that end; zero when it is not in this payload.
 */
struct lsn spool_txn_extent(const char *payload, size_t len, size_t at, uint64_t *ret_bytes);
/* Verifies stored bytes against their header and unpacks them to exactly h->raw_len bytes, checked record for record.
 * NULL, or what is wrong. */
const char *spool_block_unpack(const struct spool_block_head *h, uint64_t seed, const char *stored, char *ret_payload);

/* --- relations --- */

struct spool_relation {
    uint32_t id;
    uint32_t raw_len;
    uint64_t era;
    char *raw; /* NULL: a free place */
};
struct spool_relations {
    struct spool_relation *slots;
    size_t size; /* power of two */
    size_t count;
    uint64_t era; /* descriptions of earlier eras do not count */
};
void spool_relations_fini(struct spool_relations *r);
void spool_relations_forget(struct spool_relations *r); /* a new era */
/* Notes the description. False: it is the one noted last in this era. */
bool spool_relations_note(struct spool_relations *r, uint32_t id, const char *raw, uint32_t raw_len);

/* --- the spool --- */

struct spool_sizes {
    uint64_t segment_bytes;
    uint64_t block_bytes;
};

/* A place between two records: byte `raw` of the payload of the block that begins, or will, at segment and offset. */
struct spool_place {
    uint64_t segment;
    uint64_t offset;
    uint64_t raw;
};

struct spool_segment {
    struct spool_segment_head head;
    uint64_t size; /* of what is written; under the lock */
    uint64_t seal; /* of its last block, or of its header; writer */
    int fd;        /* the writer's: -1 once closed and synced */
    unsigned pins; /* cursors that stand in it; under the lock */
};

struct spool_buffer { /* the block being filled */
    char *data;
    size_t len;
    size_t size;
    bool inside;          /* its first BEGIN continues a transaction */
    struct lsn first_end; /* of the first transaction that ends in it; under the lock */
};

struct spool_file {
    struct spool spool;
    const struct spool_decoder *decoder;
    char *dir;
    int dir_fd;
    int meta_fd;
    uint64_t limit_bytes;
    struct spool_sizes sizes;
    char identity_text[2 * SPOOL_IDENTITY_SIZE + 1];

    /* Taken in this order. */
    pthread_mutex_t meta_lock;  /* sync and trim, which write the meta record */
    pthread_mutex_t write_lock; /* append, and sync while it writes the buffer: whoever holds it is the writer */
    pthread_mutex_t lock;       /* short: no file is touched while it is held */

    struct spool_meta meta; /* under meta_lock */

    /* under lock; the writer alone changes them (but trim: the front of the list), and reads them without */
    struct spool_segment **segments; /* consecutive numbers */
    size_t segment_count;
    struct spool_place complete; /* readers go no further: the end of the last complete transaction */
    uint64_t complete_seal;      /* of the block before that place */
    struct spool_place durable;
    struct lsn end;
    struct lsn written_end; /* of the last transaction of which something was kept */
    _Atomic uint64_t bytes;
    _Atomic int broken; /* enum err: the disk failed in a way that only opening again can mend */

    /* the writer's alone; readers see buffer.data[0, complete.raw) under lock */
    struct spool_segment *tail;
    struct spool_buffer buffer;
    struct spool_relations relations;
    bool in_txn;      /* a first part was appended, the last was not */
    bool txn_written; /* something of it was kept */
    bool in_block;    /* ... and the buffer holds its BEGIN */
    bool dir_dirty;   /* segments were made since the directory was synced */
    void *zstd;
    char *out; /* one block's stored bytes */
    size_t out_size;
};

void spool_segment_name(uint64_t number, char name[32]);
void spool_segment_free(struct spool_segment *g);
/* Under the lock. NULL: trimmed, or not yet made. */
struct spool_segment *spool_find_segment(struct spool_file *s, uint64_t number);
enum err spool_io_fault(struct fault *f, const char *doing, const char *name);
enum err spool_broken(struct spool_file *s, struct fault *f); /* ERR_OK when it is not */

/* spool_block.c */
MUST_USE enum err spool_write_at(int fd, const void *p, size_t n, uint64_t offset, const char *name, struct fault *f);
void spool_buffer_put(struct spool_file *s, const void *p, size_t n);
/* Writes the complete transactions of the buffer as a block; the rest moves to its front. */
MUST_USE enum err spool_flush_complete(struct spool_file *s, struct fault *f);
/* Writes the whole buffer, and `more` after it, as a block that ends within the transaction. */
MUST_USE enum err spool_flush_open(struct spool_file *s, const char *more, size_t more_len, struct fault *f);
/* Begins a new segment. The buffer is empty. */
MUST_USE enum err spool_roll(struct spool_file *s, struct fault *f);
/* Drops everything after the last complete transaction, from the buffer and the disk. */
void spool_take_back(struct spool_file *s);
MUST_USE enum err spool_meta_write(struct spool_file *s, const struct spool_meta *m, struct fault *f);
/* The disk refused to keep what it had taken: drops what is not durable, so that no one takes the cache's word for it.
 */
void spool_break(struct spool_file *s, enum err err);
MUST_USE enum err spool_add_segment(struct spool_file *s, const struct spool_segment_head *h, struct fault *f);

/* spool_read.c */
struct spool_scratch {
    char *data;
    size_t size;
};
void spool_scratch_fini(struct spool_scratch *b);
/* At least `size` bytes; what it held is lost. */
char *spool_scratch_need(struct spool_scratch *b, size_t size);
MUST_USE enum err spool_read_at(int fd, void *p, size_t n, uint64_t offset, size_t *ret_got, struct fault *f);
/* The header of the block at `offset`, which follows what is sealed with `seed` and lies before `limit`. *ret_wrong:
 * NULL, or what is wrong with it. The same for its payload, of which there are h->raw_len bytes. */
MUST_USE enum err spool_read_head(int fd, uint64_t offset, uint64_t limit, uint64_t seed, struct spool_block_head *ret,
                                  const char **ret_wrong, struct fault *f);
MUST_USE enum err spool_read_payload(int fd, uint64_t offset, uint64_t seed, const struct spool_block_head *h,
                                     struct spool_scratch *stored, char *ret_payload, const char **ret_wrong,
                                     struct fault *f);
MUST_USE enum err spool_open_segment(struct spool_file *s, const struct spool_segment *g, int *ret_fd, struct fault *f);
enum err spool_damaged(struct spool_file *s, uint64_t segment, uint64_t offset, const char *wrong, struct fault *f);

/* spool_recover.c */
MUST_USE enum err spool_file_open_sized(const char *dir, uint64_t limit_bytes, struct spool_sizes sizes,
                                        const struct spool_decoder *decoder, struct spool **ret, struct fault *f);
void spool_file_free(struct spool *spool);
extern const struct spool_ops spool_file_ops;

/* spool_cursor.c */
enum err spool_cursor_open(struct spool *spool, struct lsn after, struct spool_cursor **ret, struct fault *f);
enum err spool_cursor_next(struct spool_cursor *c, uint64_t max_bytes, struct parcel **ret, struct fault *f);
void spool_cursor_close(struct spool_cursor *c);

#endif
