/* tests/unit/test_spool.c — the spool in files: what goes in comes out, limits, trimming, readers beside the writer.
 * What crashes and damage do is in test_spool_crash.c. */
#include "../lib/spool_scratch.h"

#include <pthread.h>

#include "base/world.h"
#include "wire/pgoutput.h"

static const struct recipe small_txns = {.seed = 1, .max_changes = 12, .max_len = 120};
static const struct recipe large_txns = {.seed = 2, .max_changes = 60, .max_len = 400};

static void fill(struct spool *s, const struct recipe *recipe, uint64_t from, uint64_t to)
{
    struct lsn end;

    for (uint64_t n = from; n <= to; n++) {
        if (n % 3 == 0)
            assert_ok(append_parts(s, recipe, n, 1 + n % 5, true, f));
        else
            assert_ok(append_txn(s, recipe, n, f));
        if (n % 50 == 0) {
            assert_ok(s->ops->sync(s, &end, f));
            assert_int_equal(end.v, end_of(n).v);
        }
    }
}

static void round_trip(const struct recipe *recipe, uint64_t count)
{
    static const uint64_t parcels[] = {1, 300, 5000, 1 << 20};
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);

    fill(s, recipe, 1, count);
    for (size_t i = 0; i < sizeof parcels / sizeof *parcels; i++)
        assert_reads(s, recipe, parcels[i], 0, count);
    for (uint64_t after = 0; after <= count; after += 7)
        assert_reads(s, recipe, 3000, after, count);
    assert_true(segments_in(dir) > 5);
    s->ops->free(s);
    scratch_drop(dir);
}

static void what_goes_in_comes_out(void **state)
{
    round_trip(&small_txns, 300);
}

static void so_do_transactions_larger_than_blocks_and_segments(void **state)
{
    round_trip(&large_txns, 120);
}

static void it_is_there_after_opening_again(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    AUTO_CHARS *identity = mem_dup(s->ops->identity(s));
    struct lsn end;

    for (uint64_t n = 1; n <= 200; n += 40) {
        fill(s, &large_txns, n, n + 39);
        assert_ok(s->ops->sync(s, &end, f));
        s->ops->free(s);
        s = open_small(dir);
        assert_string_equal(s->ops->identity(s), identity);
        assert_int_equal(s->ops->end(s).v, end_of(n + 39).v);
        assert_reads(s, &large_txns, 2000, 0, n + 39);
    }
    assert_int_equal(strlen(identity), 32);
    s->ops->free(s);
    scratch_drop(dir);
}

static void nothing_kept_writes_nothing_but_moves_the_end(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct lsn end;
    uint64_t bytes;

    assert_ok(append_txn(s, &small_txns, 8, f));
    assert_ok(s->ops->sync(s, &end, f));
    bytes = s->ops->bytes(s);
    assert_ok(append_parts(s, &small_txns, 9, 2, true, f)); /* of relation 3 alone */
    assert_int_equal(s->ops->end(s).v, end_of(9).v);
    assert_ok(s->ops->sync(s, &end, f));
    assert_int_equal(end.v, end_of(9).v);
    assert_int_equal(s->ops->bytes(s), bytes);
    s->ops->free(s);
    s = open_small(dir);
    assert_int_equal(s->ops->end(s).v, end_of(9).v);
    assert_err(ERR_BUG, append_txn(s, &small_txns, 9, f)); /* it has been there */
    s->ops->free(s);
    scratch_drop(dir);
}

static void a_transaction_delivered_anew_replaces_its_beginning(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    const struct recipe huge = {.seed = 3, .max_changes = 4000, .max_len = 400};
    struct lsn end;

    fill(s, &huge, 1, 3);
    for (int i = 0; i < 3; i++) {
        assert_ok(append_parts(s, &huge, 4, 10, false, f)); /* far more segments than wait for sync */
        assert_true(segments_in(dir) > 2 * SPOOL_UNSYNCED_MAX);
        if (i == 1)
            assert_ok(s->ops->sync(s, &end, f));
        assert_int_equal(s->ops->end(s).v, end_of(3).v);
        assert_reads(s, &huge, 1 << 20, 0, 3);
    }
    fill(s, &huge, 4, 5);
    assert_reads(s, &huge, 10000, 0, 5);
    assert_reads(s, &huge, UINT64_MAX, 3, 5);
    s->ops->free(s);
    scratch_drop(dir);
}

static void a_later_part_without_the_first_is_refused(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct txn part = {.xid = 7, .last = true, .end = end_of(1)};

    assert_err(ERR_BUG, s->ops->append(s, &part, keep_most, NULL, f));
    assert_int_equal(s->ops->end(s).v, 0);
    s->ops->free(s);
    scratch_drop(dir);
}

static void the_limit_refuses_whole_transactions(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = NULL;
    struct fault fault = {0};
    uint64_t n = 1;

    assert_ok(spool_file_open_sized(dir, 40000, SMALL, &fake, &s, f));
    while (append_parts(s, &large_txns, n, 5, true, &fault) == ERR_OK)
        n++;
    assert_int_equal(fault.code, ERR_SPOOL_FULL);
    assert_true(n > 3 && s->ops->bytes(s) > 20000 && s->ops->bytes(s) <= 40000);
    assert_int_equal(s->ops->end(s).v, end_of(n - 1).v);
    assert_reads(s, &large_txns, 5000, 0, n - 1);

    struct lsn end;
    assert_ok(s->ops->sync(s, &end, f));
    assert_ok(s->ops->trim(s, end, f)); /* then there is room again */
    assert_true(s->ops->bytes(s) < 20000);
    for (uint64_t i = n; i < n + 3; i++)
        assert_ok(append_txn(s, &large_txns, i, f));
    assert_reads(s, &large_txns, 5000, n - 1, n + 2);
    s->ops->free(s);
    scratch_drop(dir);
}

/* --- trimming --- */

static void trimming_stops_where_a_cursor_stands(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct spool_cursor *c = NULL;
    struct reader r = {.recipe = &small_txns, .max_bytes = 1 << 20, .n = 100};
    struct lsn end;
    uint64_t before;

    fill(s, &small_txns, 1, 300);
    assert_ok(s->ops->sync(s, &end, f));
    before = segments_in(dir);
    assert_ok(s->ops->open_cursor(s, end_of(100), &c, f));
    assert_ok(s->ops->trim(s, end, f));
    assert_in_range(segments_in(dir), before / 2, before - 2);
    assert_ok(read_on(s, c, &r, f));
    assert_int_equal(r.n, last_kept(&small_txns, 300));
    assert_ok(s->ops->trim(s, end, f));
    s->ops->close_cursor(c);
    assert_int_equal(segments_in(dir), 1);
    assert_int_equal(s->ops->bytes(s), SPOOL_SEGMENT_HEAD);
    s->ops->free(s);
    s = open_small(dir);
    assert_int_equal(s->ops->end(s).v, end_of(300).v);
    fill(s, &small_txns, 301, 320);
    assert_reads(s, &small_txns, 5000, 300, 320);
    s->ops->free(s);
    scratch_drop(dir);
}

static void what_is_trimmed_is_not_read_by_mistake(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct spool_cursor *c = NULL;
    struct reader r = {.recipe = &small_txns, .max_bytes = 4000};
    struct lsn end;
    uint64_t all;

    fill(s, &small_txns, 1, 300);
    assert_ok(s->ops->sync(s, &end, f));
    all = segments_in(dir);
    assert_ok(s->ops->trim(s, end_of(150), f));
    assert_in_range(segments_in(dir), 2, all - 2);
    for (int again = 0; again < 2; again++) {
        assert_reads(s, &small_txns, 4000, 150, 300);
        assert_err(ERR_SPOOL_DAMAGED, s->ops->open_cursor(s, end_of(20), &c, f));
        assert_null(c);
        s->ops->free(s);
        s = open_small(dir);
    }
    assert_ok(s->ops->open_cursor(s, LSN_ZERO, &c, f)); /* from where it begins, wherever that is */
    r.n = ((struct spool_file *)s)->segments[0]->head.before.v / 100;
    assert_in_range(r.n, 100, 150);
    assert_ok(read_on(s, c, &r, f));
    s->ops->close_cursor(c);
    s->ops->free(s);
    scratch_drop(dir);
}

static void a_large_transaction_is_trimmed_whole_or_not(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    const struct recipe huge = {.seed = 5, .max_changes = 400, .max_len = 400};
    struct lsn end;

    fill(s, &huge, 1, 20);
    assert_ok(s->ops->sync(s, &end, f));
    for (uint64_t n = 1; n <= 20; n++) {
        assert_ok(s->ops->trim(s, end_of(n), f));
        assert_reads(s, &huge, 4000, n, 20);
    }
    s->ops->free(s);
    scratch_drop(dir);
}

static void what_is_not_synced_is_not_trimmed(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    uint64_t count;

    fill(s, &small_txns, 1, 49);
    count = segments_in(dir);
    assert_true(count > 2);
    assert_ok(s->ops->trim(s, end_of(48), f));
    assert_int_equal(segments_in(dir), count);
    s->ops->free(s);
    scratch_drop(dir);
}

static void only_one_may_have_it_open(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct spool *second = NULL;

    assert_err(ERR_BUSY, spool_file_open_sized(dir, NO_LIMIT, SMALL, &fake, &second, f));
    assert_null(second);
    s->ops->free(s);
    s = open_small(dir);
    s->ops->free(s);
    scratch_drop(dir);
}

/* --- large messages --- */

static bool keep_all(void *ctx, const struct change *c)
{
    return true;
}

/* Between small ones, in one transaction; LEAT_TEST_GIANT_MB=900 tries the largest. */
static void a_message_larger_than_a_block_has_one_of_its_own(void **state)
{
    const char *mb = getenv("LEAT_TEST_GIANT_MB");
    uint32_t giant = (mb != NULL ? (uint32_t)strtoul(mb, NULL, 10) : 6) << 20;
    char *dir = scratch_dir();
    struct spool *s = NULL;
    struct spool_cursor *c = NULL;
    struct parcel *p = parcel_new();
    struct txn *t = parcel_add_txn(p, 7, true);
    const struct relation *relation = fake_relation(p->arena, 1, 1);
    struct dice d = {1};
    uint64_t hash = 0;
    uint64_t got = 0;
    uint64_t read = 0;

    for (int i = 0; i < 5; i++)
        txn_add_change(p, t, fake_insert(p->arena, relation, &d, i % 2 == 1 ? giant : 100));
    t->last = true;
    t->end = end_of(1);
    for (struct change *change = t->changes; change != NULL; change = change->next)
        hash = hash_change(hash, change);
    assert_ok(spool_file_open_sized(dir, NO_LIMIT, USUAL, &fake, &s, f));
    assert_ok(s->ops->append(s, t, keep_all, NULL, f));
    parcel_free(p);
    assert_ok(s->ops->open_cursor(s, LSN_ZERO, &c, f));
    for (;;) {
        assert_ok(s->ops->next(c, 1 << 20, &p, f));
        if (p == NULL)
            break;
        for (struct change *change = p->txns->changes; change != NULL; change = change->next, read++)
            got = hash_change(got, change);
        assert_true(p->bytes <= 5 + (uint64_t)giant + 300);
        parcel_free(p);
    }
    assert_int_equal(read, 5);
    assert_true(got == hash);
    s->ops->close_cursor(c);
    s->ops->free(s);
    scratch_drop(dir);
}

/* --- alongside --- */

struct alongside {
    struct spool *s;
    uint64_t count;
    uint64_t max_bytes;
    _Atomic bool failed;
    _Atomic uint64_t read; /* the slowest reader's transaction: what is before it may be trimmed */
};

static void *read_alongside(void *arg)
{
    struct alongside *a = arg;
    struct reader r = {.recipe = &large_txns, .max_bytes = a->max_bytes};
    struct spool_cursor *c = NULL;
    struct fault f = {0};
    enum err err = a->s->ops->open_cursor(a->s, LSN_ZERO, &c, &f);
    int64_t deadline = world_mono_us() + 60 * 1000000;

    while (err == ERR_OK && r.n < last_kept(&large_txns, a->count) && world_mono_us() < deadline) {
        err = read_on(a->s, c, &r, &f);
        a->read = r.n;
    }
    if (err != ERR_OK || r.inside || r.n != last_kept(&large_txns, a->count)) {
        char text[4096];
        print_error("%s at %llu\n", fault_text(&f, text, sizeof text), (unsigned long long)r.n);
        a->failed = true;
    }
    if (c != NULL)
        a->s->ops->close_cursor(c);
    return NULL;
}

static void *sync_alongside(void *arg)
{
    struct alongside *a = arg;
    struct fault f = {0};
    struct lsn end = LSN_ZERO;

    while (!a->failed && end.v < end_of(a->count).v) {
        struct lsn before = end;
        if (a->s->ops->sync(a->s, &end, &f) != ERR_OK || end.v < before.v || a->s->ops->end(a->s).v < end.v)
            a->failed = true;
        if (a->s->ops->trim(a->s, end_of(a->read), &f) != ERR_OK)
            a->failed = true;
    }
    return NULL;
}

static void readers_and_sync_go_alongside_the_writer(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct alongside a = {.s = s, .count = 1500, .max_bytes = 3000};
    struct alongside b = {.s = s, .count = 1500, .max_bytes = 100000};
    pthread_t threads[3];

    pthread_create(&threads[0], NULL, read_alongside, &a);
    pthread_create(&threads[1], NULL, read_alongside, &b);
    pthread_create(&threads[2], NULL, sync_alongside, &a);
    for (uint64_t n = 1; n <= a.count; n++) {
        if (n % 11 == 0)
            assert_ok(append_parts(s, &large_txns, n, 3, false, f)); /* broken off, and delivered again */
        if (n % 2 == 0)
            assert_ok(append_parts(s, &large_txns, n, 7, true, f));
        else
            assert_ok(append_txn(s, &large_txns, n, f));
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_false(a.failed || b.failed);
    s->ops->free(s);
    scratch_drop(dir);
}

/* --- PostgreSQL's own messages --- */

static void *real_make(void)
{
    return pgoutput_new();
}

static void real_drop(void *decoder)
{
    pgoutput_free(decoder);
}

static enum err real_decode(void *decoder, struct arena *arena, const char *data, size_t len, struct change **ret,
                            struct fault *f)
{
    struct pgoutput_msg m;

    TRY(pgoutput_decode(decoder, arena, data, len, &m, f));
    *ret = m.change;
    return ERR_OK;
}

static const struct spool_decoder real = {real_make, real_drop, real_decode};

#define MESSAGE(text) text, sizeof(text) - 1

static void postgresql_messages_come_back_decoded(void **state)
{
    /* public.t (id int4 key, name text): as PostgreSQL 15 sends them */
    static const char relation[] =
        "R\0\0\x40\x01public\0t\0d\0\2\1id\0\0\0\0\x17\xff\xff\xff\xff\0name\0\0\0\0\x19\xff\xff\xff\xff";
    static const char insert[] = "I\0\0\x40\x01N\0\2t\0\0\0\1"
                                 "1t\0\0\0\3one";
    static const char update[] = "U\0\0\x40\x01N\0\2t\0\0\0\1"
                                 "1n";
    static const char truncate[] = "T\0\0\0\1\2\0\0\x40\x01";
    char *dir = scratch_dir();
    struct spool *s = NULL;
    struct spool_cursor *c = NULL;
    struct pgoutput *d = pgoutput_new();
    struct parcel *p = parcel_new();
    struct txn *t = parcel_add_txn(p, 740, true);
    struct change *change = NULL;

    assert_ok(real_decode(d, p->arena, MESSAGE(relation), &change, f));
    assert_ok(real_decode(d, p->arena, MESSAGE(insert), &change, f));
    txn_add_change(p, t, change);
    assert_ok(real_decode(d, p->arena, MESSAGE(update), &change, f));
    txn_add_change(p, t, change);
    assert_ok(real_decode(d, p->arena, MESSAGE(truncate), &change, f));
    txn_add_change(p, t, change);
    t->last = true;
    t->end = end_of(1);
    assert_ok(spool_file_open(dir, NO_LIMIT, &real, &s, f));
    assert_ok(s->ops->append(s, t, keep_all, NULL, f));
    pgoutput_free(d);
    parcel_free(p);

    assert_ok(s->ops->open_cursor(s, LSN_ZERO, &c, f));
    assert_ok(s->ops->next(c, 1 << 20, &p, f));
    assert_non_null(p);
    assert_int_equal(p->change_count, 3);
    change = p->txns->changes;
    assert_int_equal(change->kind, CHANGE_INSERT);
    assert_string_equal(change->relation->name, "t");
    assert_memory_equal(change->new->values[1].data, "one", 3);
    assert_int_equal(change->next->new->values[1].len, VALUE_NULL);
    assert_int_equal(change->next->next->truncate_flags, 2);
    assert_string_equal(change->next->next->truncated[0]->schema, "public");
    parcel_free(p);
    s->ops->close_cursor(c);
    s->ops->free(s);
    scratch_drop(dir);
}

/* --- how fast --- */

#define POOL 3000 /* transactions of ten changes of 150 bytes, half of them random: more than compression looks back   \
                   */

static struct txn **make_pool(struct parcel *p)
{
    struct txn **pool = mem_alloc(POOL * sizeof *pool);
    const struct relation *relations[3];
    struct dice d = {4};

    for (uint32_t id = 0; id < 3; id++)
        relations[id] = fake_relation(p->arena, id, 1);
    for (int i = 0; i < POOL; i++) {
        pool[i] = parcel_add_txn(p, 7, true);
        pool[i]->last = true;
        for (int k = 0; k < 10; k++)
            txn_add_change(p, pool[i], fake_insert(p->arena, relations[k % 3], &d, 145));
    }
    return pool;
}

static uint64_t read_count(struct spool *s)
{
    struct spool_cursor *c = NULL;
    struct parcel *p;
    uint64_t changes = 0;

    assert_ok(s->ops->open_cursor(s, LSN_ZERO, &c, f));
    for (;;) {
        assert_ok(s->ops->next(c, 4 << 20, &p, f));
        if (p == NULL)
            break;
        changes += p->change_count;
        parcel_free(p);
    }
    s->ops->close_cursor(c);
    return changes;
}

/* Prints; what it asserts is far below what any machine does. */
static void appending_is_fast(void **state)
{
    char *dir = scratch_dir();
    struct parcel *p = parcel_new();
    struct txn **pool = make_pool(p);
    struct spool *s = NULL;
    const double changes = 1e6;
    const double mb = changes * 150 / 1e6;
    struct lsn end;
    int64_t began;
    double append_s;
    double sync_s;
    double read_s;

    assert_ok(spool_file_open(dir, NO_LIMIT, &fake, &s, f));
    began = world_mono_us();
    for (uint64_t n = 1; n <= (uint64_t)changes / 10; n++) {
        pool[n % POOL]->end = end_of(n);
        assert_ok(s->ops->append(s, pool[n % POOL], keep_most, NULL, f));
    }
    append_s = (double)(world_mono_us() - began) / 1e6;
    assert_ok(s->ops->sync(s, &end, f));
    sync_s = (double)(world_mono_us() - began) / 1e6 - append_s;
    began = world_mono_us();
    assert_int_equal(read_count(s), (uint64_t)changes);
    read_s = (double)(world_mono_us() - began) / 1e6;
    print_message(
        "append %.0f MB/s, %.0f changes/s; sync at the end %.2f s; read %.0f MB/s; %.0f MB raw, %.0f on disk\n",
        mb / append_s, changes / append_s, sync_s, mb / read_s, mb, (double)s->ops->bytes(s) / 1e6);
    assert_true(changes / append_s > 10000);
    s->ops->free(s);
    free(pool);
    parcel_free(p);
    scratch_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(so_do_transactions_larger_than_blocks_and_segments),
        cmocka_unit_test(it_is_there_after_opening_again),
        cmocka_unit_test(nothing_kept_writes_nothing_but_moves_the_end),
        cmocka_unit_test(a_transaction_delivered_anew_replaces_its_beginning),
        cmocka_unit_test(a_later_part_without_the_first_is_refused),
        cmocka_unit_test(the_limit_refuses_whole_transactions),
        cmocka_unit_test(trimming_stops_where_a_cursor_stands),
        cmocka_unit_test(what_is_trimmed_is_not_read_by_mistake),
        cmocka_unit_test(a_large_transaction_is_trimmed_whole_or_not),
        cmocka_unit_test(what_is_not_synced_is_not_trimmed),
        cmocka_unit_test(only_one_may_have_it_open),
        cmocka_unit_test(a_message_larger_than_a_block_has_one_of_its_own),
        cmocka_unit_test(readers_and_sync_go_alongside_the_writer),
        cmocka_unit_test(postgresql_messages_come_back_decoded),
        cmocka_unit_test(appending_is_fast),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
