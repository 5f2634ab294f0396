/* store/postgres/marks.h — what of a stream is leat's own. */
#ifndef LEAT_STORE_POSTGRES_MARKS_H
#define LEAT_STORE_POSTGRES_MARKS_H

#include "store/store.h"

/* Whether a transaction whose first change is c was written by this migration's mirror stream: then it is to be dropped. Never by any
 * mark of leat's: in a chain of migrations the rows of another one are to be carried on. */
bool pg_is_echo(const struct store *s, const struct change *c);
bool pg_store_switch_note(const struct store *s, const struct change *c, struct switch_note *ret);

#endif
