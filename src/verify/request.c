/* verify/request.c — asking for a comparison, and reading what came of it. See verify.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"
#include "verify/verify.h"

static const char *const does_words[] = {"verify", "plan", "repair"};

enum err verify_asked(struct journal *j, const char *store, struct arena *a, const char **ret_id, enum verify_does *ret_does, const char **ret_table, struct fault *f)
{
    const char *text;
    const char *does;
    json_t *o;

    *ret_table = NULL;
    *ret_id = NULL;
    *ret_does = VERIFY_COMPARE;
    TRY(j->ops->fact_get(j, store, VERIFY_ASKED, a, &text, f));
    if (text == NULL)
        return ERR_OK;
    o = json_loads(text, 0, NULL);
    *ret_id = arena_strdup(a, json_string_value(json_object_get(o, "id")));
    *ret_table = arena_strdup(a, json_string_value(json_object_get(o, "table")));
    does = json_string_value(json_object_get(o, "does"));
    for (int i = 0; does != NULL && i <= VERIFY_REPAIR; i++)
        if (strcmp(does, does_words[i]) == 0)
            *ret_does = (enum verify_does)i;
    json_decref(o);
    return *ret_id != NULL ? ERR_OK : fault_set(f, ERR_JOURNAL_BROKEN, "fact " VERIFY_ASKED " is %s", text);
}

enum err verify_ask(struct journal *j, const char *store, enum verify_does does, const char *table, struct arena *a, const char **ret_id, struct fault *f)
{
    const char *id = arena_format(a, "%" PRId64, world_wall_us());
    const char *stands;
    json_t *o;
    char *text;
    enum err err;

    TRY(j->ops->fact_get(j, store, VERIFY_ASKED, a, &stands, f));
    if (stands != NULL)
        return fault_todo(f, ERR_BUSY, "see `leat status`; it goes on by itself while the store is followed", "a comparison of %s is under way", store);
    o = json_pack("{s:s, s:s?, s:s}", "id", id, "table", table, "does", does_words[does]);
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
    json_t *mended;
};

static bool gather(void *ctx, const struct event *e)
{
    struct gathering *g = ctx;
    bool tables = strcmp(e->kind, event_kind_name(EVENT_VERIFY_TABLES)) == 0;
    bool done = strcmp(e->kind, event_kind_name(EVENT_VERIFY_DONE)) == 0;
    bool planned = strcmp(e->kind, event_kind_name(EVENT_REPAIR_PLANNED)) == 0;
    bool mended = strcmp(e->kind, event_kind_name(EVENT_REPAIR_DONE)) == 0;
    json_t *body;
    const char *id;

    if ((!tables && !done && !planned && !mended) || strcmp(e->store, g->store) != 0)
        return true;
    body = json_loads(e->body, 0, NULL);
    id = json_string_value(json_object_get(body, "id"));
    if (id != NULL && strcmp(id, g->id) == 0) {
        if (tables)
            json_array_extend(g->tables, json_object_get(body, "tables"));
        else if (mended)
            json_array_extend(g->mended, json_object_get(body, "tables"));
        else if (planned)
            json_object_set(g->report, "plan", body);
        else
            json_object_update(g->report, body);
    }
    json_decref(body);
    return true;
}

enum err verify_report(struct journal *j, const char *store, const char *id, json_t **ret, struct fault *f)
{
    struct gathering g = {.store = store, .id = id, .report = json_object(), .tables = json_array(), .mended = json_array()};
    enum err err = j->ops->read(j, 0, gather, &g, f);

    json_object_set_new(g.report, "done", json_boolean(json_object_get(g.report, "clean") != NULL));
    json_object_set_new(g.report, "tables", g.tables);
    json_object_set_new(g.report, "mended", g.mended);
    if (err != ERR_OK)
        json_decref(g.report);
    else
        *ret = g.report;
    return err;
}
