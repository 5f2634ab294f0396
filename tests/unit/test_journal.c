/* The journal as a record: events, steps and facts; every way of tampering with it that can be seen, and one that
 * cannot. */
#include "../lib/journal_scratch.h"

#include "journal/chain.h"

/* --- kinds and chain --- */

static void kinds_are_named_once(void **state)
{
    (void)state;
    for (int a = 0; a < EVENT_KIND_COUNT; a++) {
        assert_true(event_kind_name(a)[0] != '\0' && event_kind_text(a)[0] != '\0');
        for (int b = 0; b < a; b++)
            assert_string_not_equal(event_kind_name(a), event_kind_name(b));
    }
}

/* Made by another program: the one printed in docs/formats/journal.md. */
static void chain_is_as_documented(void **state)
{
    struct event first = {1, 1700000000123456, "", "journal.opened", "{\"migration\":\"shop-2026\"}", NULL};
    struct event second = {2, -5, "ördérs", "fact", "{}", NULL};
    char hash[CHAIN_HASH_SIZE];

    (void)state;
    chain_start("shop-2026", hash);
    assert_string_equal(hash, "563b57bfaf5eee609146180bd96f0aa67318f17637e0ad8a65d7fe29389b3d7d");
    chain_next(hash, &first, hash);
    assert_string_equal(hash, "167c94948e9b7fdf266ca5102575ea0effe0b8823cf753edbc02ba8e3e867bcc");
    chain_next(hash, &second, hash);
    assert_string_equal(hash, "36d52632316b96a7010cd484d223bea0619b7d04da11dd9539853eb0b409f32b");
}

/* What stands at the end of one part must not be able to pass for the beginning of the next. */
static void chain_is_unambiguous(void **state)
{
    struct event a = {1, 1, "ab", "c", "{}", NULL};
    struct event b = {1, 1, "a", "bc", "{}", NULL};
    char hash_a[CHAIN_HASH_SIZE];
    char hash_b[CHAIN_HASH_SIZE];

    (void)state;
    chain_next("", &a, hash_a);
    chain_next("", &b, hash_b);
    assert_string_not_equal(hash_a, hash_b);
}

/* --- events --- */

struct seen {
    int64_t last_seq;
    int count;
    int stop_at;
    char text[1024]; /* "store kind body;" of each */
    struct journal *append_to;
};

static bool see(void *ctx, const struct event *e)
{
    struct seen *seen = ctx;
    size_t n = strlen(seen->text);

    assert_true(e->seq > seen->last_seq);
    assert_int_equal(strlen(e->hash), 64);
    seen->last_seq = e->seq;
    snprintf(seen->text + n, sizeof seen->text - n, "%s %s %s;", e->store, e->kind, e->body);
    if (seen->append_to != NULL)
        scratch_append(seen->append_to, "", EVENT_PAUSED, NULL);
    return ++seen->count != seen->stop_at;
}

static void events_are_read_in_order(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    struct seen seen = {0};

    scratch_append(j, "", EVENT_PAUSED, NULL);
    scratch_append(j, "orders", EVENT_GOVERNOR, " {\n \"why\" : \"a \\\" , b\\\\\" , \"n\": 1.10 }\t");
    assert_ok(j->ops->read(j, 1, see, &seen, &f));
    assert_string_equal(seen.text, " paused {};orders governor {\"why\":\"a \\\" , b\\\\\",\"n\":1.10};");
    assert_int_equal(seen.last_seq, 3);
    assert_ok(j->ops->read(j, 3, see, &seen, &f));
    assert_ok(j->ops->read(j, 1000, see, &seen, &f));
    assert_int_equal(seen.count, 2);

    seen = (struct seen){.stop_at = 1};
    assert_ok(j->ops->read(j, 0, see, &seen, &f));
    assert_int_equal(seen.count, 1);
    assert_non_null(strstr(seen.text, "journal.opened {\"migration\":\"shop\",\"schema\":1"));
    assert_int_equal(scratch_verify(j), 3);
}

/* A reading shows what was there when it began, and what its callback writes is not lost. */
static void reading_may_write(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    struct seen seen = {.append_to = j};

    scratch_append(j, "", EVENT_PAUSED, NULL);
    assert_ok(j->ops->read(j, 0, see, &seen, &f));
    assert_int_equal(seen.count, 2);
    assert_int_equal(scratch_verify(j), 4);
}

static void bad_bodies_are_refused(void **state)
{
    static const char *const bodies[] = {"",
                                         "[]",
                                         "1",
                                         "{",
                                         "{} {}",
                                         "{\"a\":1,}",
                                         "\"a\"",
                                         "{\"a\":1,\"a\":2}",
                                         "{a:1}",
                                         "{\"a\":\"\\u0000\"}",
                                         "{\"a\":\"\xff\"}",
                                         "{\"a\":18446744073709551615}"};
    AUTO(journal) *j = scratch_open(*state);
    AUTO_CHARS *large = mem_alloc(17 << 20);

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        assert_err(j->ops->append(j, "", EVENT_FAILED, bodies[i], &f), ERR_BUG, "body of an event");
    assert_err(j->ops->step_set(j, "orders", "arm", STEP_INTENT, "[]", &f), ERR_BUG, "body of an event");
    assert_err(j->ops->fact_set(j, "orders", "slot", "\xff", true, &f), ERR_BUG, "UTF-8");
    memset(large, ' ', (17 << 20) - 1);
    assert_err(j->ops->append(j, "", EVENT_FAILED, large, &f), ERR_BUG, "too large");
    assert_int_equal(scratch_verify(j), 1);
}

static void a_later_programs_events_are_read(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    struct event e = {2, 77, "", "of.the.future", "{}", NULL};
    AUTO_CHARS *sql = NULL;
    struct seen seen = {.stop_at = 1};
    char hash[CHAIN_HASH_SIZE];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    assert_int_equal(sqlite3_open(((struct scratch *)*state)->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT hash FROM head", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    chain_next((const char *)sqlite3_column_text(stmt, 0), &e, hash);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    sql = mem_format(
        "INSERT INTO events VALUES (2, 77, '', 'of.the.future', '{}', '%s'); UPDATE head SET seq = 2, hash = '%s'",
        hash, hash);
    scratch_sql(*state, sql);
    assert_ok(j->ops->read(j, 1, see, &seen, &f));
    assert_string_equal(seen.text, " of.the.future {};");
    scratch_append(j, "", EVENT_PAUSED, NULL);
    assert_int_equal(scratch_verify(j), 3);
}

/* --- steps and facts --- */

static enum step_state step_of(struct journal *j, const char *store, const char *step)
{
    enum step_state state = (enum step_state)99;

    assert_ok(j->ops->step_get(j, store, step, &state, &f));
    return state;
}

static void steps_go_their_way(void **state)
{
    AUTO(journal) *j = scratch_open(*state);
    struct seen seen = {0};

    assert_int_equal(step_of(j, "orders", "arm"), STEP_NONE);
    assert_err(j->ops->step_set(j, "orders", "arm", STEP_DONE, NULL, &f), ERR_BUG, "it is none");
    assert_err(j->ops->step_set(j, "orders", "arm", STEP_UNDONE, NULL, &f), ERR_BUG, "it is none");
    assert_err(j->ops->step_set(j, "orders", "arm", STEP_NONE, NULL, &f), ERR_BUG, "cannot become none");
    assert_ok(j->ops->step_set(j, "orders", "arm", STEP_INTENT, "{\"slot\": 1}", &f));
    assert_int_equal(step_of(j, "orders", "arm"), STEP_INTENT);
    assert_int_equal(step_of(j, "bills", "arm"), STEP_NONE);
    assert_ok(j->ops->step_set(j, "orders", "arm", STEP_DONE, NULL, &f));
    journal_free(j);

    j = scratch_open(*state);
    assert_int_equal(step_of(j, "orders", "arm"), STEP_DONE);
    assert_ok(j->ops->step_set(j, "orders", "arm", STEP_UNDONE, NULL, &f));
    assert_err(j->ops->step_set(j, "orders", "arm", STEP_DONE, NULL, &f), ERR_BUG, "it is undone");
    assert_ok(j->ops->step_set(j, "orders", "arm", STEP_INTENT, NULL, &f));
    assert_ok(j->ops->read(j, 1, see, &seen, &f));
    assert_string_equal(
        seen.text, "orders step.intent {\"step\":\"arm\",\"detail\":{\"slot\":1}};orders step.done {\"step\":\"arm\"};"
                   "orders step.undone {\"step\":\"arm\"};orders step.intent {\"step\":\"arm\"};");
    assert_int_equal(scratch_verify(j), 5);
}

static const char *fact_of(struct journal *j, struct arena *a, const char *store, const char *name)
{
    const char *value = "untouched";

    assert_ok(j->ops->fact_get(j, store, name, a, &value, &f));
    return value;
}

static void facts_are_kept(void **state)
{
    AUTO(arena) *a = arena_new(4096);
    AUTO(journal) *j = scratch_open(*state);
    struct seen seen = {0};

    assert_null(fact_of(j, a, "orders", "slot"));
    assert_ok(j->ops->fact_set(j, "orders", "slot", "leat \"x\"\n", false, &f));
    assert_ok(j->ops->fact_set(j, "orders", "acknowledged", "0/1", true, &f));
    assert_ok(j->ops->fact_set(j, "orders", "acknowledged", "0/2", true, &f));
    journal_free(j);

    j = scratch_open(*state);
    assert_string_equal(fact_of(j, a, "orders", "slot"), "leat \"x\"\n");
    assert_string_equal(fact_of(j, a, "orders", "acknowledged"), "0/2");
    assert_null(fact_of(j, a, "bills", "slot"));
    assert_ok(j->ops->fact_set(j, "orders", "acknowledged", NULL, true, &f));
    assert_ok(j->ops->fact_set(j, "orders", "slot", NULL, false, &f));
    assert_null(fact_of(j, a, "orders", "slot"));
    assert_null(fact_of(j, a, "orders", "acknowledged"));
    assert_ok(j->ops->fact_set(j, "orders", "slot", "", false, &f));
    assert_string_equal(fact_of(j, a, "orders", "slot"), "");
    assert_ok(j->ops->read(j, 1, see, &seen, &f));
    assert_string_equal(
        seen.text, "orders fact {\"name\":\"slot\",\"value\":\"leat \\\"x\\\"\\n\"};"
                   "orders fact {\"name\":\"slot\",\"value\":null};orders fact {\"name\":\"slot\",\"value\":\"\"};");
    assert_int_equal(scratch_verify(j), 4);
}

/* --- tampering --- */

static struct journal *journal_to_tamper_with(struct scratch *s)
{
    struct journal *j = scratch_open(s);
    int64_t token;

    for (int i = 2; i <= 6; i++) {
        AUTO_CHARS *body = mem_format("{\"n\":%d}", i);
        scratch_append(j, "orders", EVENT_GOVERNOR, body);
    }
    assert_ok(j->ops->step_set(j, "orders", "arm", STEP_INTENT, NULL, &f)); /* 7 */
    assert_ok(j->ops->step_set(j, "orders", "arm", STEP_DONE, NULL, &f));   /* 8 */
    assert_ok(j->ops->fact_set(j, "orders", "slot", "s", false, &f));       /* 9 */
    assert_ok(j->ops->fact_set(j, "orders", "gone", "s", false, &f));       /* 10 */
    assert_ok(j->ops->fact_set(j, "orders", "gone", NULL, true, &f));
    assert_ok(j->ops->fact_set(j, "orders", "moving", "0/1", true, &f));
    assert_ok(j->ops->lease_take(j, "run", 1000000, &token, &f)); /* 11 */
    assert_int_equal(scratch_verify(j), 11);
    return j;
}

static const struct {
    const char *sql;
    const char *words;
} forgeries[] = {
    {"UPDATE events SET at_us = at_us + 1 WHERE seq = 4", "event 4 (governor) is not as it was written"},
    {"UPDATE events SET store = 'bills' WHERE seq = 4", "event 4 (governor) is not as it was written"},
    {"UPDATE events SET kind = 'paused' WHERE seq = 4", "event 4 (paused) is not as it was written"},
    {"UPDATE events SET body = '{\"n\":40}' WHERE seq = 4", "event 4 (governor) is not as it was written"},
    {"UPDATE events SET body = body || char(0) || 'x' WHERE seq = 4", "event 4 (governor) is not as it was written"},
    {"UPDATE events SET kind = kind || char(0) WHERE seq = 4", "event 4 (governor) is not as it was written"},
    {"UPDATE events SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = 4",
     "event 4 (governor) is not as it was written"},
    {"UPDATE events SET hash = upper(hash) WHERE seq = 4", "event 4 (governor) is not as it was written"},
    {"UPDATE events SET seq = 400 WHERE seq = 4", "event 4 is missing: event 5"},
    {"UPDATE events SET body = '{\"n\":1}' WHERE seq = 1", "event 1 (journal.opened) is not as it was written"},
    {"UPDATE events SET body = '{}' WHERE seq = 11", "event 11 (lease.taken) is not as it was written"},
    {"DELETE FROM events WHERE seq = 1", "event 1 is missing: event 2"},
    {"DELETE FROM events WHERE seq = 4", "event 4 is missing: event 5"},
    {"DELETE FROM events WHERE seq = 4; UPDATE events SET seq = seq - 1 WHERE seq > 4",
     "event 4 (governor) is not as it was"},
    {"UPDATE events SET seq = -4 WHERE seq = 4; UPDATE events SET seq = 4 WHERE seq = 5; UPDATE events SET seq = 5 "
     "WHERE seq = -4",
     "event 4 (governor) is not as it was written"},
    {"INSERT INTO events SELECT 0, at_us, store, kind, body, hash FROM events WHERE seq = 4",
     "event 1 is missing: event 0"},
    {"INSERT INTO events SELECT 12, at_us, store, kind, body, hash FROM events WHERE seq = 4",
     "event 12 (governor) is not as it"},
    {"DELETE FROM events WHERE seq = 11", "event 11 is missing: the journal went as far as event 11"},
    {"DELETE FROM events WHERE seq > 4", "event 5 is missing: the journal went as far as event 11"},
    {"DELETE FROM events", "event 1 is missing: the journal went as far as event 11"},
    {"UPDATE head SET seq = 10", "event 11 was put in: the journal went only as far as event 10"},
    {"UPDATE head SET hash = replace(hash, substr(hash, 1, 1), 'x')", "event 11 is not the one the journal ended with"},
    {"UPDATE head SET migration = 'other'", "event 1 (journal.opened) is not as it was written"},
    {"DELETE FROM head", "head is missing"},
    {"UPDATE steps SET state = 'intent'", "step arm of orders is not what its last event says"},
    {"DELETE FROM steps", "step arm of orders is not what its last event says"},
    {"INSERT INTO steps VALUES ('orders', 'copy', 'done')", "step copy of orders is not what its last event says"},
    {"UPDATE facts SET value = 't' WHERE name = 'slot'", "fact slot of orders is not what its last event says"},
    {"UPDATE facts SET value = NULL WHERE name = 'slot'", "fact slot of orders is not what its last event says"},
    {"DELETE FROM facts WHERE name = 'slot'", "fact slot of orders is not what its last event says"},
    {"DELETE FROM facts WHERE name = 'gone'", "fact gone of orders is not what its last event says"},
    {"INSERT INTO facts VALUES ('orders', 'other', 'x', 0)", "fact other of orders is not what its last event says"},
    {"UPDATE leases SET token = 0", "lease run is not what its last event says"},
    {"DELETE FROM leases", "lease run is not what its last event says"},
};

static void every_forgery_is_found(void **state)
{
    struct scratch *s = *state;

    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        AUTO(journal) *j = journal_to_tamper_with(s);
        int64_t count = -1;

        scratch_sql(s, forgeries[i].sql);
        assert_err(j->ops->verify(j, &count, &f), ERR_JOURNAL_BROKEN, forgeries[i].words);
        assert_int_equal(count, -1);
        journal_free(TAKE(j));
        scratch_remove(s->dir);
    }
}

/* docs/formats/journal.md says so: who rewrites tail and head together, or a fact set quietly, is not seen. If this
 * test fails, the page has become too modest. */
static void what_cannot_be_found(void **state)
{
    AUTO(journal) *j = journal_to_tamper_with(*state);

    scratch_sql(*state, "UPDATE facts SET value = '0/9' WHERE name = 'moving'");
    assert_int_equal(scratch_verify(j), 11);
    scratch_sql(*state, "DELETE FROM events WHERE seq > 6; DELETE FROM steps; DELETE FROM facts; DELETE FROM leases;"
                        "UPDATE head SET seq = 6, hash = (SELECT hash FROM events WHERE seq = 6)");
    assert_int_equal(scratch_verify(j), 6);
}

static void reading_stops_before_a_forgery(void **state)
{
    AUTO(journal) *j = journal_to_tamper_with(*state);
    struct seen seen = {0};

    scratch_sql(*state, "UPDATE events SET body = '{}' WHERE seq = 4");
    assert_err(j->ops->read(j, 0, see, &seen, &f), ERR_JOURNAL_BROKEN, "event 4 (");
    assert_int_equal(seen.last_seq, 3);
    seen = (struct seen){0};
    assert_err(j->ops->read(j, 3, see, &seen, &f), ERR_JOURNAL_BROKEN, "event 4 (");
    assert_int_equal(seen.count, 0);
}

static void a_cut_tail_is_seen_at_opening(void **state)
{
    struct scratch *s = *state;
    struct journal *j = NULL;

    journal_free(journal_to_tamper_with(s));
    scratch_sql(s, "DELETE FROM events WHERE seq > 9");
    assert_err(journal_sqlite_open(s->dir, "shop", &j, &f), ERR_JOURNAL_BROKEN, "event 10 is missing");
    assert_null(j);
}

static void events_resist_a_slip_of_the_hand(void **state)
{
    AUTO(journal) *j = journal_to_tamper_with(*state);
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(((struct scratch *)*state)->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM events", NULL, NULL, NULL), SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_exec(db, "UPDATE events SET store = ''", NULL, NULL, NULL), SQLITE_CONSTRAINT);
    sqlite3_close(db);
    assert_int_equal(scratch_verify(j), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_named_once),
        cmocka_unit_test(chain_is_as_documented),
        cmocka_unit_test(chain_is_unambiguous),
        JOURNAL_TEST(events_are_read_in_order),
        JOURNAL_TEST(reading_may_write),
        JOURNAL_TEST(bad_bodies_are_refused),
        JOURNAL_TEST(a_later_programs_events_are_read),
        JOURNAL_TEST(steps_go_their_way),
        JOURNAL_TEST(facts_are_kept),
        JOURNAL_TEST(every_forgery_is_found),
        JOURNAL_TEST(what_cannot_be_found),
        JOURNAL_TEST(reading_stops_before_a_forgery),
        JOURNAL_TEST(a_cut_tail_is_seen_at_opening),
        JOURNAL_TEST(events_resist_a_slip_of_the_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
