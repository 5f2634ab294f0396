/* cli/cmd_explain.c — leat explain: errors, findings, events and steps, from their tables. */
#include <stdio.h>
#include <string.h>

#include "assess/finding.h"
#include "cli/cli.h"
#include "journal/journal.h"
#include "pilot/plan.h"

static void say(struct cli *c, const char *kind, const char *name, const char *means, const char *why, const char *todo)
{
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "kind", json_string(kind));
        json_object_set_new(o, "name", json_string(name));
        json_object_set_new(o, "means", json_string(means));
        json_object_set_new(o, "why", json_string(why));
        json_object_set_new(o, "todo", json_string(todo));
        cli_answer(c, o, NULL);
        return;
    }
    printf("%s (%s)\n  %s\n", name, kind, means);
    if (why[0] != '\0')
        printf("  why: %s\n", why);
    if (todo[0] != '\0')
        printf("  do:  %s\n", todo);
}

static bool explain_error(struct cli *c, const char *name)
{
    enum err err = err_by_code(name);
    char class[64];

    if (err == ERR_OK)
        return false;
    snprintf(class, sizeof class, "error of class %s, exit status %d", err_class_name(err_info(err)->class), err_info(err)->exit_status);
    say(c, class, name, err_info(err)->text, "", err_info(err)->remedy);
    return true;
}

static bool explain_finding(struct cli *c, const char *name)
{
    const struct finding_info *info = finding_info(name);

    if (info == NULL)
        return false;
    say(c, "finding of doctor", name, info->what, info->why, info->todo);
    return true;
}

static bool explain_step(struct cli *c, const char *name)
{
    for (size_t i = 0; i < pilot_step_count; i++)
        if (strcmp(pilot_steps[i].name, name) == 0) {
            say(c, "step", name, pilot_steps[i].effect, pilot_steps[i].risk, pilot_steps[i].undo);
            return true;
        }
    return false;
}

static bool explain_event(struct cli *c, const char *name)
{
    for (int i = 0; i < EVENT_KIND_COUNT; i++)
        if (strcmp(event_kind_name((enum event_kind)i), name) == 0) {
            say(c, "event of the journal", name, event_kind_text((enum event_kind)i), "", "");
            return true;
        }
    return false;
}

static void list_all(void)
{
    size_t count;
    const struct finding_info *findings = finding_infos(&count);

    puts("errors");
    for (int i = 1; i < ERR_COUNT; i++)
        printf("  %-20s %s\n", err_info((enum err)i)->code, err_info((enum err)i)->text);
    puts("steps");
    for (size_t i = 0; i < pilot_step_count; i++)
        printf("  %-20s %s\n", pilot_steps[i].name, pilot_steps[i].effect);
    puts("findings");
    for (size_t i = 0; i < count; i++)
        printf("  %-20s %s\n", findings[i].id, findings[i].what);
    puts("events");
    for (int i = 0; i < EVENT_KIND_COUNT; i++)
        printf("  %-20s %s\n", event_kind_name((enum event_kind)i), event_kind_text((enum event_kind)i));
}

int cmd_explain(struct cli *c, struct fault *f)
{
    if (c->arg_count == 0) {
        list_all();
        return 0;
    }
    if (explain_error(c, c->args[0]) || explain_finding(c, c->args[0]) || explain_step(c, c->args[0]) || explain_event(c, c->args[0]))
        return 0;
    return err_info(fault_set(f, ERR_UNKNOWN_NAME, "%s is no error, finding, step or event", c->args[0]))->exit_status;
}
