/* config/config.c — leat.yaml from its bytes to struct config, and what can be asked of it. See internal.h for the way.
 */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/internal.h"

#define ARENA_CHUNK (16 << 10)
#define READ_CHUNK (64 << 10)

static void add_ways_back(struct config *c)
{
    struct config_store *backs = arena_zalloc(c->arena, c->store_count * sizeof *backs);

    for (size_t i = 0; i < c->store_count; i++) {
        struct config_store *s = &c->stores[i];
        backs[i] = *s;
        backs[i].name = arena_format(c->arena, "%s" CONFIG_BACK, s->name);
        backs[i].source = s->target;
        backs[i].target = s->source;
        backs[i].door_source = s->door_target;
        backs[i].door_target = s->door_source;
        backs[i].other = s;
        backs[i].back = true;
        s->other = &backs[i];
    }
}

enum err config_parse(const char *path, const char *text, size_t len, struct config **ret, struct fault *f)
{
    AUTO(arena) *arena = arena_new(ARENA_CHUNK);
    struct config_source source = {.path = path, .text = text, .len = len, .arena = arena};
    struct node *root = NULL;
    struct config *config = NULL;

    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* the mark some editors begin a file with */
        source.text += 3;
        source.len -= 3;
    }
    TRY(config_text_check(&source, f));
    TRY(config_tree(&source, &root, f));
    TRY(config_read(&source, root, &config, f));
    ENSURE(config->arena == arena && config->store_count > 0);
    arena = NULL; /* the config has it now */
    add_ways_back(config);
    *ret = config;
    return ERR_OK;
}

/* At most one byte more than may be, so that a file too large is seen to be. */
static enum err read_file(const char *path, struct buf *out, struct fault *f)
{
    FILE *file = fopen(path, "re");
    int problem = errno;
    size_t n = 1;

    if (file == NULL && problem == ENOENT)
        return fault_set(f, ERR_CONFIG_MISSING, "%s: %s", path, strerror(problem));
    if (file == NULL)
        return fault_todo(f, ERR_CONFIG, "give leat the right to read it, or name another file with --config", "%s: %s",
                          path, strerror(problem));
    while (n > 0 && out->len <= CONFIG_FILE_MAX) {
        buf_reserve(out, READ_CHUNK);
        n = fread(out->data + out->len, 1, READ_CHUNK, file);
        out->len += n;
    }
    problem = ferror(file) ? errno : 0;
    fclose(file);
    if (problem != 0)
        return fault_todo(f, ERR_CONFIG, "name the right file with --config", "%s: %s", path, strerror(problem));
    return ERR_OK;
}

enum err config_load(const char *path, struct config **ret, struct fault *f)
{
    AUTO_BUF text = {0};

    TRY(read_file(path, &text, f));
    return config_parse(path, buf_cstr(&text), text.len, ret, f);
}

void config_free(struct config *c)
{
    if (c != NULL)
        arena_free(c->arena);
}

const struct config_store *config_store_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->store_count; i++)
        if (strcmp(c->stores[i].name, name) == 0)
            return &c->stores[i];
    return NULL;
}

const struct config_store *config_stream_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->store_count; i++)
        if (strcmp(c->stores[i].other->name, name) == 0)
            return c->stores[i].other;
    return config_store_find(c, name);
}

const struct config_value *config_value(const struct config *c, const char *path)
{
    for (size_t i = 0; i < c->value_count; i++)
        if (strcmp(c->values[i].path, path) == 0)
            return &c->values[i];
    return NULL;
}
