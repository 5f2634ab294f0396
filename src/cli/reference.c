/* cli/reference.c — help for the terminal, the man page, and the two pages in docs/. See reference.h. */
#include "cli/reference.h"

#include <string.h>

#include "cli/cli.h"

#define WIDTH 100

static const char usage[] = "leat [--config FILE] [--state DIR] [--output text|json] COMMAND";
static const char intro[] = "leat moves a running database to a new place while its users notice nothing.";
static const struct {
    int status;
    const char *text;
} statuses[] = {
    {0, "ok"},
    {1, "error"},
    {2, "differences found, or changes pending"},
    {3, "a gate refused, or consent or approval is needed"},
    {4, "another leat holds the lease"},
    {5, "interrupted; run again to go on"},
    {64, "wrong usage"},
};
static const struct {
    const char *name;
    const char *text;
} variables[] = {
    {"PGPASSWORD, PGPASSFILE", "as for every PostgreSQL program; both ends may need different ones: then ${NAME} in leat.yaml, or a passfile"},
    {"LEAT_PG_BINDIR", "where pg_dump and pg_restore are, before the usual places"},
    {"LEAT_LOG", "debug, info, warn or error: the least that is logged"},
    {"NO_COLOR", "no colors"},
};
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* --- for the terminal --- */

static void add_list(struct buf *out, enum command_shown shown)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);

        if (x->shown == shown)
            buf_addf(out, "  %-13s %s\n", x->name, x->text);
    }
}

static void add_option(struct buf *out, const struct option_info *x)
{
    AUTO_CHARS *name = mem_format("%s%s%s", x->name, x->value != NULL ? " " : "", x->value != NULL ? x->value : "");

    buf_addf(out, "  %-16s %s\n", name, x->text);
}

/* c == COMMAND_COUNT: the global ones. */
static bool is_listed(enum option o, enum command c)
{
    return option_info(o)->shown == SHOWN && (c == COMMAND_COUNT ? option_is_global(o) : option_is_of(o, c));
}

static bool has_options(enum command c)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_listed((enum option)i, c))
            return true;
    return false;
}

void reference_short(struct buf *out)
{
    buf_addf(out, "%s\n\nusage: %s\n\n", intro, usage);
    buf_adds(out, "  leat init --from DSN --to DSN   write leat.yaml\n"
                  "  leat doctor                     what has to be mended first\n"
                  "  leat plan                       what will be done\n"
                  "  leat run                        do it; Ctrl-C is safe, run again to go on\n"
                  "  leat status                     where it is, and what to type next\n\n"
                  "`leat help` lists all commands, `leat help COMMAND` explains one.\n");
}

void reference_help(struct buf *out)
{
    buf_addf(out, "%s\n\nusage: %s\n\ncommands\n", intro, usage);
    add_list(out, SHOWN);
    buf_adds(out, "\noptions of every command\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_listed((enum option)i, COMMAND_COUNT))
            add_option(out, option_info((enum option)i));
    buf_adds(out, "\nin later releases\n");
    add_list(out, LATER);
    buf_adds(out, "\nexit status:");
    for (size_t i = 0; i < COUNT(statuses); i++)
        buf_addf(out, "%s %d %s", i > 0 ? " ·" : "", statuses[i].status, statuses[i].text);
    buf_adds(out, "\nbegin with: leat init --from DSN --to DSN\n");
}

static void add_usage(struct buf *out, enum command c)
{
    const struct command_info *x = command_info(c);

    buf_addf(out, "leat %s", x->name);
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *o = option_info((enum option)i);

        if (is_listed((enum option)i, c))
            buf_addf(out, " [%s%s%s]", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
    }
    buf_addf(out, "%s%s\n", x->args[0] != '\0' ? " " : "", x->args);
}

void reference_command(struct buf *out, enum command c)
{
    const struct command_info *x = command_info(c);

    buf_adds(out, "usage: ");
    add_usage(out, c);
    buf_addc(out, '\n');
    if (x->shown == LATER) {
        buf_addf(out, "%s.\nIt comes with a later release.\n", x->text);
        return;
    }
    cli_wrap(out, x->full, WIDTH, 0);
    if (has_options(c))
        buf_addc(out, '\n');
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_listed((enum option)i, c))
            add_option(out, option_info((enum option)i));
    buf_adds(out, "\nOptions of every command: `leat help`.\n");
}

/* --- the man page --- */

static void add_roff(struct buf *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'')
        buf_adds(out, "\\&");
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            buf_adds(out, "\\e");
        else if (*text == '-')
            buf_adds(out, "\\-");
        else if (*text != '`')
            buf_addc(out, *text);
    }
}

static void add_term(struct buf *out, const char *bold, const char *plain, const char *text)
{
    buf_adds(out, ".TP\n\\fB");
    add_roff(out, bold);
    buf_adds(out, "\\fR");
    if (plain != NULL && plain[0] != '\0') {
        buf_adds(out, " \\fI");
        add_roff(out, plain);
        buf_adds(out, "\\fR");
    }
    buf_addc(out, '\n');
    add_roff(out, text);
    buf_addc(out, '\n');
}

static void man_commands(struct buf *out)
{
    buf_adds(out, ".SH COMMANDS\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);

        if (x->shown != SHOWN)
            continue;
        add_term(out, x->name, x->args, x->full);
        if (!has_options((enum command)i))
            continue;
        buf_adds(out, ".RS\n");
        for (int o = 0; o < OPTION_COUNT; o++)
            if (is_listed((enum option)o, (enum command)i))
                add_term(out, option_info((enum option)o)->name, option_info((enum option)o)->value, option_info((enum option)o)->text);
        buf_adds(out, ".RE\n");
    }
    buf_adds(out, ".PP\nIn later releases:");
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == LATER)
            buf_addf(out, " %s", command_info((enum command)i)->name);
    buf_adds(out, ".\n");
}

void reference_man(struct buf *out)
{
    buf_addf(out, ".TH LEAT 1 \"\" \"leat %s\" \"User Commands\"\n.SH NAME\nleat \\- move a running database to a new place\n.SH SYNOPSIS\n", LEAT_VERSION);
    buf_adds(out, "\\fBleat\\fR [\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fB\\-\\-state\\fR \\fIDIR\\fR] [\\fB\\-\\-output\\fR text|json] \\fICOMMAND\\fR\n");
    buf_addf(out, ".SH DESCRIPTION\n%s\nA migration is described in leat.yaml and kept in the folder .leat beside it.\n", intro);
    man_commands(out);
    buf_adds(out, ".SH OPTIONS OF EVERY COMMAND\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_listed((enum option)i, COMMAND_COUNT))
            add_term(out, option_info((enum option)i)->name, option_info((enum option)i)->value, option_info((enum option)i)->text);
    buf_adds(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < COUNT(statuses); i++)
        buf_addf(out, ".TP\n%d\n%s\n", statuses[i].status, statuses[i].text);
    buf_adds(out, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < COUNT(variables); i++)
        add_term(out, variables[i].name, NULL, variables[i].text);
    buf_adds(out, ".SH FILES\n");
    add_term(out, "leat.yaml", NULL, "the migration: its stores, limits and gates");
    add_term(out, ".leat/journal.db", NULL, "the record of everything done, chained by hashes: leat events");
    add_term(out, ".leat/run/", NULL, "what the engines say of themselves while they run");
    add_term(out, ".leat/log/", NULL, "their logs");
}

/* --- docs/ --- */

void reference_commands_md(struct buf *out)
{
    buf_addf(out, "# Commands\n\n`%s`\n\nMade by `leat help --reference commands` from the tables the parser reads; a test holds it against them.\n", usage);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);

        if (x->shown != SHOWN)
            continue;
        buf_addf(out, "\n## %s\n\n```\n", x->name);
        add_usage(out, (enum command)i);
        buf_addf(out, "```\n\n%s\n", x->full);
        if (has_options((enum command)i))
            buf_adds(out, "\n| option | |\n|---|---|\n");
        for (int o = 0; o < OPTION_COUNT; o++)
            if (is_listed((enum option)o, (enum command)i))
                buf_addf(out, "| `%s` | %s |\n", option_info((enum option)o)->name, option_info((enum option)o)->text);
    }
    buf_adds(out, "\n## Options of every command\n\n| option | |\n|---|---|\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_listed((enum option)i, COMMAND_COUNT))
            buf_addf(out, "| `%s` | %s |\n", option_info((enum option)i)->name, option_info((enum option)i)->text);
    buf_adds(out, "\n## Exit status\n\n| status | |\n|---|---|\n");
    for (size_t i = 0; i < COUNT(statuses); i++)
        buf_addf(out, "| %d | %s |\n", statuses[i].status, statuses[i].text);
    buf_adds(out, "\n## In later releases\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == LATER)
            buf_addf(out, "- `%s` — %s\n", command_info((enum command)i)->name, command_info((enum command)i)->text);
}

void reference_errors_md(struct buf *out)
{
    buf_adds(out, "# Errors\n\n"
                  "Made by `leat help --reference errors` from `src/base/errors.def`; a test holds it against the table. On the terminal: "
                  "`leat explain CODE`.\nErrors of class transient are tried again by leat itself, with growing pauses; all others stop the store.\n\n"
                  "| code | class | exit status | it means | what to do |\n|---|---|---|---|---|\n");
    for (int i = ERR_OK + 1; i < ERR_COUNT; i++) {
        const struct err_info *x = err_info((enum err)i);

        buf_addf(out, "| `%s` | %s | %d | %s | %s |\n", x->code, err_class_name(x->class), x->exit_status, x->text, x->remedy);
    }
}
