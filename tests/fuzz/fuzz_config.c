/* tests/fuzz/fuzz_config.c — leat.yaml from hostile bytes. Whatever comes: a config all of whose promises hold, or
 * exactly one error, ERR_CONFIG, that begins with the file's name; and no password in what may be shown. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH "leat.yaml"

static void check_store(const struct config *c, const struct config_store *s)
{
    ENSURE(config_name_ok(s->name) && config_store_find(c, s->name) == s);
    ENSURE(strcmp(s->engine, "postgresql") == 0 && (s->ddl == DDL_STOP || s->ddl == DDL_APPLY));
    ENSURE(config_dsn_check(c->arena, s->source) == NULL && config_dsn_check(c->arena, s->target) == NULL);
    ENSURE(!config_dsn_same(s->source, s->target));
    ENSURE(!config_chooses(s, "pg_catalog", "pg_class") && !config_chooses(s, "leat", "progress"));
    (void)config_chooses(s, "public", "orders_2024_\xC3\xB6\xC3\xA4");
    for (size_t i = 0; i < s->include_count; i++)
        ENSURE(config_pattern_check(c->arena, s->include[i]) == NULL);
}

static void check_limits(const struct config_limits *l)
{
    ENSURE(l->source_wal >= 1 << 20 && l->spool >= 1 << 20 && l->snapshot_age_us >= 1000000 && l->source_lag_us >= 0);
    ENSURE(l->copy_workers >= 1 && l->copy_workers <= 64 && l->index_workers >= 1 && l->index_workers <= 64);
    ENSURE(l->apply_lanes >= 1 && l->apply_lanes <= 64);
}

static void check_config(const struct config *c)
{
    ENSURE(config_name_ok(c->migration) && strcmp(c->path, PATH) == 0);
    ENSURE(c->store_count >= 1 && c->store_count <= CONFIG_NAMES_MAX);
    for (size_t i = 0; i < c->store_count; i++)
        check_store(c, &c->stores[i]);
    check_limits(&c->limits);
    ENSURE(c->gates.lag_us >= 1000 && c->gates.pause_us >= 1000 && c->gates.rehearsals >= 0 &&
           c->gates.observe_us >= 0);
    for (size_t i = 0; i < c->value_count; i++)
        ENSURE(config_value(c, c->values[i].path) == &c->values[i]); /* each path once */
}

static void check_fault(const struct fault *f)
{
    ENSURE(f->code == ERR_CONFIG && strncmp(f->why, PATH ":", strlen(PATH) + 1) == 0 &&
           strlen(f->why) > strlen(PATH) + 2);
    ENSURE(strpbrk(f->why, "\x1B\n\r\t") == NULL);
    ENSURE(strstr(f->why, "S3CRET") == NULL);
}

/* The bytes as a piece of a DSN: what may be shown stays as it is when made fit to be shown again. */
static void check_dsn(const uint8_t *data, size_t size)
{
    AUTO(arena) *a = arena_new(4096);
    const char *text = arena_format(a, "%.*s", (int)(size < 4096 ? size : 4096), (const char *)data);
    const char *shown = config_dsn_public(a, text), *expanded = NULL;
    const char *wrong = config_dsn_expand(a, text, &expanded);

    ENSURE(strcmp(config_dsn_public(a, shown), shown) == 0);
    ENSURE((wrong == NULL) == (expanded != NULL));
    if (expanded != NULL && config_dsn_check(a, expanded) == NULL)
        ENSURE(config_dsn_same(expanded, expanded));
    (void)config_shown(a, text);
}

/* A password in its usual places, with whatever behind or before it. */
static void check_secret(const uint8_t *data, size_t size)
{
    AUTO(arena) *a = arena_new(4096);
    const char *text = arena_format(a, "%.*s", (int)(size < 512 ? size : 512), (const char *)data);
    const char *places[] = {
        arena_format(a, "postgresql://u:S3CRET@%s", text),
        arena_format(a, "postgresql://h/d?password=S3CRET&%s", text),
        arena_format(a, "password=S3CRET %s", text),
        arena_format(a, "password='S3CRET' %s", text),
    };

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *wrong = config_dsn_check(a, places[i]);

        ENSURE(strstr(text, "S3CRET") != NULL || strstr(config_dsn_public(a, places[i]), "S3CRET") == NULL);
        ENSURE(wrong == NULL || strstr(wrong, "S3CRET") == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char secret[] = "S3CRET";
    struct config *c = NULL;
    struct fault f = {0};

    setenv("FUZZ_PASSWORD", "S3CRET@x y'\\", 0);
    if (memmem(data, size, secret, strlen(secret)) != NULL)
        return 0; /* it is ours to place */
    if (config_parse(PATH, (const char *)data, size, &c, &f) == ERR_OK)
        check_config(c);
    else
        check_fault(&f);
    config_free(c);
    check_dsn(data, size);
    check_secret(data, size);
    return 0;
}
