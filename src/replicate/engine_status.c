/* replicate/engine_status.c — what people see of a running engine: STATE/run/STORE.json, written anew and renamed. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/engine_internal.h"

#define MOST_TABLES 200
#define TROUBLE_SHOWN_US ((int64_t)30000000)

static const char *phase_name(enum engine_phase phase)
{
    static const char *const names[] = {"build", "copy", "join", "constraints", "follow"};

    return names[phase];
}

/* Words for people name the store's own sides; a way back's ends are those the other way round. */
static bool is_back(const char *store)
{
    return strchr(store, '+') != NULL; /* no store's name has one */
}

static void turn(const char *store, struct fault *f)
{
    if (!is_back(store))
        return;
    text_turn_sides(f->what);
    text_turn_sides(f->why);
    text_turn_sides(f->todo);
}

static void write_file(const char *path, json_t *o)
{
    AUTO_CHARS *temporary = mem_format("%s.new", path);

    if (json_dump_file(o, temporary, JSON_COMPACT) != 0 || rename(temporary, path) != 0)
        (void)unlink(temporary);
    json_decref(o);
}

static int64_t rss_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long long pages = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*s %lld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static json_t *table_json(const struct rtable *t)
{
    return json_pack("{s:o, s:s, s:i, s:I, s:I, s:I}", "table", json_sprintf("%s.%s", t->source->schema, t->source->name), "state", table_state_name(rtable_state(t)), "attempt", t->attempt, "rows",
                     (json_int_t)atomic_load(&t->rows), "bytes", (json_int_t)atomic_load(&t->bytes), "bytes_total", (json_int_t)t->source->bytes);
}

/* Those under way first, then the others, until the list is long enough. */
static json_t *tables_json(const struct engine *e)
{
    json_t *list = json_array();

    pthread_mutex_lock(&e->registry->lock);
    for (int active = 1; active >= 0; active--)
        for (size_t i = 0; i < e->registry->count && json_array_size(list) < MOST_TABLES; i++) {
            const struct rtable *t = &e->registry->tables[i];
            bool is_active = rtable_state(t) == TABLE_OPEN || rtable_state(t) == TABLE_COPIED || (t->attempt > 1 && rtable_state(t) != TABLE_JOINED);
            if (is_active == (bool)active)
                json_array_append_new(list, table_json(t));
        }
    pthread_mutex_unlock(&e->registry->lock);
    return list;
}

static json_t *copy_json(const struct engine *e)
{
    int64_t done = 0;
    int64_t total = 0;
    int64_t rows = 0;

    for (size_t i = 0; i < e->registry->count; i++) {
        const struct rtable *t = &e->registry->tables[i];
        int64_t bytes = (int64_t)atomic_load(&t->bytes);
        total += t->source->bytes;
        done += rtable_state(t) >= TABLE_COPIED || bytes > t->source->bytes ? t->source->bytes : bytes;
        rows += (int64_t)atomic_load(&t->rows);
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "tables_done", (json_int_t)registry_count(e->registry, TABLE_COPIED), "tables_total", (json_int_t)e->registry->count, "bytes_done",
                     (json_int_t)done, "bytes_total", (json_int_t)total, "rows_done", (json_int_t)rows);
}

static json_t *indexes_json(struct engine *e)
{
    const struct build_item *building[16];
    size_t done;
    size_t total;
    size_t n = copy_building(e->copy, building, 16);
    json_t *names = json_array();

    copy_index_counts(e->copy, &done, &total);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(names, json_string(building[i]->name));
    return json_pack("{s:I, s:I, s:o}", "done", (json_int_t)done, "total", (json_int_t)total, "building", names);
}

static void add_running(struct engine *e, json_t *o)
{
    struct apply_facts facts;
    char text[LSN_TEXT_SIZE];

    apply_facts(e->apply, &facts);
    json_object_set_new(o, "copy", copy_json(e));
    json_object_set_new(o, "tables", tables_json(e));
    json_object_set_new(o, "indexes", indexes_json(e));
    json_object_set_new(o, "lag_bytes", json_integer(e->lag_bytes));
    json_object_set_new(o, "lag_seconds", e->lag_us != LAG_UNKNOWN ? json_real((double)e->lag_us / 1e6) : json_null());
    json_object_set_new(o, "received", json_string(lsn_text(facts.delivered, text)));
    json_object_set_new(o, "applied", json_string(lsn_text(facts.applied, text)));
    json_object_set_new(o, "durable", json_string(lsn_text(e->progress.durable, text)));
    json_object_set_new(o, "queue_bytes", json_integer((json_int_t)queue_weight(e->queue)));
    json_object_set_new(o, "spool_bytes", json_integer((json_int_t)(e->spool->ops->bytes(e->spool) + (e->backlog != NULL ? backlog_bytes(e->backlog) : 0))));
    json_object_set_new(o, "acknowledged", json_string(lsn_text(e->acknowledged, text)));
    json_object_set_new(o, "ledger", json_integer(e->ledger));
    json_object_set_new(o, "txns_applied", json_integer((json_int_t)facts.txns));
    json_object_set_new(o, "changes_applied", json_integer((json_int_t)(facts.changes + join_changes(e->join))));
    json_object_set_new(o, "replays", json_integer((json_int_t)facts.replays));
    json_object_set_new(o, "slot_retained_bytes", json_integer(e->watch.slot_retained_bytes));
}

static void add_away(const struct engine *e, json_t *o)
{
    char text[LSN_TEXT_SIZE];

    json_object_set_new(o, "lag_bytes", json_integer(e->lag_bytes));
    json_object_set_new(o, "acknowledged", json_string(lsn_text(e->acknowledged, text)));
    json_object_set_new(o, "spool_bytes", json_integer(e->backlog != NULL ? (json_int_t)backlog_bytes(e->backlog) : 0));
    json_object_set_new(o, "slot_retained_bytes", json_integer(e->watch.slot_retained_bytes));
}

/* What went wrong a moment ago, and is tried again. */
static json_t *trouble_json(const struct engine *e)
{
    struct fault why = e->before;
    int64_t at_us = e->before_us;

    (void)log_last_fault(&why, &at_us);
    if (world_wall_us() - at_us > TROUBLE_SHOWN_US)
        return json_null();
    if (why.what[0] == '\0')
        snprintf(why.what, sizeof why.what, "%s", err_info(why.code)->text);
    turn(e->config_store->name, &why);
    return json_pack("{s:I, s:s, s:s, s:s}", "at_us", (json_int_t)at_us, "code", err_info(why.code)->code, "what", why.what, "why", why.why);
}

/* What is at risk where the source is lost is judged by it. */
static void add_heard(const struct engine *e, json_t *o)
{
    char text[LSN_TEXT_SIZE];

    if (e->heard.at_us != 0)
        json_object_set_new(o, "heard", json_pack("{s:I, s:I, s:s}", "at_us", (json_int_t)e->heard.at_us, "lag_us", (json_int_t)e->heard.lag_us, "source", lsn_text(e->heard.source, text)));
}

static void take_heard(struct engine *e)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.json", e->state_dir, e->config_store->name);
    json_t *o = json_load_file(path, 0, NULL);
    const json_t *heard = json_object_get(o, "heard");
    const char *source = json_string_value(json_object_get(heard, "source"));

    if (source != NULL && lsn_parse(source, &e->heard.source)) {
        e->heard.at_us = json_integer_value(json_object_get(heard, "at_us"));
        e->heard.lag_us = json_integer_value(json_object_get(heard, "lag_us"));
    }
    json_decref(o);
}

void engine_write_status(struct engine *e)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.json", e->state_dir, e->config_store->name);
    char text[256];
    char pending[1024] = "";
    char waits_for[sizeof e->waits_for];
    json_t *o;

    snprintf(text, sizeof text, "%s", e->doing);
    if (text[0] == '\0' && e->finish != NULL)
        finish_doing(e->finish, text, sizeof text);
    if (e->ddl != NULL)
        ddl_pending(e->ddl, pending, sizeof pending);
    snprintf(waits_for, sizeof waits_for, "%s", e->waits_for);
    text_tidy(text);
    text_tidy(pending);
    text_tidy(waits_for);
    if (e->config_store->back) {
        text_turn_sides(text);
        text_turn_sides(pending);
        text_turn_sides(waits_for);
    }
    o = json_pack("{s:i, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:s}", "format_version", 1, "store", e->config_store->name, "pid", (int)getpid(), "at_us",
                  (json_int_t)world_wall_us(), "phase", phase_name(e->phase), "doing", text, "waits_for", waits_for, "authority", e->authority.there && !e->authority.names_source ? "target" : "source", "epoch", (json_int_t)e->authority.epoch, "following",
                  (int)e->following, "started_us", (json_int_t)e->started_us, "rss_bytes", (json_int_t)rss_bytes(), "ddl_pending", pending);
    if (o == NULL)
        return;
    json_object_set_new(o, "target_away", json_boolean(e->away));
    json_object_set_new(o, "trouble", trouble_json(e));
    add_heard(e, o);
    if (e->join != NULL)
        add_running(e, o);
    if (e->away)
        add_away(e, o);
    if (e->guest_state != NULL)
        e->guest->status(e->guest_state, o);
    write_file(path, o);
}

void engine_write_fault(const char *state_dir, const char *store, const struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", state_dir, store);
    const struct err_info *info = err_info(f->code);
    struct fault said = *f;
    json_t *o;

    snprintf(said.what, sizeof said.what, "%s", f->what[0] != '\0' ? f->what : info->text);
    snprintf(said.why, sizeof said.why, "%s", f->why[0] != '\0' ? f->why : info->text);
    snprintf(said.todo, sizeof said.todo, "%s", f->todo[0] != '\0' ? f->todo : info->remedy);
    turn(store, &said);
    o = json_pack("{s:s, s:s, s:s, s:s}", "code", info->code, "what", said.what, "why", said.why, "todo", said.todo);
    if (o != NULL)
        write_file(path, o);
}

void engine_take_fault(struct engine *e)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", e->state_dir, e->config_store->name);
    json_t *o = json_load_file(path, 0, NULL);
    const char *code = json_string_value(json_object_get(o, "code"));
    struct stat st;

    take_heard(e);
    if (code != NULL && err_is_transient(err_by_code(code)) && stat(path, &st) == 0) {
        e->before_us = (int64_t)st.st_mtim.tv_sec * 1000000;
        e->before.code = fault_set(&e->before, err_by_code(code), "%s", json_string_value(json_object_get(o, "why")));
        snprintf(e->before.what, sizeof e->before.what, "%s", json_string_value(json_object_get(o, "what")));
        turn(e->config_store->name, &e->before); /* as it was before it was written */
    }
    json_decref(o);
    (void)unlink(path);
}
