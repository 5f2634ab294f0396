/* tests/fuzz/fuzz_journal_body.c — the JSON of a journal's row as bytes that nobody vouches for.
 *
 * What is taken is one object, each key once, and stays as it is when it is taken again; all else is refused. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "journal/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF once = {0};
    AUTO_BUF twice = {0};
    AUTO_BUF string = {0};
    char *text = malloc(size + 1);
    struct fault f = {0};

    memcpy(text, data, size);
    text[size] = '\0';
    if (body_add(&once, text, &f) == ERR_OK) {
        json_t *o = json_loadb(once.data, once.len, JSON_REJECT_DUPLICATES, NULL);
        ENSURE(json_is_object(o));
        json_decref(o);
        ENSURE(body_add(&twice, buf_cstr(&once), &f) == ERR_OK);
        ENSURE(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    }
    fault_clear(&f);
    if (body_add_string(&string, text, &f) == ERR_OK) {
        json_t *o = json_loadb(string.data, string.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        ENSURE(json_is_string(o) && strcmp(json_string_value(o), text) == 0);
        json_decref(o);
    }
    free(text);
    return 0;
}
