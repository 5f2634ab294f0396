/* wire/scram_keys.c — see scram_keys.h. */
#include "wire/scram_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/world.h"
#include "wire/base64.h"

#define PREFIX SCRAM_MECHANISM "$"

_Static_assert(SCRAM_KEY == SHA256_DIGEST_LENGTH, "the keys are SHA-256 digests");

/* --- keys --- */

void scram_hmac(const uint8_t key[SCRAM_KEY], const void *text, size_t len, uint8_t ret[SCRAM_KEY])
{
    unsigned n = 0;

    ENSURE(HMAC(EVP_sha256(), key, SCRAM_KEY, text, len, ret, &n) != NULL && n == SCRAM_KEY);
}

void scram_hash(const uint8_t *bytes, size_t len, uint8_t ret[SCRAM_KEY])
{
    unsigned n = 0;

    ENSURE(EVP_Digest(bytes, len, ret, &n, EVP_sha256(), NULL) == 1 && n == SCRAM_KEY);
}

void scram_xor(uint8_t *a, const uint8_t *b)
{
    for (size_t i = 0; i < SCRAM_KEY; i++)
        a[i] ^= b[i];
}

bool scram_keys(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                uint8_t ret_client_key[SCRAM_KEY], uint8_t ret_server_key[SCRAM_KEY])
{
    uint8_t salted[SCRAM_KEY];
    bool done = PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_len, (int)iterations, EVP_sha256(),
                                  sizeof salted, salted) == 1;

    if (done) {
        scram_hmac(salted, "Client Key", 10, ret_client_key);
        scram_hmac(salted, "Server Key", 10, ret_server_key);
    }
    explicit_bzero(salted, sizeof salted);
    return done;
}

/* --- verifiers --- */

static struct scram_attr until(const char *from, const char *stop)
{
    return (struct scram_attr){from, (size_t)(stop - from)};
}

bool scram_verifier_parse(const char *text, struct scram_verifier *ret)
{
    struct scram_verifier v = {0};
    const char *iterations = text + strlen(PREFIX);
    const char *salt;
    const char *stored;
    const char *server;
    struct scram_attr key;

    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
        return false;
    salt = strchr(iterations, ':');
    stored = salt != NULL ? strchr(salt, '$') : NULL;
    server = stored != NULL ? strchr(stored, ':') : NULL;
    if (server == NULL || !scram_read_iterations(iterations, (size_t)(salt - iterations), &v.iterations))
        return false;
    if (!base64_read(salt + 1, (size_t)(stored - salt - 1), v.salt, sizeof v.salt, &v.salt_len) || v.salt_len == 0)
        return false;
    key = until(stored + 1, server);
    if (!scram_read_key(&key, v.stored_key))
        return false;
    key = until(server + 1, server + strlen(server));
    if (!scram_read_key(&key, v.server_key))
        return false;
    *ret = v;
    explicit_bzero(&v, sizeof v);
    return true;
}

bool scram_verifier_same(const struct scram_verifier *a, const struct scram_verifier *b)
{
    return a->iterations == b->iterations && a->salt_len == b->salt_len &&
           CRYPTO_memcmp(a->salt, b->salt, a->salt_len) == 0 &&
           (CRYPTO_memcmp(a->stored_key, b->stored_key, SCRAM_KEY) |
            CRYPTO_memcmp(a->server_key, b->server_key, SCRAM_KEY)) == 0;
}

bool scram_verifier_make(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                         struct scram_verifier *ret)
{
    uint8_t client_key[SCRAM_KEY];

    ENSURE(salt_len > 0 && salt_len <= SCRAM_SALT_MOST && iterations > 0 && iterations <= SCRAM_ITERATIONS_MOST);
    if (!scram_keys(password, salt, salt_len, iterations, client_key, ret->server_key))
        return false;
    scram_hash(client_key, sizeof client_key, ret->stored_key);
    explicit_bzero(client_key, sizeof client_key);
    memcpy(ret->salt, salt, salt_len);
    ret->salt_len = salt_len;
    ret->iterations = iterations;
    return true;
}

/* --- messages --- */

bool scram_next(struct scram_text *t, char name, struct scram_attr *ret)
{
    const char *comma;

    if (t->end - t->at < 2 || t->at[0] != name || t->at[1] != '=')
        return false;
    comma = memchr(t->at, ',', (size_t)(t->end - t->at));
    *ret = until(t->at + 2, comma != NULL ? comma : t->end);
    t->at = comma != NULL ? comma + 1 : t->end;
    return true;
}

bool scram_readable(const char *text, size_t len)
{
    return len > 0 && len <= SCRAM_MESSAGE_MOST && memchr(text, '\0', len) == NULL;
}

bool scram_is_nonce(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x21 || text[i] > 0x7E || text[i] == ',')
            return false;
    return len > 0;
}

bool scram_read_key(const struct scram_attr *attr, uint8_t ret[SCRAM_KEY])
{
    size_t n = 0;

    return base64_read(attr->value, attr->len, ret, SCRAM_KEY, &n) && n == SCRAM_KEY;
}

bool scram_read_iterations(const char *text, size_t len, uint32_t *ret)
{
    uint32_t v = 0;

    if (len == 0 || len > 10)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || v > (INT32_MAX - (uint32_t)(text[i] - '0')) / 10)
            return false;
        v = v * 10 + (uint32_t)(text[i] - '0');
    }
    *ret = v;
    return v > 0;
}

void scram_add_nonce(struct buf *out, const char *given)
{
    uint8_t fresh[SCRAM_NONCE_BYTES];

    if (given != NULL) {
        ENSURE(scram_is_nonce(given, strlen(given)));
        buf_adds(out, given);
        return;
    }
    world_random(fresh, sizeof fresh);
    base64_add(out, fresh, sizeof fresh);
}
