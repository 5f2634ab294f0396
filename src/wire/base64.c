/* wire/base64.c — see base64.h. */
#include "wire/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct buf *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t v =
            (uint32_t)bytes[i] << 16 | (have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (have > 2 ? bytes[i + 2] : 0);

        buf_addc(out, digits[v >> 18]);
        buf_addc(out, digits[v >> 12 & 63]);
        buf_addc(out, have > 1 ? digits[v >> 6 & 63] : '=');
        buf_addc(out, have > 2 ? digits[v & 63] : '=');
    }
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, of which the last `pad` are '='. */
static bool read_group(const char *four, size_t pad, uint8_t ret[3])
{
    uint32_t v = 0;

    for (size_t i = 0; i < 4 - pad; i++) {
        int d = digit(four[i]);

        if (d < 0)
            return false;
        v = v << 6 | (uint32_t)d;
    }
    v <<= 6 * pad;
    for (size_t i = 0; i < 3; i++)
        ret[i] = (uint8_t)(v >> (16 - 8 * i));
    return (v & ((1u << 8 * pad) - 1)) == 0; /* bits that no byte has */
}

bool base64_read(const char *text, size_t len, uint8_t *ret, size_t size, size_t *ret_len)
{
    size_t n = 0;

    if (len % 4 != 0)
        return false;
    for (size_t at = 0; at < len; at += 4) {
        size_t pad = at + 4 < len || text[at + 3] != '=' ? 0 : text[at + 2] == '=' ? 2 : 1;
        uint8_t three[3];

        if (!read_group(text + at, pad, three) || size - n < 3 - pad)
            return false;
        for (size_t i = 0; i < 3 - pad; i++)
            ret[n++] = three[i];
    }
    *ret_len = n;
    return true;
}
