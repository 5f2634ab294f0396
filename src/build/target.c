/* build/target.c — see target.h. */
#include "build/target.h"

enum err build_target_roles(const struct config_store *s, struct buf *report, struct fault *f)
{
    AUTO(pg) *source = NULL;
    AUTO(pg) *target = NULL;

    TRY(pg_connect(s->source, SIDE_SOURCE, "build", &source, f));
    TRY(pg_connect(s->target, SIDE_TARGET, "build", &target, f));
    return build_roles(s, source, target, report, f);
}

enum err build_target_schema(const struct config_store *s, const char *dir, bool mine, struct fault *f)
{
    AUTO(pg) *source = NULL;
    AUTO(pg) *target = NULL;

    TRY(pg_connect(s->source, SIDE_SOURCE, "build", &source, f));
    TRY_WITH(build_dump(s, dir, source->major, f), f, "reading the source's schema");
    TRY(pg_connect(s->target, SIDE_TARGET, "build", &target, f));
    TRY_WITH(build_pre(s, dir, target, mine, f), f, "making the schema on the target");
    return ERR_OK;
}

enum err build_target_post(const struct config_store *s, const char *dir, struct build_post **ret, struct fault *f)
{
    AUTO(pg) *source = NULL;

    TRY(pg_connect(s->source, SIDE_SOURCE, "build", &source, f));
    return build_post_load(s, dir, source, ret, f);
}
