/* cli/cli.c — the command line, and how answers are said. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command_info table[COMMAND_COUNT] = {
#define X(ID, name, args, shown, text, full) [COMMAND_##ID] = {name, args, shown, text, full},
#include "cli/commands.def"
#undef X
};
static const char *const options[] = {"--config", "--state", "--output", "--until", "--from", "--to", "--yes", "--watch", "--follow", "--verify", "--help", "--version"};

const struct command_info *command_info(enum command c)
{
    return &table[c];
}

/* --- nearest word --- */

static size_t distance(const char *a, const char *b)
{
    size_t row[64];
    size_t n = strlen(b);

    if (n >= 63)
        return 99;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

static void consider(const char *word, const char *candidate, size_t *best, const char **ret)
{
    size_t d = distance(word, candidate);

    if (d < *best) {
        *best = d;
        *ret = candidate;
    }
}

const char *cli_nearest(const char *word)
{
    size_t best = strlen(word) < 4 ? 2 : 3;
    const char *nearest = NULL;

    for (int i = 0; i < COMMAND_COUNT; i++)
        if (table[i].shown != HIDDEN)
            consider(word, table[i].name, &best, &nearest);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        consider(word, options[i], &best, &nearest);
    return nearest;
}

/* --- parsing --- */

static enum err unknown(const char *what, const char *word, struct fault *f)
{
    const char *near = cli_nearest(word);

    if (near != NULL)
        return fault_set(f, ERR_USAGE, "%s %s is not known; did you mean %s?", what, word, near);
    return fault_set(f, ERR_USAGE, "%s %s is not known", what, word);
}

static char *absolute(const char *path)
{
    char here[PATH_MAX];

    if (path[0] == '/' || getcwd(here, sizeof here) == NULL)
        return mem_dup(path);
    return mem_format("%s/%s", here, path);
}

static void replace(char **place, char *value)
{
    free(*place);
    *place = value;
}

void cli_fini(struct cli *c)
{
    replace(&c->config_path, NULL);
    replace(&c->state_dir, NULL);
}

static enum err with_value(struct cli *c, const char *name, const char *value, struct fault *f)
{
    if (strcmp(name, "--config") == 0)
        replace(&c->config_path, absolute(value));
    else if (strcmp(name, "--state") == 0)
        replace(&c->state_dir, absolute(value));
    else if (strcmp(name, "--until") == 0)
        c->until = value;
    else if (strcmp(name, "--from") == 0)
        c->from = value;
    else if (strcmp(name, "--to") == 0)
        c->to = value;
    else if (strcmp(name, "--output") == 0 && (strcmp(value, "json") == 0 || strcmp(value, "text") == 0))
        c->json = strcmp(value, "json") == 0;
    else if (strcmp(name, "--output") == 0)
        return fault_set(f, ERR_USAGE, "--output is text or json, not %s", value);
    return ERR_OK;
}

static bool takes_value(const char *name)
{
    static const char *const names[] = {"--config", "--state", "--output", "--until", "--from", "--to", "--token"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static enum err on_option(struct cli *c, int argc, char **argv, int *at, struct fault *f)
{
    char name[64];
    const char *equals = strchr(argv[*at], '=');

    snprintf(name, sizeof name, "%.*s", (int)(equals != NULL ? equals - argv[*at] : (long)strlen(argv[*at])), argv[*at]);
    if (takes_value(name)) {
        const char *value = equals != NULL ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
        if (value == NULL)
            return fault_set(f, ERR_USAGE, "%s needs a value", name);
        return with_value(c, name, value, f);
    }
    if (strcmp(name, "--yes") == 0)
        c->yes = true;
    else if (strcmp(name, "--watch") == 0)
        c->watch = true;
    else if (strcmp(name, "--follow") == 0)
        c->follow = true;
    else if (strcmp(name, "--verify") == 0)
        c->verify = true;
    else if (strcmp(name, "--man") == 0)
        c->man = true;
    else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        c->command = COMMAND_HELP;
    else if (strcmp(name, "--version") == 0)
        c->command = COMMAND_VERSION;
    else
        return unknown("option", name, f);
    return ERR_OK;
}

static enum err on_word(struct cli *c, const char *word, bool *have, struct fault *f)
{
    if (*have) {
        if (c->arg_count == 4)
            return fault_set(f, ERR_USAGE, "too many words: %s", word);
        c->args[c->arg_count++] = word;
        return ERR_OK;
    }
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(table[i].name, word) == 0) {
            if (c->command == COMMAND_HELP && *have == false && c->arg_count == 0)
                c->command = (enum command)i;
            *have = true;
            return ERR_OK;
        }
    return unknown("command", word, f);
}

enum err cli_parse(int argc, char **argv, struct cli *ret, struct fault *f)
{
    struct cli c = {.command = COMMAND_HELP};
    bool have = false;

    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0')
            TRY(on_option(&c, argc, argv, &i, f));
        else
            TRY(on_word(&c, argv[i], &have, f));
        *ret = c; /* so that --output json counts for an error behind it */
    }
    if (c.config_path == NULL)
        c.config_path = absolute("leat.yaml");
    if (c.state_dir == NULL) {
        AUTO_CHARS *folder = mem_dup(c.config_path);
        *strrchr(folder, '/') = '\0';
        c.state_dir = mem_format("%s/.leat", folder);
    }
    *ret = c;
    return ERR_OK;
}

/* --- answers --- */

json_t *cli_object(const struct cli *c, bool ok)
{
    return json_pack("{s:i, s:s, s:b}", "format_version", 1, "command", table[c->command].name, "ok", (int)ok);
}

void cli_answer(const struct cli *c, json_t *o, const char *next_steps)
{
    (void)c;
    json_object_set_new(o, "next_steps", next_steps != NULL ? json_pack("[s]", next_steps) : json_array());
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

int cli_fault(const struct cli *c, const struct fault *f)
{
    const struct err_info *info = err_info(f->code);
    const char *todo = f->todo[0] != '\0' ? f->todo : info->remedy;
    char text[8192];

    fprintf(stderr, "leat: %s\n", fault_text(f, text, sizeof text));
    if (c->json) {
        json_t *o = cli_object(c, false);
        json_object_set_new(o, "error", json_pack("{s:s, s:s, s:s, s:s}", "code", info->code, "what", f->what[0] != '\0' ? f->what : info->text, "why", f->why, "todo", todo));
        cli_answer(c, o, todo);
    }
    return info->exit_status;
}

const char *cli_size(double bytes, char text[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;

    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, unit < 2 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}
