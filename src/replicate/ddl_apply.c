/* replicate/ddl_apply.c — a transaction that changed the schema, carried out whole: rows, change, rows, as they came.
 *
 * A lane of its own runs it while every other has nothing in flight. Rows before a change bind to the catalog this engine began with,
 * rows after it to the target's catalog as the lane's own transaction sees it. One transaction, begun with a mark and ended with the
 * one of its position, committed durably: whatever dies, it is all there or not at all. Then the engine begins anew.
 *
 * A table the transaction makes is not followed in it: it is not published yet, or (a partition) is copied afterwards under a snapshot
 * that sees this transaction. */
#include <stdlib.h>

#include "replicate/coalesce.h"
#include "replicate/ddl_internal.h"
#include "replicate/router.h"

struct known {
    struct known *next;
    const struct relation *relation;
    const struct binding *binding;
};

struct run {
    struct ddl *d;
    const struct txn *txn;
    struct store_lane *lane;
    struct arena *arena;
    struct catalog *target; /* NULL: as the engine began with */
    struct known *known;    /* of that catalog */
    uint32_t serial;
    bool begun;
};

/* --- bindings --- */

static enum err bind(struct run *r, const struct relation *rel, const struct rtable *table, const struct binding **ret, struct fault *f)
{
    const struct table *target = r->target != NULL ? catalog_find(r->target, rel->schema, rel->name) : table->target;
    const struct table *source = r->target != NULL ? target : table->source;
    struct binding *b;

    if (target == NULL)
        return fault_set(f, ERR_DDL, "%s.%s of the stream is not on the target", rel->schema, rel->name);
    TRY(r->d->store->ops->bind(r->d->store, r->arena, rel, source, target, ++r->serial, &b, f));
    *ret = b;
    return ERR_OK;
}

static enum err route(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel, const struct binding **ret, struct fault *f)
{
    struct run *r = ctx;
    const struct rtable *table = registry_find(r->d->registry, rel->id);
    struct known *k;

    (void)c;
    *ret = NULL;
    if (table == NULL || rtable_state(table) != TABLE_JOINED || lsn_lt(t->commit, table->joined))
        return ERR_OK;
    for (k = r->known; k != NULL; k = k->next)
        if (k->relation == rel) {
            *ret = k->binding;
            return ERR_OK;
        }
    TRY(bind(r, rel, table, ret, f));
    k = arena_alloc(r->arena, sizeof *k);
    *k = (struct known){r->known, rel, *ret};
    r->known = k;
    return ERR_OK;
}

static const struct binding *find_binding(void *ctx, const struct txn *t, const struct change *c, const struct relation *rel)
{
    const struct binding *b = NULL;

    (void)route(ctx, t, c, rel, &b, NULL);
    return b;
}

/* --- rows --- */

static enum err run_steps(struct run *r, const struct batch *b, struct fault *f)
{
    const struct store_ops *ops = r->d->store->ops;

    TRY(ops->lane_begin(r->lane, b, f));
    TRY(ops->lane_steps(r->lane, b, false, f));
    TRY(ops->lane_steps(r->lane, b, true, f));
    return ops->lane_commit(r->lane, b, true, f);
}

/* A stretch of the transaction as a batch of its own, behind a savepoint; the last one commits. */
static enum err run_rows(struct run *r, struct parcel *p, struct fault *f)
{
    struct batch *b = batch_new(1);
    struct router router = {route, r};
    struct batch_rivals none = {.count = 0};
    enum err err;

    batch_add(b, p);
    err = batch_finish(b, &router, &none, f);
    if (err == ERR_OK)
        err = run_steps(r, b, f);
    if (err == ERR_DIVERGED || err == ERR_TARGET_SQL) {
        fault_clear(f);
        err = r->d->store->ops->lane_replay(r->lane, b, find_binding, r, true, f);
    }
    batch_free(b);
    r->begun = true;
    return err;
}

static struct parcel *stretch(const struct run *r)
{
    struct parcel *p = parcel_new();
    struct txn *t = parcel_add_txn(p, r->txn->xid, !r->begun);

    t->commit = r->txn->commit;
    t->commit_us = r->txn->commit_us;
    return p;
}

static enum err flush(struct run *r, struct parcel **p, bool last, struct fault *f)
{
    struct parcel *full = *p;

    if (last) {
        full->txns->last = true;
        full->txns->end = r->txn->end;
    }
    *p = NULL;
    TRY(run_rows(r, full, f));
    if (!last)
        *p = stretch(r);
    return ERR_OK;
}

/* --- changes of the schema --- */

static void forget_catalog(struct run *r)
{
    catalog_free(r->target);
    r->target = NULL;
    r->known = NULL;
}

static enum err carry_out(struct run *r, const struct schema_change *c, struct fault *f)
{
    const struct store_ops *ops = r->d->store->ops;
    struct ddl_misfit misfit = {0};
    const char *why = NULL;
    bool needed = false;
    enum err err;

    if (ddl_concerns(c)) {
        TRY(ops->ddl_misfit(r->d->store, r->lane, r->arena, c, &misfit, f));
        needed = misfit.why != NULL;
    }
    if (!needed && !ddl_wanted(r->d, c))
        return ddl_note(r->d, EVENT_DDL_SEEN, c, NULL, NULL, f);
    atomic_store(&r->d->has_run, true);
    err = ops->lane_ddl(r->lane, c, &why, f);
    if (err == ERR_BUSY && !needed) { /* an index of a table that is just being copied, say: nothing that is worth waiting for */
        fault_clear(f);
        why = "something on the target held the locks it needs";
        err = ERR_OK;
    }
    TRY(err);
    if (needed && why != NULL)
        return ddl_stop(r->d, c, &misfit, why, f);
    if (needed)
        TRY(ops->ddl_misfit(r->d->store, r->lane, r->arena, c, &misfit, f));
    if (misfit.why != NULL)
        return ddl_stop(r->d, c, &misfit, "it was run, and still does not fit", f);
    forget_catalog(r);
    TRY(ops->lane_catalog(r->lane, &r->target, f));
    return ddl_note(r->d, why == NULL ? EVENT_DDL_DONE : EVENT_DDL_SEEN, c, NULL, why, f);
}

/* The changes in order; the nth note among them is the nth of m. */
static enum err run_all(struct run *r, const struct met *m, struct fault *f)
{
    struct parcel *p = stretch(r);
    struct change *next;
    size_t nth = 0;
    enum err err = ERR_OK;

    for (struct change *c = r->txn->changes; c != NULL && err == ERR_OK; c = next) {
        next = c->next;
        if (nth < m->count && c == m->list[nth]->change) {
            err = flush(r, &p, false, f);
            if (err == ERR_OK)
                err = carry_out(r, m->list[nth++], f);
        } else {
            txn_add_change(p, p->txns, c);
        }
    }
    if (err == ERR_OK)
        err = flush(r, &p, true, f);
    parcel_free(p);
    return err;
}

enum err ddl_apply(struct ddl *d, const struct txn *t, const struct met *m, struct fault *f)
{
    struct run r = {.d = d, .txn = t, .arena = m->arena};
    enum err err;

    ENSURE(t->first && t->last);
    TRY(d->store->ops->lane_open(d->store, "forward", "schema", &r.lane, f));
    err = run_all(&r, m, f);
    d->store->ops->lane_close(r.lane);
    forget_catalog(&r);
    return err;
}
