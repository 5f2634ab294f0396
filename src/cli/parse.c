/* cli/parse.c — the command line, by the tables.
 *
 * Options may stand before or behind the command and may be written `--name value` or `--name=value`; `--` ends them. The first
 * word is the command, the others are its arguments. An option of another command, or an argument too many, is refused. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

struct given {
    uint64_t options; /* set of enum option, by bit */
    bool have_command;
    bool only_words;  /* behind `--` */
};

static char *absolute(const char *path)
{
    char here[PATH_MAX];

    if (path[0] == '/' || getcwd(here, sizeof here) == NULL)
        return mem_dup(path);
    return mem_format("%s/%s", here, path);
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);

    for (const char *at = choices; n > 0 && (at = strstr(at, value)) != NULL; at += n)
        if ((at == choices || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

static enum err check_choice(const struct option_info *info, const char *value, struct fault *f)
{
    if (info->choices == NULL || info->choices[0] == '<' || is_choice(info->choices, value))
        return ERR_OK;
    return fault_set(f, ERR_USAGE, "%s is one of: %s; not \"%s\"", info->name, info->choices, value);
}

static enum err set_number(const char *name, const char *value, int64_t *ret, struct fault *f)
{
    char *end;

    errno = 0;
    *ret = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0')
        return fault_set(f, ERR_USAGE, "%s is a number, not \"%s\"", name, value);
    return ERR_OK;
}

static enum err set_times(struct cli *c, const char *value, struct fault *f)
{
    char *end;

    errno = 0;
    c->times = strtoll(value, &end, 10);
    if (*end != '\0' || errno != 0 || c->times < 1 || c->times > 1000)
        return fault_set(f, ERR_USAGE, "--times takes a whole number from 1 to 1000, not \"%s\"", value);
    return ERR_OK;
}

/* --until is not checked against its choices here: phases of later releases have an answer of their own. */
static enum err set_value(struct cli *c, enum option o, const char *value, struct fault *f)
{
    if (o != OPTION_UNTIL)
        TRY(check_choice(option_info(o), value, f));
    switch (o) {
    case OPTION_CONFIG: free(c->config_path); c->config_path = absolute(value); break;
    case OPTION_STATE: free(c->state_dir); c->state_dir = absolute(value); break;
    case OPTION_OUTPUT: c->json = strcmp(value, "json") == 0; break;
    case OPTION_FROM: c->from = value; break;
    case OPTION_TO: c->to = value; break;
    case OPTION_UNTIL: c->until = value; break;
    case OPTION_REFERENCE: c->reference = value; break;
    case OPTION_TABLE: c->table = value; break;
    case OPTION_COPY_AGAIN:
    case OPTION_RECOPY: c->copy_again = value; break;
    case OPTION_TOKEN: return set_number("--token", value, &c->token, f);
    case OPTION_NTH: return set_number("--nth", value, &c->nth, f);
    case OPTION_TIMES: return set_times(c, value, f);
    default: break; /* options of later releases */
    }
    return ERR_OK;
}

static void set_flag(struct cli *c, enum option o)
{
    switch (o) {
    case OPTION_YES: c->yes = true; break;
    case OPTION_ARM_AGAIN: c->arm_again = true; break;
    case OPTION_WATCH: c->watch = true; break;
    case OPTION_FOLLOW: c->follow = true; break;
    case OPTION_VERIFY: c->verify = true; break;
    case OPTION_APPLY: c->apply = true; break;
    case OPTION_MAN: c->man = true; break;
    case OPTION_DOORS: c->doors = true; break;
    case OPTION_NO_FAILOVER: c->no_failover = true; break;
    case OPTION_FORCE: c->force = true; break;
    default: break; /* --help and --version are seen by finish() */
    }
}

static enum err unknown_option(const struct cli *c, const char *name, struct fault *f)
{
    const char *near = option_nearest(name, c->command);

    if (near != NULL)
        return fault_set(f, ERR_USAGE, "there is no option %s; did you mean %s?", name, near);
    return fault_set(f, ERR_USAGE, "there is no option %s", name);
}

/* -h is the one short option there is. */
static enum err on_option(struct cli *c, struct given *g, int argc, char **argv, int *at, struct fault *f)
{
    const char *text = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    const char *equals = strchr(text, '=');
    AUTO_CHARS *name = mem_format("%.*s", (int)(equals != NULL ? equals - text : (ptrdiff_t)strlen(text)), text);
    enum option o = option_by_name(name);
    const char *value = equals != NULL ? equals + 1 : NULL;

    if (o == OPTION_COUNT)
        return unknown_option(c, name, f);
    g->options |= UINT64_C(1) << o;
    if (option_info(o)->value == NULL) {
        if (value != NULL)
            return fault_set(f, ERR_USAGE, "%s takes no value", name);
        set_flag(c, o);
        return ERR_OK;
    }
    if (value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (value == NULL || value[0] == '\0')
        return fault_set(f, ERR_USAGE, "%s needs a value: %s %s", name, name, option_info(o)->value);
    return set_value(c, o, value, f);
}

static enum err on_word(struct cli *c, struct given *g, const char *word, struct fault *f)
{
    enum command found;
    const char *near;

    if (g->have_command) {
        if (c->arg_count == CLI_MOST_ARGS)
            return fault_set(f, ERR_USAGE, "too many words: \"%s\"", word);
        c->args[c->arg_count++] = word;
        return ERR_OK;
    }
    found = command_by_name(word);
    if (found != COMMAND_COUNT) {
        g->have_command = true;
        c->command = found;
        return ERR_OK;
    }
    near = command_nearest(word);
    if (near != NULL)
        return fault_set(f, ERR_USAGE, "there is no command \"%s\"; did you mean %s?", word, near);
    return fault_set(f, ERR_USAGE, "there is no command \"%s\"", word);
}

static enum err check_options(const struct cli *c, const struct given *g, struct fault *f)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option o = (enum option)i;

        if ((g->options >> o & 1) == 0 || option_is_global(o) || option_is_of(o, c->command))
            continue;
        return fault_set(f, ERR_USAGE, "`leat %s` takes no %s", command_info(c->command)->name, option_info(o)->name);
    }
    return ERR_OK;
}

/* --help wins over everything, and is then about the command that was named. */
static enum err finish(struct cli *c, const struct given *g, struct fault *f)
{
    if ((g->options >> OPTION_HELP & 1) != 0) {
        c->arg_count = 0;
        if (g->have_command && c->command != COMMAND_HELP)
            c->args[c->arg_count++] = command_info(c->command)->name;
        c->command = COMMAND_HELP;
        return ERR_OK;
    }
    if ((g->options >> OPTION_VERSION & 1) != 0) {
        c->command = COMMAND_VERSION;
        c->arg_count = 0;
        return ERR_OK;
    }
    TRY(check_options(c, g, f));
    if (c->arg_count > command_info(c->command)->most_args)
        return fault_set(f, ERR_USAGE, "`leat %s` does not know what to do with \"%s\"", command_info(c->command)->name,
                         c->args[command_info(c->command)->most_args]);
    return ERR_OK;
}

static void fill_paths(struct cli *c)
{
    if (c->config_path == NULL)
        c->config_path = absolute("leat.yaml");
    if (c->state_dir == NULL) {
        AUTO_CHARS *folder = mem_dup(c->config_path);

        *strrchr(folder, '/') = '\0';
        c->state_dir = mem_format("%s/.leat", folder);
    }
}

static enum err parse_words(int argc, char **argv, struct cli *c, struct given *g, struct fault *f)
{
    for (int i = 1; i < argc; i++) {
        if (!g->only_words && strcmp(argv[i], "--") == 0)
            g->only_words = true;
        else if (!g->only_words && argv[i][0] == '-' && argv[i][1] != '\0')
            TRY(on_option(c, g, argc, argv, &i, f));
        else
            TRY(on_word(c, g, argv[i], f));
    }
    return finish(c, g, f);
}

/* Whether JSON is asked for anywhere on the line: it counts for an error before it, too. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--output=json") == 0 || (strcmp(argv[i], "--output") == 0 && i + 1 < argc && strcmp(argv[i + 1], "json") == 0))
            return true;
    return false;
}

enum err cli_parse(int argc, char **argv, struct cli *ret, struct fault *f)
{
    struct given g = {0};
    enum err err;

    *ret = (struct cli){.command = COMMAND_HELP, .short_help = argc < 2};
    err = parse_words(argc, argv, ret, &g, f);
    if (err != ERR_OK)
        ret->json = asks_for_json(argc, argv);
    fill_paths(ret);
    return err;
}

void cli_fini(struct cli *c)
{
    free(c->config_path);
    free(c->state_dir);
    if (c->config != NULL)
        config_free(c->config);
    *c = (struct cli){0};
}
