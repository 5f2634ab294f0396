/* journal/chain.c — see chain.h.
 *
 * text(s) is the length of s as 4 bytes, big-endian, and its bytes; number(n) is 8 bytes, big-endian, two's complement.
 *     start = SHA-256(text("leat journal 1") text(migration))
 *     hash  = SHA-256(text(previous hash, as hex) number(seq) number(at_us) text(store) text(kind) text(body))
 * No two different events have the same bytes: every part is of fixed length, or says its length first. */
#include "journal/chain.h"

#include <openssl/evp.h>

static void add_text(struct buf *b, const char *s)
{
    size_t n = strlen(s);

    ENSURE(n <= UINT32_MAX);
    buf_add_u32be(b, (uint32_t)n);
    buf_add(b, s, n);
}

static void hash_hex(const struct buf *b, char ret_hash[CHAIN_HASH_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[32];
    unsigned int n = 0;

    ENSURE(EVP_Digest(b->data, b->len, hash, &n, EVP_sha256(), NULL) == 1 && n == sizeof hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        ret_hash[2 * i] = digits[hash[i] >> 4];
        ret_hash[2 * i + 1] = digits[hash[i] & 15];
    }
    ret_hash[2 * sizeof hash] = '\0';
}

void chain_start(const char *migration, char ret_hash[CHAIN_HASH_SIZE])
{
    AUTO_BUF b = {0};

    add_text(&b, "leat journal 1");
    add_text(&b, migration);
    hash_hex(&b, ret_hash);
}

void chain_next(const char *previous, const struct event *e, char ret_hash[CHAIN_HASH_SIZE])
{
    AUTO_BUF b = {0};

    add_text(&b, previous);
    buf_add_u64be(&b, (uint64_t)e->seq);
    buf_add_u64be(&b, (uint64_t)e->at_us);
    add_text(&b, e->store);
    add_text(&b, e->kind);
    add_text(&b, e->body);
    hash_hex(&b, ret_hash);
}
