/* store/postgres/lane_sql.h — the statements a lane runs, made from a binding. Pure text. */
#ifndef LEAT_STORE_POSTGRES_LANE_SQL_H
#define LEAT_STORE_POSTGRES_LANE_SQL_H

#include "model/batch.h"

/* Which parameters a statement takes, in order: relation columns, of the key row or of the new row. */
struct lane_params {
    uint16_t count;
    uint16_t *column;   /* relation column */
    bool *of_key;       /* from the key (old) row; else from the new one */
    uint32_t *type;     /* the target's type oid */
};

/* INSERT of one row; values of skipped columns are left out. */
void lane_sql_insert(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret);
/* UPDATE of one row: SET the columns of `shape`. With `move`, for identity-always columns that changed: DELETE RETURNING, then INSERT. */
void lane_sql_update(struct buf *sql, struct arena *a, const struct binding *b, const uint8_t *shape, struct lane_params *ret);
void lane_sql_move(struct buf *sql, struct arena *a, const struct binding *b, const uint8_t *shape, struct lane_params *ret);
void lane_sql_delete(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret);
/* The same by arrays: one text[] a parameter. */
void lane_sql_bulk_update(struct buf *sql, struct arena *a, const struct binding *b, const uint8_t *shape, struct lane_params *ret);
void lane_sql_bulk_delete(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret);
/* COPY t (columns) FROM STDIN. */
void lane_sql_copy(struct buf *sql, struct arena *a, const struct binding *b, struct lane_params *ret);
/* TRUNCATE of several tables with its flags. */
void lane_sql_truncate(struct buf *sql, const struct binding *const *tables, size_t count, uint8_t flags);

/* Whether an update's SET may hold this column. */
bool lane_settable(const struct binding *b, uint16_t column);

#endif
