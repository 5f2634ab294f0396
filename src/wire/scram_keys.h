/* wire/scram_keys.h — what both roles of SCRAM compute, and how both read messages. Only scram*.c includes it.
 *
 *   SaltedPassword  = PBKDF2(password, salt, iterations)
 *   ClientKey       = HMAC(SaltedPassword, "Client Key")         StoredKey = H(ClientKey)
 *   ServerKey       = HMAC(SaltedPassword, "Server Key")
 *   AuthMessage     = client-first-bare "," server-first "," client-final-without-proof
 *   ClientProof     = ClientKey xor HMAC(StoredKey, AuthMessage)
 *   ServerSignature = HMAC(ServerKey, AuthMessage)
 */
#ifndef LEAT_WIRE_SCRAM_KEYS_H
#define LEAT_WIRE_SCRAM_KEYS_H

#include "wire/scram.h"

#define SCRAM_NONCE_BYTES 18
#define SCRAM_ITERATIONS_MOST 10000000 /* of a server that asks: seconds of work, and no more */

/* All three: OpenSSL cannot refuse SHA-256 in a build that has it; that it did is an ENSURE. */
void scram_hmac(const uint8_t key[SCRAM_KEY], const void *text, size_t len, uint8_t ret[SCRAM_KEY]);
void scram_hash(const uint8_t *bytes, size_t len, uint8_t ret[SCRAM_KEY]);
void scram_xor(uint8_t *a, const uint8_t *b); /* a ^= b, SCRAM_KEY bytes */
/* ClientKey and ServerKey of a password. */
bool scram_keys(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                uint8_t ret_client_key[SCRAM_KEY], uint8_t ret_server_key[SCRAM_KEY]);

/* --- messages: attributes with commas between them --- */
struct scram_text {
    const char *at;
    const char *end;
};
struct scram_attr {
    const char *value;
    size_t len;
};
/* The next attribute if it is called `name`; steps over the comma behind it. */
bool scram_next(struct scram_text *t, char name, struct scram_attr *ret);
/* Whether it can be looked at as text at all: not empty, not too long, no NUL. */
bool scram_readable(const char *text, size_t len);
bool scram_is_nonce(const char *text, size_t len);
bool scram_read_key(const struct scram_attr *attr, uint8_t ret[SCRAM_KEY]);
/* Digits alone, from 1 to INT32_MAX. */
bool scram_read_iterations(const char *text, size_t len, uint32_t *ret);
/* Given, or made of fresh randomness. */
void scram_add_nonce(struct buf *out, const char *given);

#endif
