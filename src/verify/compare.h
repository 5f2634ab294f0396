/* verify/compare.h — tables of a cut, compared: both sides read in parallel, tallied, and where buckets differ sifted down to rows
 * and columns.
 *
 *   TALLY: every row of both sides --(buckets differ)--> SIFT: rows of those buckets --> FIND: the rows named, column by column --> DONE
 *
 * Each side's connections go through the tables by themselves; whoever comes to the end of a phase last takes its table on. */
#ifndef LEAT_VERIFY_COMPARE_H
#define LEAT_VERIFY_COMPARE_H

#include "store/store.h"
#include "verify/sift.h"

#define COMPARE_NAMED 20 /* differences of a table shown row by row, unless more are wanted */

struct named_row { /* a difference, as people read it; values as text by column of the plan, NULL for NULL */
    enum difference_kind kind;
    uint64_t count;
    const char *const *source; /* NULL: not there */
    const char *const *target;
};

struct compared {
    const struct table *source;
    const struct table *target;
    const char *remark;          /* what of it is not compared, or NULL */
    struct row_plan plan;
    struct row_part part;        /* the rows that are compared; all zero: all */
    /* the outcome, once done */
    bool done;
    const char *failed;          /* a server would not give its rows, and why; NULL: they were compared */
    uint64_t rows[2];
    uint64_t differences;
    bool more;                   /* than were counted */
    struct named_row *named;
    size_t named_count;
    int64_t us;
    bool too_long;               /* it was begun, and not over in time */
    int late;                    /* how often, since it could be divided no further */
    struct ranges *ranges;       /* of ranges.c; NULL: all of part at once */
    bool wanted;                 /* somebody waited for our lock on it: it is compared after the others */
    /* the comparer's own */
    struct compared_state *state;
};

struct compare {
    struct store *store;
    struct store_cutter *cutter; /* holding both snapshots */
    struct arena *arena;         /* what is named lives in it */
    struct compared *tables;
    size_t count;
    size_t named_most;           /* of a table */
    int pairs;                   /* of connections */
    int64_t until_us;            /* monotonic: what is not done by then is left for another cut */
    _Atomic bool *stop;
    const _Atomic int *pace;     /* enum copy_pace */
    _Atomic bool paused;         /* by the governor, for a while: what was not done was not too long for that */
    _Atomic uint64_t *rows;      /* of the source, as they are read; for a view */
};

/* Compares all that are not done yet. ERR_OK: those done are; *ret_why NULL: all of them, else why not ("somebody waits for a lock", ...). */
MUST_USE enum err compare_run(struct compare *c, const char **ret_why, struct fault *f);

#endif
