/* wire/scram_server.c — SCRAM toward a client.
 *
 *   new --client-first--> FIRST --client-final--> DONE        anything wrong: DONE, and the exchange is over
 *
 * Invariants
 *  1. A user that does not exist costs and shows what one with a wrong password does: same messages, same work, same
 * error.
 *  2. The ClientKey leaves only after H(ClientKey) was found equal to the verifier's StoredKey. */
#include "wire/scram.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "wire/base64.h"
#include "wire/scram_keys.h"

#define MOCK_SALT 16 /* PostgreSQL's */
#define MOCK_ITERATIONS 4096

enum server_state { SERVER_NEW, SERVER_FIRST, SERVER_DONE };

struct scram_server {
    enum server_state state;
    bool mock;
    char gs2;                       /* 'n' or 'y', as the client said */
    struct scram_verifier verifier; /* of a mock: a salt, and keys that fit nothing */
    char *nonce_given;              /* ours, if given */
    struct buf nonce;               /* the client's and ours */
    struct buf auth_message;        /* grows from message to message; public */
};

/* --- beginning and end --- */

static void make_mock(struct scram_server *s, const char *user, const uint8_t secret[SCRAM_SECRET])
{
    uint8_t sum[SCRAM_KEY];

    scram_hmac(secret, user, strlen(user), sum);
    s->mock = true;
    s->verifier = (struct scram_verifier){.iterations = MOCK_ITERATIONS, .salt_len = MOCK_SALT};
    memcpy(s->verifier.salt, sum, MOCK_SALT);
    memcpy(s->verifier.stored_key, sum, SCRAM_KEY);
    memcpy(s->verifier.server_key, sum, SCRAM_KEY);
    explicit_bzero(sum, sizeof sum);
}

struct scram_server *scram_server_new(const struct scram_verifier *verifier, const char *user,
                                      const uint8_t secret[SCRAM_SECRET], const char *nonce)
{
    struct scram_server *s = mem_alloc(sizeof *s);

    if (verifier != NULL)
        s->verifier = *verifier;
    else
        make_mock(s, user, secret);
    s->nonce_given = mem_dup(nonce);
    return s;
}

void scram_server_free(struct scram_server *s)
{
    if (s == NULL)
        return;
    free(s->nonce_given);
    buf_fini(&s->nonce);
    buf_fini(&s->auth_message);
    explicit_bzero(s, sizeof *s);
    free(s);
}

/* --- the first message --- */

/* "n,," or "y,,": without channel binding, for nobody else. Steps behind it. */
static const char *read_gs2(struct scram_text *t, char *ret)
{
    if (t->at[0] == 'p')
        return "channel binding is not offered here";
    if (t->at[0] != 'n' && t->at[0] != 'y')
        return "it does not begin with \"n\" or \"y\"";
    if (t->end - t->at < 3 || t->at[1] != ',')
        return "its header does not end";
    if (t->at[2] == 'a')
        return "another authorization identity is not supported";
    if (t->at[2] != ',')
        return "its header does not end";
    *ret = t->at[0];
    t->at += 3;
    return NULL;
}

static const char *read_first(struct scram_text *t, char *ret_gs2, struct scram_attr *ret_nonce)
{
    const char *wrong = read_gs2(t, ret_gs2);
    struct scram_text bare = *t;
    struct scram_attr name;

    if (wrong != NULL)
        return wrong;
    if (bare.at < bare.end && *bare.at == 'm')
        return "it requires an extension that is not supported";
    if (!scram_next(&bare, 'n', &name))
        return "the user's name is missing";
    if (!scram_next(&bare, 'r', ret_nonce) || !scram_is_nonce(ret_nonce->value, ret_nonce->len))
        return "its nonce is missing or not printable";
    return NULL;
}

static void add_server_first(struct scram_server *s, struct buf *out)
{
    buf_addf(out, "r=%s,s=", buf_cstr(&s->nonce));
    base64_add(out, s->verifier.salt, s->verifier.salt_len);
    buf_addf(out, ",i=%u", s->verifier.iterations);
}

enum err scram_server_first(struct scram_server *s, const char *client_first, size_t len, struct buf *ret_server_first,
                            struct fault *f)
{
    struct scram_text t = {client_first, client_first + len};
    struct scram_attr nonce;
    const char *wrong;

    ENSURE(s->state == SERVER_NEW);
    s->state = SERVER_DONE;
    wrong = scram_readable(client_first, len) ? read_first(&t, &s->gs2, &nonce) : "it is empty, too long or no text";
    if (wrong != NULL)
        return fault_set(f, ERR_PROTOCOL, "the client's first message of SCRAM: %s", wrong);
    buf_add(&s->nonce, nonce.value, nonce.len);
    scram_add_nonce(&s->nonce, s->nonce_given);
    buf_add(&s->auth_message, t.at, (size_t)(t.end - t.at));
    buf_addc(&s->auth_message, ',');
    add_server_first(s, &s->auth_message);
    buf_addc(&s->auth_message, ',');
    add_server_first(s, ret_server_first);
    s->state = SERVER_FIRST;
    return ERR_OK;
}

/* --- the last message --- */

/* ret_proof points to its "p=", so that what stands before it (and its comma) is the message without proof. */
static const char *read_final(const struct scram_server *s, struct scram_text t, const char **ret_proof,
                              uint8_t ret_key[SCRAM_KEY])
{
    const char *binding = s->gs2 == 'n' ? "biws" : "eSws"; /* the header again, in base64: it was not tampered with */
    struct scram_attr a;

    if (!scram_next(&t, 'c', &a) || a.len != 4 || memcmp(a.value, binding, 4) != 0)
        return "its channel binding is not the one it began with";
    if (!scram_next(&t, 'r', &a) || a.len != s->nonce.len || memcmp(a.value, s->nonce.data, a.len) != 0)
        return "its nonce is not the one agreed on";
    while (t.at < t.end && *t.at != 'p') { /* extensions count for nothing */
        const char *comma = memchr(t.at, ',', (size_t)(t.end - t.at));
        t.at = comma != NULL ? comma + 1 : t.end;
    }
    *ret_proof = t.at;
    if (!scram_next(&t, 'p', &a) || !scram_read_key(&a, ret_key) || t.at != t.end || t.end[-1] == ',')
        return "its proof is missing or malformed";
    return NULL;
}

/* In: ClientProof. Out: ClientKey, if the proof is good. */
static bool open_proof(const struct scram_server *s, uint8_t key[SCRAM_KEY])
{
    uint8_t sum[SCRAM_KEY];
    bool good;

    scram_hmac(s->verifier.stored_key, s->auth_message.data, s->auth_message.len, sum);
    scram_xor(key, sum);
    scram_hash(key, SCRAM_KEY, sum);
    good = (CRYPTO_memcmp(sum, s->verifier.stored_key, SCRAM_KEY) == 0) & !s->mock;
    explicit_bzero(sum, sizeof sum);
    return good;
}

enum err scram_server_final(struct scram_server *s, const char *client_final, size_t len, struct buf *ret_server_final,
                            uint8_t ret_client_key[SCRAM_KEY], struct fault *f)
{
    struct scram_text t = {client_final, client_final + len};
    uint8_t key[SCRAM_KEY];
    uint8_t signature[SCRAM_KEY];
    const char *proof;
    const char *wrong;

    ENSURE(s->state == SERVER_FIRST);
    s->state = SERVER_DONE;
    wrong = scram_readable(client_final, len) ? read_final(s, t, &proof, key) : "it is empty, too long or no text";
    if (wrong != NULL)
        return fault_set(f, ERR_PROTOCOL, "the client's last message of SCRAM: %s", wrong);
    buf_add(&s->auth_message, t.at, (size_t)(proof - 1 - t.at));
    if (!open_proof(s, key)) {
        explicit_bzero(key, sizeof key);
        return fault_set(f, ERR_LOGIN, "password authentication failed");
    }
    scram_hmac(s->verifier.server_key, s->auth_message.data, s->auth_message.len, signature);
    buf_adds(ret_server_final, "v=");
    base64_add(ret_server_final, signature, sizeof signature);
    memcpy(ret_client_key, key, SCRAM_KEY);
    explicit_bzero(key, sizeof key);
    return ERR_OK;
}
