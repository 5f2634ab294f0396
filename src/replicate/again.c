/* replicate/again.c — see again.h. */
#include "replicate/again.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "replicate/engine_internal.h"

#define ASKED_US ((int64_t)500000)
#define EMPTIED_US ((int64_t)200000)
#define LOGGED_US ((int64_t)1000000)

enum err again_stands(struct journal *j, const char *store, const char *fact, bool *ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    const char *value;

    TRY(j->ops->fact_get(j, store, fact, a, &value, f));
    *ret = value != NULL;
    return ERR_OK;
}

enum err again_ask(struct journal *j, const char *store, const char *fact, const char *value, struct fault *f)
{
    bool stands;

    TRY(again_stands(j, store, fact, &stands, f));
    if (stands)
        return fault_todo(f, ERR_BUSY, "see `leat status`, and ask again when it is done", "an earlier request (%s) has not been carried out yet", fact);
    return j->ops->fact_set(j, store, fact, value, false, f);
}

enum err again_note(struct engine *e, const struct copied_again *tables, size_t count, const char *why, struct fault *f)
{
    for (size_t i = 0; i < count; i++) {
        json_t *o = json_pack("{s:s, s:i, s:s}", "table", tables[i].table, "attempt", tables[i].attempt, "why", why);
        char *body = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
        enum err err = e->journal->ops->append(e->journal, e->config_store->name, EVENT_COPY_AGAIN, body, f);

        log_line(LOG_WARN, e->config_store->name, "%s is copied again: %s", tables[i].table, why);
        json_decref(o);
        free(body);
        TRY(err);
    }
    return ERR_OK;
}

/* --- tables --- */

static enum err copy_again(struct engine *e, struct arena *a, const char *oids, const char *why, struct fault *f)
{
    struct copied_again *tables;
    size_t count;

    TRY(e->store->ops->copy_again(e->store, oids, a, &tables, &count, f));
    return again_note(e, tables, count, why, f);
}

static enum err carry_out(struct engine *e, const char *fact, const char *why, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *oids;

    TRY(e->journal->ops->fact_get(e->journal, e->config_store->name, fact, a, &oids, f));
    if (oids == NULL)
        return ERR_OK;
    TRY(copy_again(e, a, oids, why, f));
    return e->journal->ops->fact_set(e->journal, e->config_store->name, fact, NULL, true, f);
}

/* Their records say it until they are copied again; published they are only after this. */
static enum err take_up_logged(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *oids;

    TRY(e->store->ops->logged_since(e->store, a, &oids, f));
    return oids != NULL ? copy_again(e, a, oids, "it was unlogged when it was copied and is logged now: what was written between is in no stream", f) : ERR_OK;
}

enum err again_tables(struct engine *e, struct fault *f)
{
    TRY(take_up_logged(e, f));
    TRY(carry_out(e, AGAIN_ASKED, "asked for", f));
    return carry_out(e, AGAIN_EMPTIED, "its rows are in another file on the source: a TRUNCATE, which PostgreSQL 10 does not send, or a rewrite", f);
}

/* --- arming --- */

/* What it holds is of the slot before: positions of another log, maybe. Only names that a spool gives its files are in it. */
static enum err remove_spool(const struct engine *e, const char *suffix, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/spool/%s%s", e->state_dir, e->config_store->name, suffix);
    DIR *dir = opendir(path);
    bool gone = true;

    if (dir == NULL && errno == ENOENT)
        return ERR_OK;
    if (dir == NULL)
        return fault_set(f, ERR_STATE_DIR, "cannot read %s: %s", path, strerror(errno));
    for (const struct dirent *d = readdir(dir); d != NULL; d = readdir(dir))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 && unlinkat(dirfd(dir), d->d_name, 0) != 0)
            gone = false;
    closedir(dir);
    if (!gone || rmdir(path) != 0)
        return fault_set(f, ERR_STATE_DIR, "cannot remove %s", path);
    return ERR_OK;
}

enum err again_arm(struct engine *e, enum err (*arm)(struct engine *e, bool again, struct fault *f), struct fault *f)
{
    struct journal *j = e->journal;
    const char *name = e->config_store->name;
    bool stands;
    bool gap;

    TRY(again_stands(j, name, AGAIN_ARM, &stands, f));
    if (!stands)
        return ERR_OK;
    e->consent = true; /* the fact is there because a person said so */
    TRY_WITH(e->store->ops->forget(e->store, &gap, f), f, "forgetting the copy before");
    if (gap)
        log_line(LOG_WARN, name, "the slot is made anew while its side serves: what was written there in between is not on the other side; `leat verify`, then `leat repair --apply` bring it there");
    TRY(remove_spool(e, "", f));
    TRY(remove_spool(e, ".stream", f));
    TRY(j->ops->fact_set(j, name, "durable", NULL, true, f));
    TRY_WITH(arm(e, true, f), f, "arming again");
    TRY(j->ops->append(j, name, EVENT_ARMED_AGAIN, gap ? "{\"gap\":true}" : NULL, f));
    return j->ops->fact_set(j, name, AGAIN_ARM, NULL, false, f);
}

/* --- a turn --- */

static enum err look_for_requests(struct engine *e, struct fault *f)
{
    static const char *const facts[] = {AGAIN_ARM, AGAIN_ASKED};

    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        bool stands;
        TRY(again_stands(e->journal, e->config_store->name, facts[i], &stands, f));
        if (stands)
            return fault_set(f, ERR_ANEW, "%s", facts[i]);
    }
    return ERR_OK;
}

/* A rewrite may belong to a change of the schema: that comes first, so the stream must have passed the moment it was seen. */
static enum err look_for_emptied(struct engine *e, struct fault *f)
{
    static struct lsn seen;
    AUTO(arena) *a = arena_new(1024);
    char pending[64] = "";
    struct apply_facts facts;
    const char *oids;

    TRY(e->store->ops->watcher_emptied(e->watcher, a, &oids, f));
    if (oids == NULL)
        return ERR_OK;
    apply_facts(e->apply, &facts);
    ddl_pending(e->ddl, pending, sizeof pending);
    if (seen.v == 0)
        seen = e->watch.source_now;
    if (seen.v == 0 || lsn_lt(facts.applied, seen) || pending[0] != '\0')
        return ERR_OK;
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, AGAIN_EMPTIED, oids, false, f));
    return fault_set(f, ERR_ANEW, "tables were emptied or rewritten on the source");
}

static enum err look_for_logged(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    const char *oids;

    TRY(e->store->ops->watcher_logged(e->watcher, a, &oids, f));
    if (oids == NULL)
        return ERR_OK;
    return fault_set(f, ERR_ANEW, "tables that were unlogged are logged now");
}

enum err again_turn(struct engine *e, struct fault *f)
{
    static int64_t asked;
    static int64_t emptied;
    static int64_t logged;

    if (engine_due(&asked, ASKED_US))
        TRY(look_for_requests(e, f));
    if (engine_due(&emptied, EMPTIED_US))
        TRY(look_for_emptied(e, f));
    if (engine_due(&logged, LOGGED_US))
        TRY(look_for_logged(e, f));
    return ERR_OK;
}
