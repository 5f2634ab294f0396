/* journal/sqlite.c — the journal in one SQLite file: the vtable over record.c, lease.c and check.c.
 *
 * Invariants
 *  1. Whatever writes is one transaction, begun IMMEDIATE: of all processes and threads one at a time, and it goes on
 *     from the head the last one left. It returns ERR_OK only after SQLite synced its commit.
 *  2. The handle's own connection is used under its mutex. Long readings (read, verify) have a connection each, so that
 *     they stop nobody, and their callbacks may use the journal.
 *  3. A handle belongs to the process that opened it: SQLite's locks do not survive fork. */
#include "journal/journal.h"

#include <pthread.h>
#include <unistd.h>

#include "journal/body.h"
#include "journal/check.h"
#include "journal/home.h"
#include "journal/lease.h"
#include "journal/record.h"

struct sqlite_journal {
    struct journal base;
    pid_t owner;
    pthread_mutex_t mutex; /* guards db */
    struct db *db;
    char *path;
};

static struct sqlite_journal *of(struct journal *j)
{
    return (struct sqlite_journal *)j; /* base comes first */
}

/* --- one at a time --- */

static enum err enter(struct sqlite_journal *j, struct fault *f)
{
    if (getpid() != j->owner)
        return fault_set(f, ERR_BUG, "a journal opened by process %ld is used by its child %ld", (long)j->owner,
                         (long)getpid());
    ENSURE(pthread_mutex_lock(&j->mutex) == 0);
    return ERR_OK;
}

static enum err leave(struct sqlite_journal *j, enum err err)
{
    ENSURE(pthread_mutex_unlock(&j->mutex) == 0);
    return err;
}

static enum err begin(struct sqlite_journal *j, struct fault *f)
{
    enum err err;

    TRY(enter(j, f));
    err = db_begin_write(j->db, f);
    return err == ERR_OK ? ERR_OK : leave(j, err);
}

static enum err end(struct sqlite_journal *j, enum err err, struct fault *f)
{
    err = db_end(j->db, err, f);
    if (err != ERR_OK)
        fault_add(f, "writing the journal");
    return leave(j, err);
}

/* --- the operations --- */

static enum err journal_append(struct journal *base, const char *store, enum event_kind kind, const char *body,
                               struct fault *f)
{
    struct sqlite_journal *j = of(base);
    AUTO_BUF compact = {0};

    TRY(body_add(&compact, body, f));
    TRY(begin(j, f));
    return end(j, record_event(j->db, store, kind, buf_cstr(&compact), f), f);
}

static enum err journal_step_set(struct journal *base, const char *store, const char *step, enum step_state state,
                                 const char *body, struct fault *f)
{
    struct sqlite_journal *j = of(base);

    TRY(begin(j, f));
    return end(j, record_step(j->db, store, step, state, body, f), f);
}

static enum err journal_step_get(struct journal *base, const char *store, const char *step, enum step_state *ret,
                                 struct fault *f)
{
    struct sqlite_journal *j = of(base);

    TRY(enter(j, f));
    return leave(j, record_step_get(j->db, store, step, ret, f));
}

static enum err journal_fact_set(struct journal *base, const char *store, const char *name, const char *value,
                                 bool quiet, struct fault *f)
{
    struct sqlite_journal *j = of(base);

    TRY(begin(j, f));
    return end(j, record_fact(j->db, store, name, value, quiet, f), f);
}

static enum err journal_fact_get(struct journal *base, const char *store, const char *name, struct arena *a,
                                 const char **ret, struct fault *f)
{
    struct sqlite_journal *j = of(base);

    TRY(enter(j, f));
    return leave(j, record_fact_get(j->db, store, name, a, ret, f));
}

/* A connection of its own. The file is there: the handle has it open. */
static enum err open_beside(struct sqlite_journal *j, struct db **ret, struct fault *f)
{
    TRY(enter(j, f));
    return leave(j, db_open(j->path, false, ret, f));
}

static enum err journal_read(struct journal *base, int64_t after, check_each *each, void *ctx, struct fault *f)
{
    AUTO(db) *db = NULL;

    TRY(open_beside(of(base), &db, f));
    TRY_WITH(check_read(db, after, each, ctx, f), f, "reading the journal");
    return ERR_OK;
}

static enum err journal_verify(struct journal *base, int64_t *ret_count, struct fault *f)
{
    AUTO(db) *db = NULL;

    TRY(open_beside(of(base), &db, f));
    TRY_WITH(check_all(db, ret_count, f), f, "verifying the journal");
    return ERR_OK;
}

static enum err journal_lease_take(struct journal *base, const char *name, int64_t ttl_us, int64_t *ret_token,
                                   struct fault *f)
{
    struct sqlite_journal *j = of(base);
    int64_t token = 0;

    TRY(begin(j, f));
    TRY(end(j, lease_take(j->db, name, ttl_us, &token, f), f));
    *ret_token = token; /* only once it is durable */
    return ERR_OK;
}

static enum err journal_lease_renew(struct journal *base, const char *name, int64_t token, struct fault *f)
{
    struct sqlite_journal *j = of(base);

    TRY(begin(j, f));
    return end(j, lease_renew(j->db, name, token, f), f);
}

static enum err journal_lease_drop(struct journal *base, const char *name, int64_t token, struct fault *f)
{
    struct sqlite_journal *j = of(base);

    TRY(begin(j, f));
    return end(j, lease_drop(j->db, name, token, f), f);
}

static void journal_close(struct journal *base)
{
    struct sqlite_journal *j = of(base);

    if (j == NULL ||
        getpid() != j->owner) /* in a child, closing would let go of the parent's locks: it is left as it is */
        return;
    db_free(j->db);
    pthread_mutex_destroy(&j->mutex);
    free(j->path);
    free(j);
}

static const struct journal_ops ops = {
    .free = journal_close,
    .append = journal_append,
    .step_set = journal_step_set,
    .step_get = journal_step_get,
    .fact_set = journal_fact_set,
    .fact_get = journal_fact_get,
    .read = journal_read,
    .verify = journal_verify,
    .lease_take = journal_lease_take,
    .lease_renew = journal_lease_renew,
    .lease_drop = journal_lease_drop,
};

enum err journal_sqlite_open(const char *dir, const char *migration, struct journal **ret, struct fault *f)
{
    struct db *db = NULL;
    struct sqlite_journal *j;

    TRY_WITH(home_open(dir, migration, &db, f), f, "opening the journal in %s", dir);
    j = mem_alloc(sizeof *j);
    j->base.ops = &ops;
    j->owner = getpid();
    j->db = db;
    j->path = mem_dup(db_path(db));
    ENSURE(pthread_mutex_init(&j->mutex, NULL) == 0);
    *ret = &j->base;
    return ERR_OK;
}
