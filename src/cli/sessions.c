/* cli/sessions.c — see sessions.h. */
#include "cli/sessions.h"

#include "base/world.h"
#include "cutover/bypass.h"

#define KEPT_US ((int64_t)2000000)
#define SHOWN 5

static json_t *look(const struct cli *c, const struct config_store *store)
{
    json_t *who = json_array();
    json_int_t count = 0;
    const json_t *one;
    size_t i;

    for (int side = STORE_SOURCE; side <= STORE_TARGET; side++) {
        struct fault ignored = {0};
        json_t *here;

        if (bypass_look(c->config, store, c->state_dir, (enum store_side)side, &here, &ignored) != ERR_OK) {
            json_decref(who);
            return json_pack("{s:n, s:[]}", "bypassing", "who");
        }
        json_array_extend(who, here);
        json_decref(here);
    }
    json_array_foreach(who, i, one) count += json_integer_value(json_object_get(one, "count"));
    return json_pack("{s:I, s:o}", "bypassing", count, "who", who);
}

json_t *sessions_past_doors(const struct cli *c, const struct config_store *store)
{
    static json_t *kept; /* by store: under --watch */
    static int64_t kept_us;

    if (kept == NULL || world_mono_us() - kept_us > KEPT_US) {
        json_decref(kept);
        kept = json_object();
        kept_us = world_mono_us();
    }
    if (json_object_get(kept, store->name) == NULL)
        json_object_set_new(kept, store->name, look(c, store));
    return json_deep_copy(json_object_get(kept, store->name));
}

void sessions_lines(const json_t *sessions, bool has_doors, struct buf *out)
{
    const json_t *who = json_object_get(sessions, "who");
    const json_t *one;
    size_t i;

    json_array_foreach(who, i, one)
    {
        if (i == SHOWN) {
            buf_addf(out, "    and %zu more\n", json_array_size(who) - SHOWN);
            break;
        }
        buf_addf(out, "  connected to the %s %s: %s (%s@%s), %lld session(s)\n",
                 json_string_value(json_object_get(one, "side")), has_doors ? "past the doors" : "directly",
                 json_string_value(json_object_get(one, "application")),
                 json_string_value(json_object_get(one, "user")), json_string_value(json_object_get(one, "address")),
                 (long long)json_integer_value(json_object_get(one, "count")));
    }
}
