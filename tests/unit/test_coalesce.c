/* test_coalesce.c — the net effect of many transactions equals its changes one by one: random changes of few rows, against a
 * table kept in memory both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicate/coalesce.h"

#define KEYS 12
#define COLUMNS 3
#define ABSENT (-9)

struct table_state { /* by key: both other columns' values, or absent */
    int a[KEYS];
    int b[KEYS];
};

static struct rel_column rel_columns[COLUMNS] = {{"id", true, 23, -1}, {"a", false, 23, -1}, {"b", false, 25, -1}};
static struct relation relation = {.id = 1, .schema = "public", .name = "t", .identity = IDENTITY_DEFAULT, .column_count = COLUMNS, .columns = rel_columns};
static struct column columns[COLUMNS] = {{.name = "id", .bulk_safe = true}, {.name = "a", .bulk_safe = true}, {.name = "b", .bulk_safe = true}};
static struct table table = {.oid = 7, .schema = "public", .name = "t", .column_count = COLUMNS, .columns = columns};
static uint16_t map[COLUMNS] = {0, 1, 2};
static const char *operators[COLUMNS] = {"=", NULL, NULL};
static struct binding binding = {.serial = 1, .relation = &relation, .table = &table, .column = map, .keyed = true, .bulk = true, .key_operator = operators};

static uint64_t seed_state;
static unsigned dice(unsigned n)
{
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed_state >> 33) % n;
}

static enum err route(void *ctx, const struct txn *t, const struct change *c, const struct relation *r, const struct binding **ret, struct fault *f)
{
    (void)ctx;
    (void)t;
    (void)c;
    (void)r;
    (void)f;
    *ret = &binding;
    return ERR_OK;
}

static struct value number(struct arena *a, int n)
{
    char *text = arena_format(a, "%d", n);

    return (struct value){text, (int32_t)strlen(text)};
}

static struct row *make_row(struct arena *a, int key, int first, int second)
{
    struct row *r = arena_alloc(a, sizeof *r + COLUMNS * sizeof *r->values);

    r->count = COLUMNS;
    r->values[0] = number(a, key);
    r->values[1] = number(a, first);
    r->values[2] = second == ABSENT ? (struct value){NULL, VALUE_UNCHANGED} : number(a, second);
    return r;
}

static int value_of(const struct row *r, int i)
{
    char text[16];

    assert_true(r->values[i].len >= 0 && r->values[i].len < 15);
    memcpy(text, r->values[i].data, (size_t)r->values[i].len);
    text[r->values[i].len] = '\0';
    return (int)strtol(text, NULL, 10);
}

static struct change *change_new(struct parcel *p, enum change_kind kind)
{
    struct change *c = arena_zalloc(p->arena, sizeof *c);

    c->kind = kind;
    c->relation = &relation;
    return c;
}

/* One change that a source could make of this state; the state follows. */
static void random_change(struct parcel *p, struct txn *t, struct table_state *s)
{
    int key = (int)dice(KEYS);
    struct change *c;

    if (s->a[key] == ABSENT) {
        c = change_new(p, CHANGE_INSERT);
        s->a[key] = (int)dice(1000);
        s->b[key] = (int)dice(1000);
        c->new = make_row(p->arena, key, s->a[key], s->b[key]);
    } else if (dice(4) == 0) {
        c = change_new(p, CHANGE_DELETE);
        c->old = make_row(p->arena, key, 0, 0);
        c->old_is_key = true;
        s->a[key] = ABSENT;
    } else if (dice(12) == 0) { /* the key moves */
        int to = (int)dice(KEYS);
        bool keeps = dice(2) == 0;
        if (s->a[to] != ABSENT)
            return;
        c = change_new(p, CHANGE_UPDATE);
        c->old = make_row(p->arena, key, 0, 0);
        c->old_is_key = true;
        s->a[to] = (int)dice(1000);
        s->b[to] = keeps ? s->b[key] : (int)dice(1000);
        s->a[key] = ABSENT;
        c->new = make_row(p->arena, to, s->a[to], keeps ? ABSENT : s->b[to]);
    } else {
        bool keeps = dice(2) == 0; /* b is out of line and not touched */
        c = change_new(p, CHANGE_UPDATE);
        s->a[key] = (int)dice(1000);
        if (!keeps)
            s->b[key] = (int)dice(1000);
        c->new = make_row(p->arena, key, s->a[key], keeps ? ABSENT : s->b[key]);
    }
    txn_add_change(p, t, c);
}

/* What a lane would do, on the state; every statement must touch exactly one row. */
static void run_update(struct table_state *s, int from, const struct row *new, const uint8_t *shape)
{
    int to = value_of(new, 0);
    int b = new->values[2].len == VALUE_UNCHANGED || (shape != NULL && !shape[2]) ? s->b[from] : value_of(new, 2);
    int a = shape != NULL && !shape[1] ? s->a[from] : value_of(new, 1);

    assert_int_not_equal(s->a[from], ABSENT);
    assert_true(from == to || s->a[to] == ABSENT);
    s->a[from] = ABSENT;
    s->a[to] = a;
    s->b[to] = b;
}

static void run_insert(struct table_state *s, const struct row *new)
{
    int key = value_of(new, 0);

    assert_int_equal(s->a[key], ABSENT);
    s->a[key] = value_of(new, 1);
    s->b[key] = value_of(new, 2);
}

static void run_delete(struct table_state *s, const struct row *key)
{
    assert_int_not_equal(s->a[value_of(key, 0)], ABSENT);
    s->a[value_of(key, 0)] = ABSENT;
}

static void run_step(struct table_state *s, const struct batch_step *step)
{
    const struct change *c = step->change;

    if (step->op == BATCH_CHANGE && c->kind == CHANGE_INSERT)
        run_insert(s, c->new);
    else if (step->op == BATCH_CHANGE && c->kind == CHANGE_DELETE)
        run_delete(s, c->old);
    else if (step->op == BATCH_CHANGE)
        run_update(s, value_of(c->old != NULL ? c->old : c->new, 0), c->new, NULL);
    for (uint32_t i = 0; step->op != BATCH_CHANGE && i < step->count; i++) {
        if (step->op == BATCH_INSERT)
            run_insert(s, step->rows[i].values);
        else if (step->op == BATCH_DELETE)
            run_delete(s, step->rows[i].key);
        else
            run_update(s, value_of(step->rows[i].key, 0), step->rows[i].values, step->shape);
    }
}

static void run_batch(struct table_state *s, const struct batch *b)
{
    for (int late = 0; late <= 1; late++)
        for (const struct batch_step *step = b->steps; step != NULL; step = step->next)
            if (step->late == (bool)late)
                run_step(s, step);
}

static struct batch *random_batch(uint64_t seq, struct table_state *source, unsigned txns)
{
    struct batch *b = batch_new(seq);
    struct parcel *p = parcel_new();

    for (unsigned i = 0; i < txns; i++) {
        struct txn *t = parcel_add_txn(p, i + 1, true);
        unsigned changes = 1 + dice(6);
        t->last = true;
        t->end.v = seq * 1000 + i;
        for (unsigned k = 0; k < changes; k++)
            random_change(p, t, source);
    }
    batch_add(b, p);
    return b;
}

static void compare(const struct table_state *x, const struct table_state *y)
{
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(x->a[i], y->a[i]);
        if (x->a[i] != ABSENT)
            assert_int_equal(x->b[i], y->b[i]);
    }
}

static void clear(struct table_state *s)
{
    for (int i = 0; i < KEYS; i++)
        s->a[i] = s->b[i] = ABSENT;
}

static void test_net_effect(void **state)
{
    struct router router = {route, NULL};
    struct batch_rivals none = {.count = 0};

    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct table_state source;
        struct table_state target;
        seed_state = seed;
        clear(&source);
        clear(&target);
        for (uint64_t n = 1; n <= 20; n++) {
            struct batch *b = random_batch(n, &source, 1 + dice(30));
            assert_int_equal(batch_finish(b, &router, &none, NULL), ERR_OK);
            run_batch(&target, b);
            compare(&source, &target);
            batch_free(b);
        }
    }
}

/* Two batches beside each other: the early part of the second runs before the first, its late part after it. */
static void test_late_part_waits(void **state)
{
    struct router router = {route, NULL};

    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct batch_rivals none = {.count = 0};
        struct table_state source;
        struct table_state target;
        struct batch *one;
        struct batch *two;
        seed_state = seed * 77;
        clear(&source);
        for (int i = 0; i < KEYS; i += 2)
            source.a[i] = source.b[i] = i;
        target = source;
        one = random_batch(1, &source, 1 + dice(3));
        two = random_batch(2, &source, 1 + dice(3));
        assert_int_equal(batch_finish(one, &router, &none, NULL), ERR_OK);
        assert_int_equal(batch_finish(two, &router, &(struct batch_rivals){.list = {one}, .count = 1}, NULL), ERR_OK);
        for (const struct batch_step *step = two->steps; step != NULL; step = step->next)
            if (!step->late)
                run_step(&target, step);
        run_batch(&target, one);
        for (const struct batch_step *step = two->steps; step != NULL; step = step->next)
            if (step->late)
                run_step(&target, step);
        compare(&source, &target);
        batch_free(one);
        batch_free(two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_net_effect), cmocka_unit_test(test_late_part_waits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
