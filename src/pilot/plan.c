/* pilot/plan.c — see plan.h. */
#include "pilot/plan.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/postgres/identity.h"
#include "store/postgres/inventory.h"

const struct pilot_step pilot_steps[] = {
#define X(name, phase, source, effect, undo, until, risk) {name, phase, source, effect, undo, until, risk},
#include "pilot/steps.def"
#undef X
};
const size_t pilot_step_count = sizeof pilot_steps / sizeof *pilot_steps;

/* --- what the source holds --- */

static bool copies_too_long(const struct pilot_plan_store *s, const struct table *t, int64_t snapshot_age_us)
{
    return t->bytes / PLAN_COPY_RATE > snapshot_age_us / 1000000 && !config_exempts(s->config, t->schema, t->name);
}

static void take_catalog(struct pilot_plan *p, struct pilot_plan_store *s, const struct catalog *c, int64_t snapshot_age_us)
{
    const struct table *largest = NULL;

    s->long_copies = arena_alloc(p->arena, (c->table_count + 1) * sizeof *s->long_copies);
    s->table_count = c->table_count;
    s->sequence_count = c->sequence_count;
    for (size_t i = 0; i < c->table_count; i++) {
        const struct table *t = &c->tables[i];

        s->bytes += t->bytes;
        s->rows += t->rows > 0 ? t->rows : 0;
        if (largest == NULL || t->bytes > largest->bytes)
            largest = t;
        if (copies_too_long(s, t, snapshot_age_us))
            s->long_copies[s->long_copy_count++] = arena_format(p->arena, "%s.%s", t->schema, t->name);
    }
    if (largest != NULL) {
        s->largest = arena_format(p->arena, "%s.%s", largest->schema, largest->name);
        s->largest_bytes = largest->bytes;
    }
}

static enum err take_identities(struct pilot_plan *p, struct pilot_plan_store *s, struct pg *pg, const struct catalog *c, struct fault *f)
{
    static const char clause[] = "REPLICA IDENTITY ";
    struct identity_wanted *wanted;

    TRY(pg_identity_wanted(pg, c, p->arena, &wanted, &s->without_key_count, f));
    s->without_key = arena_alloc(p->arena, (s->without_key_count + 1) * sizeof *s->without_key);
    for (size_t i = 0; i < s->without_key_count; i++)
        s->without_key[i] = arena_format(p->arena, "%s.%s (%s)", wanted[i].table->schema, wanted[i].table->name, strstr(wanted[i].give, clause) + sizeof clause - 1);
    return ERR_OK;
}

static enum err look_at(struct pilot_plan *p, struct pilot_plan_store *s, int64_t snapshot_age_us, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    AUTO(catalog) *catalog = NULL;

    TRY(pg_connect(s->config->source, SIDE_SOURCE, "plan", &pg, f));
    TRY(pg_catalog_load(pg, s->config, &catalog, f));
    take_catalog(p, s, catalog, snapshot_age_us);
    TRY(take_identities(p, s, pg, catalog, f));
    s->seen = true;
    return ERR_OK;
}

static enum err read_states(struct pilot_plan *p, struct pilot_plan_store *s, struct journal *j, struct fault *f)
{
    s->states = arena_zalloc(p->arena, pilot_step_count * sizeof *s->states);
    if (j == NULL)
        return ERR_OK;
    for (size_t i = 0; i < pilot_step_count; i++) {
        bool with_arm = strcmp(pilot_steps[i].name, "identity") == 0; /* one step for the engine */

        TRY(j->ops->step_get(j, s->config->name, with_arm ? "arm" : pilot_steps[i].name, &s->states[i], f));
    }
    return ERR_OK;
}

/* --- the digest --- */

static json_t *canonical_store(const struct pilot_plan *p, const struct pilot_plan_store *s)
{
    json_t *steps = json_array();
    json_t *full = json_array();

    for (size_t i = 0; i < pilot_step_count; i++)
        json_array_append_new(steps, json_pack("{s:s, s:s, s:s, s:b}", "name", pilot_steps[i].name, "effect", pilot_steps[i].effect, "undo", pilot_steps[i].undo,
                                               "changes_source", (int)pilot_steps[i].changes_source));
    for (size_t i = 0; i < s->without_key_count; i++)
        json_array_append_new(full, json_string(s->without_key[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", s->config->name, "source", config_dsn_public(p->arena, s->config->source), "target",
                     config_dsn_public(p->arena, s->config->target), "steps", steps, "identity_full", full);
}

static void digest(struct pilot_plan *p, const char *migration)
{
    json_t *stores = json_array();
    json_t *o;
    char *text;
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    for (size_t i = 0; i < p->store_count; i++)
        json_array_append_new(stores, canonical_store(p, &p->stores[i]));
    o = json_pack("{s:s, s:o}", "migration", migration, "stores", stores);
    text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    ENSURE(text != NULL && EVP_Digest(text, strlen(text), bytes, &n, EVP_sha256(), NULL) == 1 && n == 32);
    for (unsigned int i = 0; i < n; i++)
        snprintf(p->digest + 2 * (size_t)i, 3, "%02x", bytes[i]);
    free(text);
    json_decref(o);
}

/* --- the whole --- */

/* Opening makes a journal where there is none, and a plan changes nothing. */
static enum err open_if_there(const struct config *c, const char *state_dir, struct journal **ret, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/journal.db", state_dir);

    if (access(path, F_OK) != 0)
        return ERR_OK;
    return journal_sqlite_open(state_dir, c->migration, ret, f);
}

static enum err fill(struct pilot_plan *p, const struct config *c, const char *state_dir, struct fault *f)
{
    AUTO(journal) *j = NULL;

    TRY(open_if_there(c, state_dir, &j, f));
    for (size_t i = 0; i < p->store_count; i++) {
        struct pilot_plan_store *s = &p->stores[i];
        struct fault why = {0};

        s->config = &c->stores[i];
        s->why_not = "";
        if (look_at(p, s, c->limits.snapshot_age_us, &why) != ERR_OK)
            s->why_not = arena_strdup(p->arena, why.why);
        TRY(read_states(p, s, j, f));
    }
    return ERR_OK;
}

enum err pilot_plan_make(const struct config *c, const char *state_dir, struct pilot_plan **ret, struct fault *f)
{
    AUTO(pilot_plan) *p = mem_alloc(sizeof *p);

    p->arena = arena_new(16384);
    p->store_count = c->store_count;
    p->stores = arena_zalloc(p->arena, c->store_count * sizeof *p->stores);
    TRY(fill(p, c, state_dir, f));
    digest(p, c->migration);
    *ret = TAKE(p);
    return ERR_OK;
}

void pilot_plan_free(struct pilot_plan *p)
{
    arena_free(p->arena);
    free(p);
}

int64_t pilot_step_seconds(const struct pilot_plan_store *s, size_t step)
{
    int64_t copy = (s->bytes + PLAN_COPY_RATE - 1) / PLAN_COPY_RATE;

    if (!s->seen)
        return 0;
    if (strcmp(pilot_steps[step].name, "copy") == 0)
        return copy;
    if (strcmp(pilot_steps[step].name, "indexes") == 0)
        return copy / 2;
    return strcmp(pilot_steps[step].name, "analyze") == 0 ? copy / 20 : 0;
}

static const char *list_of(const struct pilot_plan *p, const char *const *list, size_t count)
{
    AUTO_BUF names = {0};
    size_t most = count < 5 ? count : 5;

    for (size_t i = 0; i < most; i++)
        buf_addf(&names, "%s%s", i > 0 ? ", " : "", list[i]);
    if (most < count)
        buf_addf(&names, " and %zu more", count - most);
    return arena_strdup(p->arena, buf_cstr(&names));
}

const char *pilot_step_effect(const struct pilot_plan *p, const struct pilot_plan_store *s, size_t step)
{
    if (s->long_copy_count > 0 && strcmp(pilot_steps[step].name, "copy") == 0)
        return arena_format(p->arena, "%s; likely to hold a snapshot beyond limits.snapshot_age, where the store stops unless long_snapshots names them: %s", pilot_steps[step].effect,
                            list_of(p, s->long_copies, s->long_copy_count));
    if (!s->seen || strcmp(pilot_steps[step].name, "identity") != 0)
        return pilot_steps[step].effect;
    if (s->without_key_count == 0)
        return "nothing to do: every table has a key";
    return arena_format(p->arena, "%s: %s", pilot_steps[step].effect, list_of(p, s->without_key, s->without_key_count));
}
