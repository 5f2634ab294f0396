/* verify/report.h — what was found of tables, as JSON: for the journal, and out of it again. */
#ifndef LEAT_VERIFY_REPORT_H
#define LEAT_VERIFY_REPORT_H

#include <jansson.h>

#include "verify/compare.h"

/* {"table", "rows_source", "rows_target", "differences", "more"?, "remark"?, "rows"?: [{"kind", "count", "key", "columns"}]}; the caller's own. */
json_t *report_table(const struct compared *t, bool with_rows);
/* "schema.name" */
char *report_name(const struct table *t);
/* What a list of reports, or anything with "table", says of t; NULL: nothing. */
const json_t *report_in(const json_t *list, const struct table *t);

#endif
