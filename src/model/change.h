/* model/change.h — what a stream delivers: relations, changes, transactions, and the parcels they travel in.
 *
 * Engine-neutral. Values are text as the source's output functions give it under pinned settings (UTF-8, ISO dates, ...),
 * pointing into the message they came in; messages are copied once into the parcel's arena and live as long as it does. */
#ifndef LEAT_MODEL_CHANGE_H
#define LEAT_MODEL_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "model/position.h"

#define VALUE_NULL (-1)      /* SQL NULL */
#define VALUE_UNCHANGED (-2) /* an out-of-line value the update did not touch and the stream does not carry */

struct value {
    const char *data; /* not NUL-terminated */
    int32_t len;      /* >= 0, or VALUE_NULL, VALUE_UNCHANGED */
};

struct row {
    uint16_t count;
    struct value values[];
};

enum identity { IDENTITY_DEFAULT = 'd', IDENTITY_NOTHING = 'n', IDENTITY_FULL = 'f', IDENTITY_INDEX = 'i' };

struct rel_column {
    const char *name;
    bool key;         /* part of the identity */
    uint32_t type;    /* the source's type oid */
    int32_t typmod;
};

/* A table as the stream described it at that point. Immutable once made; a new description is a new relation. */
struct relation {
    uint64_t serial; /* no other description of this process has it; an address may come again when a decoder ends */
    uint32_t id; /* the stream's number for the table (PostgreSQL: oid) */
    const char *schema;
    const char *name;
    enum identity identity;
    uint16_t column_count;
    struct rel_column *columns;
    const char *raw; /* the message itself, for the spool */
    uint32_t raw_len;
    bool notes_schema; /* its rows note changes of the schema: leat's own */
    bool notes_switch; /* its rows are marks of a switch, or say who serves: leat's own */
};

enum change_kind { CHANGE_INSERT = 'I', CHANGE_UPDATE = 'U', CHANGE_DELETE = 'D', CHANGE_TRUNCATE = 'T', CHANGE_MESSAGE = 'M' };

struct change {
    struct change *next;
    enum change_kind kind;
    uint8_t truncate_flags; /* 1 = CASCADE, 2 = RESTART IDENTITY */
    bool old_is_key;        /* old holds only the identity's columns (the others are NULL) */
    uint32_t raw_len;
    const char *raw;        /* the message, without the streaming xid */
    const struct relation *relation;   /* NULL for a truncate or message */
    const struct row *old;             /* update: NULL when the identity did not change and is not FULL */
    const struct row *new;
    uint32_t truncate_count;
    const struct relation **truncated; /* every table of the one TRUNCATE statement */
};

/* One transaction of the source, or a part of a large one: parts arrive in order, first..last. Only the last part has
 * `end`. */
struct txn {
    struct txn *next;
    uint32_t xid;      /* top-level, 32 bit */
    bool first;
    bool last;
    bool schema_change; /* a note of a schema change is among the changes of this part */
    bool switch_note;   /* a mark of a switch is, or that this side serves from here on, or no longer */
    struct lsn commit; /* start of the commit record; known in every part. end <= P iff commit < P, for P the end of any commit */
    struct lsn end;    /* end of the commit record: the transaction's position; zero while unknown */
    int64_t commit_us; /* the source's clock, microseconds since 1970 */
    uint64_t change_count;
    uint64_t bytes;    /* of messages */
    struct change *changes;
    struct change **tail;
};

/* Some transactions of one stream, in commit order, with the memory they live in. Handed from thread to thread whole. */
struct parcel {
    struct arena *arena;
    struct txn *txns;
    struct txn **tail;
    uint32_t txn_count;
    uint64_t change_count;
    uint64_t bytes;
    struct lsn idle_end; /* when no transaction is pending before it: everything up to here has been delivered; else zero */
    int64_t received_us; /* monotonic */
    bool more_soon;      /* the stream is running full: waiting a little makes a larger batch */
};
struct parcel *parcel_new(void);
void parcel_free(struct parcel *p);
struct txn *parcel_add_txn(struct parcel *p, uint32_t xid, bool first);
void txn_add_change(struct parcel *p, struct txn *t, struct change *c);
/* Takes what stands before t out of p, as a parcel that borrows its memory: p must be freed after it. t is in p, and not its first. */
struct parcel *parcel_split(struct parcel *p, struct txn *t);
/* Takes out what a parcel before it has brought: every transaction (part) that commits before *passed, which moves on to the end of
 * the last whole one. Gives how many were taken out. */
size_t parcel_drop_passed(struct parcel *p, struct lsn *passed);
AUTO_DEFINE(parcel)

static inline bool value_same(const struct value *a, const struct value *b)
{
    return a->len == b->len && (a->len <= 0 || __builtin_memcmp(a->data, b->data, (size_t)a->len) == 0);
}

#endif
