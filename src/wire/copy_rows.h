/* wire/copy_rows.h — rows out of COPY's binary form, fed in pieces of any size. Pure: no I/O.
 *
 * A row is handed out as it stands in the stream: its fields one after the other, each a length (int32, -1 for NULL) and its
 * bytes. Source: PostgreSQL manual, COPY, "Binary Format". */
#ifndef LEAT_WIRE_COPY_ROWS_H
#define LEAT_WIRE_COPY_ROWS_H

#include "base/fault.h"
#include "base/mem.h"

struct copy_row {
    const char *fields; /* of the call */
    size_t len;         /* bytes of all fields, their lengths included */
    uint16_t count;
};

struct copy_rows {
    enum err (*each)(void *ctx, const struct copy_row *row, struct fault *f);
    void *ctx;
    struct buf rest; /* what is not a whole row yet */
    bool begun;      /* the header was read */
    bool ended;      /* the trailer was */
};

void copy_rows_fini(struct copy_rows *r);
/* Ready for another COPY. */
void copy_rows_reset(struct copy_rows *r);
/* Calls each() for every row that is whole by now; what it gives back other than ERR_OK ends the call. ERR_PROTOCOL: the bytes
 * are no such form. */
MUST_USE enum err copy_rows_feed(struct copy_rows *r, const char *data, size_t len, struct fault *f);
/* The stream is over: ERR_PROTOCOL unless its trailer was read. */
MUST_USE enum err copy_rows_end(const struct copy_rows *r, struct fault *f);

struct copy_field {
    const char *data; /* not NUL-terminated */
    int32_t len;      /* -1: NULL */
};
/* The next field at *at, which moves past it. The row is one that was handed out. */
static inline struct copy_field copy_field_next(const char **at)
{
    struct copy_field field;

    __builtin_memcpy(&field.len, *at, sizeof field.len);
    field.len = (int32_t)__builtin_bswap32((uint32_t)field.len);
    field.data = *at + sizeof field.len;
    *at = field.data + (field.len > 0 ? field.len : 0);
    return field;
}

#endif
