/* config/choose.c — which tables a store's include and exclude patterns choose.
 *
 * A pattern is schema.table; `*` stands for any characters, none too, `?` for exactly one. The first point divides;
 * neither sign reaches across it. Letters count as the catalog has them: "Orders" and orders are two tables.
 */
#include "config/internal.h"

#include <string.h>

const char *config_pattern_check(struct arena *a, const char *pattern)
{
    const char *dot = strchr(pattern, '.');

    if (*pattern == '\0')
        return "an empty pattern";
    if (dot == NULL && strcmp(pattern, "*") == 0)
        return "the pattern \"*\" has no schema; for everything write \"*.*\"";
    if (dot == NULL)
        return arena_format(a, "the pattern \"%s\" has no schema; write \"public.%s\", or \"*.%s\" for any schema",
                            config_shown(a, pattern), config_shown(a, pattern), config_shown(a, pattern));
    if (dot == pattern || dot[1] == '\0')
        return arena_format(a, "the pattern \"%s\" lacks %s; expected schema.table", config_shown(a, pattern),
                            dot == pattern ? "the schema" : "the table");
    return NULL;
}

/* The character (UTF-8) at p ends here. */
static const char *after_character(const char *p)
{
    for (p++; ((unsigned char)*p & 0xC0) == 0x80; p++)
        ;
    return p;
}

/* Whether `text` is as the pattern from p to end says. Linear but for one step back to the last star: a later star
 * takes over from an earlier one, whatever that one took. */
static bool matches(const char *p, const char *end, const char *text)
{
    const char *star = NULL, *star_text = NULL;

    while (*text != '\0') {
        if (p < end && *p == '*') {
            star = ++p;
            star_text = text;
        } else if (p < end && *p == '?') {
            p++;
            text = after_character(text);
        } else if (p < end && *p == *text) {
            p++;
            text++;
        } else if (star != NULL) {
            p = star;
            text = star_text = after_character(star_text);
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

static bool any_matches(const char *const *patterns, size_t count, const char *schema, const char *table)
{
    for (size_t i = 0; i < count; i++) {
        const char *dot = strchr(patterns[i], '.');

        ENSURE(dot != NULL);
        if (matches(patterns[i], dot, schema) && matches(dot + 1, dot + strlen(dot), table))
            return true;
    }
    return false;
}

static bool is_system(const char *schema)
{
    return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0 || strcmp(schema, "leat") == 0;
}

bool config_chooses(const struct config_store *s, const char *schema, const char *table)
{
    if (is_system(schema) || any_matches((const char *const *)s->exclude, s->exclude_count, schema, table))
        return false;
    return s->include_count == 0 || any_matches((const char *const *)s->include, s->include_count, schema, table);
}

bool config_exempts(const struct config_store *s, const char *schema, const char *table)
{
    return any_matches((const char *const *)s->long_snapshots, s->long_snapshot_count, schema, table);
}
