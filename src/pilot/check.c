/* pilot/check.c — whether the first step may begin: what doctor finds, and what the record says. See plan.h. */
#include <string.h>

#include "assess/doctor.h"
#include "pilot/pilot.h"
#include "pilot/plan.h"

enum err pilot_armed(const struct config *c, const char *state_dir, bool *ret_armed, struct fault *f)
{
    AUTO(journal) *j = NULL;
    AUTO(arena) *a = arena_new(1024);
    bool armed = true;

    TRY(pilot_folders(state_dir, f));
    TRY(journal_sqlite_open(state_dir, c->migration, &j, f));
    for (size_t i = 0; i < c->store_count; i++) {
        const char *fact;

        TRY(j->ops->fact_get(j, c->stores[i].name, "armed", a, &fact, f));
        armed = armed && fact != NULL;
    }
    *ret_armed = armed;
    return ERR_OK;
}

static enum err is_armed(const struct config *c, const char *state_dir, const char *store, bool *ret, struct fault *f)
{
    AUTO(journal) *j = NULL;
    AUTO(arena) *a = arena_new(1024);
    const char *fact;

    TRY(journal_sqlite_open(state_dir, c->migration, &j, f));
    TRY(j->ops->fact_get(j, store, "armed", a, &fact, f));
    *ret = fact != NULL;
    return ERR_OK;
}

/* A store that was armed once was checked then; what it needs now, its engine says. */
static enum err counts(const struct config *c, const char *state_dir, const struct finding *x, bool *ret, struct fault *f)
{
    bool armed = false;

    if (x->severity == SEVERITY_BLOCKER && x->store[0] != '\0')
        TRY(is_armed(c, state_dir, x->store, &armed, f));
    *ret = x->severity == SEVERITY_BLOCKER && !armed;
    return ERR_OK;
}

/* Said by the first blocker's own name where errors.def has it; with all reasons, and what mends the first. */
static enum err say(const struct finding *first, size_t count, const struct buf *reasons, struct fault *f)
{
    enum err known = err_by_code(first->id); /* auth, wal-level, target-not-empty, ... */
    AUTO_CHARS *todo = mem_format("%s%s", first->fix, count > 1 ? " (and see `leat doctor` for the others)" : "");

    return fault_todo(f, known != ERR_OK ? known : ERR_DOCTOR, first->fix[0] != '\0' ? todo : NULL, "%s", buf_cstr(reasons));
}

static enum err gather(const struct config *c, const char *state_dir, const struct findings *fs, struct fault *f)
{
    AUTO_BUF reasons = {0};
    const struct finding *first = NULL;
    size_t count = 0;

    for (size_t i = 0; i < fs->count; i++) {
        const struct finding *x = &fs->list[i];
        bool counted;

        TRY(counts(c, state_dir, x, &counted, f));
        if (!counted)
            continue;
        first = first == NULL ? x : first;
        buf_addf(&reasons, "%s%s%s%s: ", count > 0 ? "; " : "", x->store, x->store[0] != '\0' ? " " : "", x->object);
        if (strcmp(x->id, first->id) != 0 || err_by_code(x->id) == ERR_OK) /* else it stands at the head of the error */
            buf_addf(&reasons, "%s: ", x->id);
        buf_addf(&reasons, "%s", x->why);
        count++;
    }
    return first != NULL ? say(first, count, &reasons, f) : ERR_OK;
}

enum err pilot_check(const struct config *c, const char *state_dir, struct fault *f)
{
    struct findings findings;
    enum err err;

    TRY(pilot_folders(state_dir, f));
    TRY(doctor_examine_with(c, state_dir, &findings, f));
    err = gather(c, state_dir, &findings, f);
    findings_fini(&findings);
    return err;
}
