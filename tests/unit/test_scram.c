/* SCRAM in both roles: the RFC's own example, what libpq and real servers said to each other (tests/golden/auth, see
 * `capture`), and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/golden_text.h"
#include "wire/base64.h"
#include "wire/md5auth.h"
#include "wire/scram.h"

static const uint8_t secret[SCRAM_SECRET] = "of the door";
static const uint8_t other_secret[SCRAM_SECRET] = "of another door";

/* --- base64 --- */

static void base64_is_read_strictly(void **state)
{
    static const char *const bad[] = {"A",    "AA",   "AAA",      "A===", "====",  "AA=A",
                                      "AB==", "AAB=", "AA==AAAA", "AA A", "AAA\n", "AA-_"};
    uint8_t bytes[8] = {0};
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (base64_read(bad[i], strlen(bad[i]), bytes, sizeof bytes, &n))
            fail_msg("%s was taken for base64", bad[i]);
    assert_true(base64_read("", 0, bytes, sizeof bytes, &n) && n == 0);
    assert_true(base64_read("/+8=", 4, bytes, 2, &n) && n == 2 && bytes[0] == 0xFF && bytes[1] == 0xEF);
    assert_false(base64_read("/+8=", 4, bytes, 1, &n));
}

static void base64_comes_back(void **state)
{
    uint8_t bytes[40];
    uint8_t back[40];

    (void)state;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        AUTO_BUF text = {0};
        size_t len = 0;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(i * 37 + n * 101);
        base64_add(&text, bytes, n);
        assert_true(base64_read(buf_cstr(&text), text.len, back, n, &len) && len == n);
        assert_memory_equal(bytes, back, n);
    }
}

/* --- verifiers --- */

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define RFC_VERIFIER "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER /* user "user", password "pencil" */

static void a_verifier_is_read(void **state)
{
    struct scram_verifier v;
    struct scram_verifier made;

    (void)state;
    assert_true(scram_verifier_parse(RFC_VERIFIER, &v));
    assert_true(v.iterations == 4096 && v.salt_len == 16 && v.salt[0] == 0x5B);
    assert_true(scram_verifier_make("pencil", v.salt, v.salt_len, 4096, &made));
    assert_true(scram_verifier_same(&v, &made));
    assert_true(scram_verifier_make("pencils", v.salt, v.salt_len, 4096, &made));
    assert_false(scram_verifier_same(&v, &made));
}

static void what_is_no_verifier(void **state)
{
    static const char *const bad[] = {
        "",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$",
        "scram-sha-256$4096:" SALT "$" STORED ":" SERVER,
        "SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVER,
        "SCRAM-SHA-256$-1:" SALT "$" STORED ":" SERVER,
        "SCRAM-SHA-256$2147483648:" SALT "$" STORED ":" SERVER,
        "SCRAM-SHA-256$4096x:" SALT "$" STORED ":" SERVER,
        "SCRAM-SHA-256$4096:$" STORED ":" SERVER,
        "SCRAM-SHA-256$4096:" SALT "$" STORED,
        "SCRAM-SHA-256$4096:" SALT "$" STORED ":",
        "SCRAM-SHA-256$4096:" SALT "$AAAA:" SERVER,
        "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER " ",
        "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER ":",
        "md57cb133e596658708079ed4cfaaf64462",
    };
    struct scram_verifier v;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (scram_verifier_parse(bad[i], &v))
            fail_msg("%s was taken for a verifier", bad[i]);
}

/* --- a whole exchange --- */

struct exchange {
    struct buf client_first, server_first, client_final, server_final;
    uint8_t client_key[SCRAM_KEY];
    struct fault f;
};

static void exchange_fini(struct exchange *x)
{
    buf_fini(&x->client_first);
    buf_fini(&x->server_first);
    buf_fini(&x->client_final);
    buf_fini(&x->server_final);
}

static enum err speak(struct exchange *x, struct scram_client *c, struct scram_server *s)
{
    scram_client_first(c, &x->client_first);
    TRY(scram_server_first(s, x->client_first.data, x->client_first.len, &x->server_first, &x->f));
    TRY(scram_client_next(c, x->server_first.data, x->server_first.len, &x->client_final, &x->f));
    TRY(scram_server_final(s, x->client_final.data, x->client_final.len, &x->server_final, x->client_key, &x->f));
    return scram_client_final(c, x->server_final.data, x->server_final.len, &x->f);
}

static struct scram_verifier verifier_of(const char *text)
{
    struct scram_verifier v;

    assert_true(scram_verifier_parse(text, &v));
    return v;
}

static enum err log_in(struct exchange *x, const struct scram_verifier *v, const char *user, const char *password)
{
    AUTO(scram_client) *c = scram_client_new_password(password, NULL);
    AUTO(scram_server) *s = scram_server_new(v, user, secret, NULL);

    return speak(x, c, s);
}

#define RFC_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE ",s=" SALT ",i=4096"
#define RFC_FINAL "c=biws,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void the_example_of_rfc_7677(void **state)
{
    struct scram_verifier v = verifier_of(RFC_VERIFIER);
    AUTO(scram_server) *s = scram_server_new(&v, "user", secret, RFC_SERVER_NONCE);
    struct exchange x = {0};

    (void)state;
    assert_int_equal(scram_server_first(s, RFC_FIRST, strlen(RFC_FIRST), &x.server_first, &x.f), ERR_OK);
    assert_string_equal(buf_cstr(&x.server_first), RFC_SERVER_FIRST);
    assert_int_equal(scram_server_final(s, RFC_FINAL, strlen(RFC_FINAL), &x.server_final, x.client_key, &x.f), ERR_OK);
    assert_string_equal(buf_cstr(&x.server_final), RFC_SERVER_FINAL);
    exchange_fini(&x);
}

static void the_key_opens_another_server_with_the_same_verifier(void **state)
{
    struct scram_verifier v = verifier_of(RFC_VERIFIER);
    AUTO(scram_client) *c = NULL;
    AUTO(scram_server) *s = scram_server_new(&v, "user", secret, NULL);
    struct exchange x = {0};
    struct exchange second = {0};

    (void)state;
    assert_int_equal(log_in(&x, &v, "user", "pencil"), ERR_OK);
    c = scram_client_new_key(x.client_key, &v, NULL);
    assert_int_equal(speak(&second, c, s), ERR_OK);
    assert_memory_equal(x.client_key, second.client_key, SCRAM_KEY);
    assert_string_not_equal(buf_cstr(&x.client_first), buf_cstr(&second.client_first)); /* a nonce of its own */
    exchange_fini(&x);
    exchange_fini(&second);
}

/* The server has `theirs`; the door has the verifier RFC_VERIFIER, or `ours`, and the key of "pencil". */
static enum err with_key_against(const struct scram_verifier *theirs, const struct scram_verifier *ours,
                                 bool *ret_answered)
{
    struct scram_verifier v = verifier_of(RFC_VERIFIER);
    AUTO(scram_client) *c = NULL;
    AUTO(scram_server) *s = scram_server_new(theirs, "user", secret, NULL);
    struct exchange x = {0};
    struct exchange second = {0};
    enum err err;

    assert_int_equal(log_in(&x, &v, "user", "pencil"), ERR_OK);
    c = scram_client_new_key(x.client_key, ours != NULL ? ours : &v, NULL);
    err = speak(&second, c, s);
    *ret_answered = second.client_final.len > 0;
    exchange_fini(&x);
    exchange_fini(&second);
    return err;
}

static void a_key_goes_to_no_server_with_another_verifier(void **state)
{
    struct scram_verifier other = verifier_of(RFC_VERIFIER);
    bool answered;

    (void)state;
    other.iterations++;
    assert_int_equal(with_key_against(&other, NULL, &answered), ERR_VERIFIER);
    assert_false(answered);
    other = verifier_of(RFC_VERIFIER);
    other.salt[15] ^= 1;
    assert_int_equal(with_key_against(&other, NULL, &answered), ERR_VERIFIER);
    assert_false(answered);
    other.salt_len--;
    assert_int_equal(with_key_against(&other, NULL, &answered), ERR_VERIFIER);
    assert_false(answered);
    other = verifier_of(RFC_VERIFIER);
    other.stored_key[0] ^= 1; /* another password under the same salt */
    assert_int_equal(with_key_against(&other, NULL, &answered), ERR_LOGIN);
    other = verifier_of(RFC_VERIFIER);
    other.server_key[0] ^= 1; /* a server that only has part of it */
    assert_int_equal(with_key_against(&other, NULL, &answered), ERR_VERIFIER);
    other = verifier_of(RFC_VERIFIER);
    other.stored_key[0] ^= 1; /* ours is newer than the key */
    assert_int_equal(with_key_against(&other, &other, &answered), ERR_VERIFIER);
    assert_false(answered);
}

static void a_wrong_password_and_a_wrong_name_look_alike(void **state)
{
    struct scram_verifier v = verifier_of(RFC_VERIFIER);
    struct exchange wrong = {0};
    struct exchange unknown = {0};
    char text[2][4096];

    (void)state;
    assert_int_equal(log_in(&wrong, &v, "user", "pen"), ERR_LOGIN);
    assert_int_equal(log_in(&unknown, NULL, "nobody", "pen"), ERR_LOGIN);
    assert_string_equal(fault_text(&wrong.f, text[0], sizeof text[0]), fault_text(&unknown.f, text[1], sizeof text[1]));
    assert_int_equal(wrong.server_first.len, unknown.server_first.len);
    assert_int_equal(wrong.server_final.len + unknown.server_final.len, 0);
    exchange_fini(&wrong);
    exchange_fini(&unknown);
}

static void mock_salt(const char *user, const uint8_t *with, struct buf *ret)
{
    AUTO(scram_server) *s = scram_server_new(NULL, user, with, "N");
    struct fault f = {0};

    assert_int_equal(scram_server_first(s, "n,,n=,r=C", 9, ret, &f), ERR_OK);
}

static void an_unknown_users_salt_stays(void **state)
{
    AUTO_BUF a = {0};
    AUTO_BUF b = {0};
    AUTO_BUF c = {0};
    AUTO_BUF d = {0};

    (void)state;
    mock_salt("nobody", secret, &a);
    mock_salt("nobody", secret, &b);
    mock_salt("somebody", secret, &c);
    mock_salt("nobody", other_secret, &d);
    assert_string_equal(buf_cstr(&a), buf_cstr(&b));
    assert_string_not_equal(buf_cstr(&a), buf_cstr(&c));
    assert_string_not_equal(buf_cstr(&a), buf_cstr(&d));
}

/* --- what is refused --- */

static void bad_first(const char *text, size_t len)
{
    struct scram_verifier v = verifier_of(RFC_VERIFIER);
    AUTO(scram_server) *s = scram_server_new(&v, "user", secret, NULL);
    AUTO_BUF out = {0};
    struct fault f = {0};

    if (scram_server_first(s, text, len, &out, &f) != ERR_PROTOCOL || out.len != 0 || f.why[0] == '\0')
        fail_msg("%.60s was accepted as first message", text);
}

static void first_messages_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,r=abc",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=\xC3\xA4",
        "n,,m=x,n=user,r=abc",
        "n,a=admin,n=user,r=abc",
        "p=tls-server-end-point,,n=user,r=abc",
        "x,,n=user,r=abc",
        "y;,n=user,r=abc",
        "n,,n=user;r=abc",
    };
    char long_one[SCRAM_MESSAGE_MOST + 2];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad_first(bad[i], strlen(bad[i]));
    bad_first("n,,n=user,r=ab\0c", 16);
    memset(long_one, 'a', sizeof long_one);
    memcpy(long_one, "n,,n=user,r=", 12);
    bad_first(long_one, sizeof long_one - 1);
}

static enum err last_after(const char *first, const char *last, uint8_t key[SCRAM_KEY], struct fault *f)
{
    struct scram_verifier v = verifier_of(RFC_VERIFIER);
    AUTO(scram_server) *s = scram_server_new(&v, "user", secret, RFC_SERVER_NONCE);
    AUTO_BUF out = {0};

    assert_int_equal(scram_server_first(s, first, strlen(first), &out, f), ERR_OK);
    buf_clear(&out);
    return scram_server_final(s, last, strlen(last), &out, key, f);
}

#define R "r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE
#define P "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void last_messages_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "c=biws",
        "c=biws," R,
        "c=biws," R ",",
        "c=eSws," R "," P,
        "c=cD10bHMs," R "," P,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO," P,
        "c=biws," R "x," P,
        "c=biws," R ",p=",
        "c=biws," R ",p=AAAA",
        "c=biws," R "," P ",",
        "c=biws," R "," P ",x=y",
        "c=biws," P "," R,
        R "," P,
    };
    uint8_t key[SCRAM_KEY];
    uint8_t untouched[SCRAM_KEY];

    (void)state;
    memset(key, 7, sizeof key);
    memset(untouched, 7, sizeof untouched);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fault f = {0};
        if (last_after(RFC_FIRST, bad[i], key, &f) != ERR_PROTOCOL)
            fail_msg("%s was accepted as last message", bad[i]);
    }
    struct fault f = {0};
    assert_int_equal(last_after(RFC_FIRST, "c=biws," R ",x=y," P, key, &f),
                     ERR_LOGIN); /* an extension changes what is signed */
    assert_int_equal(last_after("y,,n=user,r=rOprNGfwEbeRWgbNEkqO", RFC_FINAL, key, &f), ERR_PROTOCOL);
    assert_memory_equal(key, untouched, sizeof key);
}

static enum err next_of(const char *server_first, struct fault *f)
{
    AUTO(scram_client) *c = scram_client_new_password("pencil", "rOprNGfwEbeRWgbNEkqO");
    AUTO_BUF out = {0};

    scram_client_first(c, &out);
    return scram_client_next(c, server_first, strlen(server_first), &out, f);
}

static void servers_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "r=rOprNGfwEbeRWgbNEkqO,s=" SALT ",i=4096",
        "r=other" RFC_SERVER_NONCE ",s=" SALT ",i=4096",
        R ",s=" SALT,
        R ",s=,i=4096",
        R ",s=" SALT ",i=0",
        R ",s=" SALT ",i=",
        R ",s=" SALT ",i=99999999999",
        R ",s=" SALT ",i=20000000",
        R ",i=4096,s=" SALT,
        "m=x," R ",s=" SALT ",i=4096",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fault f = {0};
        if (next_of(bad[i], &f) != ERR_PROTOCOL)
            fail_msg("%s was accepted of a server", bad[i]);
    }
}

static enum err end_of(const char *server_final)
{
    AUTO(scram_client) *c = scram_client_new_password("pencil", "rOprNGfwEbeRWgbNEkqO");
    AUTO_BUF out = {0};
    struct fault f = {0};

    scram_client_first(c, &out);
    assert_int_equal(scram_client_next(c, RFC_SERVER_FIRST, strlen(RFC_SERVER_FIRST), &out, &f), ERR_OK);
    return scram_client_final(c, server_final, strlen(server_final), &f);
}

static void a_servers_last_word(void **state)
{
    (void)state;
    assert_int_equal(end_of("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
                     ERR_VERIFIER); /* RFC's, where the name is signed too */
    assert_int_equal(end_of("e=invalid-proof"), ERR_AUTH);
    assert_int_equal(end_of("v=AAAA"), ERR_PROTOCOL);
    assert_int_equal(end_of(""), ERR_PROTOCOL);
}

/* --- what real ones said --- */

enum { KIND, MAJOR, USER, PASSWORD, STORED_AS, CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, SERVER_FINAL, SCRAM_WORDS };
enum { SALT_HEX = STORED_AS + 1, ANSWER, MD5_WORDS };

static void as_the_real_server(char *const *w)
{
    struct scram_verifier v = verifier_of(w[STORED_AS]);
    size_t client_nonce = strlen(strstr(w[CLIENT_FIRST], "r=") + 2);
    AUTO_CHARS *nonce = mem_dup(strstr(w[SERVER_FIRST], "r=") + 2 + client_nonce);
    AUTO(scram_server) *s = NULL;
    struct exchange x = {0};

    *strchr(nonce, ',') = '\0';
    s = scram_server_new(&v, w[USER], secret, nonce);
    assert_int_equal(scram_server_first(s, w[CLIENT_FIRST], strlen(w[CLIENT_FIRST]), &x.server_first, &x.f), ERR_OK);
    assert_string_equal(buf_cstr(&x.server_first), w[SERVER_FIRST]);
    assert_int_equal(
        scram_server_final(s, w[CLIENT_FINAL], strlen(w[CLIENT_FINAL]), &x.server_final, x.client_key, &x.f), ERR_OK);
    assert_string_equal(buf_cstr(&x.server_final), w[SERVER_FINAL]);
    exchange_fini(&x);
}

static void as_libpq(char *const *w)
{
    AUTO(scram_client) *c = scram_client_new_password(w[PASSWORD], strstr(w[CLIENT_FIRST], "r=") + 2);
    struct exchange x = {0};

    scram_client_first(c, &x.client_first);
    assert_string_equal(buf_cstr(&x.client_first), w[CLIENT_FIRST]);
    assert_int_equal(scram_client_next(c, w[SERVER_FIRST], strlen(w[SERVER_FIRST]), &x.client_final, &x.f), ERR_OK);
    assert_string_equal(buf_cstr(&x.client_final), w[CLIENT_FINAL]);
    assert_int_equal(scram_client_final(c, w[SERVER_FINAL], strlen(w[SERVER_FINAL]), &x.f), ERR_OK);
    exchange_fini(&x);
}

static void as_md5(char *const *w)
{
    char hash[MD5AUTH_TEXT];
    char answer[MD5AUTH_TEXT];
    uint8_t salt[MD5AUTH_SALT];

    for (size_t i = 0; i < sizeof salt; i++) {
        char digits[3] = {w[SALT_HEX][2 * i], w[SALT_HEX][2 * i + 1], '\0'};
        salt[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    assert_true(md5auth_is_hash(w[STORED_AS]));
    assert_true(md5auth_hash(w[PASSWORD], w[USER], hash));
    assert_string_equal(hash, w[STORED_AS]);
    assert_true(md5auth_answer(hash, salt, answer));
    assert_string_equal(answer, w[ANSWER]);
    assert_true(md5auth_check(hash, salt, w[ANSWER], strlen(w[ANSWER])));
    salt[0] ^= 1;
    assert_false(md5auth_check(hash, salt, w[ANSWER], strlen(w[ANSWER])));
    assert_false(md5auth_check(hash, salt, w[ANSWER], strlen(w[ANSWER]) - 1));
}

static void logins_of_real_servers(void **state)
{
    AUTO_BUF text = {0};
    size_t scram = 0;
    size_t md5 = 0;

    (void)state;
    golden_read(__FILE__, "auth/logins.txt", &text);
    for (char *line = text.data; line != NULL && *line != '\0';) {
        char *words[SCRAM_WORDS] = {0};
        size_t count = golden_split(&line, words, SCRAM_WORDS);

        if (strcmp(words[KIND], "md5") == 0 && count == MD5_WORDS) {
            as_md5(words);
            md5++;
            continue;
        }
        assert_true(strcmp(words[KIND], "scram") == 0 && count == SCRAM_WORDS);
        as_the_real_server(words);
        as_libpq(words);
        scram++;
    }
    assert_true(scram == 8 && md5 == 8);
}

static void what_is_no_md5_hash(void **state)
{
    (void)state;
    assert_false(md5auth_is_hash("md57cb133e596658708079ed4cfaaf6446"));
    assert_false(md5auth_is_hash("md57cb133e596658708079ed4cfaaf64462x"));
    assert_false(md5auth_is_hash("md57CB133E596658708079ED4CFAAF64462"));
    assert_false(md5auth_is_hash("md5"));
    assert_false(md5auth_is_hash(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_read_strictly),
        cmocka_unit_test(base64_comes_back),
        cmocka_unit_test(a_verifier_is_read),
        cmocka_unit_test(what_is_no_verifier),
        cmocka_unit_test(the_example_of_rfc_7677),
        cmocka_unit_test(the_key_opens_another_server_with_the_same_verifier),
        cmocka_unit_test(a_key_goes_to_no_server_with_another_verifier),
        cmocka_unit_test(a_wrong_password_and_a_wrong_name_look_alike),
        cmocka_unit_test(an_unknown_users_salt_stays),
        cmocka_unit_test(first_messages_that_are_refused),
        cmocka_unit_test(last_messages_that_are_refused),
        cmocka_unit_test(servers_that_are_refused),
        cmocka_unit_test(a_servers_last_word),
        cmocka_unit_test(logins_of_real_servers),
        cmocka_unit_test(what_is_no_md5_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
