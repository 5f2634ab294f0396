/* cli/cli.h — what the commands share: the command line as understood, and how answers and errors are said. */
#ifndef LEAT_CLI_CLI_H
#define LEAT_CLI_CLI_H

#include <jansson.h>

#include "base/fault.h"
#include "cli/table.h"
#include "config/config.h"

#define CLI_MOST_ARGS 4

struct cli {
    char *config_path;       /* absolute; the cli's own */
    char *state_dir;         /* absolute; the cli's own */
    bool json;
    bool short_help;         /* nothing was typed at all */
    enum command command;
    const char *args[CLI_MOST_ARGS]; /* positional, behind the command */
    int arg_count;
    const char *until;
    const char *from;
    const char *to;
    const char *reference;
    const char *copy_again;
    const char *table;
    int64_t token;
    int64_t times;
    int64_t nth;             /* of the store's doors */
    bool arm_again;
    bool yes, watch, follow, verify, apply, man, doors, no_failover, force;
    struct config *config;   /* loaded where the command needs it; the cli's own */
};

/* Each returns an exit status; *f is rendered by main when it was set. */
int cmd_init(struct cli *c, struct fault *f);
int cmd_doctor(struct cli *c, struct fault *f);
int cmd_plan(struct cli *c, struct fault *f);
int cmd_run(struct cli *c, struct fault *f);
int cmd_start(struct cli *c, struct fault *f);
int cmd_stop(struct cli *c, struct fault *f);
int cmd_resume(struct cli *c, struct fault *f);
int cmd_pilot(struct cli *c, struct fault *f);
int cmd_status(struct cli *c, struct fault *f);
int cmd_events(struct cli *c, struct fault *f);
int cmd_verify(struct cli *c, struct fault *f);
int cmd_repair(struct cli *c, struct fault *f);
int cmd_rehearse(struct cli *c, struct fault *f);
int cmd_shift(struct cli *c, struct fault *f);
int cmd_cutover(struct cli *c, struct fault *f);
int cmd_rollback(struct cli *c, struct fault *f);
int cmd_explain(struct cli *c, struct fault *f);
int cmd_help(struct cli *c, struct fault *f);
int cmd_completion(struct cli *c, struct fault *f);

/* Parses the line. ERR_USAGE, with the nearest word where one is near; *ret is filled also then (json, paths), for saying so. */
MUST_USE enum err cli_parse(int argc, char **argv, struct cli *ret, struct fault *f);
void cli_fini(struct cli *c);
/* The object every JSON answer begins with; add to it, then cli_answer prints and frees it. */
json_t *cli_object(const struct cli *c, bool ok);
/* next_steps: one a line, or NULL. */
void cli_answer(const struct cli *c, json_t *o, const char *next_steps);
/* Errors: one line on stderr, or the JSON answer. Returns the exit status. */
int cli_fault(const struct cli *c, const struct fault *f);
/* --yes, or a person at the terminal who says so; ERR_CONSENT. */
MUST_USE enum err cli_consent(const struct cli *c, const char *store, const char *what, struct fault *f);
/* "1.2 GB", "340 kB" */
const char *cli_size(double bytes, char text[32]);
/* "1,234,567" */
const char *cli_count(int64_t n, char text[32]);
/* The words of `text`, no line longer than `width`, each begun with `indent` blanks; ends in a newline. */
void cli_wrap(struct buf *out, const char *text, int width, int indent);
/* Whether stream 1 or 2 is a terminal that understands colors, and NO_COLOR is not set. */
bool cli_colors(int fd);

#endif
