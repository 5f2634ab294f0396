/* cli/cmd_doctor.c — leat doctor: a checklist, and what mends each finding. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "assess/doctor.h"
#include "cli/cli.h"

static const char *mark(enum severity s)
{
    static const char *const marks[] = {"✓", "·", "!", "✗"};

    return marks[s];
}

static void print_one(const struct finding *x)
{
    static const char *const colors[] = {"\033[32m", "", "\033[33m", "\033[31m"};
    bool color = cli_colors(STDOUT_FILENO);

    printf("  %s%s%s %s: %s\n", color ? colors[x->severity] : "", mark(x->severity), color ? "\033[0m" : "", x->object, x->why);
    for (const char *line = x->fix; line[0] != '\0' && x->severity != SEVERITY_OK;) {
        size_t n = strcspn(line, "\n");
        printf("      → %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

static void print_all(const struct findings *fs)
{
    const char *store = NULL;

    for (size_t i = 0; i < fs->count; i++) {
        const struct finding *x = &fs->list[i];
        if (store == NULL || strcmp(store, x->store) != 0) {
            store = x->store;
            printf("%s%s\n", i > 0 ? "\n" : "", store[0] != '\0' ? store : "this machine");
        }
        print_one(x);
    }
}

static void answer(struct cli *c, const struct findings *fs, bool ok)
{
    json_t *o = cli_object(c, ok);
    json_t *list = json_array();

    for (size_t i = 0; i < fs->count; i++) {
        const struct finding *x = &fs->list[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", x->id, "severity", severity_name(x->severity), "store", x->store, "object", x->object, "why", x->why, "fix", x->fix));
    }
    json_object_set_new(o, "findings", list);
    cli_answer(c, o, ok ? "leat plan" : "run the statements in `fix`, then leat doctor");
}

int cmd_doctor(struct cli *c, struct fault *f)
{
    struct findings fs;
    size_t blockers;
    size_t warnings;

    if (doctor_examine_with(c->config, c->state_dir, &fs, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    blockers = findings_count(&fs, SEVERITY_BLOCKER);
    warnings = findings_count(&fs, SEVERITY_WARNING) - blockers;
    if (c->json) {
        answer(c, &fs, blockers == 0);
    } else {
        print_all(&fs);
        if (blockers > 0)
            printf("\n%zu to mend first, %zu to know. Then `leat doctor` again.\n", blockers, warnings);
        else
            printf("\nNothing blocks (%zu to know). Next: `leat plan`, then `leat run`.\n", warnings);
    }
    findings_fini(&fs);
    return blockers > 0 ? 1 : 0;
}
