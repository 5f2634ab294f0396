/* replicate/engine_authority.c — who serves, as the stream's source says; and what is left to do when a switch lost
 * whoever carried it out.
 *
 * A decision is the source's own row: "the other side, from epoch e on". Before it everything was drained to the
 * target, so opening the target is right from then on, by whoever settles it (SETTLE of spec/README.md). The switch
 * does it within milliseconds; doors do where it is lost; where neither did, we do. */
#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/engine_internal.h"

#define LOOK_US ((int64_t)500000)
#define PATIENCE_US ((int64_t)2000000)
#define FENCES_US ((int64_t)3000000)
#define DOORS_US ((int64_t)3000000)

static enum err settle(struct engine *e, struct fault *f)
{
    struct fault why = {0};
    struct switch_settled settled;
    enum err err = e->store->ops->watcher_settle(e->watcher, &settled, &why);

    if (err == ERR_BUSY || err == ERR_AUTHORITY) { /* somebody else is at it, or holds a table; or it takes a person */
        log_fault(err == ERR_BUSY ? LOG_INFO : LOG_ERROR, e->config_store->name, &why);
        return ERR_OK;
    }
    *f = why;
    TRY(err);
    e->opened = e->authority.epoch;
    return ERR_OK;
}

static enum err tell_mended(struct engine *e, const char *side, const char *tables, struct fault *f)
{
    json_t *o;
    char *body;
    enum err err;

    if (tables == NULL)
        return ERR_OK;
    log_line(LOG_WARN, e->config_store->name, "fences on the %s stood otherwise than its row of authority says (ENABLE TRIGGER ALL, DISABLE TRIGGER ALL?), and were set right: %s", side, tables);
    o = json_pack("{s:s, s:s}", "side", side, "tables", tables);
    body = json_dumps(o, JSON_COMPACT);
    err = e->journal->ops->append(e->journal, e->config_store->name, EVENT_FENCE_MENDED, body != NULL ? body : "{}", f);
    free(body);
    json_decref(o);
    return err;
}

/* One that is shut where clients write refuses them, one that is open on the other side lets them pass: neither can wait for a person. */
static enum err mind_fences(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *source = NULL;
    const char *target = NULL;
    struct fault why = {0};
    bool back = e->config_store->back;
    enum err err = e->store->ops->watcher_fences(e->watcher, a, &source, &target, &why);

    TRY(tell_mended(e, back ? "target" : "source", source, f));
    TRY(tell_mended(e, back ? "source" : "target", target, f));
    if (err == ERR_OK || (err != ERR_BUSY && err_is_transient(err))) {
        *f = why;
        return err;
    }
    log_fault(err == ERR_BUSY ? LOG_INFO : LOG_WARN, e->config_store->name, &why); /* in the next round */
    return ERR_OK;
}

enum err engine_mind_authority(struct engine *e, struct fault *f)
{
    static int64_t looked;
    static int64_t fences;
    static int64_t doors;
    const struct switch_row *row = &e->authority;

    if (engine_due(&doors, DOORS_US))
        TRY(e->store->ops->watcher_doors(e->watcher, f));
    if (e->phase != ENGINE_FOLLOW || !engine_due(&looked, LOOK_US))
        return ERR_OK;
    TRY(e->store->ops->watcher_authority(e->watcher, &e->authority, f));
    atomic_store(&e->leads, row->there ? row->open : !e->config_store->back);
    if (!row->there || row->open || row->names_here || e->opened == row->epoch) {
        e->decided_us = 0;
        return row->there && row->open && engine_due(&fences, FENCES_US) ? mind_fences(e, f) : ERR_OK;
    }
    if (e->decided_us == 0)
        e->decided_us = world_mono_us();
    return world_mono_us() - e->decided_us < PATIENCE_US ? ERR_OK : settle(e, f);
}
