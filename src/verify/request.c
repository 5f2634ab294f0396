/* verify/request.c — asking for a comparison, and reading what came of it. See verify.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"
#include "verify/verify.h"

enum err verify_ask(struct journal *j, const char *store, const char *table, struct arena *a, const char **ret_id, struct fault *f)
{
    const char *id = arena_format(a, "%" PRId64, world_wall_us());
    const char *stands;
    json_t *o;
    char *text;
    enum err err;

    TRY(j->ops->fact_get(j, store, VERIFY_ASKED, a, &stands, f));
    if (stands != NULL)
        return fault_todo(f, ERR_BUSY, "see `leat status`; it goes on by itself while the store is followed", "a comparison of %s is under way", store);
    o = json_pack("{s:s, s:s?}", "id", id, "table", table);
    text = json_dumps(o, JSON_COMPACT);
    err = j->ops->fact_set(j, store, VERIFY_ASKED, text, false, f);
    free(text);
    json_decref(o);
    *ret_id = id;
    return err;
}

struct gathering {
    const char *store;
    const char *id;
    json_t *report;
    json_t *tables;
};

static bool gather(void *ctx, const struct event *e)
{
    struct gathering *g = ctx;
    bool tables = strcmp(e->kind, event_kind_name(EVENT_VERIFY_TABLES)) == 0;
    bool done = strcmp(e->kind, event_kind_name(EVENT_VERIFY_DONE)) == 0;
    json_t *body;
    const char *id;

    if ((!tables && !done) || strcmp(e->store, g->store) != 0)
        return true;
    body = json_loads(e->body, 0, NULL);
    id = json_string_value(json_object_get(body, "id"));
    if (id != NULL && strcmp(id, g->id) == 0) {
        if (tables)
            json_array_extend(g->tables, json_object_get(body, "tables"));
        else
            json_object_update(g->report, body);
    }
    json_decref(body);
    return true;
}

enum err verify_report(struct journal *j, const char *store, const char *id, json_t **ret, struct fault *f)
{
    struct gathering g = {.store = store, .id = id, .report = json_object(), .tables = json_array()};
    enum err err = j->ops->read(j, 0, gather, &g, f);

    json_object_set_new(g.report, "done", json_boolean(json_object_get(g.report, "clean") != NULL));
    json_object_set_new(g.report, "tables", g.tables);
    if (err != ERR_OK)
        json_decref(g.report);
    else
        *ret = g.report;
    return err;
}
