/* build/database.h — what hangs on the database itself and pg_dump leaves out: settings, comment, grants. */
#ifndef LEAT_BUILD_DATABASE_H
#define LEAT_BUILD_DATABASE_H

#include "build/step.h"

/* Adds the steps that make the target's database like the source's. Settings the target refuses (one that is gone in
 * its version, one only a superuser sets) become notes. Texts in the arena. */
MUST_USE enum err database_steps(struct pg *source, struct pg *target, struct arena *a, struct steps *steps,
                                 struct buf *notes, struct fault *f);

/* "name=value" of pg_db_role_setting as the end of ALTER ROLE or ALTER DATABASE: `SET "work_mem" TO '8MB'`. In the
 * arena. */
const char *setting_sql(struct arena *a, const char *setting);

#endif
