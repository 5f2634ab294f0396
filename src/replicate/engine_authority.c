/* replicate/engine_authority.c — who serves, as the stream's source says; and what is left to do when a switch lost whoever carried it out.
 *
 * A decision is the source's own row: "the other side, from epoch e on". Before it everything was drained to the target, so opening the target is
 * always right from then on, by whoever reads it. The switch does it within milliseconds; doors do where it is lost; where neither did, we do. */
#include "base/log.h"
#include "base/world.h"
#include "replicate/engine_internal.h"

#define LOOK_US ((int64_t)500000)
#define PATIENCE_US ((int64_t)2000000)

static enum err open_target(struct engine *e, struct fault *f)
{
    struct fault why = {0};
    bool open = false;
    enum err err = e->store->ops->watcher_open_target(e->watcher, e->authority.epoch, &open, &why);

    if (err == ERR_BUSY) { /* somebody else is at it, or holds a table */
        log_fault(LOG_INFO, e->config_store->name, &why);
        return ERR_OK;
    }
    *f = why;
    TRY(err);
    if (open)
        e->opened = e->authority.epoch;
    else
        log_line(LOG_ERROR, e->config_store->name, "a switch was decided for epoch %lld, and the other side stands at another one", (long long)e->authority.epoch);
    return ERR_OK;
}

enum err engine_mind_authority(struct engine *e, struct fault *f)
{
    static int64_t looked;
    const struct switch_row *row = &e->authority;

    if (e->phase != ENGINE_FOLLOW || !engine_due(&looked, LOOK_US))
        return ERR_OK;
    TRY(e->store->ops->watcher_authority(e->watcher, &e->authority, f));
    atomic_store(&e->leads, row->there ? row->open : !e->config_store->back);
    if (!row->there || row->open || row->names_here || e->opened == row->epoch) {
        e->decided_us = 0;
        return ERR_OK;
    }
    if (e->decided_us == 0)
        e->decided_us = world_mono_us();
    return world_mono_us() - e->decided_us < PATIENCE_US ? ERR_OK : open_target(e, f);
}
