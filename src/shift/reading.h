/* shift/reading.h — what a statement is, for a door that sends reads to the target (reads first): proved from its text, or not at all. Pure.
 *
 * libpg_query reads the text as PostgreSQL 15 does. What it cannot read, what consists of parts not listed in reading.c, what calls or reads
 * something not known to be good (shift/reading_names.h): OTHER, and stays at the source. So what is forgotten here costs a read at the source. */
#ifndef LEAT_SHIFT_READING_H
#define LEAT_SHIFT_READING_H

#include <stdbool.h>
#include <stddef.h>

#include "shift/reading_names.h"

#define READING_MOST (16 << 10) /* longer texts are OTHER */

enum reading_kind {
    READING_OTHER,
    READING_SELECT, /* one SELECT that writes nothing, locks no rows, and reads only what follows */
    READING_BEGIN,
    READING_END     /* COMMIT or ROLLBACK, without AND CHAIN */
};
enum reading_mode { MODE_UNSAID, MODE_READ_ONLY, MODE_READ_WRITE };
enum reading_isolation { ISOLATION_UNSAID, ISOLATION_READ_COMMITTED, ISOLATION_HIGHER };

struct reading {
    enum reading_kind kind;
    enum reading_mode mode;           /* of BEGIN */
    enum reading_isolation isolation; /* of BEGIN */
    bool clock; /* it reads the transaction's time: good alone, not in the middle of a transaction that may go on elsewhere */
};

/* From any thread; libpg_query keeps what it needs for each. */
void reading_of(const struct reading_names *names, const char *sql, size_t len, struct reading *ret);
/* The isolation level a word means, as settings have it. */
enum reading_isolation reading_isolation(const char *word);

#endif
