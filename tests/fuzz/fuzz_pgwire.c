/* tests/fuzz/fuzz_pgwire.c — what a door reads before it knows anybody: the first packet, then frames, as bytes that nobody vouches for; and
 * where a session stands by them. The first byte chooses: a first packet, frames of a client, frames of a server. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shift/track.h"
#include "wire/pgwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void startup(const char *p, size_t n)
{
    struct pgwire_startup s;
    enum pgwire_startup_kind kind = pgwire_startup(p, n, &s);
    uint32_t at = 0;
    uint32_t before = 0;
    const char *name;
    const char *value;

    ENSURE(kind == s.kind);
    if (kind == STARTUP_MORE || kind == STARTUP_WRONG)
        return;
    ENSURE(s.total <= n && s.total >= 8);
    if (kind == STARTUP_CANCEL)
        ENSURE(s.key + s.key_len == p + s.total);
    while (kind == STARTUP_SESSION && pgwire_startup_next(&s, &at, &name, &value)) {
        ENSURE(at > before && at <= s.params_len && *name != '\0');
        ENSURE(pgwire_startup_param(&s, name) != NULL);
        before = at;
    }
}

/* In pieces of any size the same frames are seen. */
static void frames(enum pgwire_from from, const char *p, size_t n)
{
    struct track track = {.status = 'I'};
    size_t at = 0;

    while (at < n) {
        char type = 0;
        uint32_t total = 0;
        enum pgwire_seen seen = pgwire_frame(from, p + at, n - at, &type, &total);
        const char *second;
        size_t body;

        if (seen != PGWIRE_FRAME)
            return;
        ENSURE(total >= PGWIRE_HEADER);
        body = (total > n - at ? n - at : total) - PGWIRE_HEADER;
        (void)pgwire_string(p + at + PGWIRE_HEADER, body, &second);
        (void)pgwire_error_field(p + at + PGWIRE_HEADER, body, 'C');
        if (from == PGWIRE_SERVER)
            track_server(&track, type, body > 0 ? p[at + PGWIRE_HEADER] : 'I');
        else if (!track_full(&track))
            track_client(&track, type);
        if (from == PGWIRE_CLIENT && type == 'G')
            track_server(&track, 'G', 0);
        (void)track_waits(&track, type);
        at += total > n - at ? n - at : total;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy;

    if (size < 2)
        return 0;
    copy = malloc(size - 1); /* of exactly its size */
    memcpy(copy, data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        startup(copy, size - 1);
        break;
    case 1:
        frames(PGWIRE_CLIENT, copy, size - 1);
        break;
    default:
        frames(PGWIRE_SERVER, copy, size - 1);
        break;
    }
    free(copy);
    return 0;
}
