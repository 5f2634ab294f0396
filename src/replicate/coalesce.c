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
 * A "-" cannot come from a source that keeps its identities unique; when it does, the batch falls back to changes one by
 * one, which puts the surprise into the ledger. What cannot be coalesced (no key, a change of key, TRUNCATE, types that are
 * not bulk safe) ends the section: all before it stands before it, all after it after it.
 *
 * Invariants
 *  1. Within a section: deletes, then updates, then inserts; sections in order. A section's effect on every row equals that
 *     of its changes in order.
 *  2. A value marked unchanged never reaches a statement: merged from what the batch knows, or its column is not in the shape. */
#include "replicate/coalesce.h"

#include <stdlib.h>
#include <xxhash.h>

enum net { NET_NONE, NET_INSERT, NET_UPDATE, NET_DELETE, NET_REPLACE, NET_GONE };

struct entry {
    uint64_t hash;
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
    uint64_t key_count;
};

/* --- batches --- */

struct batch *batch_new(uint64_t seq)
{
    struct batch *b = mem_alloc(sizeof *b);

    b->seq = seq;
    b->arena = arena_new((size_t)256 << 10);
    b->tail = &b->steps;
    return b;
}

void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->parcel_count; i++)
        parcel_free(b->parcels[i]);
    arena_free(b->arena);
    free(b->parcels);
    free(b->keys);
    free(b);
}

void batch_add(struct batch *b, struct parcel *p)
{
    if (b->parcel_count == b->parcel_size) {
        b->parcel_size = b->parcel_size > 0 ? b->parcel_size * 2 : 16;
        b->parcels = mem_grow(b->parcels, b->parcel_size * sizeof *b->parcels);
    }
    if (b->parcel_count == 0)
        b->begins = p->txns == NULL || p->txns->first;
    b->parcels[b->parcel_count++] = p;
    b->bytes += p->bytes;
    b->completes = true;
    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        b->txn_count += t->last;
        b->completes = t->last;
        if (t->last) {
            ENSURE(lsn_le(b->end, t->end));
            b->end = t->end;
            b->commit_us = t->commit_us;
        }
    }
}

/* --- keys --- */

static uint64_t hash_key(const struct binding *b, const struct row *key)
{
    XXH64_hash_t h = b->table->oid;

    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL) {
            const struct value *v = &key->values[i];
            h = XXH3_64bits_withSeed(v->len > 0 ? v->data : "", v->len > 0 ? (size_t)v->len : 0, h * 31 + (uint64_t)(int64_t)v->len);
        }
    return h == 0 ? 1 : h;
}

static bool same_key(const struct binding *b, const struct row *x, const struct row *y)
{
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (b->key_operator[i] != NULL && !value_same(&x->values[i], &y->values[i]))
            return false;
    return true;
}

bool batch_touches(const struct batch *b, uint64_t hash)
{
    if (b->key_slots == 0)
        return false;
    for (size_t i = hash & (b->key_slots - 1); b->keys[i] != 0; i = (i + 1) & (b->key_slots - 1))
        if (b->keys[i] == hash)
            return true;
    return false;
}

static void keys_add(struct batch *b, uint64_t hash)
{
    size_t i = hash & (b->key_slots - 1);

    while (b->keys[i] != 0 && b->keys[i] != hash)
        i = (i + 1) & (b->key_slots - 1);
    b->keys[i] = hash;
}

static void keys_reserve(struct batch *b, uint64_t count)
{
    b->key_slots = 64;
    while (b->key_slots < 2 * count + 2)
        b->key_slots *= 2;
    b->keys = mem_alloc(b->key_slots * sizeof *b->keys);
}

static bool is_late(const struct work *w, uint64_t hash)
{
    for (size_t i = 0; i < w->rivals->count; i++)
        if (batch_touches(w->rivals->list[i], hash))
            return true;
    return false;
}

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

/* NULL: the table's description changed within the section, and one of before may be the same row: the section must end. */
static struct entry *section_find(struct work *w, const struct binding *b, const struct row *key)
{
    struct section *s = &w->section;
    uint64_t hash = hash_key(b, key);
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
        if (same_key(b, e->key, key))
            return e;
    }
    e = arena_zalloc(w->b->arena, sizeof *e);
    e->hash = hash;
    e->binding = b;
    e->key = key;
    s->slots[at] = e;
    s->count++;
    *s->tail = e;
    s->tail = &e->next;
    return e;
}

static void section_clear(struct section *s)
{
    if (s->slots != NULL)
        memset(s->slots, 0, s->size * sizeof *s->slots);
    s->count = 0;
    s->first = NULL;
    s->tail = &s->first;
}

/* --- merging --- */

static const struct row *merge(struct arena *a, const struct row *before, const struct row *after)
{
    struct row *r;
    bool whole = true;

    for (uint16_t i = 0; i < after->count && whole; i++)
        whole = after->values[i].len != VALUE_UNCHANGED;
    if (whole || before == NULL)
        return after;
    r = arena_alloc(a, sizeof *r + after->count * sizeof *r->values);
    r->count = after->count;
    for (uint16_t i = 0; i < after->count; i++)
        r->values[i] = after->values[i].len != VALUE_UNCHANGED ? after->values[i] : before->values[i];
    return r;
}

/* False: this transition cannot be. */
static bool advance(struct work *w, struct entry *e, const struct change *c)
{
    switch (c->kind) {
    case CHANGE_INSERT:
        if (e->net != NET_NONE && e->net != NET_DELETE && e->net != NET_GONE)
            return false;
        e->net = e->net == NET_DELETE ? NET_REPLACE : NET_INSERT;
        e->values = c->new;
        return true;
    case CHANGE_UPDATE:
        if (e->net == NET_DELETE || e->net == NET_GONE)
            return false;
        e->values = merge(w->b->arena, e->values, c->new);
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

static uint64_t shape_hash(const struct binding *b, const struct row *values)
{
    uint64_t h = 1469598103934665603u;

    for (uint16_t i = 0; i < b->relation->column_count; i++) {
        uint8_t in = values->values[i].len != VALUE_UNCHANGED && b->column[i] != BINDING_SKIP && b->key_operator[i] == NULL;
        h = (h ^ in) * 1099511628211u;
    }
    return h;
}

static const uint8_t *shape_make(struct work *w, const struct binding *b, const struct row *values)
{
    uint8_t *shape = arena_alloc(w->b->arena, b->relation->column_count + 1u);

    for (uint16_t i = 0; i < b->relation->column_count; i++)
        shape[i] = values->values[i].len != VALUE_UNCHANGED && b->column[i] != BINDING_SKIP && b->key_operator[i] == NULL;
    return shape;
}

static bool shape_empty(const struct binding *b, const uint8_t *shape)
{
    for (uint16_t i = 0; i < b->relation->column_count; i++)
        if (shape[i])
            return false;
    return true;
}

static struct batch_step *step_for(struct work *w, struct batch_step *from, enum batch_op op, const struct entry *e, bool late)
{
    uint64_t hash = op == BATCH_UPDATE ? shape_hash(e->binding, e->values) : 0;
    struct batch_step *s;

    for (s = from; s != NULL; s = s->next)
        if (s->op == op && s->binding == e->binding && s->late == late && s->shape_hash == hash)
            return s;
    s = step_add(w, op, e->binding, late);
    s->shape_hash = hash;
    if (op == BATCH_UPDATE)
        s->shape = shape_make(w, e->binding, e->values);
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
        s = step_for(w, *from, op, e, is_late(w, e->hash));
        row_add(w, s, e->key, e->values);
    }
    for (struct batch_step *s = *from; s != NULL; s = s->next)
        if (op != BATCH_INSERT)
            qsort_r(s->rows, s->count, sizeof *s->rows, compare_keys, (void *)(uintptr_t)s->binding);
}

/* Updates that carry nothing but unchanged values still must find their row; without a column to set there is nothing to do. */
static void drop_empty_updates(struct section *s, struct work *w)
{
    for (struct entry *e = s->first; e != NULL; e = e->next)
        if (e->net == NET_UPDATE && shape_empty(e->binding, shape_make(w, e->binding, e->values)))
            e->net = NET_GONE;
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
        keys_add(w->b, e->hash);
    section_clear(&w->section);
}

/* --- changes as they come --- */

static bool key_changes(const struct binding *b, const struct change *c)
{
    return c->kind == CHANGE_UPDATE && c->old != NULL && b->keyed && !same_key(b, c->old, c->new);
}

static void note_keys(struct work *w, const struct binding *b, const struct change *c)
{
    if (!b->keyed || key_changes(b, c)) /* early and late must not change places around it */
        w->b->exclusive = true;
    if (!b->keyed)
        return;
    if (c->old != NULL)
        keys_add(w->b, hash_key(b, c->old));
    if (c->new != NULL)
        keys_add(w->b, hash_key(b, c->new));
}

static bool change_late(struct work *w, const struct binding *b, const struct change *c)
{
    if (!b->keyed)
        return true;
    return (c->old != NULL && is_late(w, hash_key(b, c->old))) || (c->new != NULL && is_late(w, hash_key(b, c->new)));
}

static enum err add_truncate(struct work *w, const struct txn *t, const struct change *c, struct fault *f)
{
    const struct binding **tables = arena_alloc(w->b->arena, (c->truncate_count + 1) * sizeof *tables);
    struct batch_step *s;
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->truncate_count; i++) {
        const struct binding *b;
        TRY(w->router->route(w->router->ctx, t, c, c->truncated[i], &b, f));
        if (b != NULL)
            tables[count++] = b;
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
    note_keys(w, b, c);
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
        add_single(w, b, c, change_late(w, b, c));
        return ERR_OK;
    }
    if (b->bulk && !key_changes(b, c)) {
        const struct row *key = c->kind != CHANGE_INSERT && c->old != NULL ? c->old : c->new;
        struct entry *e = section_find(w, b, key);
        if (e == NULL) {
            section_end(w);
            w->b->exclusive = true;
            e = section_find(w, b, key);
        }
        ENSURE(e != NULL);
        if (advance(w, e, c))
            return ERR_OK;
        section_end(w); /* what cannot be, stands alone: its count will tell */
    }
    section_end(w);
    w->b->exclusive = true; /* sections must not be torn apart into early and late */
    add_single(w, b, c, true);
    return ERR_OK;
}

static uint64_t count_changes(const struct batch *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->parcel_count; i++)
        n += b->parcels[i]->change_count;
    return n;
}

static uint64_t count_txns(const struct batch *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->parcel_count; i++)
        n += b->parcels[i]->txn_count;
    return n;
}

enum err batch_finish(struct batch *b, const struct router *router, const struct batch_rivals *rivals, struct fault *f)
{
    struct work w = {.b = b, .router = router, .rivals = rivals};
    bool coalesce = count_txns(b) > 1 || count_changes(b) > 64;
    enum err err = ERR_OK;

    w.section.tail = &w.section.first;
    keys_reserve(b, 2 * count_changes(b));
    if (!b->begins || !b->completes)
        b->exclusive = true;
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
