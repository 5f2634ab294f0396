/* cli/cmd_plan.c — leat plan: what run will do to each store, in order, with its undo, its risk, its time; and a digest. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "pilot/plan.h"

static const char *duration(int64_t seconds, char text[32])
{
    if (seconds >= 5400)
        snprintf(text, 32, "about %.1f h", (double)seconds / 3600);
    else if (seconds >= 90)
        snprintf(text, 32, "about %lld min", (long long)((seconds + 30) / 60));
    else
        snprintf(text, 32, "about %lld s", (long long)seconds);
    return text;
}

/* Without names of its own a step that changes the source may still change nothing: then nothing is asked. */
static bool changes(const struct pilot_plan_store *s, size_t step)
{
    bool nothing = s->seen && strcmp(pilot_steps[step].name, "identity") == 0 && s->without_key_count == 0;

    return pilot_steps[step].changes_source && !nothing;
}

/* --- for people --- */

static void print_what(const struct pilot_plan *p, const struct pilot_plan_store *s)
{
    char bytes[32];
    char largest[32];
    char rows[32];

    printf("%s\n  from %s\n  to   %s\n", s->config->name, config_dsn_public(p->arena, s->config->source), config_dsn_public(p->arena, s->config->target));
    if (!s->seen)
        printf("  not seen, so without sizes and times: %s\n", s->why_not);
    else
        printf("  %zu tables, about %s rows, %s; %zu sequences\n", s->table_count, cli_count((int64_t)s->rows, rows), cli_size((double)s->bytes, bytes), s->sequence_count);
    if (s->largest != NULL)
        printf("  largest: %s, %s\n", s->largest, cli_size((double)s->largest_bytes, largest));
}

static void print_step(const struct pilot_plan *p, const struct pilot_plan_store *s, size_t i)
{
    const struct pilot_step *x = &pilot_steps[i];
    int64_t seconds = pilot_step_seconds(s, i);
    char time[32];
    char until[128];

    snprintf(until, sizeof until, "until %s", x->until);
    printf("\n  %2zu %-12s %s%s%s%s\n", i + 1, x->name, s->states[i] == STEP_DONE ? "done" : s->states[i] == STEP_INTENT ? "begun" : x->phase,
           changes(s, i) ? ", CHANGES THE SOURCE" : "", seconds > 0 ? ", " : "", seconds > 0 ? duration(seconds, time) : "");
    printf("     %s\n", pilot_step_effect(p, s, i));
    printf("     undo: %s (%s)\n", x->undo, strcmp(x->until, "always") == 0 ? "at any time" : until);
    if (strncmp(x->risk, "none", 4) != 0)
        printf("     risk: %s\n", x->risk);
}

static void print_plan(const struct cli *c, const struct pilot_plan *p)
{
    for (size_t s = 0; s < p->store_count; s++) {
        if (s > 0)
            putchar('\n');
        print_what(p, &p->stores[s]);
        for (size_t i = 0; i < pilot_step_count; i++)
            print_step(p, &p->stores[s], i);
    }
    printf("\nTimes assume %d MB/s for reading and writing rows, and half of that time again for indexes beside it.\n", (int)(PLAN_COPY_RATE >> 20));
    printf("The source serves on throughout. After `leat start` following goes on until `leat stop`.\n");
    printf("plan %s\nnext: leat run --until replicate%s\n", p->digest, c->config->store_count > 1 ? "   (all stores at once)" : "");
}

/* --- JSON --- */

static const char *state_name(enum step_state state)
{
    static const char *const names[] = {"planned", "begun", "done", "undone"};

    return names[state];
}

static json_t *step_json(const struct pilot_plan *p, const struct pilot_plan_store *s, size_t i)
{
    const struct pilot_step *x = &pilot_steps[i];
    int64_t seconds = pilot_step_seconds(s, i);

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o}", "store", s->config->name, "step", x->name, "phase", x->phase, "state", state_name(s->states[i]), "effect",
                     pilot_step_effect(p, s, i), "undo", x->undo, "reversible_until", x->until, "risk", x->risk, "changes_source", (int)changes(s, i), "seconds",
                     seconds > 0 ? json_integer((json_int_t)seconds) : json_null());
}

static json_t *store_json(const struct pilot_plan *p, const struct pilot_plan_store *s)
{
    json_t *full = json_array();

    for (size_t i = 0; i < s->without_key_count; i++)
        json_array_append_new(full, json_string(s->without_key[i]));
    return json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:f, s:o}", "name", s->config->name, "source", config_dsn_public(p->arena, s->config->source), "target",
                     config_dsn_public(p->arena, s->config->target), "seen", (int)s->seen, "why_not", s->why_not, "tables", (json_int_t)s->table_count, "sequences",
                     (json_int_t)s->sequence_count, "bytes", (json_int_t)s->bytes, "rows", s->rows, "without_key", full);
}

static void answer(const struct cli *c, const struct pilot_plan *p)
{
    json_t *o = cli_object(c, true);
    json_t *steps = json_array();
    json_t *stores = json_array();

    for (size_t s = 0; s < p->store_count; s++) {
        json_array_append_new(stores, store_json(p, &p->stores[s]));
        for (size_t i = 0; i < pilot_step_count; i++)
            json_array_append_new(steps, step_json(p, &p->stores[s], i));
    }
    json_object_set_new(o, "digest", json_string(p->digest));
    json_object_set_new(o, "assumed_bytes_per_second", json_integer(PLAN_COPY_RATE));
    json_object_set_new(o, "stores", stores);
    json_object_set_new(o, "steps", steps);
    cli_answer(c, o, "leat run --until replicate");
}

int cmd_plan(struct cli *c, struct fault *f)
{
    AUTO(pilot_plan) *p = NULL;

    if (pilot_plan_make(c->config, c->state_dir, &p, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    if (c->json)
        answer(c, p);
    else
        print_plan(c, p);
    return 0;
}
