/* tests/lib/config_text.h — configs from text for tests: what must be taken, and what must be refused with which words.
 */
#ifndef LEAT_TESTS_CONFIG_TEXT_H
#define LEAT_TESTS_CONFIG_TEXT_H

#include <string.h>

#include "config/config.h"

/* Five lines that are a whole config. */
#define HEAD                                                                                                           \
    "migration: shop\n"                                                                                                \
    "stores:\n"                                                                                                        \
    "  orders:\n"                                                                                                      \
    "    source: postgresql://leat@old/orders\n"                                                                       \
    "    target: postgresql://leat@new/orders\n"

static inline struct config *parse(const char *text)
{
    struct config *c = NULL;
    struct fault f = {0};
    enum err err = config_parse("leat.yaml", text, strlen(text), &c, &f);

    if (err != ERR_OK)
        fail_msg("%s\nin:\n%s", f.why, text);
    return c;
}

/* The words of the one error that `text` gives. */
static inline const char *refused(const char *text, size_t len, struct fault *f)
{
    struct config *c = NULL;

    fault_clear(f);
    if (config_parse("leat.yaml", text, len, &c, f) == ERR_OK)
        fail_msg("taken, but should not be:\n%s", text);
    assert_null(c);
    assert_int_equal(f->code, ERR_CONFIG);
    return f->why;
}

static inline void assert_refused(const char *text, const char *why)
{
    struct fault f;

    assert_string_equal(refused(text, strlen(text), &f), why);
}

struct mistake {
    const char *text;
    const char *why;
};

static inline void assert_mistakes(const struct mistake *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(all[i].text, all[i].why);
}
#define ASSERT_MISTAKES(all) assert_mistakes(all, sizeof(all) / sizeof *(all))

#endif
