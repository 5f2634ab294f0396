/* tests/fuzz/fuzz_scram.c — both roles of SCRAM against a peer nobody vouches for.
 *
 * The first byte chooses the role (even: we are the server, odd: the client), then two messages, each with its length
 * (2 bytes, big-endian) before it, in blocks of exactly their size. Nonces are those of RFC 7677's example, so that the
 * corpus can hold a good exchange. A message that is refused adds nothing to the answer; a proof that is accepted gives
 * the one key there is. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/scram.h"

#define VERIFIER                                                                                                       \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                        \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define EXAMPLE_FIRST "n,,n=user,r=" CLIENT_NONCE
#define EXAMPLE_LAST "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

struct input {
    const uint8_t *at;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take(struct input *in, size_t *ret_len)
{
    size_t len = in->left >= 2 ? (size_t)in->at[0] << 8 | in->at[1] : 0;
    size_t head = in->left >= 2 ? 2 : in->left;
    char *block;

    in->at += head;
    in->left -= head;
    len = len < in->left ? len : in->left;
    block = malloc(len > 0 ? len : 1);
    ENSURE(block != NULL);
    if (len > 0)
        memcpy(block, in->at, len);
    in->at += len;
    in->left -= len;
    *ret_len = len;
    return block;
}

/* What a step may do: refuse with a reason and add nothing, or answer. */
static bool went_on(enum err err, const struct buf *out, const struct fault *f)
{
    if (err == ERR_OK)
        return true;
    ENSURE(out->len == 0 && f->code == err && f->why[0] != '\0');
    ENSURE(err == ERR_PROTOCOL || err == ERR_LOGIN || err == ERR_VERIFIER || err == ERR_AUTH);
    return false;
}

static void as_server(struct input *in, const struct scram_verifier *v)
{
    static const uint8_t secret[SCRAM_SECRET];
    static uint8_t known[SCRAM_KEY];
    static bool have_known;
    AUTO(scram_server) *s = scram_server_new(v, "user", secret, SERVER_NONCE);
    AUTO_BUF first = {0};
    AUTO_BUF last = {0};
    uint8_t key[SCRAM_KEY];
    struct fault f = {0};
    size_t len;
    AUTO_CHARS *one = take(in, &len);
    AUTO_CHARS *two = NULL;

    if (!went_on(scram_server_first(s, one, len, &first, &f), &first, &f))
        return;
    two = take(in, &len);
    if (!went_on(scram_server_final(s, two, len, &last, key, &f), &last, &f))
        return;
    ENSURE(last.len > 0 && (!have_known || memcmp(key, known, SCRAM_KEY) == 0));
    memcpy(known, key, SCRAM_KEY);
    have_known = true;
}

/* The verifier's own, out of the example's proof. */
static const uint8_t *client_key(const struct scram_verifier *v)
{
    static const uint8_t secret[SCRAM_SECRET];
    static uint8_t key[SCRAM_KEY];
    static bool have;
    AUTO(scram_server) *s = scram_server_new(v, "user", secret, SERVER_NONCE);
    AUTO_BUF out = {0};
    struct fault f = {0};

    if (have)
        return key;
    ENSURE(scram_server_first(s, EXAMPLE_FIRST, strlen(EXAMPLE_FIRST), &out, &f) == ERR_OK);
    ENSURE(scram_server_final(s, EXAMPLE_LAST, strlen(EXAMPLE_LAST), &out, key, &f) == ERR_OK);
    have = true;
    return key;
}

static void as_client(struct input *in, const struct scram_verifier *v)
{
    const uint8_t *key = client_key(v);
    AUTO(scram_client) *c = scram_client_new_key(key, v, CLIENT_NONCE);
    AUTO_BUF out = {0};
    AUTO_BUF next = {0};
    struct fault f = {0};
    size_t len;
    AUTO_CHARS *one = take(in, &len);
    AUTO_CHARS *two = NULL;

    scram_client_first(c, &out);
    if (!went_on(scram_client_next(c, one, len, &next, &f), &next, &f))
        return;
    two = take(in, &len);
    ENSURE(scram_client_final(c, two, len, &f) != ERR_OK); /* nobody here can sign */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scram_verifier v;
    struct input in = {data + 1, size - 1};
    AUTO_CHARS *text = size > 0 ? malloc(size) : NULL;

    if (size == 0)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    scram_verifier_parse(text, &v); /* a text of its own, too */
    ENSURE(scram_verifier_parse(VERIFIER, &v));
    if (data[0] % 2 == 0)
        as_server(&in, &v);
    else
        as_client(&in, &v);
    return 0;
}
