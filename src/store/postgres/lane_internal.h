/* store/postgres/lane_internal.h — a lane's parts, shared by its files: lane.c (its life, transactions), lane_pipeline.c
 * (statements and what is in flight), lane_bulk.c (many rows at once), lane_replay.c (row by row, and the ledger). */
#ifndef LEAT_STORE_POSTGRES_LANE_INTERNAL_H
#define LEAT_STORE_POSTGRES_LANE_INTERNAL_H

#include "store/postgres/lane.h"
#include "store/postgres/lane_sql.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"

#define PIPELINE_BYTES ((size_t)64 << 10)
#define PIPELINE_COUNT 128
#define MOST_STATEMENTS 4096 /* kept prepared; beyond it they are forgotten between transactions */

enum statement_kind { ST_INSERT = 1, ST_UPDATE, ST_DELETE, ST_MOVE, ST_BULK_UPDATE, ST_BULK_DELETE, ST_COPY };

struct statement {
    uint64_t key;
    char name[24];
    char *sql;
    bool prepared;
    bool move_exists; /* 0 rows may mean that an always-generated identity changed */
    struct lane_params params;
};

struct flight { /* one statement whose result is still to be read */
    const struct statement *statement;
    int expect; /* rows; -1: any */
};

struct store_lane {
    struct store *store;
    struct pg *pg;
    struct arena *arena;        /* the lane's life: statements */
    struct arena *scratch;      /* one statement's parameters */
    struct statement **slots;   /* open addressing, grows */
    size_t slot_count;
    size_t statement_count;
    char stream[NAME_SIZE];
    char name[64];
    char token[24];
    bool open;                  /* in a transaction */
    bool pipeline;
    struct flight flights[PIPELINE_COUNT];
    size_t flight_count;
    size_t flight_bytes;
    _Atomic uint64_t replays;   /* as in lane_stats */
    _Atomic uint64_t divergences;
    struct lsn position;        /* last committed here */
};

/* lane_pipeline.c */
enum err lane_forget_statements(struct store_lane *l, struct fault *f);
struct statement *lane_statement(struct store_lane *l, enum statement_kind kind, const struct binding *b, const uint8_t *shape, uint64_t shape_key);
MUST_USE enum err lane_sent(struct store_lane *l, int ok, struct fault *f);
enum err lane_land(struct store_lane *l, struct fault *f);
/* One statement with text parameters down the pipeline; expect: rows, -1 any. */
MUST_USE enum err lane_send_params(struct store_lane *l, const char *sql, int count, const char *const params[], int expect, struct fault *f);
MUST_USE enum err lane_send_text(struct store_lane *l, const char *sql, int expect, struct fault *f);
struct lane_values { /* for libpq; in the lane's scratch, but for those that point into the message */
    const char **values;
    int *lengths;
    int *formats;
};
struct lane_values lane_row_params(struct store_lane *l, const struct statement *s, const struct row *key, const struct row *values, size_t *bytes);
MUST_USE enum err lane_send_row(struct store_lane *l, struct statement *s, const struct row *key, const struct row *values, struct fault *f);
void lane_forget_failed(struct store_lane *l);

/* lane_bulk.c */
MUST_USE enum err lane_bulk_insert(struct store_lane *l, const struct batch_step *step, struct fault *f);
MUST_USE enum err lane_bulk_by_arrays(struct store_lane *l, const struct batch_step *step, struct fault *f);

/* lane.c */
MUST_USE enum err lane_change_statement(struct store_lane *l, const struct binding *b, const struct change *c, bool move, struct statement **ret, const struct row **ret_key);
MUST_USE enum err lane_send_truncate(struct store_lane *l, const struct binding *const *tables, size_t count, uint8_t flags, struct fault *f);
MUST_USE enum err lane_send_mark(struct store_lane *l, struct lsn position, struct fault *f);
MUST_USE enum err lane_commit_at(struct store_lane *l, struct lsn position, bool durable, struct fault *f);

#endif
