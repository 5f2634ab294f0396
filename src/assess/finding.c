/* assess/finding.c — see finding.h. */
#include "assess/finding.h"

#include <stdlib.h>

static const struct finding_info infos[] = {
#define X(id, severity, what, why, todo) {id, SEVERITY_##severity, what, why, todo},
#include "assess/findings.def"
#undef X
};

const struct finding_info *finding_info(const char *id)
{
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++)
        if (strcmp(infos[i].id, id) == 0)
            return &infos[i];
    return NULL;
}

const struct finding_info *finding_infos(size_t *ret_count)
{
    *ret_count = sizeof infos / sizeof *infos;
    return infos;
}

const char *severity_name(enum severity severity)
{
    static const char *const names[] = {"ok", "note", "warning", "blocker"};

    ENSURE((size_t)severity < sizeof names / sizeof *names);
    return names[severity];
}

void findings_init(struct findings *fs)
{
    *fs = (struct findings){.arena = arena_new(16 * 1024)};
}

void findings_fini(struct findings *fs)
{
    if (fs->arena != NULL)
        arena_free(fs->arena);
    free(fs->list);
    *fs = (struct findings){0};
}

void findings_add(struct findings *fs, const char *id, enum severity severity, const char *store, const char *object, const char *why, const char *fix)
{
    if (fs->count == fs->size) {
        fs->size = fs->size > 0 ? 2 * fs->size : 64;
        fs->list = mem_grow(fs->list, fs->size * sizeof *fs->list);
    }
    fs->list[fs->count++] = (struct finding){
        .id = arena_strdup(fs->arena, id),
        .severity = severity,
        .store = arena_strdup(fs->arena, store),
        .object = arena_strdup(fs->arena, object),
        .why = arena_strdup(fs->arena, why),
        .fix = arena_strdup(fs->arena, fix != NULL ? fix : ""),
    };
}

void findings_addf(struct findings *fs, const char *id, enum severity severity, const char *store, const char *object, const char *fix, const char *why_fmt, ...)
{
    AUTO_BUF why = {0};
    va_list args;

    va_start(args, why_fmt);
    buf_vaddf(&why, why_fmt, args);
    va_end(args);
    findings_add(fs, id, severity, store, object, buf_cstr(&why), fix);
}

size_t findings_count(const struct findings *fs, enum severity at_least)
{
    size_t n = 0;

    for (size_t i = 0; i < fs->count; i++)
        n += fs->list[i].severity >= at_least;
    return n;
}
