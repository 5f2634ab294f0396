/* assess/finding.h — something a person should know before anything is touched. */
#ifndef LEAT_ASSESS_FINDING_H
#define LEAT_ASSESS_FINDING_H

#include <stddef.h>

#include "base/mem.h"

enum severity { SEVERITY_OK, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_BLOCKER };

/* One row of findings.def. */
struct finding_info {
    const char *id;
    enum severity severity; /* unless the case at hand is lighter or graver */
    const char *what;       /* what it means */
    const char *why;        /* why it matters */
    const char *todo;       /* what to do, in general */
};
const struct finding_info *finding_info(const char *id); /* NULL: no such id */
const struct finding_info *finding_infos(size_t *ret_count);
const char *severity_name(enum severity severity); /* "ok", "note", "warning", "blocker" */

struct finding {
    const char *id;     /* from findings.def: "wal-level" */
    enum severity severity;
    const char *store;  /* "" for the machine */
    const char *object; /* "source", "target", "public.orders" */
    const char *why;    /* what was seen */
    const char *fix;    /* the exact statement or command that mends it; "" when nothing is to be done */
};

struct findings {
    struct arena *arena;
    struct finding *list;
    size_t count;
    size_t size;
};
void findings_init(struct findings *fs);
void findings_fini(struct findings *fs);
/* Copies all strings. */
void findings_add(struct findings *fs, const char *id, enum severity severity, const char *store, const char *object, const char *why, const char *fix);
void findings_addf(struct findings *fs, const char *id, enum severity severity, const char *store, const char *object, const char *fix, const char *why_fmt, ...) __attribute__((format(printf, 7, 8)));
size_t findings_count(const struct findings *fs, enum severity at_least);

#endif
