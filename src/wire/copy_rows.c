/* wire/copy_rows.c — see copy_rows.h.
 *
 * Invariants
 *  1. A row is handed out once, and only when all of its bytes are there and its fields fill it exactly.
 *  2. Rows that came whole are handed out where they lie; only what is cut off by the end of a piece is copied. */
#include "wire/copy_rows.h"

#include <string.h>

#include "wire/bytes.h"

static const char signature[11] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', '\377', '\r', '\n', '\0'};
#define HEADER_BYTES (sizeof signature + 8)
#define FLAGS_CRITICAL 0xffff0000u /* among them WITH OIDS, whose rows have one field more */
#define MOST_HEADER_MORE (1u << 20)
#define MOST_FIELD ((int32_t)1 << 30)
#define ENDS 0xffffu

void copy_rows_fini(struct copy_rows *r)
{
    buf_fini(&r->rest);
}

void copy_rows_reset(struct copy_rows *r)
{
    buf_clear(&r->rest);
    r->begun = r->ended = false;
}

static enum err wrong(struct fault *f, const char *what)
{
    return fault_set(f, ERR_PROTOCOL, "COPY's binary form: %s", what);
}

/* *ret_used 0: it is not all there yet. */
static enum err read_header(const char *data, size_t len, size_t *ret_used, struct fault *f)
{
    struct bytes b = {.start = data, .at = data, .end = data + len};
    uint32_t flags;
    uint32_t more;

    *ret_used = 0;
    if (memcmp(data, signature, len < sizeof signature ? len : sizeof signature) != 0)
        return wrong(f, "it does not begin as one");
    if (len < HEADER_BYTES)
        return ERR_OK;
    bytes_skip(&b, sizeof signature);
    flags = bytes_u32(&b);
    more = bytes_u32(&b);
    if ((flags & FLAGS_CRITICAL) != 0)
        return wrong(f, "its header asks for what is not known here");
    if (more > MOST_HEADER_MORE)
        return wrong(f, "its header is too long");
    if (len >= HEADER_BYTES + more)
        *ret_used = HEADER_BYTES + more;
    return ERR_OK;
}

/* The length of the row at b, or 0: it is not all there yet. *ret_wrong: a length that cannot be. */
static size_t row_length(const char *data, size_t len, uint16_t count, bool *ret_wrong)
{
    const char *at = data;
    const char *end = data + len;

    *ret_wrong = false;
    for (uint16_t i = 0; i < count; i++) {
        int32_t n;
        if ((size_t)(end - at) < sizeof n)
            return 0;
        n = copy_field_next(&at).len;
        if (n < -1 || n > MOST_FIELD) {
            *ret_wrong = true;
            return 0;
        }
        if (at > end)
            return 0;
    }
    return (size_t)(at - data);
}

/* Rows out of the bytes, as many as are whole; *ret_used: how far. */
static enum err read_rows(struct copy_rows *r, const char *data, size_t len, size_t *ret_used, struct fault *f)
{
    size_t used = 0;

    while (len - used >= sizeof(uint16_t)) {
        struct copy_row row = {.fields = data + used + sizeof(uint16_t)};
        bool bad;

        if (r->ended)
            return wrong(f, "it goes on after its end");
        memcpy(&row.count, data + used, sizeof row.count);
        row.count = be16toh(row.count);
        if (row.count == ENDS) {
            r->ended = true;
            used += sizeof(uint16_t);
            continue;
        }
        row.len = row_length(row.fields, len - used - sizeof(uint16_t), row.count, &bad);
        if (bad || row.count > INT16_MAX)
            return wrong(f, "a length that cannot be");
        if (row.len == 0 && row.count > 0)
            break;
        TRY(r->each(r->ctx, &row, f));
        used += sizeof(uint16_t) + row.len;
    }
    if (r->ended && used < len)
        return wrong(f, "it goes on after its end");
    *ret_used = used;
    return ERR_OK;
}

static enum err read_all(struct copy_rows *r, const char *data, size_t len, size_t *ret_used, struct fault *f)
{
    size_t header = 0;

    *ret_used = 0;
    if (!r->begun) {
        TRY(read_header(data, len, &header, f));
        if (header == 0)
            return ERR_OK;
        r->begun = true;
    }
    TRY(read_rows(r, data + header, len - header, ret_used, f));
    *ret_used += header;
    return ERR_OK;
}

enum err copy_rows_feed(struct copy_rows *r, const char *data, size_t len, struct fault *f)
{
    size_t used;

    if (len == 0)
        return ERR_OK;
    if (r->rest.len == 0) {
        TRY(read_all(r, data, len, &used, f));
        if (used < len)
            buf_add(&r->rest, data + used, len - used);
        return ERR_OK;
    }
    buf_add(&r->rest, data, len);
    TRY(read_all(r, r->rest.data, r->rest.len, &used, f));
    if (used > 0) {
        memmove(r->rest.data, r->rest.data + used, r->rest.len - used);
        r->rest.len -= used;
    }
    return ERR_OK;
}

enum err copy_rows_end(const struct copy_rows *r, struct fault *f)
{
    return r->ended && r->rest.len == 0 ? ERR_OK : wrong(f, "it ends too soon");
}
