/* tests/fuzz/replay.c — runs a fuzz target over the files named, without libFuzzer, so that every corpus is part of the
 * normal tests, under every compiler and sanitizer. A target without a corpus fails: it would prove nothing.
 *
 * Each input stands in a block of exactly its own size, so that reading one byte past it is seen by ASan. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int ok = 0;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        data = malloc((size_t)size + (size == 0));
        ok = data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size;
    }
    if (ok)
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    else
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    free(data);
    if (file != NULL)
        fclose(file);
    return ok;
}

/* Weak, so that a target may have a main of its own. */
__attribute__((weak)) int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "replay: no corpus (tests/fuzz/corpus/NAME/)\n");
        return 1;
    }
    for (int i = 1; i < argc; i++)
        if (!replay(argv[i]))
            return 1;
    printf("replayed %d inputs\n", argc - 1);
    return 0;
}
