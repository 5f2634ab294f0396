/* wire/scram_client.c — SCRAM toward a server.
 *
 *   new --> FIRST --server-first--> PROVED --server-final--> DONE
 *
 * Invariant: with a ClientKey nothing is sent that follows from it unless salt and iterations are those of its
 * verifier. */
#include "wire/scram.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "wire/base64.h"
#include "wire/scram_keys.h"

#define HEADER "n,,"
#define BINDING "c=biws," /* the header in base64 */

enum client_state { CLIENT_NEW, CLIENT_FIRST, CLIENT_PROVED, CLIENT_DONE };

struct scram_client {
    enum client_state state;
    char *password;                 /* NULL: by key */
    uint8_t client_key[SCRAM_KEY];  /* of a password: once the server's salt is known */
    struct scram_verifier verifier; /* of a password: server_key alone, from then on */
    struct buf nonce;               /* ours, then the whole */
    struct buf auth_message;        /* public */
};

struct server_first {
    struct scram_attr nonce;
    uint8_t salt[SCRAM_SALT_MOST];
    size_t salt_len;
    uint32_t iterations;
};

static struct scram_client *client_new(const char *nonce)
{
    struct scram_client *c = mem_alloc(sizeof *c);

    scram_add_nonce(&c->nonce, nonce);
    return c;
}

struct scram_client *scram_client_new_key(const uint8_t client_key[SCRAM_KEY], const struct scram_verifier *verifier,
                                          const char *nonce)
{
    struct scram_client *c = client_new(nonce);

    memcpy(c->client_key, client_key, SCRAM_KEY);
    c->verifier = *verifier;
    return c;
}

struct scram_client *scram_client_new_password(const char *password, const char *nonce)
{
    struct scram_client *c = client_new(nonce);

    c->password = mem_dup(password);
    return c;
}

void scram_client_free(struct scram_client *c)
{
    if (c == NULL)
        return;
    if (c->password != NULL)
        explicit_bzero(c->password, strlen(c->password));
    free(c->password);
    buf_fini(&c->nonce);
    buf_fini(&c->auth_message);
    explicit_bzero(c, sizeof *c);
    free(c);
}

void scram_client_first(struct scram_client *c, struct buf *ret_client_first)
{
    ENSURE(c->state == CLIENT_NEW);
    c->state = CLIENT_FIRST;
    buf_addf(&c->auth_message, "n=,r=%s", buf_cstr(&c->nonce));
    buf_adds(ret_client_first, HEADER);
    buf_add(ret_client_first, c->auth_message.data, c->auth_message.len);
}

/* --- the server's first message --- */

static const char *read_first(const struct scram_client *c, struct scram_text t, struct server_first *ret)
{
    struct scram_attr salt;
    struct scram_attr iterations;

    if (!scram_next(&t, 'r', &ret->nonce) || !scram_is_nonce(ret->nonce.value, ret->nonce.len))
        return "its nonce is missing or not printable";
    if (ret->nonce.len <= c->nonce.len || memcmp(ret->nonce.value, c->nonce.data, c->nonce.len) != 0)
        return "its nonce does not begin with ours, or adds nothing to it";
    if (!scram_next(&t, 's', &salt) ||
        !base64_read(salt.value, salt.len, ret->salt, sizeof ret->salt, &ret->salt_len) || ret->salt_len == 0)
        return "its salt is missing or malformed";
    if (!scram_next(&t, 'i', &iterations) || !scram_read_iterations(iterations.value, iterations.len, &ret->iterations))
        return "its number of iterations is missing or malformed";
    return NULL;
}

/* Whether the key may be used here; by password: makes it. */
static enum err have_key(struct scram_client *c, const struct server_first *m, struct fault *f)
{
    uint8_t stored[SCRAM_KEY];

    if (c->password != NULL) {
        if (m->iterations > SCRAM_ITERATIONS_MOST)
            return fault_set(f, ERR_PROTOCOL, "the server wants %u iterations of SCRAM", m->iterations);
        if (!scram_keys(c->password, m->salt, m->salt_len, m->iterations, c->client_key, c->verifier.server_key))
            return fault_set(f, ERR_SYSTEM, "OpenSSL refused to derive a key");
        scram_hash(c->client_key, SCRAM_KEY, c->verifier.stored_key);
        return ERR_OK;
    }
    if (m->iterations != c->verifier.iterations || m->salt_len != c->verifier.salt_len ||
        memcmp(m->salt, c->verifier.salt, m->salt_len) != 0)
        return fault_set(f, ERR_VERIFIER, "salt or iterations of the role are others on this server");
    scram_hash(c->client_key, SCRAM_KEY, stored);
    if (CRYPTO_memcmp(stored, c->verifier.stored_key, SCRAM_KEY) != 0)
        return fault_set(f, ERR_VERIFIER, "the password was changed since the client logged in");
    return ERR_OK;
}

static void add_final(struct scram_client *c, const char *first, size_t len, struct buf *out)
{
    AUTO_BUF bare = {0};
    uint8_t proof[SCRAM_KEY];

    buf_addf(&bare, BINDING "r=%s", buf_cstr(&c->nonce));
    buf_addc(&c->auth_message, ',');
    buf_add(&c->auth_message, first, len);
    buf_addc(&c->auth_message, ',');
    buf_add(&c->auth_message, bare.data, bare.len);
    scram_hmac(c->verifier.stored_key, c->auth_message.data, c->auth_message.len, proof);
    scram_xor(proof, c->client_key);
    buf_add(out, bare.data, bare.len);
    buf_adds(out, ",p=");
    base64_add(out, proof, sizeof proof);
}

enum err scram_client_next(struct scram_client *c, const char *server_first, size_t len, struct buf *ret_client_final,
                           struct fault *f)
{
    struct scram_text t = {server_first, server_first + len};
    struct server_first m;
    const char *wrong;

    ENSURE(c->state == CLIENT_FIRST);
    c->state = CLIENT_DONE;
    wrong = scram_readable(server_first, len) ? read_first(c, t, &m) : "it is empty, too long or no text";
    if (wrong != NULL)
        return fault_set(f, ERR_PROTOCOL, "the server's first message of SCRAM: %s", wrong);
    TRY(have_key(c, &m, f));
    buf_add(&c->nonce, m.nonce.value + c->nonce.len, m.nonce.len - c->nonce.len);
    add_final(c, server_first, len, ret_client_final);
    explicit_bzero(c->client_key, sizeof c->client_key);
    c->state = CLIENT_PROVED;
    return ERR_OK;
}

/* --- the server's last message --- */

enum err scram_client_final(struct scram_client *c, const char *server_final, size_t len, struct fault *f)
{
    struct scram_text t = {server_final, server_final + len};
    struct scram_attr value;
    uint8_t theirs[SCRAM_KEY];
    uint8_t ours[SCRAM_KEY];

    ENSURE(c->state == CLIENT_PROVED);
    c->state = CLIENT_DONE;
    if (!scram_readable(server_final, len) || !(scram_next(&t, 'v', &value) || scram_next(&t, 'e', &value)))
        return fault_set(f, ERR_PROTOCOL, "the server's last message of SCRAM holds no signature");
    if (server_final[0] == 'e')
        return fault_set(f, ERR_AUTH, "the server ended SCRAM: %.*s", (int)value.len, value.value);
    if (!scram_read_key(&value, theirs))
        return fault_set(f, ERR_PROTOCOL, "the server's signature is malformed");
    scram_hmac(c->verifier.server_key, c->auth_message.data, c->auth_message.len, ours);
    if (CRYPTO_memcmp(theirs, ours, SCRAM_KEY) != 0)
        return fault_set(f, ERR_VERIFIER, "the server's signature is not the role's");
    return ERR_OK;
}
