/* replicate/engine_prepare.c — from nothing, or from whatever an earlier engine left, to threads ready to start.
 *
 * Order: who the servers are → the slot is where this record left it → the lease on the target (older sessions gone) → roles → arm
 * (identity, publication, slot) → schema → catalogs and records → spool → positions checked. Each of the parts that change something is
 * a step of the journal. A way back (its source is the store's target) is armed while its own target serves: both sides hold the same rows then, by
 * the stream it mirrors, and nothing is copied. To a side that serves nothing ever is (pg_authority_spare). The slot is looked at before the lease is taken: an old copy of a state folder must not end the leat that works. */
#include "replicate/engine_internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "build/target.h"
#include "replicate/again.h"

static void waits_tell(void *ctx, const char *text)
{
    struct engine *e = ctx;

    snprintf(e->waits_for, sizeof e->waits_for, "%s", text);
    engine_write_status(e);
}

static void doing(struct engine *e, const char *text)
{
    snprintf(e->doing, sizeof e->doing, "%s", text);
    engine_write_status(e);
}

/* --- who the servers are --- */

/* What an identity is made of, in its order: see identify in store/store.h. */
static const char *const parts[] = {"system identifier", "timeline", "major version", "database (its oid)"};

/* The part at `*text`, without what comes behind it; moves on to the next. */
static struct part {
    const char *text;
    int size;
} next_part(const char **text)
{
    struct part p = {*text, (int)strcspn(*text, "/")};

    *text += p.size + ((*text)[p.size] == '/');
    return p;
}

static bool same_part(struct part a, struct part b)
{
    return a.size == b.size && memcmp(a.text, b.text, (size_t)a.size) == 0;
}

/* The first part that differs decides: a timeline or a major are of the same database, restored, promoted or upgraded. */
static enum err tell_change(const char *side, const char *before, const char *now, bool again, struct fault *f)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct part was = next_part(&before);
        struct part is = next_part(&now);

        if (!same_part(was, is))
            return fault_todo(f, ERR_SERVER_CHANGED, again ? "`leat resume STORE --arm-again --yes` copies every table again, if this is the server to go on with" : NULL,
                              "the %s of the %s was %.*s when the migration began, and is %.*s now", parts[i], side, was.size, was.text, is.size, is.text);
    }
    return fault_set(f, ERR_BUG, "two identities of the %s that do not differ", side);
}

/* The same database of the same server, whatever became of it. */
static bool same_database(const char *before, const char *now)
{
    const char *of_before = strrchr(before, '/');
    const char *of_now = strrchr(now, '/');

    return same_part(next_part(&before), next_part(&now)) && of_before != NULL && of_now != NULL && strcmp(of_before, of_now) == 0;
}

/* Whoever arms again begins with the server as it is now. */
static enum err check_identity(struct engine *e, struct arena *a, const char *side, const char *now, struct fault *f)
{
    const char *fact = arena_format(a, "%s.server", side);
    const char *before;
    const char *name = e->config_store->name;
    bool arming;

    TRY(e->journal->ops->fact_get(e->journal, name, fact, a, &before, f));
    if (before == NULL)
        return e->journal->ops->fact_set(e->journal, name, fact, now, false, f);
    if (strcmp(before, now) == 0)
        return ERR_OK;
    TRY(again_stands(e->journal, name, AGAIN_ARM, &arming, f));
    if (arming && same_database(before, now))
        return e->journal->ops->fact_set(e->journal, name, fact, now, false, f);
    return tell_change(side, before, now, same_database(before, now), f);
}

static enum err identify(struct engine *e, struct arena *a, struct fault *f)
{
    const char *source;
    const char *target;

    doing(e, "asking both servers who they are");
    TRY(e->store->ops->identify(e->store, a, &source, &target, f));
    TRY(check_identity(e, a, "source", source, f));
    return check_identity(e, a, "target", target, f);
}

/* --- steps --- */

typedef enum err effect(struct engine *e, bool again, struct fault *f);

static enum err step(struct engine *e, const char *name, effect *run, struct fault *f)
{
    struct journal *j = e->journal;
    enum step_state state;

    TRY(j->ops->step_get(j, e->config_store->name, name, &state, f));
    if (state == STEP_DONE)
        return ERR_OK;
    TRY(j->ops->step_set(j, e->config_store->name, name, STEP_INTENT, NULL, f));
    TRY(run(e, state == STEP_INTENT, f));
    return j->ops->step_set(j, e->config_store->name, name, STEP_DONE, NULL, f);
}

static enum err roles(struct engine *e, bool again, struct fault *f)
{
    AUTO_BUF report = {0};

    (void)again;
    doing(e, "making roles on the target");
    TRY_WITH(build_target_roles(e->config_store, &report, f), f, "making roles");
    if (report.len > 0)
        log_line(LOG_INFO, e->config_store->name, "roles: %s", buf_cstr(&report));
    return ERR_OK;
}

static enum err arm(struct engine *e, bool again, struct fault *f)
{
    struct store_waits w = {waits_tell, e};
    struct stream_facts facts;
    AUTO(arena) *a = arena_new(1024);
    AUTO(catalog) *source = NULL;
    char text[LSN_TEXT_SIZE];

    (void)again;
    if (!e->consent && !e->config_store->back)
        return fault_set(f, ERR_CONSENT, "store %s: publication, slot and schema leat are to be made on the source, and tables without a key get another REPLICA IDENTITY (`leat plan` lists them)", e->config_store->name);
    doing(e, "arming the stream on the source");
    TRY(e->store->ops->load(e->store, &source, NULL, f));
    TRY(e->store->ops->arm(e->store, source, true, &w, f));
    TRY(e->store->ops->facts(e->store, a, &facts, f));
    if (facts.confirmed.v == 0)
        return fault_set(f, ERR_SLOT_LOST, "the slot vanished while it was being made");
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, "acknowledged", lsn_text(facts.confirmed, text), false, f));
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, "backlog", NULL, true, f)); /* of a slot before this one */
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, "slot_dropped", NULL, true, f));
    TRY(e->journal->ops->fact_set(e->journal, e->config_store->name, "armed", lsn_text(facts.confirmed, text), false, f));
    return e->journal->ops->append(e->journal, e->config_store->name, EVENT_ARMED, NULL, f);
}

static char *schema_dir(struct engine *e)
{
    return mem_format("%s/schema/%s", e->state_dir, e->config_store->name);
}

static enum err schema(struct engine *e, bool again, struct fault *f)
{
    AUTO_CHARS *parent = mem_format("%s/schema", e->state_dir);
    AUTO_CHARS *dir = schema_dir(e);

    doing(e, "making the schema on the target");
    if ((mkdir(parent, 0700) != 0 && errno != EEXIST) || (mkdir(dir, 0700) != 0 && errno != EEXIST))
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", dir, strerror(errno));
    return build_target_schema(e->config_store, dir, again, f);
}

/* --- records --- */

/* What is still to be built; nothing once all stands, and pg_restore need not be asked. */
static enum err load_items(struct engine *e, struct fault *f)
{
    AUTO_CHARS *dir = schema_dir(e);
    enum step_state finished;

    if (e->config_store->back)
        return ERR_OK;
    TRY(e->journal->ops->step_get(e->journal, e->config_store->name, "analyze", &finished, f));
    if (finished == STEP_DONE && registry_all(e->registry, TABLE_INDEXED))
        return ERR_OK;
    TRY(build_target_post(e->config_store, dir, &e->post, f));
    registry_items(e->registry, e->post);
    return ERR_OK;
}

static enum err load(struct engine *e, struct fault *f)
{
    struct store_waits w = {waits_tell, e};
    struct copy_records records = {0};
    enum err err;

    doing(e, "reading both catalogs");
    TRY(e->store->ops->load(e->store, &e->source, &e->target, f));
    TRY(e->store->ops->adopt_serving(e->store, e->source, e->target, f));
    TRY(e->store->ops->copy_records(e->store, &records, f));
    err = e->store->ops->adopt(e->store, e->source, e->target, &records, &w, f);
    if (err == ERR_OK)
        err = registry_new(e->source, e->target, &records, &e->registry, f);
    if (err == ERR_OK)
        err = registry_restore(e->registry, &records, f);
    arena_free(records.arena);
    TRY(err);
    return load_items(e, f);
}

static enum err open_spool(struct engine *e, const char *recorded, bool *ret_made, struct fault *f)
{
    AUTO_CHARS *parent = mem_format("%s/spool", e->state_dir);
    AUTO_CHARS *dir = mem_format("%s/spool/%s", e->state_dir, e->config_store->name);
    const char *identity;

    if ((mkdir(parent, 0700) != 0 && errno != EEXIST) || (mkdir(dir, 0700) != 0 && errno != EEXIST))
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", dir, strerror(errno));
    TRY(spool_file_open(dir, (uint64_t)e->config->limits.spool, &e->decoder, &e->spool, f));
    identity = e->spool->ops->identity(e->spool);
    *ret_made = recorded == NULL || strcmp(recorded, identity) != 0;
    return ERR_OK;
}

static enum err parse_fact(struct engine *e, struct arena *a, const char *name, struct lsn *ret, struct fault *f)
{
    const char *text;

    *ret = LSN_ZERO;
    TRY(e->journal->ops->fact_get(e->journal, e->config_store->name, name, a, &text, f));
    if (text != NULL && !lsn_parse(text, ret))
        return fault_set(f, ERR_JOURNAL_BROKEN, "fact %s is %s", name, text);
    return ERR_OK;
}

/* Nothing is acknowledged before the journal has it: a slot that was read first is never beyond the record read after it. */
static enum err check_slot(struct engine *e, struct lsn confirmed, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    char one[LSN_TEXT_SIZE];
    char two[LSN_TEXT_SIZE];

    TRY(parse_fact(e, a, "acknowledged", &e->acknowledged, f));
    if (lsn_lt(e->acknowledged, confirmed))
        return fault_set(f, ERR_SLOT_FOREIGN, "the slot stands at %s, but nothing beyond %s was acknowledged by this record (or is %s an old copy, and a newer one at work elsewhere?)",
                         lsn_text(confirmed, one), lsn_text(e->acknowledged, two), e->state_dir);
    return ERR_OK;
}

/* Before the lease is taken, and with it everything from whoever works. A slot that is lost, or not made yet, is for later. */
static enum err check_slot_first(struct engine *e, struct fault *f)
{
    const char *name = e->config_store->name;
    enum step_state armed;
    struct lsn confirmed;
    bool arming;

    TRY(e->journal->ops->step_get(e->journal, name, "arm", &armed, f));
    TRY(again_stands(e->journal, name, AGAIN_ARM, &arming, f));
    if (armed != STEP_DONE || arming)
        return ERR_OK;
    TRY(e->store->ops->confirmed(e->store, &confirmed, f));
    return check_slot(e, confirmed, f);
}

/* The slot is where it may be, and what was kept for the target is there. */
static enum err check_source(struct engine *e, struct lsn confirmed, struct fault *f)
{
    struct backlog_place at = {e->store, e->journal, &e->decoder};

    if (confirmed.v == 0)
        return fault_set(f, ERR_SLOT_LOST, "the slot is not on the source any more");
    TRY(check_slot(e, confirmed, f));
    e->decoder = (struct spool_decoder){e->store->ops->decoder_make, e->store->ops->decoder_drop, e->store->ops->decode};
    return backlog_find(&at, e->acknowledged, &e->backlog, f);
}

/* What the record, the slot and the target say must fit together; a gap is refused, never bridged (traps P1, P20). */
static enum err check_positions(struct engine *e, struct arena *a, const struct stream_facts *facts, struct fault *f)
{
    char one[LSN_TEXT_SIZE];
    char two[LSN_TEXT_SIZE];
    struct lsn durable;

    TRY(check_source(e, facts->confirmed, f));
    TRY(parse_fact(e, a, "durable", &durable, f));
    if (lsn_lt(facts->applied, durable))
        return fault_set(f, ERR_TARGET_BEHIND, "the target stands at %s, but was durable at %s", lsn_text(facts->applied, one), lsn_text(durable, two));
    e->progress.durable = e->backlog != NULL ? backlog_from(e->backlog) : facts->confirmed;
    e->progress.durable_mark = durable;
    return ERR_OK;
}

static enum err start_threads(struct engine *e, const struct stream_facts *facts, struct fault *f)
{
    struct store_waits w = {waits_tell, e};
    struct lsn start = lsn_max(facts->applied, e->progress.durable); /* nothing before it is to be applied */
    struct apply_place at = {.applied = start, .mark = facts->applied, .touched = e->touched, .serves = facts->serves, .ahead = facts->ahead, .ahead_count = facts->ahead_count, .told = e->told};

    if (!registry_all(e->registry, TABLE_COPIED)) {
        doing(e, "waiting until no commit can be missing from a snapshot");
        TRY(e->store->ops->arm(e->store, e->source, false, &w, f));
    }
    doing(e, "starting");
    atomic_store(&e->leads, facts->serves);
    e->queue = queue_new((size_t)16 << 20);
    e->router = router_new(e->store, e->registry);
    TRY(ddl_new(e->store, e->registry, e->touched, e->journal, &e->ddl, f));
    e->fingerprint = fingerprint_new(e->store, e->registry, e->ddl);
    TRY(e->store->ops->watcher_open(e->store, false, &e->watcher, f));
    TRY(reader_start(e->store, facts->confirmed, e->queue, e->backlog, start, &e->reader, f));
    TRY(apply_start(e->store, e->registry, e->router, e->spool, e->ddl, e->queue, &at, &e->apply, f));
    TRY(copy_start(e->store, e->registry, e->journal, &e->copy, f));
    TRY(join_start(e->store, e->registry, e->router, e->spool, e->apply, e->touched, e->journal, &e->join, f));
    doing(e, "");
    return ERR_OK;
}

/* A new one, or not the one the target knows: what it held is gone, and so are the copies that need it. */
static enum err record_spool(struct engine *e, bool lost, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    struct copied_again *tables;
    size_t count;

    TRY(e->store->ops->spool_record(e->store, e->spool->ops->identity(e->spool), a, &tables, &count, f));
    return lost ? again_note(e, tables, count, "the spool is not the one recorded, and with it went changes the table had not joined with", f) : ERR_OK;
}

/* A side that --force left, and that is back. */
static enum err outvote(struct engine *e, struct fault *f)
{
    bool left;

    TRY_WITH(e->store->ops->outvote(e->store, &left, f), f, "asking both sides who serves");
    if (!left)
        return ERR_OK;
    log_line(LOG_WARN, e->config_store->name, "a side that was left by --force is back, and said that it serves: its fences are shut now");
    return e->journal->ops->append(e->journal, e->config_store->name, EVENT_SIDE_LEFT, NULL, f);
}

enum err engine_prepare(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    struct store_waits w = {waits_tell, e};
    struct stream_facts facts;
    bool spool_made = false;

    if (!e->config_store->back)
        e->told = applied_open(e->state_dir, e->config_store->name); /* first of all: what an engine before said may be about to end */
    TRY(identify(e, a, f));
    TRY(check_slot_first(e, f));
    TRY_WITH(e->store->ops->prepare(e->store, &w, f), f, "taking the target's lease");
    TRY(outvote(e, f));
    if (!e->config_store->back)
        TRY(step(e, "roles", roles, f));
    TRY(again_arm(e, arm, f));
    TRY_WITH(step(e, "arm", arm, f), f, "arming the stream");
    if (!e->config_store->back)
        TRY(step(e, "schema", schema, f));
    TRY(e->store->ops->facts(e->store, a, &facts, f));
    TRY(check_positions(e, a, &facts, f));
    TRY(open_spool(e, facts.spool, &spool_made, f));
    if (spool_made)
        TRY(record_spool(e, facts.spool != NULL, f));
    TRY(again_tables(e, f));
    TRY(load(e, f));
    TRY(touched_new(e->state_dir, e->store, e->journal, e->registry, &e->touched, f));
    return start_threads(e, &facts, f);
}

enum err engine_prepare_source(struct engine *e, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    struct backlog_place at = {e->store, e->journal, &e->decoder};
    struct lsn confirmed;
    const char *source;

    TRY(e->store->ops->identify(e->store, a, &source, NULL, f));
    TRY(check_identity(e, a, "source", source, f));
    TRY(e->store->ops->confirmed(e->store, &confirmed, f));
    TRY(check_source(e, confirmed, f));
    if (e->backlog == NULL)
        TRY(backlog_begin(&at, e->acknowledged, &e->backlog, f));
    TRY(e->store->ops->watcher_open(e->store, true, &e->watcher, f));
    return reader_start(e->store, confirmed, NULL, e->backlog, LSN_ZERO, &e->reader, f);
}
