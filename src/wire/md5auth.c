/* wire/md5auth.c — see md5auth.h. */
#include "wire/md5auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define PREFIX "md5"
#define DIGITS 32
#define DIGEST 16

bool md5auth_is_hash(const char *text)
{
    return strncmp(text, PREFIX, strlen(PREFIX)) == 0 && strlen(text) == MD5AUTH_TEXT - 1 &&
           strspn(text + strlen(PREFIX), "0123456789abcdef") == DIGITS;
}

static bool sum_of(const char *a, size_t a_len, const void *b, size_t b_len, char ret[MD5AUTH_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sum[DIGEST];
    bool done = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(ctx, a, a_len) == 1 &&
                EVP_DigestUpdate(ctx, b, b_len) == 1 && EVP_DigestFinal_ex(ctx, sum, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    if (!done)
        return false;
    memcpy(ret, PREFIX, strlen(PREFIX));
    for (size_t i = 0; i < DIGEST; i++) {
        ret[strlen(PREFIX) + 2 * i] = hex[sum[i] >> 4];
        ret[strlen(PREFIX) + 2 * i + 1] = hex[sum[i] & 15];
    }
    ret[MD5AUTH_TEXT - 1] = '\0';
    explicit_bzero(sum, sizeof sum);
    return true;
}

bool md5auth_hash(const char *password, const char *user, char ret[MD5AUTH_TEXT])
{
    return sum_of(password, strlen(password), user, strlen(user), ret);
}

bool md5auth_answer(const char *hash, const uint8_t salt[MD5AUTH_SALT], char ret[MD5AUTH_TEXT])
{
    ENSURE(md5auth_is_hash(hash));
    return sum_of(hash + strlen(PREFIX), DIGITS, salt, MD5AUTH_SALT, ret);
}

bool md5auth_check(const char *hash, const uint8_t salt[MD5AUTH_SALT], const char *answer, size_t len)
{
    char want[MD5AUTH_TEXT];

    return md5auth_answer(hash, salt, want) && len == MD5AUTH_TEXT - 1 && CRYPTO_memcmp(answer, want, len) == 0;
}
