/* The decoder against messages made by hand: what every field means. Malformed ones are in test_pgoutput_malformed.c,
 * what real servers send in test_pgoutput_golden.c. */
#include "../lib/pgoutput_messages.h"

#include "base/world.h"

/* --- transactions --- */

static void transaction_messages(void **state)
{
    struct bench *t = *state;

    buf_add_u64be(begin(t, "B"), 0x100);
    buf_add_u64be(&t->b, 5);
    buf_add_u32be(&t->b, 4000000000u);
    good(t);
    assert_true(t->m.kind == PGOUTPUT_BEGIN && t->m.lsn.v == 0x100 && t->m.commit_us == PG_EPOCH_US + 5 &&
                t->m.xid == 4000000000u);

    buf_addc(begin(t, "C"), 0);
    buf_add_u64be(&t->b, 0x100);
    buf_add_u64be(&t->b, 0x130);
    buf_add_u64be(&t->b, (uint64_t)-7); /* a clock before 2000 */
    good(t);
    assert_true(t->m.kind == PGOUTPUT_COMMIT && t->m.lsn.v == 0x100 && t->m.end.v == 0x130 &&
                t->m.commit_us == PG_EPOCH_US - 7);

    buf_add_u64be(begin(t, "O"), 0x77);
    add_name(&t->b, "elsewhere");
    assert_int_equal(decode_bytes(t, t->b.data, t->b.len), ERR_OK);
    assert_true(t->m.kind == PGOUTPUT_ORIGIN && t->m.lsn.v == 0x77);

    buf_add_u32be(begin(t, "Y"), 16400);
    add_name(&t->b, "public");
    add_name(&t->b, "mood");
    good(t);
    assert_true(t->m.kind == PGOUTPUT_TYPE && t->m.change == NULL && t->m.relation == NULL);

    buf_addc(begin(t, "M"), 1);
    buf_add_u64be(&t->b, 0x10);
    add_name(&t->b, "prefix");
    buf_add_u32be(&t->b, 3);
    buf_add(&t->b, "a\0b", 3);
    good(t);
    assert_true(t->m.kind == PGOUTPUT_MESSAGE && t->m.change == NULL);
}

static void origin_points_into_the_message(void **state)
{
    struct bench *t = *state;

    buf_add_u64be(begin(t, "O"), 1);
    add_name(&t->b, "elsewhere");
    assert_int_equal(pgoutput_decode(t->d, t->arena, t->b.data, t->b.len, &t->m, &t->f), ERR_OK);
    assert_string_equal(t->m.origin, "elsewhere");
    assert_ptr_equal(t->m.origin, t->b.data + 9);
}

/* --- relations --- */

static void relation_is_described(void **state)
{
    struct bench *t = *state;
    const struct relation *r;

    assert_null(pgoutput_relation(t->d, T));
    describe(t, T, "public", "t", 'd', ID_V);
    r = t->m.relation;
    assert_true(t->m.kind == PGOUTPUT_RELATION && t->m.changed && r == pgoutput_relation(t->d, T));
    assert_true(r->id == T && r->identity == IDENTITY_DEFAULT && r->column_count == 2);
    assert_string_equal(r->schema, "public");
    assert_string_equal(r->name, "t");
    assert_string_equal(r->columns[0].name, "id");
    assert_string_equal(r->columns[1].name, "v");
    assert_true(r->columns[0].key && !r->columns[1].key && r->columns[0].type == 25 && r->columns[1].type == 26 &&
                r->columns[1].typmod == -1);
    assert_int_equal(r->raw_len, t->b.len);
    assert_memory_equal(r->raw, t->b.data, t->b.len);
    assert_null(pgoutput_relation(t->d, T + 1));
}

static void empty_schema_is_pg_catalog(void **state)
{
    static const char *const none[] = {NULL};
    struct bench *t = *state;

    describe(t, 0, "", "pg_class", 'n', none);
    assert_string_equal(t->m.relation->schema, "pg_catalog");
    assert_int_equal(t->m.relation->column_count, 0);
    assert_ptr_equal(pgoutput_relation(t->d, 0), t->m.relation);
}

static void same_words_keep_the_relation(void **state)
{
    struct bench *t = *state;
    const struct relation *r;

    describe(t, T, "public", "t", 'd', ID_V);
    r = t->m.relation;
    describe(t, T, "public", "t", 'd', ID_V);
    assert_true(!t->m.changed && t->m.relation == r);
}

static void every_field_counts_as_a_change(void **state)
{
    static const char *const key_moved[] = {"id", "*v", NULL}, *const longer[] = {"*id", "v", "w", NULL},
                             *const shorter[] = {"*id", NULL}, *const renamed[] = {"*id", "V", NULL};
    static const struct {
        const char *schema;
        const char *name;
        char identity;
        const char *const *columns;
    } cases[] = {{"other", "t", 'd', ID_V},       {"public", "u", 'd', ID_V},   {"public", "t", 'f', ID_V},
                 {"public", "t", 'd', key_moved}, {"public", "t", 'd', longer}, {"public", "t", 'd', shorter},
                 {"public", "t", 'd', renamed}};
    struct bench *t = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct relation *first;
        const struct relation *second;
        describe(t, T, "public", "t", 'd', ID_V);
        first = t->m.relation;
        assert_true(t->m.changed);
        describe(t, T, cases[i].schema, cases[i].name, cases[i].identity, cases[i].columns);
        second = t->m.relation;
        assert_true(t->m.changed && second != first && pgoutput_relation(t->d, T) == second);
        assert_string_equal(first->name, "t"); /* the old one stays as it was */
        assert_string_equal(first->columns[1].name, "v");
    }
}

static void type_and_typmod_count_as_a_change(void **state)
{
    struct bench *t = *state;

    describe(t, T, "public", "t", 'd', ID_V);
    t->b.data[t->b.len - 1] = 12; /* typmod of v */
    good(t);
    assert_true(t->m.changed && t->m.relation->columns[1].typmod == (int32_t)0xffffff0c);
    t->b.data[t->b.len - 5] = 99; /* its type */
    good(t);
    assert_true(t->m.changed && t->m.relation->columns[1].type == 99);
    good(t);
    assert_false(t->m.changed);
}

static void change_keeps_its_relation_through_ddl(void **state)
{
    static const char *const three[] = {"*id", "v", "w", NULL};
    struct bench *t = *state;
    const struct change *old;

    describe(t, T, "public", "t", 'd', ID_V);
    buf_add_u32be(begin(t, "I"), T);
    add_row(&t->b, 'N', "12");
    good(t);
    old = t->m.change;
    describe(t, T, "public", "t", 'd', three);
    buf_add_u32be(begin(t, "I"), T);
    add_row(&t->b, 'N', "121");
    good(t);
    assert_true(old->relation->column_count == 2 && t->m.change->relation->column_count == 3);
}

/* 100,000 tables, each described three times: the last description counts, memory is as of two. */
static void holds_many_relations(void **state)
{
    const uint32_t stride = 65536 * 7 + 1;
    struct bench *t = *state;
    int64_t began = world_mono_us();
    char name[32];

    for (uint32_t i = 0; i < 300000; i++) {
        uint32_t id = 16384 + i % 100000 * stride;
        snprintf(name, sizeof name, "t%u", (i < 100000 ? 0 : 1000000) + i % 100000);
        add_relation(begin(t, "R"), id, "public", name, 'd', ID_V);
        assert_int_equal(pgoutput_decode(t->d, t->arena, t->b.data, t->b.len, &t->m, &t->f), ERR_OK);
        assert_true(t->m.changed == (i < 200000));
    }
    for (uint32_t i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "t%u", 1000000 + i);
        assert_string_equal(pgoutput_relation(t->d, 16384 + i * stride)->name, name);
    }
    assert_null(pgoutput_relation(t->d, 16384 + 1));
    printf("100,000 relations described three times and found again: %.0f ms\n",
           (double)(world_mono_us() - began) / 1000);
}

/* --- changes --- */

static void insert_of_all_kinds_of_value(void **state)
{
    static const char *const five[] = {"*a", "b", "c", "d", "e", NULL};
    struct bench *t = *state;
    const struct row *row;

    describe(t, T, "public", "t", 'd', five);
    buf_add_u32be(begin(t, "I"), T);
    add_row(&t->b, 'N', "3n0u9");
    assert_int_equal(pgoutput_decode(t->d, t->arena, t->b.data, t->b.len, &t->m, &t->f), ERR_OK);
    row = t->m.change->new;
    assert_true(t->m.kind == PGOUTPUT_INSERT && t->m.change->kind == CHANGE_INSERT && t->m.change->old == NULL &&
                row->count == 5);
    assert_value(&row->values[0], "xxx");
    assert_value(&row->values[2], "");
    assert_value(&row->values[4], "xxxxxxxxx");
    assert_true(row->values[1].len == VALUE_NULL && row->values[3].len == VALUE_UNCHANGED);
    assert_ptr_equal(row->values[0].data, t->b.data + 13); /* not copied */
    assert_ptr_equal(t->m.change->raw, t->b.data);
    assert_int_equal(t->m.change->raw_len, t->b.len);
    assert_ptr_equal(t->m.change->relation, pgoutput_relation(t->d, T));
    assert_int_equal(t->m.xid, 0);
}

static void update_with_and_without_old(void **state)
{
    struct bench *t = *state;
    const struct change *c;

    describe(t, T, "public", "t", 'd', ID_V);
    buf_add_u32be(begin(t, "U"), T);
    add_row(&t->b, 'N', "1u");
    good(t);
    c = t->m.change;
    assert_true(c->kind == CHANGE_UPDATE && c->old == NULL && !c->old_is_key &&
                c->new->values[1].len == VALUE_UNCHANGED);
    buf_add_u32be(begin(t, "U"), T);
    add_row(&t->b, 'K', "2n");
    add_row(&t->b, 'N', "12");
    good(t);
    c = t->m.change;
    assert_true(c->old_is_key && c->old->values[0].len == 2 && c->old->values[1].len == VALUE_NULL &&
                c->new->values[1].len == 2);
    buf_add_u32be(begin(t, "U"), T);
    add_row(&t->b, 'O', "34");
    add_row(&t->b, 'N', "12");
    good(t);
    c = t->m.change;
    assert_true(!c->old_is_key && c->old->values[1].len == 4 && c->new->values[0].len == 1);
}

static void delete_by_key_and_full(void **state)
{
    struct bench *t = *state;

    describe(t, T, "public", "t", 'd', ID_V);
    buf_add_u32be(begin(t, "D"), T);
    add_row(&t->b, 'K', "2n");
    good(t);
    assert_true(t->m.change->kind == CHANGE_DELETE && t->m.change->old_is_key && t->m.change->new == NULL &&
                t->m.change->old->values[0].len == 2);
    buf_add_u32be(begin(t, "D"), T);
    add_row(&t->b, 'O', "21");
    good(t);
    assert_true(!t->m.change->old_is_key && t->m.change->old->values[1].len == 1);
}

static void truncate_of_several(void **state)
{
    struct bench *t = *state;
    const struct change *c;

    describe(t, T, "public", "t", 'd', ID_V);
    describe(t, T + 1, "public", "u", 'd', ID_V);
    for (uint8_t flags = 0; flags < 4; flags++) {
        buf_add_u32be(begin(t, "T"), 2);
        buf_addc(&t->b, (char)flags);
        buf_add_u32be(&t->b, T + 1);
        buf_add_u32be(&t->b, T);
        good(t);
        c = t->m.change;
        assert_true(c->kind == CHANGE_TRUNCATE && c->relation == NULL && c->truncate_flags == flags &&
                    c->truncate_count == 2);
        assert_string_equal(c->truncated[0]->name, "u");
        assert_string_equal(c->truncated[1]->name, "t");
    }
}

/* --- streamed segments --- */

static void streamed_changes(void **state)
{
    struct bench *t = *state;

    start_segment(t, 900, true);
    assert_true(t->m.kind == PGOUTPUT_STREAM_START && t->m.xid == 900 && t->m.first_segment);
    buf_add_u32be(begin(t, "R"), 900);
    add_relation(&t->b, T, "public", "t", 'd', ID_V);
    good(t);
    assert_true(t->m.xid == 900 && t->m.changed && t->m.relation->raw_len == t->b.len - 4 &&
                t->m.relation->raw[0] == 'R');
    assert_memory_equal(t->m.relation->raw + 1, t->b.data + 5, t->b.len - 5);
    buf_add_u32be(begin(t, "I"), 901); /* of a subtransaction */
    buf_add_u32be(&t->b, T);
    add_row(&t->b, 'N', "12");
    good(t);
    assert_true(t->m.xid == 901 && t->m.change->new->values[1].len == 2 && t->m.change->raw_len == t->b.len - 4);
    buf_add_u64be(begin(t, "O"), 5);
    add_name(&t->b, "elsewhere"); /* has no transaction id */
    good(t);
    stop_segment(t);
    start_segment(t, 900, false);
    assert_false(t->m.first_segment);
    stop_segment(t);
    buf_add_u32be(begin(t, "A"), 900);
    buf_add_u32be(&t->b, 901);
    good(t);
    assert_true(t->m.kind == PGOUTPUT_STREAM_ABORT && t->m.xid == 900 && t->m.subxid == 901);
    each_kind(t, 'c');
    good(t);
    assert_true(t->m.kind == PGOUTPUT_STREAM_COMMIT && t->m.xid == 9 && t->m.lsn.v == 1 && t->m.end.v == 2 &&
                t->m.commit_us == PG_EPOCH_US + 3);
}

/* raw alone, given to another decoder, makes the same change. */
static void raw_reads_as_protocol_1(void **state)
{
    struct bench *t = *state;
    AUTO(pgoutput) *other = pgoutput_new();
    struct pgoutput_msg m;

    start_segment(t, 900, true);
    buf_add_u32be(begin(t, "R"), 900);
    add_relation(&t->b, T, "public", "t", 'd', ID_V);
    good(t);
    assert_int_equal(pgoutput_decode(other, t->arena, t->m.relation->raw, t->m.relation->raw_len, &m, &t->f), ERR_OK);
    assert_true(m.relation->serial != 0 && m.relation->serial != t->m.relation->serial); /* whoever remembers by it cannot mistake them */
    buf_add_u32be(begin(t, "U"), 901);
    buf_add_u32be(&t->b, T);
    add_row(&t->b, 'K', "3n");
    add_row(&t->b, 'N', "12");
    good(t);
    assert_int_equal(pgoutput_decode(other, t->arena, t->m.change->raw, t->m.change->raw_len, &m, &t->f), ERR_OK);
    assert_true(m.change->old_is_key && m.change->old->values[0].len == 3 && m.change->new->values[1].len == 2);
    assert_ptr_equal(m.change->raw, t->m.change->raw);
}

/* --- frames --- */

static void frames(void **state)
{
    struct bench *t = *state;
    struct pgoutput_frame frame;

    buf_add_u64be(begin(t, "w"), 0x10);
    buf_add_u64be(&t->b, 0x20);
    buf_add_u64be(&t->b, 7);
    buf_adds(&t->b, "Ixyz");
    assert_int_equal(pgoutput_frame_decode(t->b.data, t->b.len, &frame, &t->f), ERR_OK);
    assert_true(frame.kind == 'w' && frame.start.v == 0x10 && frame.wal_end.v == 0x20 &&
                frame.sent_us == PG_EPOCH_US + 7);
    assert_true(frame.data == t->b.data + 25 && frame.len == 4);
    for (size_t n = 0; n < 25; n++)
        assert_int_equal(pgoutput_frame_decode(t->b.data, n, &frame, &t->f), ERR_PROTOCOL);
    assert_int_equal(pgoutput_frame_decode(t->b.data, 25, &frame, &t->f), ERR_OK);
    assert_int_equal(frame.len, 0); /* the message then is refused */

    buf_add_u64be(begin(t, "k"), 0x30);
    buf_add_u64be(&t->b, 8);
    buf_addc(&t->b, 1);
    assert_int_equal(pgoutput_frame_decode(t->b.data, t->b.len, &frame, &t->f), ERR_OK);
    assert_true(frame.kind == 'k' && frame.wal_end.v == 0x30 && frame.sent_us == PG_EPOCH_US + 8 &&
                frame.reply_wanted && frame.data == NULL);
    for (size_t n = 0; n < 18; n++)
        assert_int_equal(pgoutput_frame_decode(t->b.data, n, &frame, &t->f), ERR_PROTOCOL);
    t->b.data[17] = 0;
    assert_int_equal(pgoutput_frame_decode(t->b.data, t->b.len, &frame, &t->f), ERR_OK);
    assert_false(frame.reply_wanted);
    buf_addc(&t->b, 0);
    assert_int_equal(pgoutput_frame_decode(t->b.data, t->b.len, &frame, &t->f), ERR_PROTOCOL);
    t->b.data[0] = 's';
    assert_int_equal(pgoutput_frame_decode(t->b.data, t->b.len, &frame, &t->f), ERR_PROTOCOL);
    assert_int_equal(pgoutput_frame_decode(NULL, 0, &frame, &t->f), ERR_PROTOCOL);
    assert_true(frame.kind == 'k'); /* untouched */
}

static void feedback(void **state)
{
    static const unsigned char expected[] = {'r', 0, 0, 0, 0x16, 0xB3, 0x74, 0xD8, 0x48, 0, 0, 0,
                                             1,   2, 3, 4, 5,    0,    0,    0,    1,    2, 3, 4,
                                             5,   0, 0, 0, 0,    0,    0x0f, 0x42, 0x40, 1};
    char out[PGOUTPUT_FEEDBACK_SIZE];

    (void)state;
    assert_int_equal(sizeof expected, sizeof out);
    pgoutput_feedback_encode(out, (struct lsn){0x16B374D848}, (struct lsn){0x102030405}, PG_EPOCH_US + 1000000, true);
    assert_memory_equal(out, expected, sizeof out);
    pgoutput_feedback_encode(out, LSN_ZERO, LSN_ZERO, 0, false); /* 1970 */
    assert_int_equal(out[33], 0);
    assert_int_equal((unsigned char)out[25], 0xff);
}

/* --- speed: printed, not asserted --- */

static double decode_many(struct bench *t, struct pgoutput *d, unsigned rounds)
{
    int64_t began = world_mono_us();

    for (unsigned i = 0; i < rounds; i++) {
        if (pgoutput_decode(d, t->arena, t->b.data, t->b.len, &t->m, &t->f) != ERR_OK)
            fail_msg("%s", t->f.why);
        if (i % 512 == 0)
            arena_reset(t->arena);
    }
    return rounds / ((double)(world_mono_us() - began) + 1);
}

static void speed(void **state)
{
    static const char *const ten[] = {"*a", "b", "c", "d", "e", "f", "g", "h", "i", "j", NULL};
    struct bench *t = *state;
    double insert;
    double update;
    double streamed;

    arena_free(t->arena);
    t->arena = arena_new((size_t)256 << 10);
    for (uint32_t i = 0; i < 1000; i++)
        describe(t, T + i, "public", "t", 'd', ten);
    buf_add_u32be(begin(t, "I"), T + 7);
    add_row(&t->b, 'N', "88888n8888");
    insert = decode_many(t, t->d, 1000000);
    buf_add_u32be(begin(t, "U"), T + 7);
    add_row(&t->b, 'O', "88888n8888");
    add_row(&t->b, 'N', "88888n8888");
    update = decode_many(t, t->d, 1000000);
    start_segment(t, 900, true);
    buf_add_u32be(begin(t, "I"), 901);
    buf_add_u32be(&t->b, T + 7);
    add_row(&t->b, 'N', "88888n8888");
    streamed = decode_many(t, t->d, 1000000);
    printf("million changes a second, ten columns: insert %.1f, update with old row %.1f, streamed insert %.1f\n",
           insert, update, streamed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(transaction_messages),
        CASE(origin_points_into_the_message),
        CASE(relation_is_described),
        CASE(empty_schema_is_pg_catalog),
        CASE(same_words_keep_the_relation),
        CASE(every_field_counts_as_a_change),
        CASE(type_and_typmod_count_as_a_change),
        CASE(change_keeps_its_relation_through_ddl),
        CASE(holds_many_relations),
        CASE(insert_of_all_kinds_of_value),
        CASE(update_with_and_without_old),
        CASE(delete_by_key_and_full),
        CASE(truncate_of_several),
        CASE(streamed_changes),
        CASE(raw_reads_as_protocol_1),
        CASE(frames),
        CASE(feedback),
        CASE(speed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
