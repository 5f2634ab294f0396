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
    int log[KEYS]; /* the table without a key: how often each value stands in it */
};

static struct rel_column rel_columns[COLUMNS] = {{"id", true, 23, -1}, {"a", false, 23, -1}, {"b", false, 25, -1}};
static struct relation relation = {.id = 1, .schema = "public", .name = "t", .identity = IDENTITY_DEFAULT, .column_count = COLUMNS, .columns = rel_columns};
static struct column columns[COLUMNS] = {{.name = "id", .bulk_safe = true}, {.name = "a", .bulk_safe = true}, {.name = "b", .bulk_safe = true}};
static struct table table = {.oid = 7, .schema = "public", .name = "t", .column_count = COLUMNS, .columns = columns};
static uint16_t map[COLUMNS] = {0, 1, 2};
static const char *operators[COLUMNS] = {"=", NULL, NULL};
static const uint8_t whole[COLUMNS] = {0, 1, 1};
static struct binding binding = {.serial = 1, .relation = &relation, .table = &table, .column = map, .shape = whole, .keyed = true, .bulk = true, .key_operator = operators};

static struct rel_column log_rel_columns[1] = {{"v", true, 23, -1}};
static struct relation log_relation = {.id = 2, .schema = "public", .name = "log", .identity = IDENTITY_FULL, .column_count = 1, .columns = log_rel_columns};
static struct column log_columns[1] = {{.name = "v", .bulk_safe = true}};
static struct table log_table = {.oid = 8, .schema = "public", .name = "log", .column_count = 1, .columns = log_columns};
static const char *log_operators[1] = {NULL};
static const uint8_t log_whole[1] = {1};
static struct binding log_binding = {.serial = 2, .relation = &log_relation, .table = &log_table, .column = map, .shape = log_whole, .key_operator = log_operators};

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
    (void)f;
    *ret = r == &log_relation ? &log_binding : &binding;
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

static struct row *log_row(struct arena *a, int v)
{
    struct row *r = arena_alloc(a, sizeof *r + sizeof *r->values);

    r->count = 1;
    r->values[0] = number(a, v);
    return r;
}

static void random_log_change(struct parcel *p, struct txn *t, struct table_state *s)
{
    int v = (int)dice(KEYS);
    int to = (int)dice(KEYS);
    struct change *c;

    if (s->log[v] == 0 || dice(3) > 0) {
        c = change_new(p, CHANGE_INSERT);
        c->new = log_row(p->arena, to);
        s->log[to]++;
    } else if (dice(2) == 0) {
        c = change_new(p, CHANGE_DELETE);
        c->old = log_row(p->arena, v);
        s->log[v]--;
    } else {
        c = change_new(p, CHANGE_UPDATE);
        c->old = log_row(p->arena, v);
        c->new = log_row(p->arena, to);
        s->log[v]--;
        s->log[to]++;
    }
    c->relation = &log_relation;
    txn_add_change(p, t, c);
}

/* One change that a source could make of this state; the state follows. */
static void random_change(struct parcel *p, struct txn *t, struct table_state *s)
{
    int key = (int)dice(KEYS);
    struct change *c;

    if (dice(4) == 0) {
        random_log_change(p, t, s);
        return;
    }
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

static void run_log_change(struct table_state *s, const struct row *old, const struct row *new)
{
    if (old != NULL) {
        assert_true(s->log[value_of(old, 0)] > 0);
        s->log[value_of(old, 0)]--;
    }
    if (new != NULL)
        s->log[value_of(new, 0)]++;
}

static void run_log_step(struct table_state *s, const struct batch_step *step)
{
    if (step->op == BATCH_CHANGE)
        run_log_change(s, step->change->old, step->change->new);
    else
        assert_int_equal(step->op, BATCH_INSERT);
    for (uint32_t i = 0; step->op == BATCH_INSERT && i < step->count; i++)
        run_log_change(s, NULL, step->rows[i].values);
}

static void run_step(struct table_state *s, const struct batch_step *step)
{
    const struct change *c = step->change;

    if (step->binding == &log_binding) {
        run_log_step(s, step);
        return;
    }
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
        assert_int_equal(x->log[i], y->log[i]);
        assert_int_equal(x->a[i], y->a[i]);
        if (x->a[i] != ABSENT)
            assert_int_equal(x->b[i], y->b[i]);
    }
}

static void clear(struct table_state *s)
{
    for (int i = 0; i < KEYS; i++) {
        s->a[i] = s->b[i] = ABSENT;
        s->log[i] = 0;
    }
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

/* Updates of one table and rows added to another that has no key: two statements, however many transactions. */
static void test_many_become_few(void **state)
{
    struct router router = {route, NULL};
    struct batch_rivals none = {.count = 0};
    struct batch *b = batch_new(1);
    struct parcel *p = parcel_new();
    unsigned steps = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct txn *t = parcel_add_txn(p, i + 1, true);
        struct change *u = change_new(p, CHANGE_UPDATE);
        struct change *n = change_new(p, CHANGE_INSERT);
        u->new = make_row(p->arena, (int)(i % KEYS), (int)i, (int)i);
        n->new = log_row(p->arena, (int)i);
        n->relation = &log_relation;
        txn_add_change(p, t, u);
        txn_add_change(p, t, n);
        t->last = true;
        t->end.v = i + 1;
    }
    batch_add(b, p);
    assert_int_equal(batch_finish(b, &router, &none, NULL), ERR_OK);
    for (const struct batch_step *step = b->steps; step != NULL; step = step->next)
        steps++;
    assert_int_equal(steps, 2);
    assert_int_equal(b->steps->count, KEYS);
    assert_int_equal(b->steps->next->count, 100);
    assert_false(b->exclusive);
    batch_free(b);
}

/* Beside the last part of a large transaction nothing runs early: what its first parts touched is not committed either. */
static void test_nothing_beside_a_part(void **state)
{
    struct router router = {route, NULL};
    struct batch_rivals none = {.count = 0};
    struct table_state source;
    struct batch *part;
    struct batch *next;

    (void)state;
    seed_state = 5;
    clear(&source);
    part = random_batch(1, &source, 1);
    part->begins = false;
    next = random_batch(2, &source, 5);
    assert_int_equal(batch_finish(part, &router, &none, NULL), ERR_OK);
    assert_int_equal(batch_finish(next, &router, &(struct batch_rivals){.list = {part}, .count = 1}, NULL), ERR_OK);
    assert_non_null(next->steps);
    for (const struct batch_step *step = next->steps; step != NULL; step = step->next)
        assert_true(step->late);
    batch_free(part);
    batch_free(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_net_effect), cmocka_unit_test(test_late_part_waits), cmocka_unit_test(test_many_become_few),
                                       cmocka_unit_test(test_nothing_beside_a_part)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
