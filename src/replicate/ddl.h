/* replicate/ddl.h — changes of the source's schema as the stream brings them: what is done about each, under the store's policy. */
#ifndef LEAT_REPLICATE_DDL_H
#define LEAT_REPLICATE_DDL_H

#include "journal/journal.h"
#include "replicate/registry.h"
#include "replicate/touched.h"

struct ddl;

/* Takes up what the record says is pending. */
MUST_USE enum err ddl_new(struct store *s, struct registry *r, struct touched *touched, struct journal *j, struct ddl **ret, struct fault *f);
void ddl_free(struct ddl *d);
AUTO_DEFINE(ddl)
/* The dispatcher stands before t, everything earlier has committed: is the target ready for it? ERR_DDL: not until a person has run
 * the statement named; nothing of t has been applied. ERR_ANEW: it is, but this engine began before it was. */
MUST_USE enum err ddl_meet(struct ddl *d, const struct txn *t, struct fault *f);
/* What a comparison of both catalogs found, in place of what it found before; "" clears it. */
MUST_USE enum err ddl_found(struct ddl *d, const char *text, struct fault *f);
/* What ended this engine, shown until the next one has looked for itself. */
void ddl_show(struct ddl *d, const char *text);
/* A statement of the source's was run on the target, or is being run: what was read of its catalog before may not hold. */
bool ddl_has_run(struct ddl *d);
/* What a person has to do before following goes on, in one line; "" when nothing. */
void ddl_pending(struct ddl *d, char *ret, size_t size);

#endif
