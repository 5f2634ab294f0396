/* cli/cli.h — what the commands share: the command line, and how answers and errors are said. */
#ifndef LEAT_CLI_CLI_H
#define LEAT_CLI_CLI_H

#include <jansson.h>

#include "base/fault.h"
#include "config/config.h"

enum command {
#define X(ID, name, args, shown, text, full) COMMAND_##ID,
#include "cli/commands.def"
#undef X
    COMMAND_COUNT
};
enum command_shown { SHOWN, LATER, HIDDEN };
struct command_info {
    const char *name;
    const char *args;
    enum command_shown shown;
    const char *text;
    const char *full;
};
const struct command_info *command_info(enum command c);

struct cli {
    char *config_path;       /* absolute */
    char *state_dir;         /* absolute */
    bool json;
    enum command command;
    const char *args[4];     /* positional, behind the command */
    int arg_count;
    const char *until;
    const char *from;
    const char *to;
    bool yes, watch, follow, verify, man;
    struct config *config;   /* loaded where the command needs it */
};

/* Each returns an exit status; *f is rendered by main when it was set. */
int cmd_init(struct cli *c, struct fault *f);
int cmd_doctor(struct cli *c, struct fault *f);
int cmd_plan(struct cli *c, struct fault *f);
int cmd_run(struct cli *c, struct fault *f);
int cmd_start(struct cli *c, struct fault *f);
int cmd_stop(struct cli *c, struct fault *f);
int cmd_pilot(struct cli *c, struct fault *f);
int cmd_status(struct cli *c, struct fault *f);
int cmd_events(struct cli *c, struct fault *f);
int cmd_explain(struct cli *c, struct fault *f);
int cmd_help(struct cli *c, struct fault *f);
int cmd_completion(struct cli *c, struct fault *f);

/* Parses the line. ERR_USAGE with the nearest word. */
MUST_USE enum err cli_parse(int argc, char **argv, struct cli *ret, struct fault *f);
void cli_fini(struct cli *c);
/* The object every JSON answer begins with; add to it, then cli_answer prints and frees it. */
json_t *cli_object(const struct cli *c, bool ok);
void cli_answer(const struct cli *c, json_t *o, const char *next_steps);
/* Errors: one line on stderr, or the JSON answer. Returns the exit status. */
int cli_fault(const struct cli *c, const struct fault *f);
/* The nearest of the commands and options to a mistyped word, or NULL. */
const char *cli_nearest(const char *word);
/* "1.2 GB", "340 kB" */
const char *cli_size(double bytes, char text[32]);

#endif
