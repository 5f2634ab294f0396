/* assess/doctor.c — see doctor.h. What an engine knows to look at is in its own folder of store/; here is what belongs to no server. */
#include "assess/doctor.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/postgres/examine.h"

#define MEGABYTE ((int64_t)1024 * 1024)
#define JOURNAL_BYTES (64 * MEGABYTE)

static const struct {
    const char *engine;
    void (*examine)(const struct config *c, const struct config_store *s, const struct examine_sink *sink);
} engines[] = {{"postgresql", pg_examine}};

/* --- what a store's engine tells --- */

struct telling {
    struct findings *findings;
    const char *store;
};

static enum severity severity_of(enum remark level, const char *id)
{
    const struct finding_info *info = finding_info(id);

    switch (level) {
    case REMARK_FINE:
        return SEVERITY_OK;
    case REMARK_NOTE:
        return SEVERITY_NOTE;
    case REMARK_WARNING:
        return SEVERITY_WARNING;
    case REMARK_BLOCKER:
        return SEVERITY_BLOCKER;
    default:
        return info != NULL ? info->severity : SEVERITY_BLOCKER;
    }
}

static void tell(void *ctx, enum remark level, const char *id, const char *object, const char *why, const char *fix)
{
    const struct telling *t = ctx;

    ENSURE(finding_info(id) != NULL || err_by_code(id) != ERR_OK); /* every id can be explained */
    findings_add(t->findings, id, severity_of(level, id), t->store, object, why, fix);
}

static void examine_store(const struct config *c, const struct config_store *s, struct findings *fs)
{
    struct telling t = {.findings = fs, .store = s->name};
    const struct examine_sink sink = {.tell = tell, .ctx = &t};

    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strcmp(engines[i].engine, s->engine) == 0)
            engines[i].examine(c, s, &sink);
}

/* --- this machine --- */

/* The folder itself, or as long as it does not exist the nearest one above it. */
static const char *existing_folder(struct arena *a, const char *path)
{
    char *p = arena_strdup(a, path);
    struct stat st;

    while (stat(p, &st) != 0) {
        char *slash = strrchr(p, '/');
        if (slash == NULL)
            return ".";
        if (slash == p)
            return "/";
        *slash = '\0';
    }
    return p;
}

static void examine_state(const struct config *c, const char *state_dir, struct findings *fs)
{
    const char *folder = existing_folder(fs->arena, state_dir);
    int64_t needed = c->limits.spool * (int64_t)c->store_count + JOURNAL_BYTES;
    struct statvfs disk;
    int64_t free_bytes;

    if (access(folder, W_OK | X_OK) != 0 || statvfs(folder, &disk) != 0) {
        findings_addf(fs, "state", SEVERITY_BLOCKER, "", state_dir, arena_format(fs->arena, "chown \"$USER\" '%s' -- or name another folder with --state", folder), "%s: %m", folder);
        return;
    }
    free_bytes = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
    if (free_bytes < needed)
        findings_addf(fs, "state-disk", SEVERITY_WARNING, "", state_dir, "free space, name another folder with --state, or lower limits.spool in leat.yaml",
                      "%" PRId64 " MB are free there; the spool may grow to %" PRId64 " MB", free_bytes / MEGABYTE, needed / MEGABYTE);
    else
        findings_addf(fs, "state-disk", SEVERITY_OK, "", state_dir, "", "%" PRId64 " MB are free there, more than the spool may need (%" PRId64 " MB)", free_bytes / MEGABYTE, needed / MEGABYTE);
}

static void examine_twice(const struct config *c, struct findings *fs)
{
    for (size_t i = 0; i < c->store_count; i++)
        for (size_t k = 0; k < i; k++) {
            const struct config_store *a = &c->stores[k];
            const struct config_store *b = &c->stores[i];
            if (strcmp(a->target, b->target) == 0)
                findings_addf(fs, "store-twice", SEVERITY_BLOCKER, b->name, "target", "give each store databases of its own in leat.yaml", "stores %s and %s name the same target", a->name, b->name);
        }
}

static const char *usual_state_dir(struct arena *a, const struct config *c)
{
    const char *slash = strrchr(c->path, '/');

    return slash == NULL ? ".leat" : arena_format(a, "%.*s/.leat", (int)(slash - c->path), c->path);
}

enum err doctor_examine_with(const struct config *c, const char *state_dir, struct findings *ret, struct fault *f)
{
    (void)f;
    findings_init(ret);
    examine_state(c, state_dir != NULL ? state_dir : usual_state_dir(ret->arena, c), ret);
    examine_twice(c, ret);
    for (size_t i = 0; i < c->store_count; i++)
        examine_store(c, &c->stores[i], ret);
    return ERR_OK;
}

enum err doctor_examine(const struct config *c, struct findings *ret, struct fault *f)
{
    return doctor_examine_with(c, NULL, ret, f);
}
