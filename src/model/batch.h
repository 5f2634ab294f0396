/* model/batch.h — what one target transaction does: steps made of changes, ready for a lane.
 *
 * Near the head a batch is one source transaction and its steps are its changes one by one. Behind, a batch is the net
 * effect of consecutive transactions: per table deletes, then updates by shape, then inserts. Either way the parcels it was
 * made of stay with it, so that a lane can fall back to replaying them row by row. */
#ifndef LEAT_MODEL_BATCH_H
#define LEAT_MODEL_BATCH_H

#include "model/change.h"
#include "model/table.h"

#define BINDING_SKIP 0xffff /* a column the target computes itself */

/* How a relation of the stream lands on a table of the target. Immutable; lives as long as the engine. */
struct binding {
    uint32_t serial;                 /* small, dense: lanes key their prepared statements by it */
    const struct relation *relation;
    const struct table *table;       /* the target's */
    uint16_t *column;                /* relation column → index into table->columns, or BINDING_SKIP */
    bool keyed;                      /* rows are found by the identity's columns; else by the whole row (FULL) */
    bool bulk;                       /* may be coalesced */
    const uint8_t *shape;            /* per relation column, 1 = set by an update that brings every value: sent, and not of the key */
    const char **key_operator;       /* per relation column: `OPERATOR(pg_catalog.=)`; NULL where not a key */
    const char *probe_column;        /* FULL: quoted name of an indexed column to look by, or NULL */
    uint16_t probe_index;            /* its relation column */
};

enum batch_op { BATCH_DELETE, BATCH_UPDATE, BATCH_INSERT, BATCH_CHANGE };

struct batch_row {
    const struct row *key;    /* DELETE, UPDATE: the row (or old key) whose key columns find it */
    const struct row *values; /* UPDATE, INSERT: what it becomes */
};

struct batch_step {
    struct batch_step *next;
    enum batch_op op;
    bool late;                     /* touches what a batch before it touches: runs after that one committed */
    const struct binding *binding; /* not for BATCH_CHANGE of a truncate */
    const struct change *change;   /* BATCH_CHANGE: one change as it came */
    const uint8_t *shape;          /* UPDATE: per relation column, 1 = in SET */
    uint64_t shape_hash;
    uint32_t count;
    uint32_t size;
    struct batch_row *rows;
};

struct batch {
    uint64_t seq;          /* 1, 2, ...: the order of commits */
    struct arena *arena;
    struct parcel **parcels;
    uint32_t parcel_count;
    uint32_t parcel_size;
    bool borrows;          /* its parcels are another's */
    struct batch_step *steps;
    struct batch_step **tail;
    uint64_t txn_count;
    uint64_t change_count; /* changes that apply here, before coalescing */
    uint64_t bytes;
    struct lsn end;        /* the position it commits */
    int64_t commit_us;     /* of its last transaction, the source's clock */
    bool begins;           /* false: goes on with a transaction a batch before it began (one larger than a part) */
    bool completes;        /* false: its last transaction goes on in the next batch; no commit here */
    bool exclusive;        /* nothing of it may run beside another batch */
    uint64_t *keys;        /* hashes of the identity keys it touches, a set by open addressing; 0 = free */
    size_t key_slots;
    const struct table **whole; /* tables it touches as a whole */
    uint32_t whole_count;
    void *ctx;             /* of the dispatcher */
};

/* One number for the columns in a SET (FNV-1a): what a lane keeps its prepared updates by. */
static inline uint64_t shape_hash(const uint8_t *shape, size_t n)
{
    uint64_t h = 1469598103934665603u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ shape[i]) * 1099511628211u;
    return h;
}

#endif
