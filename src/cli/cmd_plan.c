/* cli/cmd_plan.c — leat plan: what run will do, in order, with its undo; and a digest of it. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "pilot/pilot.h"

/* SHA-256 of the canonical text: what an approval will be bound to. */
static void digest_of(const char *text, char hex[65])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    ENSURE(EVP_Digest(text, strlen(text), bytes, &n, EVP_sha256(), NULL) == 1 && n == 32);
    for (unsigned int i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static json_t *steps_json(const struct config *c)
{
    json_t *list = json_array();

    for (size_t s = 0; s < c->store_count; s++)
        for (size_t i = 0; i < pilot_step_count; i++) {
            const struct pilot_step *x = &pilot_steps[i];
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "store", c->stores[s].name, "step", x->name, "phase", x->phase, "effect", x->effect, "undo", x->undo, "risk",
                                                  x->risk, "changes_source", (int)x->changes_source));
        }
    return list;
}

static void print_plan(const struct config *c)
{
    AUTO(arena) *a = arena_new(4096);

    for (size_t s = 0; s < c->store_count; s++) {
        printf("%s%s\n  from %s\n  to   %s\n\n", s > 0 ? "\n" : "", c->stores[s].name, config_dsn_public(a, c->stores[s].source), config_dsn_public(a, c->stores[s].target));
        for (size_t i = 0; i < pilot_step_count; i++) {
            const struct pilot_step *x = &pilot_steps[i];
            printf("  %zu. %-12s%s\n     %s\n     undo: %s\n     risk: %s\n", i + 1, x->name, x->changes_source ? " changes the source (needs --yes)" : "", x->effect, x->undo, x->risk);
        }
    }
}

int cmd_plan(struct cli *c, struct fault *f)
{
    json_t *steps = steps_json(c->config);
    char *text = json_dumps(steps, JSON_COMPACT | JSON_SORT_KEYS);
    char hex[65];

    (void)f;
    digest_of(text, hex);
    free(text);
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "digest", json_string(hex));
        json_object_set_new(o, "steps", steps);
        cli_answer(c, o, "leat run --until replicate");
        return 0;
    }
    json_decref(steps);
    print_plan(c->config);
    printf("\nplan %.16s — next: `leat run --until replicate`\n", hex);
    return 0;
}
