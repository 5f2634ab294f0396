/* Where a session stands: only at the boundary may it be held. Lower-case "client" sends, upper-case words are the server's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "shift/track.h"

/* ">PBES" the client sends, "<12DC" the server says, "<ZI" ReadyForQuery with its status. */
static struct track play(const char *talk)
{
    struct track t = {.status = 'I'};
    bool client = true;

    for (const char *at = talk; *at != '\0'; at++) {
        if (*at == '>' || *at == '<')
            client = *at == '>';
        else if (*at == ' ')
            continue;
        else if (client)
            track_client(&t, *at);
        else if (*at == 'Z')
            track_server(&t, 'Z', *++at);
        else
            track_server(&t, *at, 0);
    }
    return t;
}

static void is_at_boundary(const char *talk, bool wanted)
{
    struct track t = play(talk);

    if (track_at_boundary(&t) != wanted)
        fail_msg("%s: at a boundary: %d, wanted %d", talk, track_at_boundary(&t), wanted);
}

static void test_simple(void **state)
{
    (void)state;
    is_at_boundary("", true);
    is_at_boundary(">Q", false);
    is_at_boundary(">Q <TDC", false);
    is_at_boundary(">Q <TDCZI", true);
    is_at_boundary(">Q <CZT", false);
    is_at_boundary(">Q <EZE", false);
    is_at_boundary(">Q <CZT >Q <CZI", true);
    is_at_boundary(">F <VZI", true);
}

static void test_extended(void **state)
{
    (void)state;
    is_at_boundary(">PBE", false);
    is_at_boundary(">PBEH <12DC", false); /* Flush without Sync counts as open */
    is_at_boundary(">PBEH <12DC >S <ZI", true);
    is_at_boundary(">PBES <12DCZI", true);
    is_at_boundary(">PBES PBES <12DCZI", false);
    is_at_boundary(">PBES PBES <12DCZI 12DCZI", true);
    is_at_boundary(">PBES P <12DCZI", false);
    is_at_boundary(">PBES <EZI", true);
}

static void test_copy(void **state)
{
    (void)state;
    is_at_boundary(">Q <G", false);
    is_at_boundary(">Q <G >ddc", false);
    is_at_boundary(">Q <G >ddc <CZI", true);
    is_at_boundary(">Q ddc <GCZI", true); /* who does not wait */
    is_at_boundary(">PBES <12G >ddcS <CZI", true); /* the first Sync is ignored by the server */
    is_at_boundary(">PBES <12G >ddc <C", false);
    is_at_boundary(">PBES dc S <12GCZI", true);
    is_at_boundary(">PBE dcS <12GCZI", true); /* all in one write: the Sync is no ignored one */
    is_at_boundary(">PBE dcS <12G", false);
    is_at_boundary(">PBE dfS <12GEZI", true);
    is_at_boundary(">PBE dcS <EZI", true); /* no data was read */
    is_at_boundary(">PBE dcS <12DCZI", true);
    is_at_boundary(">PBE <12G >dfS <EZI", true);
    is_at_boundary(">PBES <12G >d <E >S <ZI", true);
    is_at_boundary(">Q <HddcCZI", true);
    is_at_boundary(">Q c <TDCZI", true); /* an end of data that nobody reads */
}

/* An error of these makes the server deaf up to the Sync; it says nothing of a Query before that. */
static void test_deaf(void **state)
{
    (void)state;
    is_at_boundary(">PQS <EZI", true);
    is_at_boundary(">PBEFQS <12EZI", true);
    is_at_boundary(">P <E >Q", false);
    is_at_boundary(">P <E >Q >S <ZI", true);
    is_at_boundary(">PQ <E", false);
    is_at_boundary(">PQ <E >S <ZI", true);
    is_at_boundary(">PQS <1EZI", false); /* the Query's own */
    is_at_boundary(">PQS <1EZI ZI", true);
    is_at_boundary(">PDBDEQS <1tT2TDDCEZI ZI", true);
    is_at_boundary(">PDBDEQS <1tn2nCTDCZI ZI", true);
    is_at_boundary(">PBEQS <12ETDCZI", true);
    is_at_boundary(">PBEQS <12IEZI ZI", true);
    is_at_boundary(">PBEQS <12sEZI ZI", true);
    is_at_boundary(">CQS <3EZI ZI", true);
    is_at_boundary(">QPQS <TDCTDCZI EZI", true); /* of a Query that says much, and of the Parse behind it */
    is_at_boundary(">PBES PQS <12DCZI EZI", true);
    is_at_boundary(">PBES PQS <12DCEZI EZI", true);   /* the first is of the Sync, as it commits */
    is_at_boundary(">PBES <12G >cPQS <C1EZI", false); /* the Sync among the data is none */
    is_at_boundary(">PBES <12G >cPQS <C1EZI ZI", true);
    is_at_boundary(">PBES <12G >cPQS <CEZI", true);
    is_at_boundary(">QS <G >c PQS <CZI EZI", true);
    is_at_boundary(">QS <G >c PQS <CZI 1EZI", false);
}

static void test_who_waits(void **state)
{
    struct track idle = play(">Q <CZI");
    struct track busy = play(">Q");
    struct track in_transaction = play(">Q <CZT");
    struct track open = play(">PB");
    struct track copying = play(">Q <G");

    (void)state;
    assert_true(track_waits(&idle, 'Q'));
    assert_true(track_waits(&idle, 'P'));
    assert_false(track_waits(&idle, 'X'));
    assert_true(track_waits(&busy, 'Q')); /* the boundary may come with the answer */
    assert_false(track_waits(&in_transaction, 'Q'));
    assert_false(track_waits(&open, 'S'));
    assert_false(track_waits(&copying, 'd'));
    assert_false(track_waits(&copying, 'c'));
}

static void test_it_fills_up(void **state)
{
    struct track t = {.status = 'I'};
    int n = 0;

    (void)state;
    for (; !track_full(&t); n++)
        track_client(&t, 'S');
    assert_true(n >= 32);
    for (; n > 0; n--) {
        assert_false(track_at_boundary(&t));
        track_server(&t, 'Z', 'I');
    }
    assert_true(track_at_boundary(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_simple),    cmocka_unit_test(test_extended),
                                       cmocka_unit_test(test_copy),      cmocka_unit_test(test_deaf),
                                       cmocka_unit_test(test_who_waits), cmocka_unit_test(test_it_fills_up)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
