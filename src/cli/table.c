/* cli/table.c — see table.h. */
#include "cli/table.h"

#include <stddef.h>
#include <string.h>

#define EVERY UINT64_MAX
#define ON(ID) (UINT64_C(1) << COMMAND_##ID)
#define LONGEST_WORD 63

_Static_assert(COMMAND_COUNT < 64, "a set of commands is 64 bits");

static const struct command_info commands[COMMAND_COUNT] = {
#define X(ID, name, args, most, shown, text, full) [COMMAND_##ID] = {name, args, most, shown, text, full},
#include "cli/commands.def"
#undef X
};

static const struct option_info options[OPTION_COUNT] = {
#define X(ID, name, value, choices, set, shown, text) [OPTION_##ID] = {name, value, choices, set, shown, text},
#include "cli/options.def"
#undef X
};

const struct command_info *command_info(enum command c)
{
    return &commands[c];
}

const struct option_info *option_info(enum option o)
{
    return &options[o];
}

bool option_is_global(enum option o)
{
    return options[o].commands == EVERY;
}

bool option_is_of(enum option o, enum command c)
{
    return !option_is_global(o) && (options[o].commands >> c & 1) != 0;
}

enum command command_by_name(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return (enum command)i;
    return COMMAND_COUNT;
}

enum option option_by_name(const char *name)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strcmp(options[i].name, name) == 0)
            return (enum option)i;
    return OPTION_COUNT;
}

/* --- the nearest word --- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions and changes of one character that lead from a to b. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST_WORD + 1];
    size_t n = strlen(b);

    if (n > LONGEST_WORD || strlen(a) > LONGEST_WORD)
        return LONGEST_WORD;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = least(change, 1 + least(row[j], row[j - 1]));
        }
    }
    return row[n];
}

struct nearest {
    const char *word;
    size_t best; /* only what is nearer than this */
    const char *found;
};

static struct nearest begin(const char *word)
{
    return (struct nearest){word, strlen(word) < 8 ? 3 : 4, NULL};
}

static void consider(struct nearest *n, const char *candidate)
{
    size_t d = distance(n->word, candidate);

    if (d < n->best && d < strlen(candidate)) {
        n->best = d;
        n->found = candidate;
    }
}

const char *command_nearest(const char *word)
{
    struct nearest n = begin(word);

    for (int i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].shown != HIDDEN)
            consider(&n, commands[i].name);
    return n.found;
}

const char *option_nearest(const char *word, enum command c)
{
    struct nearest n = begin(word);

    for (int i = 0; i < OPTION_COUNT; i++)
        if (options[i].shown == SHOWN && (option_is_global((enum option)i) || option_is_of((enum option)i, c)))
            consider(&n, options[i].name);
    return n.found;
}
