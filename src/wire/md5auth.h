/* wire/md5auth.h — PostgreSQL's md5 passwords. Pure: no I/O.
 *
 *   stored (pg_authid.rolpassword)  hash   = "md5" hex(md5(password user))
 *   sent for a salt of four bytes   answer = "md5" hex(md5(hex part of hash, salt))
 *
 * Who has the hash can log in with it; so the door can, toward both sides, if both hold the same. A false return means
 * that OpenSSL gives no MD5 (FIPS). */
#ifndef LEAT_WIRE_MD5AUTH_H
#define LEAT_WIRE_MD5AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define MD5AUTH_TEXT 36 /* "md5", 32 digits, NUL: of a hash and of an answer */
#define MD5AUTH_SALT 4

bool md5auth_is_hash(const char *text);
MUST_USE bool md5auth_hash(const char *password, const char *user, char ret[MD5AUTH_TEXT]);
MUST_USE bool md5auth_answer(const char *hash, const uint8_t salt[MD5AUTH_SALT], char ret[MD5AUTH_TEXT]);
/* answer: the client's, as it came, of `len` bytes without a NUL. */
MUST_USE bool md5auth_check(const char *hash, const uint8_t salt[MD5AUTH_SALT], const char *answer, size_t len);

#endif
