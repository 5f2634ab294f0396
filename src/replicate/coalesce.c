/* replicate/coalesce.c — the net effect of consecutive transactions.
 *
 * Per identity key, over the whole batch:
 *
 *            I            U             D
 *   none     I            U             D
 *   I        (error: U*)  I (merged)    gone
 *   U        -            U (merged)    D
 *   D        R            -             -
 *   R        -            R (merged)    D          R = delete what was there, then insert
 *   gone     I            -             -
 *
 * An update that changes the key is a delete of the old key and an insert of the new one, when all its values are known.
 * Rows added to a table without a key are simply gathered: which of them came first cannot be told on either side.
 *
 * A "-" cannot come from a source that keeps its identities unique; when it does, the batch falls back to changes one by
 * one, which puts the surprise into the ledger. What cannot be coalesced (rows found by their image, TRUNCATE, types that are
 * not bulk safe) ends the section: all before it stands before it, all after it after it.
 *
 * Invariants
 *  1. Within a section: deletes, then updates, then inserts; sections in order. A section's effect on every row equals that
 *     of its changes in order.
 *  2. A value marked unchanged never reaches a statement: merged from what the batch knows, or its column is not in the shape.
 *  3. A table without a key has nothing but inserts in a section. */
#include "replicate/coalesce.h"

#include <stdlib.h>

enum net { NET_NONE, NET_INSERT, NET_UPDATE, NET_DELETE, NET_REPLACE, NET_GONE };

struct entry {
    uint64_t hash; /* 0: a row without a key, not in the table of slots */
    struct entry *next; /* in order of appearance, within the section */
    const struct binding *binding;
    enum net net;
    const struct row *key;
    const struct row *values;
};

struct section {
    struct entry **slots;
    size_t size; /* power of two */
    size_t count;
    struct entry *first;
    struct entry **tail;
};

struct work {
    struct batch *b;
    const struct router *router;
    const struct batch_rivals *rivals;
    struct section section;
};

/* --- the section's table --- */

static void section_grow(struct section *s)
{
    struct entry **old = s->slots;
    size_t old_size = s->size;

    s->size = old_size > 0 ? old_size * 2 : 1024;
    s->slots = mem_alloc(s->size * sizeof *s->slots);
    for (size_t i = 0; i < old_size; i++)
        if (old[i] != NULL) {
            size_t at = old[i]->hash & (s->size - 1);
            while (s->slots[at] != NULL)
                at = (at + 1) & (s->size - 1);
            s->slots[at] = old[i];
        }
    free(old);
}

static struct entry *section_add(struct work *w, const struct binding *b, uint64_t hash, const struct row *key)
{
    struct entry *e = arena_zalloc(w->b->arena, sizeof *e);

    e->hash = hash;
    e->binding = b;
    e->key = key;
    *w->section.tail = e;
    w->section.tail = &e->next;
    return e;
}

/* NULL: the table's description changed within the section, and one of before may be the same row: the section must end. */
static struct entry *section_find(struct work *w, const struct binding *b, const struct row *key)
{
    struct section *s = &w->section;
    uint64_t hash = key_hash(b, key);
    size_t at;
    struct entry *e;

    if (2 * (s->count + 1) > s->size)
        section_grow(s);
    at = hash & (s->size - 1);
    for (; (e = s->slots[at]) != NULL; at = (at + 1) & (s->size - 1)) {
        if (e->hash != hash || e->binding->table != b->table)
            continue;
        if (e->binding != b)
            return NULL;
        if (key_same(b, e->key, key))
            return e;
    }
    e = section_add(w, b, hash, key);
    s->slots[at] = e;
    s->count++;
    return e;
}

static void section_clear(struct section *s)
{
    if (s->count > 0)
        memset(s->slots, 0, s->size * sizeof *s->slots);
    s->count = 0;
    s->first = NULL;
    s->tail = &s->first;
}

/* --- merging --- */

static bool is_whole(const struct row *r)
{
    for (uint16_t i = 0; i < r->count; i++)
        if (r->values[i].len == VALUE_UNCHANGED)
            return false;
    return true;
}

static const struct row *merge(struct arena *a, const struct row *before, const struct row *after)
{
    struct row *r;

    if (before == NULL || is_whole(after))
        return after;
    r = arena_alloc(a, sizeof *r + after->count * sizeof *r->values);
    r->count = after->count;
    for (uint16_t i = 0; i < after->count; i++)
        r->values[i] = after->values[i].len != VALUE_UNCHANGED ? after->values[i] : before->values[i];
    return r;
}

/* False: this transition cannot be. */
static bool advance(struct work *w, struct entry *e, enum change_kind kind, const struct row *new)
{
    switch (kind) {
    case CHANGE_INSERT:
        if (e->net != NET_NONE && e->net != NET_DELETE && e->net != NET_GONE)
            return false;
        e->net = e->net == NET_DELETE ? NET_REPLACE : NET_INSERT;
        e->values = new;
        return true;
    case CHANGE_UPDATE:
        if (e->net == NET_DELETE || e->net == NET_GONE)
            return false;
        e->values = merge(w->b->arena, e->values, new);
        if (e->net == NET_NONE)
            e->net = NET_UPDATE;
        return true;
    case CHANGE_DELETE:
        if (e->net == NET_DELETE || e->net == NET_GONE)
            return false;
        e->net = e->net == NET_INSERT ? NET_GONE : NET_DELETE;
        e->values = NULL;
        return true;
    default:
        return false;
    }
}

/* --- steps --- */

static struct batch_step *step_add(struct work *w, enum batch_op op, const struct binding *binding, bool late)
{
    struct batch_step *s = arena_zalloc(w->b->arena, sizeof *s);

    s->op = op;
    s->binding = binding;
    s->late = late;
    *w->b->tail = s;
    w->b->tail = &s->next;
    return s;
}

static void row_add(struct work *w, struct batch_step *s, const struct row *key, const struct row *values)
{
    if (s->count == s->size) {
        uint32_t size = s->size > 0 ? s->size * 2 : 16;
        struct batch_row *rows = arena_alloc(w->b->arena, size * sizeof *rows);
        if (s->count > 0)
            memcpy(rows, s->rows, s->count * sizeof *rows);
        s->rows = rows;
        s->size = size;
    }
    s->rows[s->count++] = (struct batch_row){key, values};
}

/* The columns an update sets: all that came, but the key's. Most updates bring every column: the binding knows that shape. */
static const uint8_t *shape_of(struct work *w, const struct binding *b, const struct row *values)
{
    uint8_t *shape;

    if (is_whole(values))
        return b->shape;
    shape = arena_alloc(w->b->arena, b->relation->column_count + 1u);
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        shape[i] = b->shape[i] && values->values[i].len != VALUE_UNCHANGED;
    return shape;
}

static struct batch_step *step_for(struct work *w, struct batch_step *from, enum batch_op op, const struct entry *e, bool late)
{
    const struct binding *b = e->binding;
    size_t columns = b->relation->column_count;
    const uint8_t *shape = op == BATCH_UPDATE ? shape_of(w, b, e->values) : NULL;
    struct batch_step *s;

    for (s = from; s != NULL; s = s->next)
        if (s->op == op && s->binding == b && s->late == late && (s->shape == shape || memcmp(s->shape, shape, columns) == 0))
            return s;
    s = step_add(w, op, b, late);
    s->shape = shape;
    s->shape_hash = shape != NULL ? shape_hash(shape, columns) : 0;
    return s;
}

static int compare_keys(const void *x, const void *y, void *ctx)
{
    const struct batch_row *a = x;
    const struct batch_row *c = y;
    const struct binding *b = ctx;

    for (uint16_t i = 0; i < b->relation->column_count; i++) {
        const struct value *v = &a->key->values[i];
        const struct value *u = &c->key->values[i];
        int order;
        if (b->key_operator[i] == NULL)
            continue;
        if (v->len != u->len) /* shorter first: numbers come in their own order */
            return v->len < u->len ? -1 : 1;
        order = v->len > 0 ? memcmp(v->data, u->data, (size_t)v->len) : 0;
        if (order != 0)
            return order;
    }
    return 0;
}

static bool wants(const struct entry *e, enum batch_op op)
{
    switch (op) {
    case BATCH_DELETE:
        return e->net == NET_DELETE || e->net == NET_REPLACE;
    case BATCH_UPDATE:
        return e->net == NET_UPDATE;
    case BATCH_INSERT:
        return e->net == NET_INSERT || e->net == NET_REPLACE;
    case BATCH_CHANGE:
        return false;
    }
    return false;
}

static void emit(struct work *w, enum batch_op op)
{
    struct batch_step **from = w->b->tail;

    for (const struct entry *e = w->section.first; e != NULL; e = e->next) {
        struct batch_step *s;
        if (!wants(e, op))
            continue;
        s = step_for(w, *from, op, e, batch_is_late(w->rivals, e->binding->table, e->hash));
        row_add(w, s, e->key, e->values);
    }
    for (struct batch_step *s = *from; s != NULL; s = s->next)
        if (op != BATCH_INSERT)
            qsort_r(s->rows, s->count, sizeof *s->rows, compare_keys, (void *)(uintptr_t)s->binding);
}

/* An update without a column to set has nothing to do. */
static void drop_empty_updates(struct section *s, struct work *w)
{
    for (struct entry *e = s->first; e != NULL; e = e->next) {
        const struct binding *b = e->binding;
        if (e->net == NET_UPDATE && memchr(shape_of(w, b, e->values), 1, b->relation->column_count) == NULL)
            e->net = NET_GONE;
    }
}

static void section_end(struct work *w)
{
    if (w->section.first == NULL)
        return;
    drop_empty_updates(&w->section, w);
    emit(w, BATCH_DELETE);
    emit(w, BATCH_UPDATE);
    emit(w, BATCH_INSERT);
    for (const struct entry *e = w->section.first; e != NULL; e = e->next)
        if (e->hash != 0)
            batch_note_key(w->b, e->hash);
    section_clear(&w->section);
}

/* --- changes as they come --- */

static bool key_changes(const struct binding *b, const struct change *c)
{
    return c->kind == CHANGE_UPDATE && c->old != NULL && b->keyed && !key_same(b, c->old, c->new);
}

/* What the change touches, for the batches after this one. */
static void note_single(struct work *w, const struct binding *b, const struct change *c)
{
    if (!b->keyed && c->kind == CHANGE_INSERT)
        return;
    if (!b->keyed || key_changes(b, c)) /* early and late must not change places around it */
        w->b->exclusive = true;
    if (!b->keyed) {
        batch_note_table(w->b, b->table);
        return;
    }
    if (c->old != NULL)
        batch_note_key(w->b, key_hash(b, c->old));
    if (c->new != NULL)
        batch_note_key(w->b, key_hash(b, c->new));
}

static bool single_late(const struct work *w, const struct binding *b, const struct change *c)
{
    if (!b->keyed)
        return batch_is_late(w->rivals, b->table, 0);
    return (c->old != NULL && batch_is_late(w->rivals, b->table, key_hash(b, c->old))) ||
           (c->new != NULL && batch_is_late(w->rivals, b->table, key_hash(b, c->new)));
}

static enum err add_truncate(struct work *w, const struct txn *t, const struct change *c, struct fault *f)
{
    const struct binding **tables = arena_alloc(w->b->arena, (c->truncate_count + 1) * sizeof *tables);
    struct batch_step *s;
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->truncate_count; i++) {
        const struct binding *b;
        TRY(w->router->route(w->router->ctx, t, c, c->truncated[i], &b, f));
        if (b == NULL)
            continue;
        tables[count++] = b;
        batch_note_table(w->b, b->table);
    }
    if (count == 0)
        return ERR_OK;
    section_end(w);
    s = step_add(w, BATCH_CHANGE, NULL, true);
    s->change = c;
    s->rows = (struct batch_row *)(void *)tables; /* for a truncate: its bindings */
    s->count = count;
    w->b->exclusive = true;
    w->b->change_count++;
    return ERR_OK;
}

static void add_single(struct work *w, const struct binding *b, const struct change *c, bool late)
{
    struct batch_step *s = step_add(w, BATCH_CHANGE, b, late);

    s->change = c;
    note_single(w, b, c);
}

/* The entry of a key; the section ends before it when an entry of before may be the same row by another description. */
static struct entry *entry_of(struct work *w, const struct binding *b, const struct row *key)
{
    struct entry *e = section_find(w, b, key);

    if (e != NULL)
        return e;
    section_end(w);
    w->b->exclusive = true;
    e = section_find(w, b, key);
    ENSURE(e != NULL);
    return e;
}

/* False: nothing has been done; a value is not known, or the rows are not as the stream says. */
static bool move_key(struct work *w, const struct binding *b, const struct change *c)
{
    struct entry *from = entry_of(w, b, c->old);
    struct entry *to = entry_of(w, b, c->new);
    const struct row *values = merge(w->b->arena, from->values, c->new);

    if (entry_of(w, b, c->old) != from || !is_whole(values)) /* the section ended in between: not worth a second try */
        return false;
    if (from->net == NET_DELETE || from->net == NET_GONE || (to->net != NET_NONE && to->net != NET_DELETE && to->net != NET_GONE))
        return false;
    return advance(w, from, CHANGE_DELETE, NULL) && advance(w, to, CHANGE_INSERT, values);
}

/* False: it stands alone. */
static bool coalesced(struct work *w, const struct binding *b, const struct change *c)
{
    struct entry *e;

    if (!b->keyed && c->kind == CHANGE_INSERT) {
        e = section_add(w, b, 0, c->new);
        e->net = NET_INSERT;
        e->values = c->new;
        return true;
    }
    if (!b->bulk)
        return false;
    if (key_changes(b, c))
        return move_key(w, b, c);
    e = entry_of(w, b, c->kind != CHANGE_INSERT && c->old != NULL ? c->old : c->new);
    return advance(w, e, c->kind, c->new);
}

static enum err add_change(struct work *w, const struct txn *t, const struct change *c, bool coalesce, struct fault *f)
{
    const struct binding *b;

    if (c->kind == CHANGE_TRUNCATE)
        return add_truncate(w, t, c, f);
    TRY(w->router->route(w->router->ctx, t, c, c->relation, &b, f));
    if (b == NULL)
        return ERR_OK;
    w->b->change_count++;
    if (!coalesce) {
        add_single(w, b, c, single_late(w, b, c));
        return ERR_OK;
    }
    if (coalesced(w, b, c))
        return ERR_OK;
    section_end(w);
    w->b->exclusive = true; /* sections must not be torn apart into early and late */
    add_single(w, b, c, true);
    return ERR_OK;
}

/* The last part of a transaction larger than a part commits what all its parts touched; only its own keys are known here. */
static bool follows_part(const struct batch_rivals *rivals)
{
    for (size_t i = 0; i < rivals->count; i++)
        if (!rivals->list[i]->begins)
            return true;
    return false;
}

enum err batch_finish(struct batch *b, const struct router *router, const struct batch_rivals *rivals, struct fault *f)
{
    struct work w = {.b = b, .router = router, .rivals = rivals};
    uint64_t changes = batch_count_changes(b);
    bool coalesce = batch_count_txns(b) > 1 || changes > 64;
    enum err err = ERR_OK;

    w.section.tail = &w.section.first;
    batch_expect_keys(b, 2 * changes);
    b->exclusive = !b->begins || !b->completes || follows_part(rivals);
    for (uint32_t i = 0; i < b->parcel_count && err == ERR_OK; i++)
        for (const struct txn *t = b->parcels[i]->txns; t != NULL && err == ERR_OK; t = t->next)
            for (const struct change *c = t->changes; c != NULL && err == ERR_OK; c = c->next)
                err = add_change(&w, t, c, coalesce, f);
    section_end(&w);
    if (b->exclusive)
        for (struct batch_step *s = b->steps; s != NULL; s = s->next)
            s->late = true;
    free(w.section.slots);
    return err;
}
