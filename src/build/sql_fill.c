/* build/sql_fill.c — see sql_fill.h. */
#include "build/sql_fill.h"

#include <string.h>

const char *sql_fill(struct arena *a, const char *sql, const char *mark, const char *with)
{
    AUTO_BUF b = {0};
    const char *at;

    while ((at = strstr(sql, mark)) != NULL) {
        buf_add(&b, sql, (size_t)(at - sql));
        buf_adds(&b, with);
        sql = at + strlen(mark);
    }
    buf_adds(&b, sql);
    return arena_strdup(a, buf_cstr(&b));
}
