/* model/position.c — see position.h. */
#include "model/position.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *lsn_text(struct lsn lsn, char text[LSN_TEXT_SIZE])
{
    snprintf(text, LSN_TEXT_SIZE, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn.v >> 32), (uint32_t)lsn.v);
    return text;
}

static bool hex32(const char **at, uint64_t *ret)
{
    char *end;

    errno = 0;
    if (strchr("0123456789abcdefABCDEF", **at) == NULL || **at == '\0')
        return false;
    *ret = strtoull(*at, &end, 16);
    *at = end;
    return errno == 0 && *ret <= UINT32_MAX;
}

bool lsn_parse(const char *text, struct lsn *ret)
{
    uint64_t high;
    uint64_t low;

    if (!hex32(&text, &high) || *text++ != '/' || !hex32(&text, &low) || *text != '\0')
        return false;
    ret->v = high << 32 | low;
    return true;
}

static bool decimal(const char **at, uint64_t *ret)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

static size_t count_commas(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == ',';
    return n;
}

enum err snapshot_parse(const char *text, struct snapshot *ret, struct fault *f)
{
    struct snapshot s = {0};
    const char *at = text;
    bool good = decimal(&at, &s.xmin) && *at++ == ':' && decimal(&at, &s.xmax) && *at++ == ':' && s.xmin <= s.xmax;

    if (good && *at != '\0') {
        s.xip = mem_alloc((count_commas(at) + 1) * sizeof *s.xip);
        do {
            good = decimal(&at, &s.xip[s.xip_count]) && (s.xip_count == 0 || s.xip[s.xip_count - 1] < s.xip[s.xip_count]);
            s.xip_count++;
        } while (good && *at == ',' && at++ != NULL);
        good = good && *at == '\0';
    }
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
    return s->xmax + (uint64_t)(int64_t)(int32_t)(xid - (uint32_t)s->xmax);
}

bool snapshot_sees(const struct snapshot *s, uint32_t xid)
{
    uint64_t full = snapshot_extend(s, xid);
    size_t low = 0;
    size_t high = s->xip_count;

    if (full < s->xmin)
        return true;
    if (full >= s->xmax)
        return false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->xip[mid] == full)
            return false;
        if (s->xip[mid] < full)
            low = mid + 1;
        else
            high = mid;
    }
    return true;
}
