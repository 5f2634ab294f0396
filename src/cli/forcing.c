/* cli/forcing.c — see forcing.h. */
#include "cli/forcing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/world.h"
#include "cutover/force.h"
#include "pilot/status.h"

struct forcing {
    const struct cli *cli;
    const struct switch_job *job;
    const char *store;
    const char *opened; /* "source" or "target" */
    const char *lost;
    struct switch_force look;
    int64_t heard_us; /* when the engine last heard where the lost side stood (wall), and how far behind the other was;
                         0: never */
    int64_t behind_us;
    char heard_at[32]; /* the lost side's position then */
};

static void take_heard(struct forcing *g)
{
    bool alive;
    json_t *o = pilot_store_status(g->cli->state_dir, g->job->stream->name, &alive);
    const json_t *heard = json_object_get(o, "heard");
    const char *source = json_string_value(json_object_get(heard, "source"));

    g->heard_us = json_integer_value(json_object_get(heard, "at_us"));
    g->behind_us = json_integer_value(json_object_get(heard, "lag_us"));
    snprintf(g->heard_at, sizeof g->heard_at, "%s", source != NULL ? source : "");
    json_decref(o);
}

static void add_window(const struct forcing *g, struct buf *out)
{
    char then[WORLD_TIME_SIZE];
    char now[WORLD_TIME_SIZE];

    if (g->look.view.applied == NULL)
        buf_addf(out, "nothing is known of how far the %s holds what the %s committed", g->opened, g->lost);
    else
        buf_addf(out, "the %s holds all the %s committed up to %s, and nothing beyond", g->opened, g->lost,
                 g->look.view.applied);
    if (g->look.view.partial != NULL)
        buf_addf(out, "; but not of these, which are still being copied there, and may be empty: %s",
                 g->look.view.partial);
    if (g->heard_us == 0)
        buf_addf(out, "; the %s was never heard of here. Now is %s", g->lost, world_time_words(world_wall_us(), now));
    else
        buf_addf(out,
                 "; the %s was last heard of at %s, when it stood at %s and the %s was %.3f s behind it. What clients "
                 "were told is committed on the %s from %.3f s before then to now (%s) is at risk",
                 g->lost, world_time_words(g->heard_us, then), g->heard_at, g->opened, (double)g->behind_us / 1e6,
                 g->lost, (double)g->behind_us / 1e6, world_time_words(world_wall_us(), now));
}

/* The side says that it serves already: of before it failed over, or was restored, or left. */
static void add_own_word(const struct forcing *g, struct buf *out)
{
    buf_addf(out,
             "its own row says that it serves, since epoch %" PRId64
             ", which counts for nothing by itself: it may have handed over to the %s and no longer know it, and then "
             "what clients were told is committed there since is at risk; ",
             g->look.view.epoch, g->lost);
}

static void describe(const struct forcing *g, struct buf *out)
{
    buf_addf(out, "the %s is to serve from epoch %" PRId64 " on, without the word of the %s (%.300s). Not known: ",
             g->opened, g->look.view.next_epoch, g->lost, g->look.why);
    buf_addf(out, "what the %s itself says of who serves, and whether it handed over; ", g->lost);
    if (g->look.view.open)
        add_own_word(g, out);
    add_window(g, out);
    buf_addf(
        out,
        ". If the %s still runs and is only out of reach from here, clients that bypass the doors go on writing there: "
        "see that it is down. Should it come back, it is fenced out, and what it holds beyond is brought nowhere",
        g->lost);
}

static json_t *facts(const struct forcing *g)
{
    json_t *o = json_pack("{s:b, s:s, s:s, s:I, s:s, s:I, s:I, s:s}", "forced", 1, "authority", g->opened, "lost",
                          g->lost, "epoch", (json_int_t)g->look.view.next_epoch, "applied",
                          g->look.view.applied != NULL ? g->look.view.applied : "", "heard_us", (json_int_t)g->heard_us,
                          "behind_us", (json_int_t)g->behind_us, "heard_at", g->heard_at);

    json_object_set_new(o, "said_it_serves", json_boolean(g->look.view.open));
    json_object_set_new(o, "partial", json_string(g->look.view.partial != NULL ? g->look.view.partial : ""));
    json_object_set_new(o, "at_us", json_integer((json_int_t)world_wall_us()));
    return o;
}

enum err forcing_store(const struct cli *c, const struct switch_job *job, json_t **ret, struct fault *f)
{
    bool back = job->stream->back;
    struct forcing g = {.cli = c,
                        .job = job,
                        .store = config_stream_base(job->stream),
                        .opened = back ? "source" : "target",
                        .lost = back ? "target" : "source"};
    AUTO(arena) *a = arena_new(4096);
    AUTO_BUF text = {0};
    AUTO_CHARS *body = NULL;

    TRY(switch_force_look(job, a, &g.look, f));
    take_heard(&g);
    describe(&g, &text);
    TRY(cli_consent(c, g.store, buf_cstr(&text), f));
    if (!c->json)
        fprintf(stderr, "%s: %s\n", g.store, buf_cstr(&text));
    *ret = facts(&g);
    body = json_dumps(*ret, JSON_COMPACT);
    TRY(switch_force_open(job, &g.look, body, f));
    json_object_set_new(*ret, "name", json_string(g.store));
    if (!c->json)
        printf("%s: forced: the %s serves\n", g.store, g.opened);
    return ERR_OK;
}
