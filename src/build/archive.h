/* build/archive.h — DIR/schema.dump, read back by pg_restore as entries. */
#ifndef LEAT_BUILD_ARCHIVE_H
#define LEAT_BUILD_ARCHIVE_H

#include "build/toc.h"

#define ARCHIVE_NAME "schema.dump"

struct archive {
    struct arena *arena;
    struct toc toc; /* entries with .post and .left_out set */
};

enum archive_form {
    ARCHIVE_WHOLE = 0,
    ARCHIVE_NO_OWNER = 1,       /* without ALTER ... OWNER TO */
    ARCHIVE_NO_TABLESPACES = 2, /* everything in the database's own */
};

/* Reads it in that form (a sum of the above). Left out are what belongs to leat itself: its publications (leat_*),
 * triggers and event triggers that call its schema, and what is said about them. ERR_PG_DUMP when pg_restore fails, or
 * when the entries are not exactly those it lists. */
MUST_USE enum err archive_load(const char *dir, int form, struct archive **ret, struct fault *f);
void archive_free(struct archive *ar);
AUTO_DEFINE(archive)

/* The end of `sql` that `bare` (the same entry without owner) lacks: its ALTER ... OWNER TO; "" when there is
 * none, NULL when the two do not begin alike. */
const char *archive_owner_part(const struct toc_entry *whole, const struct toc_entry *bare);
/* "table public.orders". In the arena. */
const char *archive_what(struct arena *a, const struct toc_entry *e);

#endif
