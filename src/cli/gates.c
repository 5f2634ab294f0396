/* cli/gates.c — see gates.h. */
#include "cli/gates.h"

#include <stdio.h>

#include "base/world.h"
#include "config/config.h"

#define FRESH_US ((int64_t)60000000) /* of what was changed: older than that, it does not count as compared */

static void add_gate(json_t *gates, const char *store, const char *name, bool ok, const char *why)
{
    json_array_append_new(gates, json_pack("{s:s, s:s, s:b, s:s}", "name", name, "store", store, "ok", (int)ok, "why", why));
}

/* --- whether both sides are known to be equal --- */

static int64_t number_of(const json_t *o, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(o, key));
}

static void add_ago(struct buf *out, int64_t at_us)
{
    int64_t s = (world_wall_us() - at_us) / 1000000;

    if (s < 0)
        s = 0;
    if (s < 120)
        buf_addf(out, "%lld s ago", (long long)s);
    else if (s < 7200)
        buf_addf(out, "%lld min ago", (long long)s / 60);
    else
        buf_addf(out, "%lld h ago", (long long)s / 3600);
}

static void say_unclean(struct buf *why, const json_t *v)
{
    size_t not_compared = json_array_size(json_object_get(v, "unverifiable"));
    size_t objects = json_array_size(json_object_get(v, "objects"));

    if (number_of(v, "differences") > 0)
        buf_addf(why, "%lld rows differ, of %zu table(s): `leat repair`", (long long)number_of(v, "differences"), json_array_size(json_object_get(v, "differing")));
    else if (objects > 0)
        buf_addf(why, "%zu object(s) around the rows are not as on the source: `leat verify` lists them", objects);
    else if (not_compared > 0)
        buf_addf(why, "%zu table(s) could not be compared: `leat verify` lists them", not_compared);
    else
        buf_adds(why, "the verifier did not find all it had planted: `leat verify`");
}

/* Clean, and of all tables: does it hold still? */
static bool say_clean(struct buf *why, const json_t *v)
{
    const json_t *stay = json_object_get(v, "stay");
    const char *not = json_string_value(json_object_get(stay, "why"));
    size_t due = json_array_size(json_object_get(v, "due"));

    buf_adds(why, "equal; all was compared ");
    add_ago(why, number_of(v, "at_us"));
    if (stay == NULL || (not != NULL && not[0] != '\0')) { /* a reason is given as soon as there is one */
        buf_addf(why, ", but not what was changed since%s%s", not != NULL && not[0] != '\0' ? ": " : "", not != NULL ? not : "");
    } else if (due > 0) {
        buf_addf(why, "; %zu table(s) touched as a whole since wait for their turn", due);
    } else if (number_of(stay, "at_us") != 0) {
        buf_adds(why, ", what was changed since ");
        add_ago(why, number_of(stay, "at_us"));
        return world_wall_us() - number_of(stay, "at_us") < FRESH_US;
    }
    return false;
}

static void add_verify(json_t *gates, const char *store, const json_t *v, bool running)
{
    AUTO_BUF why = {0};
    bool ok = false;

    if (!json_is_object(v))
        buf_adds(&why, "never compared: `leat verify`");
    else if (!json_is_true(json_object_get(v, "clean")))
        say_unclean(&why, v);
    else if (!json_is_true(json_object_get(v, "whole")))
        buf_adds(&why, "only some tables were compared: `leat verify`");
    else
        ok = say_clean(&why, v) && running; /* what an engine said that is gone was of then */
    add_gate(gates, store, "verify", ok, buf_cstr(&why));
}

const char *gates_next(const json_t *s)
{
    const json_t *v = json_object_get(s, "verified");

    if (!json_is_true(json_object_get(s, "running")) || !json_is_true(json_object_get(s, "following")) || json_is_object(json_object_get(s, "verifying")))
        return NULL;
    if (number_of(v, "differences") > 0)
        return "leat repair";
    return json_is_true(json_object_get(v, "whole")) && json_is_true(json_object_get(v, "clean")) ? NULL : "leat verify";
}

void gates_date(json_t *verified)
{
    int64_t pass = number_of(verified, "at_us");
    int64_t stay = number_of(json_object_get(verified, "stay"), "at_us");
    int64_t at = stay > pass ? stay : pass;
    char text[WORLD_TIME_SIZE];

    if (at != 0)
        json_object_set_new(verified, "at", json_string(world_time_text(at, text)));
}

void gates_of(const struct cli *c, const json_t *s, json_t *gates)
{
    const char *store = json_string_value(json_object_get(s, "name"));
    const json_t *lag = json_object_get(s, "lag_seconds");
    double seconds = json_number_value(lag);
    json_int_t ledger = json_integer_value(json_object_get(s, "ledger"));
    bool running = json_is_true(json_object_get(s, "running"));
    bool measured = json_is_number(lag) && running;
    bool followed = json_is_true(json_object_get(s, "following"));
    const char *pending = json_string_value(json_object_get(s, "ddl_pending"));
    bool waits = pending != NULL && pending[0] != '\0';
    char why[128];

    add_gate(gates, store, "replicate", followed && running && !waits, waits ? "a change of the schema waits: `leat status` shows it" : !followed ? "not all is copied and followed" : running ? "all is copied and followed" : "copied, but not followed now");
    if (measured)
        snprintf(why, sizeof why, "%.3f s; the gate is %.3f s", seconds, (double)c->config->gates.lag_us / 1e6);
    else
        snprintf(why, sizeof why, "not measured now");
    add_gate(gates, store, "lag", measured && seconds * 1e6 <= (double)c->config->gates.lag_us, why);
    snprintf(why, sizeof why, ledger == 0 ? "no row behaved otherwise than the stream said" : "%lld rows did not behave as the stream said", (long long)ledger);
    add_gate(gates, store, "ledger", ledger == 0, why);
    add_verify(gates, store, json_object_get(s, "verified"), running && followed);
}
