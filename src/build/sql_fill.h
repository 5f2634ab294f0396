/* build/sql_fill.h — what stands in braces in a query of sql/, put in. */
#ifndef LEAT_BUILD_SQL_FILL_H
#define LEAT_BUILD_SQL_FILL_H

#include "base/mem.h"

/* `sql` with every `mark` replaced; in the arena. Only for text of our own, never for values. */
const char *sql_fill(struct arena *a, const char *sql, const char *mark, const char *with);

#endif
