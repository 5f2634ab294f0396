/* tests/fuzz/fuzz_touched.c — a segment of the note of touched rows as bytes that nobody vouches for.
 *
 * Reading it ends; every record handed out lies in it whole; reading on from where it stopped gives the rest. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replicate/touched_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t sum;
    uint64_t records;
    uint64_t most;
};

static bool each(void *ctx, const char *record, uint32_t size)
{
    struct seen *s = ctx;

    if (s->records == s->most)
        return false;
    for (uint32_t i = 0; i < size; i++)
        s->sum = s->sum * 31 + (unsigned char)record[i];
    s->records++;
    return true;
}

static char dir[64];

static void leave(void)
{
    AUTO_CHARS *command = mem_format("rm -rf %s", dir);

    (void)!system(command);
}

static void write_segment(const char *name, const uint8_t *data, size_t size)
{
    AUTO_CHARS *path = mem_format("%s/%s", dir, name);
    FILE *file = fopen(path, "we");

    ENSURE(file != NULL && fwrite(data, 1, size, file) == size);
    ENSURE(fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct touched_log *l;
    struct touched_place begin = {1, 0};
    struct touched_place end = {1, size};
    struct touched_place at;
    struct seen whole = {.most = UINT64_MAX};
    struct seen parts = {.most = size > 0 ? data[0] : 0};
    struct fault f = {0};

    if (l == NULL) {
        snprintf(dir, sizeof dir, "/tmp/leat-fuzz-XXXXXX");
        ENSURE(mkdtemp(dir) != NULL && touched_log_open(dir, &l, &f) == ERR_OK && atexit(leave) == 0);
    }
    write_segment("0000000000000001", data, size);
    ENSURE(touched_log_read(l, begin, end, each, &whole, &at, &f) == ERR_OK);
    ENSURE(at.segment == 1 && at.at <= size);
    ENSURE(touched_log_read(l, begin, end, each, &parts, &at, &f) == ERR_OK);
    parts.most = UINT64_MAX;
    ENSURE(touched_log_read(l, at, end, each, &parts, &at, &f) == ERR_OK);
    ENSURE(whole.records == parts.records && whole.sum == parts.sum);
    return 0;
}
