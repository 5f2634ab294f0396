/* wire/scram.h — SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, both roles. Pure: no I/O.
 *
 * The door never knows a password. Toward its client it is the server, with the verifier of pg_authid; the proof of a
 * client that knows the password gives it the ClientKey, and with that it is the client toward every server that holds
 * the very same verifier (salt, iterations and StoredKey). Messages are the bodies of SASLInitialResponse,
 * SASLResponse, AuthenticationSASLContinue and AuthenticationSASLFinal, without length or NUL.
 *
 * No channel binding: a binding ends at the door, so SCRAM-SHA-256 alone is offered, "p=" is refused, and
 * SCRAM-SHA-256-PLUS is never chosen. The user's name in the messages counts for nothing (libpq sends none): that of
 * the startup packet does. */
#ifndef LEAT_WIRE_SCRAM_H
#define LEAT_WIRE_SCRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

#define SCRAM_MECHANISM "SCRAM-SHA-256"
#define SCRAM_KEY 32
#define SCRAM_SECRET 32
#define SCRAM_SALT_MOST 64
#define SCRAM_MESSAGE_MOST 1024 /* bytes; longer ones are refused (PostgreSQL's own limit) */

/* Good for the password's owner only in part: who has it can pose as the server, not as the user. */
struct scram_verifier {
    uint32_t iterations;
    uint8_t salt[SCRAM_SALT_MOST];
    size_t salt_len;
    uint8_t stored_key[SCRAM_KEY];
    uint8_t server_key[SCRAM_KEY];
};

/* "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey", as pg_authid.rolpassword has it. False: it is none; ret is untouched.
 */
bool scram_verifier_parse(const char *text, struct scram_verifier *ret);
bool scram_verifier_same(const struct scram_verifier *a, const struct scram_verifier *b);
/* Of a password in clear, for users whose verifier nobody has. PBKDF2: takes milliseconds. False: OpenSSL refused. */
bool scram_verifier_make(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                         struct scram_verifier *ret);

/* --- toward a client --- */
struct scram_server;
/* verifier NULL: there is no such user. The exchange then looks like any other (the salt is always the same for this
 * name, made from `secret`, which should be the same in all doors and over restarts) and fails at its end, as a wrong
 * password does. nonce: ours, printable and without commas; NULL: a fresh one. Nothing given is kept. */
struct scram_server *scram_server_new(const struct scram_verifier *verifier, const char *user,
                                      const uint8_t secret[SCRAM_SECRET], const char *nonce);
void scram_server_free(struct scram_server *s); /* wipes */
AUTO_DEFINE(scram_server)
/* Each once, in this order. ERR_PROTOCOL: no message of SCRAM, or one that asks for what is not offered (`why` may be
 * told to the client). ERR_LOGIN: user or password is wrong; which one, nobody is told. Output is added to ret_…,
 * nothing on failure. */
MUST_USE enum err scram_server_first(struct scram_server *s, const char *client_first, size_t len,
                                     struct buf *ret_server_first, struct fault *f);
/* ret_client_key opens every server with this verifier: the caller wipes it with the last session that needs it. */
MUST_USE enum err scram_server_final(struct scram_server *s, const char *client_final, size_t len,
                                     struct buf *ret_server_final, uint8_t ret_client_key[SCRAM_KEY], struct fault *f);

/* --- toward a server --- */
struct scram_client;
/* With what a client's proof gave: refuses (ERR_VERIFIER) a server whose salt or iterations are not the verifier's,
 * before anything that follows from the key is sent. */
struct scram_client *scram_client_new_key(const uint8_t client_key[SCRAM_KEY], const struct scram_verifier *verifier,
                                          const char *nonce);
/* With a password in clear. Its bytes are used as they are: one that SASLprep (RFC 4013) would change is refused by the
 * server. */
struct scram_client *scram_client_new_password(const char *password, const char *nonce);
void scram_client_free(struct scram_client *c); /* wipes */
AUTO_DEFINE(scram_client)
/* Each once, in this order. ERR_PROTOCOL: the server's message is none of SCRAM. */
void scram_client_first(struct scram_client *c, struct buf *ret_client_first);
MUST_USE enum err scram_client_next(struct scram_client *c, const char *server_first, size_t len,
                                    struct buf *ret_client_final, struct fault *f);
/* ERR_VERIFIER: the server does not know the verifier; it is not the one it should be, whatever it lets us do. */
MUST_USE enum err scram_client_final(struct scram_client *c, const char *server_final, size_t len, struct fault *f);

#endif
