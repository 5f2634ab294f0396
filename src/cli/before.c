/* cli/before.c — see before.h. */
#include "cli/before.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pilot/plan.h"

#define QUESTION_WIDTH 78

static bool needs_consent(const struct pilot_plan_store *s, size_t step)
{
    if (s->states[step] == STEP_DONE || !pilot_steps[step].changes_source)
        return false;
    return strcmp(pilot_steps[step].name, "identity") != 0 || !s->seen || s->without_key_count > 0;
}

static bool yes_to(const struct pilot_plan *p, const struct pilot_plan_store *s, size_t step)
{
    AUTO_CHARS *effect = mem_format("%s, %s: %s", s->config->name, pilot_steps[step].name, pilot_step_effect(p, s, step));
    AUTO_CHARS *undo = mem_format("undo: %s", pilot_steps[step].undo);
    AUTO_CHARS *risk = mem_format("risk: %s", pilot_steps[step].risk);
    AUTO_BUF text = {0};
    char line[16];

    cli_wrap(&text, effect, QUESTION_WIDTH, 0);
    cli_wrap(&text, undo, QUESTION_WIDTH, 2);
    cli_wrap(&text, risk, QUESTION_WIDTH, 2);
    fprintf(stderr, "\nThis changes the source.\n%sGo on? [y/N] ", buf_cstr(&text));
    fflush(stderr);
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

/* A person says yes to each, or it is not done. */
static enum err ask(const struct pilot_plan *p, struct fault *f)
{
    for (size_t s = 0; s < p->store_count; s++)
        for (size_t i = 0; i < pilot_step_count; i++)
            if (needs_consent(&p->stores[s], i) && !yes_to(p, &p->stores[s], i))
                return fault_todo(f, ERR_CONSENT, "nothing was changed; `leat plan` shows everything that would be", "%s was declined for store %s", pilot_steps[i].name,
                                  p->stores[s].config->name);
    return ERR_OK;
}

static enum err refuse(const struct pilot_plan *p, struct fault *f)
{
    AUTO_BUF list = {0};

    for (size_t s = 0; s < p->store_count; s++)
        for (size_t i = 0; i < pilot_step_count; i++)
            if (needs_consent(&p->stores[s], i))
                buf_addf(&list, "%s%s: %s", list.len > 0 ? "; " : "", p->stores[s].config->name, pilot_step_effect(p, &p->stores[s], i));
    return fault_todo(f, ERR_CONSENT, "read `leat plan`, then give --yes", "this changes the source — %s", buf_cstr(&list));
}

enum err before_first(struct cli *c, struct fault *f)
{
    AUTO(pilot_plan) *p = NULL;
    bool armed;

    TRY(pilot_armed(c->config, c->state_dir, &armed, f));
    if (!armed) {
        TRY(pilot_check(c->config, c->state_dir, f));
        if (!c->yes) {
            TRY(pilot_plan_make(c->config, c->state_dir, &p, f));
            TRY(!c->json && isatty(STDIN_FILENO) && isatty(STDERR_FILENO) ? ask(p, f) : refuse(p, f));
        }
    }
    c->yes = true;
    return ERR_OK;
}
