/* tests/fuzz/fuzz_reading.c — a statement nobody vouches for: what is taken for a read stops being one with a write
 * behind it, and nothing but BEGIN speaks of modes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shift/reading.h"

#define WRITE_BEHIND "\n;delete from t"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct reading_names *names(void)
{
    static struct reading_names *n;

    if (n != NULL)
        return n;
    n = reading_names_new();
    reading_names_function(n, "pg_catalog", "count", 'i', false);
    reading_names_function(n, "pg_catalog", "now", 's', false);
    reading_names_function(n, "pg_catalog", "random", 'v', false);
    reading_names_function(n, "public", "acts", 'v', true);
    reading_names_relation(n, "public", "t", true, NULL, false);
    reading_names_relation(n, "public", "good_view", false, " SELECT t.id FROM public.t;", false);
    reading_names_relation(n, "public", "bad_view", false, " SELECT random() AS random;", false);
    reading_names_relation(n, "pg_catalog", "pg_class", false, NULL, true);
    reading_names_bad_operator(n, "<!>");
    reading_names_seal(n);
    return n;
}

static bool no_mode(const struct reading *r)
{
    return r->mode == MODE_UNSAID && r->isolation == ISOLATION_UNSAID;
}

static void write_behind(const char *sql, size_t len)
{
    size_t all = len + strlen(WRITE_BEHIND);
    char *both = malloc(all);
    struct reading r;

    ENSURE(both != NULL);
    memcpy(both, sql, len);
    memcpy(both + len, WRITE_BEHIND, strlen(WRITE_BEHIND));
    reading_of(names(), both, all, &r);
    ENSURE(r.kind == READING_OTHER);
    free(both);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading r;

    reading_of(names(), (const char *)data, size, &r);
    ENSURE(r.kind <= READING_END && (r.kind == READING_BEGIN || no_mode(&r)));
    ENSURE(size <= READING_MOST || r.kind == READING_OTHER);
    if (r.kind == READING_SELECT)
        write_behind((const char *)data, size);
    return 0;
}
