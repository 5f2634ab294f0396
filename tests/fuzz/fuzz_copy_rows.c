/* tests/fuzz/fuzz_copy_rows.c — COPY's binary form as bytes that nobody vouches for. The first byte chooses the size of the pieces.
 *
 * Whatever the pieces, the same rows come out, or the same refusal; of a row handed out every byte is read, and its fields fill it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verify/seal.h"

struct sum {
    uint64_t rows;
    uint64_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err each(void *ctx, const struct copy_row *row, struct fault *f)
{
    struct sum *sum = ctx;
    const char *at = row->fields;
    struct sealed sealed = seal_row(row, row->count > 0);

    (void)f;
    for (uint16_t i = 0; i < row->count; i++) {
        struct copy_field field = copy_field_next(&at);
        ENSURE(field.len >= -1);
        for (int32_t k = 0; k < field.len; k++)
            sum->bytes = sum->bytes * 31 + (unsigned char)field.data[k];
    }
    ENSURE(at == row->fields + row->len && sealed.key_len <= row->len);
    sum->rows++;
    return ERR_OK;
}

static enum err feed(const uint8_t *data, size_t size, size_t piece, struct sum *sum)
{
    struct copy_rows rows = {.each = each, .ctx = sum};
    enum err err = ERR_OK;

    for (size_t at = 0; at < size && err == ERR_OK; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        char *block = malloc(n); /* of exactly its size */
        memcpy(block, data + at, n);
        err = copy_rows_feed(&rows, block, n, NULL);
        free(block);
    }
    if (err == ERR_OK)
        err = copy_rows_end(&rows, NULL);
    copy_rows_fini(&rows);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sum whole = {0};
    struct sum pieces = {0};
    enum err one;
    enum err two;

    if (size < 2)
        return 0;
    one = feed(data + 1, size - 1, size, &whole);
    two = feed(data + 1, size - 1, 1 + (size_t)data[0] % 64, &pieces);
    ENSURE(one == two && (one != ERR_OK || (whole.rows == pieces.rows && whole.bytes == pieces.bytes)));
    return 0;
}
