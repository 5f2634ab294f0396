/* cli/table.h — the commands and options there are, as tables (commands.def, options.def). */
#ifndef LEAT_CLI_TABLE_H
#define LEAT_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum command {
#define X(ID, name, args, most, shown, text, full) COMMAND_##ID,
#include "cli/commands.def"
#undef X
    COMMAND_COUNT
};

enum option {
#define X(ID, name, value, choices, commands, shown, text) OPTION_##ID,
#include "cli/options.def"
#undef X
    OPTION_COUNT
};

enum command_shown { SHOWN, LATER, HIDDEN };

struct command_info {
    const char *name;
    const char *args; /* as help shows them; "": none */
    int most_args;
    enum command_shown shown;
    const char *text;
    const char *full;
};

struct option_info {
    const char *name;    /* with its dashes */
    const char *value;   /* what help calls its value; NULL: it takes none */
    const char *choices; /* words parted by blanks, "<file>", "<folder>", or NULL */
    uint64_t commands;   /* the set of commands it belongs to, by bit */
    enum command_shown shown;
    const char *text;
};

const struct command_info *command_info(enum command c);
const struct option_info *option_info(enum option o);
/* An option that every command takes. */
bool option_is_global(enum option o);
/* Whether it belongs to the command and not to all of them. */
bool option_is_of(enum option o, enum command c);
/* COMMAND_COUNT, OPTION_COUNT: no such name. Hidden ones are found, too. */
enum command command_by_name(const char *name);
enum option option_by_name(const char *name);
/* The nearest of the shown commands, or options of `c`, to a mistyped word; NULL when none is near. */
const char *command_nearest(const char *word);
const char *option_nearest(const char *word, enum command c);

#endif
