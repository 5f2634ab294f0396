/* cli/completion.c — completion scripts for bash, zsh and fish, from the tables. See reference.h. */
#include <string.h>

#include "cli/reference.h"

static bool is_completed(enum option o)
{
    return option_info(o)->shown == SHOWN;
}

/* Options shown for a command: its own and the global ones, parted by blanks. */
static void add_options(struct buf *out, enum command c)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option o = (enum option)i;

        if (is_completed(o) && (option_is_global(o) || option_is_of(o, c)))
            buf_addf(out, " %s", option_info(o)->name);
    }
}

static void add_commands(struct buf *out)
{
    const char *blank = "";

    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == SHOWN) {
            buf_addf(out, "%s%s", blank, command_info((enum command)i)->name);
            blank = " ";
        }
}

/* --- bash --- */

static void bash_values(struct buf *out)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *x = option_info((enum option)i);

        if (!is_completed((enum option)i) || x->value == NULL)
            continue;
        buf_addf(out, "    %s) ", x->name);
        if (x->choices == NULL)
            buf_adds(out, "return");
        else if (strcmp(x->choices, "<file>") == 0)
            buf_adds(out, "COMPREPLY=($(compgen -f -- \"$word\")); return");
        else if (strcmp(x->choices, "<folder>") == 0)
            buf_adds(out, "COMPREPLY=($(compgen -d -- \"$word\")); return");
        else
            buf_addf(out, "COMPREPLY=($(compgen -W '%s' -- \"$word\")); return", x->choices);
        buf_adds(out, " ;;\n");
    }
}

static void bash(struct buf *out)
{
    buf_adds(out, "# bash completion for leat\n_leat()\n{\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
                  "    COMPREPLY=()\n    case $before in\n");
    bash_values(out);
    buf_adds(out, "    esac\n    for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${COMP_WORDS[i]} in\n        --config|--state|--output) ((i++)) ;;\n"
                  "        -*) ;;\n        *) command=${COMP_WORDS[i]}; break ;;\n        esac\n    done\n    case $command in\n    '') COMPREPLY=($(compgen -W '");
    add_commands(out);
    add_options(out, COMMAND_COUNT);
    buf_adds(out, "' -- \"$word\")) ;;\n    help) COMPREPLY=($(compgen -W '");
    add_commands(out);
    buf_adds(out, "' -- \"$word\")) ;;\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);

        if (x->shown != SHOWN || i == COMMAND_HELP)
            continue;
        buf_addf(out, "    %s) COMPREPLY=($(compgen -W '", x->name);
        add_options(out, (enum command)i);
        buf_adds(out, "' -- \"$word\")) ;;\n");
    }
    buf_adds(out, "    esac\n}\ncomplete -F _leat leat\n");
}

/* --- zsh --- */

/* Text within '...[...]': quotes, brackets and colons mean something there. */
static void add_zsh(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else if (*text == '[' || *text == ']' || *text == ':')
            buf_addf(out, "\\%c", *text);
        else
            buf_addc(out, *text);
    }
}

static void zsh_option(struct buf *out, const struct option_info *x, const char *indent)
{
    buf_addf(out, "%s'%s[", indent, x->name);
    add_zsh(out, x->text);
    buf_addc(out, ']');
    if (x->value != NULL) {
        buf_addf(out, ":%s:", x->value);
        if (x->choices != NULL && strcmp(x->choices, "<file>") == 0)
            buf_adds(out, "_files");
        else if (x->choices != NULL && strcmp(x->choices, "<folder>") == 0)
            buf_adds(out, "_files -/");
        else if (x->choices != NULL)
            buf_addf(out, "(%s)", x->choices);
    }
    buf_adds(out, "' \\\n");
}

static void zsh(struct buf *out)
{
    buf_adds(out, "#compdef leat\n_leat() {\n  local curcontext=$curcontext state line\n  local -a commands=(\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == SHOWN) {
            buf_addf(out, "    '%s:", command_info((enum command)i)->name);
            add_zsh(out, command_info((enum command)i)->text);
            buf_adds(out, "'\n");
        }
    buf_adds(out, "  )\n  _arguments -C \\\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_completed((enum option)i) && option_is_global((enum option)i))
            zsh_option(out, option_info((enum option)i), "    ");
    buf_adds(out, "    '1:command:->command' '*::argument:->argument'\n  case $state in\n  command) _describe command commands ;;\n  argument)\n    case $words[1] in\n"
                  "    help) _describe command commands ;;\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (command_info((enum command)i)->shown != SHOWN || i == COMMAND_HELP)
            continue;
        buf_addf(out, "    %s) _arguments \\\n", command_info((enum command)i)->name);
        for (int o = 0; o < OPTION_COUNT; o++)
            if (is_completed((enum option)o) && (option_is_global((enum option)o) || option_is_of((enum option)o, (enum command)i)))
                zsh_option(out, option_info((enum option)o), "      ");
        buf_adds(out, "      ;;\n");
    }
    buf_adds(out, "    esac ;;\n  esac\n}\nif [ \"$funcstack[1]\" = _leat ]; then _leat \"$@\"; else compdef _leat leat; fi\n");
}

/* --- fish --- */

static void add_fish(struct buf *out, const char *text)
{
    buf_addc(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *text);
    }
    buf_addc(out, '\'');
}

static void fish_condition(struct buf *out, const struct option_info *x)
{
    buf_adds(out, " -n '__fish_seen_subcommand_from");
    for (int c = 0; c < COMMAND_COUNT; c++)
        if ((x->commands >> c & 1) != 0 && command_info((enum command)c)->shown == SHOWN)
            buf_addf(out, " %s", command_info((enum command)c)->name);
    buf_addc(out, '\'');
}

static void fish_option(struct buf *out, enum option o)
{
    const struct option_info *x = option_info(o);

    buf_adds(out, "complete -c leat");
    if (!option_is_global(o))
        fish_condition(out, x);
    buf_addf(out, " -l %s -d ", x->name + 2);
    add_fish(out, x->text);
    if (x->value != NULL && x->choices != NULL && x->choices[0] == '<')
        buf_adds(out, " -r -F");
    else if (x->value != NULL)
        buf_adds(out, " -x");
    if (x->value != NULL && x->choices != NULL && x->choices[0] != '<') {
        buf_adds(out, " -a ");
        add_fish(out, x->choices);
    }
    buf_addc(out, '\n');
}

static void fish(struct buf *out)
{
    buf_adds(out, "# fish completion for leat\ncomplete -c leat -f\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);

        if (x->shown != SHOWN)
            continue;
        buf_addf(out, "complete -c leat -n __fish_use_subcommand -a %s -d ", x->name);
        add_fish(out, x->text);
        buf_addf(out, "\ncomplete -c leat -n '__fish_seen_subcommand_from help' -a %s\n", x->name);
    }
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_completed((enum option)i))
            fish_option(out, (enum option)i);
}

bool reference_completion(struct buf *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else if (strcmp(shell, "fish") == 0)
        fish(out);
    else
        return false;
    return true;
}
