/* model/position.c — LSNs as text, and the arithmetic of what a snapshot sees.
 *
 * Transaction ids of a snapshot are 64 bit (the epoch in front), those of a stream 32 bit. The server never lets ids in
 * use lie 2^31 or more apart, so a stream's id belongs to the epoch that puts it nearest to the snapshot's xmax. */
#include "model/position.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- LSN --- */

const char *lsn_text(struct lsn lsn, char text[LSN_TEXT_SIZE])
{
    snprintf(text, LSN_TEXT_SIZE, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn.v >> 32), (uint32_t)lsn.v);
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One to eight hex digits at *at, which is moved behind them. */
static bool parse_half(const char **at, uint64_t *ret)
{
    uint64_t v = 0;
    int digits = 0;

    for (int digit; (digit = hex_digit(**at)) >= 0; (*at)++) {
        if (++digits > 8)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *ret = v;
    return digits > 0;
}

bool lsn_parse(const char *text, struct lsn *ret)
{
    uint64_t high;
    uint64_t low;

    if (!parse_half(&text, &high) || *text++ != '/' || !parse_half(&text, &low) || *text != '\0')
        return false;
    ret->v = high << 32 | low;
    return true;
}

/* --- snapshot --- */

/* A transaction id in decimal at *at, which is moved behind it. */
static bool parse_id(const char **at, uint64_t *ret)
{
    uint64_t v = 0;
    const char *from = *at;

    for (; **at >= '0' && **at <= '9'; (*at)++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(**at - '0'), &v))
            return false;
    *ret = v;
    return *at != from;
}

/* "xid,xid,…": strictly ascending, all in [xmin, xmax). Both the searching and the server's own reader rely on it. */
static bool parse_running(const char *at, struct snapshot *s)
{
    size_t most = 1;

    for (const char *c = at; *c != '\0'; c++)
        most += *c == ',';
    s->xip = mem_alloc(most * sizeof *s->xip);
    for (uint64_t least = s->xmin;; at++) {
        uint64_t id;

        if (!parse_id(&at, &id) || id < least || id >= s->xmax)
            return false;
        s->xip[s->xip_count++] = id;
        least = id + 1;
        if (*at != ',')
            return *at == '\0';
    }
}

enum err snapshot_parse(const char *text, struct snapshot *ret, struct fault *f)
{
    struct snapshot s = {0};
    const char *at = text;
    bool good = parse_id(&at, &s.xmin) && *at++ == ':' && parse_id(&at, &s.xmax) && *at++ == ':';

    good = good && s.xmin > 0 && s.xmin <= s.xmax && (*at == '\0' || parse_running(at, &s));
    if (!good) {
        snapshot_fini(&s);
        return fault_set(f, ERR_PROTOCOL, "this is no snapshot: %.200s", text);
    }
    *ret = s;
    return ERR_OK;
}

void snapshot_fini(struct snapshot *s)
{
    free(s->xip);
    s->xip = NULL;
    s->xip_count = 0;
}

uint64_t snapshot_extend(const struct snapshot *s, uint32_t xid)
{
    int64_t ahead = (int32_t)(xid - (uint32_t)s->xmax); /* of xmax, the shorter way round: in [-2^31, 2^31) */

    if (ahead < 0 && s->xmax < (uint64_t)-ahead)
        return xid; /* there is nothing before epoch 0 */
    return s->xmax + (uint64_t)ahead;
}

static bool is_running(const struct snapshot *s, uint64_t id)
{
    size_t low = 0;
    size_t high = s->xip_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->xip[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->xip_count && s->xip[low] == id;
}

bool snapshot_sees(const struct snapshot *s, uint32_t xid)
{
    uint64_t id = snapshot_extend(s, xid);

    if (id < s->xmin)
        return true;
    return id < s->xmax && !is_running(s, id);
}
