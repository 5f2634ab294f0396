/* replicate/backlog.c — see backlog.h. The fact is "IDENTITY FROM". The folder stays when a backlog is over: the next one goes on
 * in the same log, behind what is no longer needed. */
#include "replicate/backlog.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define FACT "backlog"
#define SPARE_BYTES ((uint64_t)256 << 20)
#define PARCEL_BYTES ((uint64_t)1 << 20)

struct backlog {
    struct spool *spool;
    struct backlog_place at;
    uint64_t limit;
    struct lsn from;             /* as the fact says; the engine's thread */
    struct lsn synced;
    struct spool_cursor *cursor; /* the reader's thread */
    bool inside;                 /* a transaction is half appended */
    bool drained;                /* nothing is in it that next() has not given */
    _Atomic bool left;
};

static enum err lost(struct fault *f, const char *why)
{
    struct fault copy = {0};

    snprintf(copy.why, sizeof copy.why, "%s", why);
    return fault_set(f, ERR_BACKLOG_LOST, "what the source was told is kept here, and the target has not got yet, cannot be read: %.1500s", copy.why);
}

static enum err open_log(const struct backlog_place *at, struct backlog **ret, struct fault *f)
{
    AUTO_CHARS *parent = mem_format("%s/spool", at->store->state_dir);
    AUTO_CHARS *dir = mem_format("%s/spool/%s.stream", at->store->state_dir, at->store->name);
    uint64_t limit = (uint64_t)at->store->config->limits.spool;
    struct spool *spool;
    struct backlog *b;

    if ((mkdir(parent, 0700) != 0 && errno != EEXIST) || (mkdir(dir, 0700) != 0 && errno != EEXIST))
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", dir, strerror(errno));
    TRY(spool_file_open(dir, limit, at->decoder, &spool, f));
    b = mem_alloc(sizeof *b);
    b->spool = spool;
    b->at = *at;
    b->limit = limit;
    b->synced = spool->ops->end(spool);
    *ret = b;
    return ERR_OK;
}

static enum err write_fact(struct backlog *b, struct lsn from, bool quiet, struct fault *f)
{
    char text[LSN_TEXT_SIZE];
    AUTO_CHARS *value = mem_format("%s %s", b->spool->ops->identity(b->spool), lsn_text(from, text));

    TRY(b->at.journal->ops->fact_set(b->at.journal, b->at.store->name, FACT, value, quiet, f));
    b->from = from;
    return ERR_OK;
}

/* Whether what was opened is what the fact speaks of, and as long as was acknowledged. */
static enum err check(struct backlog *b, const char *fact, struct lsn acknowledged, struct fault *f)
{
    const char *identity = b->spool->ops->identity(b->spool);
    size_t n = strlen(identity);
    char one[LSN_TEXT_SIZE];
    char two[LSN_TEXT_SIZE];

    if (strncmp(fact, identity, n) != 0 || fact[n] != ' ')
        return lost(f, "the folder was removed or replaced");
    if (!lsn_parse(fact + n + 1, &b->from))
        return fault_set(f, ERR_JOURNAL_BROKEN, "fact " FACT " is %s", fact);
    if (lsn_lt(lsn_max(b->synced, b->from), acknowledged)) {
        AUTO_CHARS *why = mem_format("it ends at %s, and %s was acknowledged", lsn_text(b->synced, one), lsn_text(acknowledged, two));
        return lost(f, why);
    }
    return ERR_OK;
}

enum err backlog_find(const struct backlog_place *at, struct lsn acknowledged, struct backlog **ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(1024);
    AUTO(backlog) *b = NULL;
    struct fault why = {0};
    const char *fact;
    enum err err;

    *ret = NULL;
    TRY(at->journal->ops->fact_get(at->journal, at->store->name, FACT, a, &fact, f));
    if (fact == NULL)
        return ERR_OK;
    err = open_log(at, &b, &why);
    if (err == ERR_SPOOL_DAMAGED)
        return lost(f, why.why);
    if (err != ERR_OK) {
        *f = why;
        return err;
    }
    TRY(check(b, fact, acknowledged, f));
    *ret = TAKE(b);
    return ERR_OK;
}

/* No fact stands: everything in the folder, should there be anything, was durable on the target when the fact was removed. */
enum err backlog_begin(const struct backlog_place *at, struct lsn acknowledged, struct backlog **ret, struct fault *f)
{
    AUTO(backlog) *b = NULL;
    struct lsn end;

    TRY_WITH(open_log(at, &b, f), f, "opening the spool of the whole stream");
    end = b->spool->ops->end(b->spool);
    TRY(b->spool->ops->trim(b->spool, end, f));
    TRY(write_fact(b, lsn_max(acknowledged, end), false, f));
    *ret = TAKE(b);
    return ERR_OK;
}

void backlog_free(struct backlog *b)
{
    if (b == NULL)
        return;
    if (b->cursor != NULL)
        b->spool->ops->close_cursor(b->cursor);
    b->spool->ops->free(b->spool);
    free(b);
}

/* --- the reader's --- */

static bool keep_all(void *ctx, const struct change *c)
{
    (void)ctx;
    (void)c;
    return true;
}

enum err backlog_append(struct backlog *b, const struct parcel *p, struct fault *f)
{
    ENSURE(!atomic_load(&b->left));
    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        if (lsn_lt(t->commit, b->spool->ops->end(b->spool)))
            continue; /* it is in already, whole */
        b->drained = false;
        TRY(b->spool->ops->append(b->spool, t, keep_all, NULL, f));
        b->inside = !t->last;
    }
    return ERR_OK;
}

enum err backlog_next(struct backlog *b, struct lsn after, struct parcel **ret, struct fault *f)
{
    struct fault why = {0};
    enum err err = ERR_OK;

    if (b->cursor == NULL)
        err = b->spool->ops->open_cursor(b->spool, after, &b->cursor, &why);
    if (err == ERR_OK)
        err = b->spool->ops->next(b->cursor, PARCEL_BYTES, ret, &why);
    if (err == ERR_SPOOL_DAMAGED)
        return lost(f, why.why);
    if (err != ERR_OK && f != NULL)
        *f = why;
    b->drained = err == ERR_OK && *ret == NULL;
    return err;
}

bool backlog_at_boundary(const struct backlog *b)
{
    return !b->inside;
}

void backlog_leave(struct backlog *b)
{
    ENSURE(!b->inside && b->drained);
    atomic_store(&b->left, true);
}

/* --- any thread's --- */

/* The disk is the journal's too: some of it stays free. */
static bool disk_has_room(const char *path)
{
    struct statvfs st;

    return statvfs(path, &st) != 0 || (uint64_t)st.f_bavail * st.f_frsize > SPARE_BYTES;
}

bool backlog_has_room(struct backlog *b)
{
    return b->spool->ops->bytes(b->spool) < b->limit / 4 * 3 && disk_has_room(b->at.store->state_dir);
}

bool backlog_left(struct backlog *b)
{
    return atomic_load(&b->left);
}

uint64_t backlog_bytes(struct backlog *b)
{
    return b->spool->ops->bytes(b->spool);
}

struct lsn backlog_end(struct backlog *b)
{
    return b->spool->ops->end(b->spool);
}

/* --- the engine's --- */

struct lsn backlog_from(const struct backlog *b)
{
    return b->from;
}

enum err backlog_sync(struct backlog *b, struct fault *f)
{
    return b->spool->ops->sync(b->spool, &b->synced, f);
}

static enum err end_it(struct backlog *b, struct fault *f)
{
    struct journal *j = b->at.journal;

    TRY(j->ops->append(j, b->at.store->name, EVENT_BACKLOG_APPLIED, NULL, f));
    TRY(j->ops->fact_set(j, b->at.store->name, FACT, NULL, false, f));
    return b->spool->ops->trim(b->spool, b->spool->ops->end(b->spool), f);
}

enum err backlog_settle(struct backlog *b, struct lsn durable, struct lsn *ret_may, bool *ret_over, struct fault *f)
{
    *ret_over = false;
    if (backlog_left(b) && lsn_le(backlog_end(b), durable)) { /* left is read before the end: it does not move any more */
        TRY(end_it(b, f));
        *ret_over = true;
        *ret_may = durable;
        return ERR_OK;
    }
    if (lsn_lt(b->from, durable)) {
        TRY(write_fact(b, durable, true, f));
        TRY(b->spool->ops->trim(b->spool, durable, f));
    }
    *ret_may = lsn_max(b->from, b->synced);
    return ERR_OK;
}
