/* build/target.h — building as the engine calls it: connections made here, in the order of the plan. */
#ifndef LEAT_BUILD_TARGET_H
#define LEAT_BUILD_TARGET_H

#include "build/build.h"

MUST_USE enum err build_target_roles(const struct config_store *s, struct buf *report, struct fault *f);
/* Dumps the source's schema into DIR and restores its pre-data. */
MUST_USE enum err build_target_schema(const struct config_store *s, const char *dir, bool mine, struct fault *f);
MUST_USE enum err build_target_post(const struct config_store *s, const char *dir, struct build_post **ret, struct fault *f);

#endif
