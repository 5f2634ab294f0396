/* replicate/ddl_internal.h — what ddl.c (deciding) and ddl_apply.c (carrying out) share. */
#ifndef LEAT_REPLICATE_DDL_INTERNAL_H
#define LEAT_REPLICATE_DDL_INTERNAL_H

#include "replicate/ddl.h"

struct ddl {
    struct store *store;
    struct registry *registry;
    struct touched *touched;
    struct journal *journal;
    pthread_mutex_t lock;
    char pending[1024]; /* under the lock */
    _Atomic bool has_run;
    int64_t noted;
    int64_t reloaded;
};

struct met { /* the notes of one transaction, in order */
    struct arena *arena;
    struct schema_change **list;
    size_t count;
};

MUST_USE enum err ddl_note(struct ddl *d, enum event_kind kind, const struct schema_change *c, const char *statement, const char *why, struct fault *f);
/* Whether the change is one of the store's at all. */
bool ddl_concerns(const struct schema_change *c);
/* Whether it is to be carried out here though following could do without: an index, a view, a grant. */
bool ddl_wanted(const struct ddl *d, const struct schema_change *c);
/* Stops at it: its statement for a person, and why leat did not run it itself (may be NULL). */
MUST_USE enum err ddl_stop(struct ddl *d, const struct schema_change *c, const struct ddl_misfit *m, const char *why, struct fault *f);
/* The whole transaction on the target, schema changes at their places, in one transaction with its mark, durably. */
MUST_USE enum err ddl_apply(struct ddl *d, const struct txn *t, const struct met *m, struct fault *f);

#endif
