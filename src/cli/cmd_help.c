/* cli/cmd_help.c — help, the man page and completions: all from the command table. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char intro[] = "leat moves a running database to a new place while its users notice nothing, and can go back until the very end.";

static void print_help(void)
{
    printf("%s\n\nusage: leat [--config FILE] [--state DIR] [--output text|json] COMMAND\n\n", intro);
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == SHOWN)
            printf("  %-10s %s\n", command_info((enum command)i)->name, command_info((enum command)i)->text);
    printf("\nlater releases:");
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == LATER)
            printf(" %s", command_info((enum command)i)->name);
    puts("\n\nBegin with: leat init --from DSN --to DSN; leat doctor; leat plan; leat run");
}

static void print_man(void)
{
    printf(".TH LEAT 1 \"\" \"leat %s\" \"User Commands\"\n.SH NAME\nleat \\- move a running database, and be able to go back\n.SH SYNOPSIS\n"
           ".B leat\n[\\fB\\-\\-config\\fR FILE] [\\fB\\-\\-state\\fR DIR] [\\fB\\-\\-output\\fR text|json] COMMAND\n.SH DESCRIPTION\n%s\n.SH COMMANDS\n",
           LEAT_VERSION, intro);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);
        if (x->shown == SHOWN)
            printf(".TP\n\\fB%s\\fR %s\n%s\n", x->name, x->args, x->full);
    }
    puts(".SH EXIT STATUS\n0 ok; 1 error; 2 differences found, or changes pending; 3 a gate refused, or approval is needed; 4 another holds the lease; "
         "5 interrupted, resumable; 64 wrong usage.\n.SH FILES\n.I leat.yaml\nthe migration; \n.I .leat/\nits state.\n.SH ENVIRONMENT\nLEAT_LOG, LEAT_PG_BINDIR, NO_COLOR, PGPASSFILE, PGPASSWORD");
}

int cmd_help(struct cli *c, struct fault *f)
{
    if (c->man) {
        print_man();
        return 0;
    }
    if (c->arg_count == 0) {
        print_help();
        return 0;
    }
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_info *x = command_info((enum command)i);
        if (strcmp(x->name, c->args[0]) == 0 && x->shown != HIDDEN) {
            printf("leat %s %s\n  %s\n  %s\n", x->name, x->args, x->text, x->full[0] != '\0' ? x->full : "comes with a later release");
            return 0;
        }
    }
    return err_info(fault_set(f, ERR_UNKNOWN_NAME, "there is no command %s", c->args[0]))->exit_status;
}

static void print_names(const char *separator)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (command_info((enum command)i)->shown == SHOWN)
            printf("%s%s", i > 0 ? separator : "", command_info((enum command)i)->name);
}

static const char global_options[] = "--config --state --output --until --from --to --yes --watch --follow --verify --help --version";

int cmd_completion(struct cli *c, struct fault *f)
{
    const char *shell = c->arg_count > 0 ? c->args[0] : "";

    if (strcmp(shell, "bash") == 0) {
        printf("_leat() { local w=\"${COMP_WORDS[COMP_CWORD]}\"; case \"${COMP_WORDS[COMP_CWORD-1]}\" in --config) COMPREPLY=($(compgen -f -- \"$w\"));; --state) COMPREPLY=($(compgen -d -- \"$w\"));; "
               "--output) COMPREPLY=($(compgen -W 'text json' -- \"$w\"));; --until) COMPREPLY=($(compgen -W replicate -- \"$w\"));; *) COMPREPLY=($(compgen -W '");
        print_names(" ");
        printf(" %s' -- \"$w\"));; esac; }\ncomplete -F _leat leat\n", global_options);
    } else if (strcmp(shell, "zsh") == 0) {
        printf("#compdef leat\n_arguments '--config[leat.yaml]:file:_files' '--state[state folder]:folder:_files -/' '--output[form]:form:(text json)' '--until[phase]:phase:(replicate)' '--yes' '--watch' '--follow' '--verify' '1:command:(");
        print_names(" ");
        puts(")'");
    } else if (strcmp(shell, "fish") == 0) {
        for (int i = 0; i < COMMAND_COUNT; i++)
            if (command_info((enum command)i)->shown == SHOWN)
                printf("complete -c leat -n __fish_use_subcommand -f -a %s -d '%s'\n", command_info((enum command)i)->name, command_info((enum command)i)->text);
        puts("complete -c leat -l config -r\ncomplete -c leat -l state -r\ncomplete -c leat -l output -x -a 'text json'\ncomplete -c leat -l until -x -a replicate\ncomplete -c leat -l yes");
    } else {
        return err_info(fault_set(f, ERR_USAGE, "completion is for bash, zsh or fish"))->exit_status;
    }
    return 0;
}
