/* golden_text.h — lines of words with tabs between them, from a file below tests/golden. */
#ifndef LEAT_TESTS_GOLDEN_TEXT_H
#define LEAT_TESTS_GOLDEN_TEXT_H

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* test_file: __FILE__ of a test in tests/unit; name: below tests/golden. */
static inline void golden_read(const char *test_file, const char *name, struct buf *ret)
{
    const char *slash = strrchr(test_file, '/');
    AUTO_CHARS *beside = mem_format("%.*s/../golden/%s", (int)(slash != NULL ? slash - test_file : 1),
                                    slash != NULL ? test_file : ".", name);
    AUTO_CHARS *below = mem_format("tests/golden/%s", name);
    FILE *file = fopen(beside, "re");
    char block[4096];
    size_t n;

    if (file == NULL) /* not run from where it was built */
        file = fopen(below, "re");
    ENSURE(file != NULL);
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        buf_add(ret, block, n);
    fclose(file);
    ENSURE(ret->len > 0);
}

/* Splits the line that begins at *line, in place, and moves *line to the next. Returns how many words it has; at most
 * `most` are given. */
static inline size_t golden_split(char **line, char **words, size_t most)
{
    char *end = strchrnul(*line, '\n');
    char *next = *end == '\n' ? end + 1 : end;
    size_t count = 0;

    *end = '\0';
    for (char *at = *line; at != NULL; count++) {
        char *tab = strchr(at, '\t');

        if (count < most)
            words[count] = at;
        if (tab != NULL)
            *tab++ = '\0';
        at = tab;
    }
    *line = next;
    return count;
}

#endif
