/* cli/main.c — the one binary: parses the line, loads leat.yaml where a command needs it, and hands over. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "replicate/engine.h"
#include "shift/door.h"
#include "verify/verify.h"
#include "store/postgres/holder.h"

static int cmd_version(struct cli *c, struct fault *f)
{
    (void)f;
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "version", json_string(LEAT_VERSION));
        cli_answer(c, o, NULL);
    } else {
        printf("leat %s\n", LEAT_VERSION);
    }
    return 0;
}

static int cmd_engine(struct cli *c, struct fault *f)
{
    (void)f;
    return engine_main(c->config, c->state_dir, c->arg_count > 0 ? c->args[0] : "", c->token, c->yes, &verify_guest);
}

static int cmd_door(struct cli *c, struct fault *f)
{
    return door_main(c->config, c->state_dir, c->arg_count > 0 ? c->args[0] : "", c->nth, f);
}

static int cmd_later(struct cli *c, struct fault *f)
{
    const struct command_info *x = command_info(c->command);

    return err_info(fault_set(f, ERR_NOT_YET, "`leat %s` (%s) comes with a later release", x->name, x->text))->exit_status;
}

struct entry {
    int (*run)(struct cli *c, struct fault *f);
    bool needs_config;
};

static const struct entry entries[COMMAND_COUNT] = {
    [COMMAND_INIT] = {cmd_init, false},     [COMMAND_DOCTOR] = {cmd_doctor, true},   [COMMAND_PLAN] = {cmd_plan, true},
    [COMMAND_RUN] = {cmd_run, true},        [COMMAND_START] = {cmd_start, true},     [COMMAND_STOP] = {cmd_stop, true},      [COMMAND_RESUME] = {cmd_resume, true},
    [COMMAND_VERIFY] = {cmd_verify, true},
    [COMMAND_REPAIR] = {cmd_repair, true},
    [COMMAND_REHEARSE] = {cmd_rehearse, true}, [COMMAND_CUTOVER] = {cmd_cutover, true}, [COMMAND_ROLLBACK] = {cmd_rollback, true},
    [COMMAND_SHIFT] = {cmd_shift, true},
    [COMMAND_STATUS] = {cmd_status, true},  [COMMAND_EVENTS] = {cmd_events, true},   [COMMAND_EXPLAIN] = {cmd_explain, false},
    [COMMAND_HELP] = {cmd_help, false},     [COMMAND_VERSION] = {cmd_version, false}, [COMMAND_ENGINE] = {cmd_engine, true},
    [COMMAND_DOOR] = {cmd_door, true}, [COMMAND_PILOT] = {cmd_pilot, true},    [COMMAND_COMPLETION] = {cmd_completion, false},
};

int main(int argc, char **argv)
{
    struct cli c = {.command = COMMAND_HELP};
    struct fault f = {0};
    const struct entry *entry;
    int status;

    if (argc > 1 && strcmp(argv[1], "holder") == 0)
        return holder_main(argc - 1, argv + 1);
    if (cli_parse(argc, argv, &c, &f) != ERR_OK) {
        status = cli_fault(&c, &f);
        cli_fini(&c);
        return status;
    }
    entry = &entries[c.command];
    if (entry->run == NULL)
        status = cmd_later(&c, &f);
    else if (entry->needs_config && config_load(c.config_path, &c.config, &f) != ERR_OK)
        status = err_info(f.code)->exit_status;
    else
        status = entry->run(&c, &f);
    if (f.code != ERR_OK)
        status = cli_fault(&c, &f);
    cli_fini(&c);
    return status;
}
