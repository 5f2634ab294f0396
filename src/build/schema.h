/* build/schema.h — the dump as this target's role can take it.
 *
 * A superuser runs the entries as they are. Any other role runs them without their owners: the grants of a schema come
 * last in a dump, and until then a new owner could not create in it; so owners are given at the end, each if leat's
 * role may. What it may not give away it keeps, and says so. Where a tablespace of the dump is not to be had, all goes
 * into the database's own. */
#ifndef LEAT_BUILD_SCHEMA_H
#define LEAT_BUILD_SCHEMA_H

#include "build/archive.h"
#include "build/party.h"

struct schema {
    struct arena *arena;
    struct party *party;
    int target_major;
    struct archive *whole;
    struct archive *bare; /* without owners; NULL for a superuser */
};

MUST_USE enum err schema_load(const char *dir, struct pg *target, struct buf *notes, struct schema **ret,
                              struct fault *f);
void schema_free(struct schema *s);
AUTO_DEFINE(schema)

static inline size_t schema_count(const struct schema *s)
{
    return s->whole->toc.count;
}
static inline const struct toc_entry *schema_entry(const struct schema *s, size_t i)
{
    return &s->whole->toc.entries[i];
}
/* The entry's statements, with the settings they need before them; "" when there is nothing to run. In the arena. */
const char *schema_sql(const struct schema *s, size_t i);
/* What gives the entry's object its owner, where schema_sql() does not: to be run after all grants. "" when there is
 * nothing to run. *ret_stays: the owner it should have and leat's role cannot give it; else NULL. */
const char *schema_owner_sql(const struct schema *s, size_t i, const char **ret_stays);
/* Grants, default privileges and the like: what a role that is no superuser may be refused without harm to the copy. */
bool schema_may_be_refused(const struct schema *s, const struct toc_entry *e);

#endif
