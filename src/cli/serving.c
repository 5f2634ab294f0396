/* cli/serving.c — see serving.h. Read from what engines and doors wrote last (STATE/run); nobody needs to be alive. */
#include "cli/serving.h"

#include <string.h>

#include "cli/sessions.h"
#include "pilot/status.h"

#define CLIENTS_SHOWN 5

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text != NULL ? text : "";
}

json_t *serving_fault(const char *state_dir, const char *store, bool alive)
{
    struct fault why;

    pilot_store_fault(state_dir, store, &why);
    if (alive || why.code == ERR_OK || why.code == ERR_INTERRUPTED)
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:s}", "code", err_info(why.code)->code, "what", why.what, "why", why.why, "todo", why.todo);
}

/* --- its way back --- */

static void take(json_t *to, const json_t *from, const char *key, json_t *otherwise)
{
    json_t *value = json_object_get(from, key);

    if (value != NULL)
        json_object_set(to, key, value);
    else
        json_object_set(to, key, otherwise);
    json_decref(otherwise);
}

static void take_authority(json_t *o, const json_t *back)
{
    if (json_integer_value(json_object_get(back, "epoch")) <= json_integer_value(json_object_get(o, "epoch")))
        return;
    json_object_set(o, "epoch", json_object_get(back, "epoch"));
    json_object_set(o, "authority", json_object_get(back, "authority"));
}

static json_t *way_back(const struct cli *c, const struct config_store *store, json_t *o)
{
    bool alive;
    json_t *back = pilot_store_status(c->state_dir, store->other->name, &alive);
    json_t *fault = serving_fault(c->state_dir, store->other->name, alive);
    json_t *said;

    if (back == NULL && json_is_null(fault)) {
        json_decref(fault);
        return json_null();
    }
    said = json_pack("{s:b, s:o}", "running", (int)alive, "fault", fault);
    json_object_set_new(said, "following", json_boolean(alive && json_is_true(json_object_get(back, "following"))));
    take(said, back, "lag_seconds", json_null());
    take(said, back, "lag_bytes", json_null());
    take(said, back, "ledger", json_integer(0));
    take(said, back, "ddl_pending", json_string(""));
    take_authority(o, back);
    json_decref(back);
    return said;
}

/* --- its doors --- */

static json_t *door(const struct cli *c, const struct config_store *store, size_t nth)
{
    AUTO_CHARS *name = mem_format("%s.door.%zu", store->name, nth);
    bool alive;
    json_t *status = pilot_store_status(c->state_dir, name, &alive);
    json_t *said = json_pack("{s:s, s:b}", "address", store->door[nth], "running", (int)alive);
    const json_t *of = alive ? status : NULL;

    json_object_set(said, "clients", alive ? json_object_get(status, "clients") : json_null());
    json_object_set_new(said, "side", alive ? json_string(text_of(json_object_get(of, "view"), "side")) : json_null());
    json_object_set_new(said, "phase", alive ? json_string(text_of(of, "phase")) : json_null());
    take(said, of, "unmovable", json_null());
    take(said, of, "reads", json_null());
    json_decref(status);
    return said;
}

/* What no door says is not known. */
static json_t *count_unmovable(const json_t *doors)
{
    const json_t *one;
    size_t i;
    size_t count = 0;
    bool known = json_array_size(doors) > 0;

    json_array_foreach(doors, i, one)
    {
        const json_t *list = json_object_get(one, "unmovable");

        known = known && json_is_array(list);
        count += json_array_size(list);
    }
    return known ? json_integer((json_int_t)count) : json_null();
}

/* Of a store nobody means to switch yet nobody is asked. */
static json_t *sessions(const struct cli *c, const struct config_store *store, const json_t *o, const json_t *doors)
{
    bool asked = store->door_count > 0 || json_is_object(json_object_get(o, "way_back"));
    json_t *said = asked ? sessions_past_doors(c, store) : json_pack("{s:n, s:[]}", "bypassing", "who");

    json_object_set_new(said, "unmovable", count_unmovable(doors));
    return said;
}

void serving_add(const struct cli *c, const struct config_store *store, json_t *o)
{
    json_t *doors = json_array();

    for (size_t i = 0; i < store->door_count; i++)
        json_array_append_new(doors, door(c, store, i));
    json_object_set_new(o, "way_back", way_back(c, store, o));
    json_object_set_new(o, "sessions", sessions(c, store, o, doors));
    json_object_set_new(o, "doors", doors);
}

/* --- for people --- */

static void way_back_lines(const json_t *back, bool target_serves, struct buf *out)
{
    const json_t *fault = json_object_get(back, "fault");
    const json_t *lag = json_object_get(back, "lag_seconds");
    json_int_t ledger = json_integer_value(json_object_get(back, "ledger"));
    const char *following = target_serves ? "is followed" : "stands ready";

    if (json_is_object(fault)) {
        buf_addf(out, "  the way back has stopped: %s: %s\n    %s\n", text_of(fault, "code"), text_of(fault, "what"),
                 text_of(fault, "why"));
        return;
    }
    buf_addf(out, "  the way back %s",
             json_is_true(json_object_get(back, "following")) ? following
             : json_is_true(json_object_get(back, "running")) ? "is not followed yet"
                                                              : "does not run");
    if (json_is_true(json_object_get(back, "running")) && json_is_number(lag))
        buf_addf(out, ", lag %.3f s", json_number_value(lag));
    if (ledger > 0)
        buf_addf(out, "; %lld rows did not behave as the stream said", (long long)ledger);
    buf_adds(out, "\n");
    if (text_of(back, "ddl_pending")[0] != '\0')
        buf_addf(out, "    waits for a change of the schema: %s\n", text_of(back, "ddl_pending"));
}

static long long count_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void reads_line(const json_t *reads, struct buf *out)
{
    const char *trouble = text_of(reads, "trouble");

    if (count_of(reads, "millionths") == 0)
        return;
    buf_addf(out, "    reads of %g%% of its users (%lld connected) go to the target: %lld answered there, %lld of them waited for it; %lld went to the source for it was late, %lld for it failed\n",
             json_number_value(json_object_get(reads, "share")), count_of(reads, "sessions"), count_of(reads, "target"), count_of(reads, "waited"), count_of(reads, "late"), count_of(reads, "replayed"));
    if (trouble[0] != '\0')
        buf_addf(out, "    they stay at the source now: %s\n", trouble);
}

static void door_lines(const json_t *o, struct buf *out)
{
    const json_t *list = json_object_get(o, "unmovable");
    const json_t *one;
    size_t i;

    if (!json_is_true(json_object_get(o, "running"))) {
        buf_addf(out, "  door %s does not run\n", text_of(o, "address"));
        return;
    }
    buf_addf(out, "  door %s: %lld client(s), %s, at the %s\n", text_of(o, "address"), (long long)json_integer_value(json_object_get(o, "clients")), text_of(o, "phase"), text_of(o, "side"));
    reads_line(json_object_get(o, "reads"), out);
    json_array_foreach(list, i, one)
    {
        if (i == CLIENTS_SHOWN)
            break;
        buf_addf(out, "    %s (%s@%s) cannot move: %s\n", text_of(one, "application"), text_of(one, "user"), text_of(one, "client"), text_of(one, "why"));
    }
    if (json_array_size(list) > CLIENTS_SHOWN)
        buf_addf(out, "    and %zu more\n", json_array_size(list) - CLIENTS_SHOWN);
}

void serving_lines(const json_t *stores, struct buf *out)
{
    const json_t *one;
    const json_t *door;
    size_t i;
    size_t k;

    json_array_foreach(stores, i, one)
    {
        const json_t *back = json_object_get(one, "way_back");
        bool target_serves = strcmp(text_of(one, "authority"), "target") == 0;

        if (json_is_object(back) || json_array_size(json_object_get(one, "doors")) > 0)
            buf_addf(out, "\n%s: the %s serves (epoch %lld)\n", text_of(one, "name"), text_of(one, "authority"), (long long)json_integer_value(json_object_get(one, "epoch")));
        if (json_is_object(back))
            way_back_lines(back, target_serves, out);
        json_array_foreach(json_object_get(one, "doors"), k, door)
            door_lines(door, out);
        sessions_lines(json_object_get(one, "sessions"), k > 0, out);
    }
}
