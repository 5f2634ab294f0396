/* build/notes.h — lines for people that building leaves behind, in files beside the dump: they outlive the engine that
 * found them. */
#ifndef LEAT_BUILD_NOTES_H
#define LEAT_BUILD_NOTES_H

#include "base/fault.h"
#include "base/mem.h"

#define NOTES_OF_DUMP "schema.said"    /* pg_dump's warnings */
#define NOTES_OF_SCHEMA "schema.notes" /* what the target refused */

/* Replaces the file DIR/name. build_notes() of build.h reads them all. */
MUST_USE enum err notes_save(const char *dir, const char *name, const struct buf *notes, struct fault *f);

#endif
