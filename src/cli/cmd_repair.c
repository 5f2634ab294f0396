/* cli/cmd_repair.c — leat repair: what would mend the differences the last comparison found, as a plan; with --apply, carried out and
 * compared again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verifying.h"
#include "pilot/status.h"

#define MOST_SHOWN 10 /* rows of a table, for people */

static char *plan_path(const struct cli *c, const char *store)
{
    return mem_format("%s/repair/%s.json", c->state_dir, store);
}

/* --- who is asked --- */

static json_t *outcome_of(struct verifying *v, const char *store)
{
    struct fault ignored = {0};
    const char *text = NULL;

    return v->journal->ops->fact_get(v->journal, store, VERIFY_OUTCOME, v->arena, &text, &ignored) == ERR_OK && text != NULL ? json_loads(text, 0, NULL) : NULL;
}

static bool differs(struct verifying *v, const char *store)
{
    json_t *o = outcome_of(v, store);
    bool yes = json_array_size(json_object_get(o, "differing")) > 0 || (o != NULL && v->cli->table != NULL);

    json_decref(o);
    return yes;
}

static bool is_planned(struct verifying *v, const char *store)
{
    AUTO_CHARS *path = plan_path(v->cli, store);

    return access(path, R_OK) == 0;
}

static bool was_compared(struct verifying *v)
{
    for (size_t i = 0; i < v->cli->config->store_count; i++) {
        json_t *o = outcome_of(v, pilot_leading(v->cli->state_dir, &v->cli->config->stores[i])->name);
        json_decref(o);
        if (o != NULL)
            return true;
    }
    return false;
}

static enum err ask(struct verifying *v, struct fault *f)
{
    bool apply = v->does == VERIFY_REPAIR;

    TRY(verifying_ask(v, apply ? is_planned : differs, f));
    if (v->count > 0)
        return ERR_OK;
    if (apply)
        return fault_todo(f, ERR_REPAIR_PLAN, "leat repair", "there is no plan in %s/repair", v->cli->state_dir);
    return was_compared(v) ? ERR_OK : fault_todo(f, ERR_REPAIR_PLAN, "leat verify", "both sides have not been compared yet");
}

/* --- telling --- */

static void print_value(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);

    printf("%.*s%s", 60, text, strlen(text) > 60 ? "…" : "");
    free(text);
}

static void tell_mend(const json_t *table, const json_t *mend)
{
    const json_t *before = json_object_get(mend, "before");
    const json_t *after = json_object_get(mend, "after");
    const json_t *columns = json_object_get(table, "columns");
    size_t keys = (size_t)json_integer_value(json_object_get(table, "keys"));
    const json_t *name;
    size_t i;

    printf("    %-8s", json_is_null(before) ? "insert" : json_is_null(after) ? "delete" : "update");
    json_array_foreach(columns, i, name)
    {
        const json_t *old = json_array_get(before, i);
        const json_t *new = json_array_get(after, i);
        bool changes = old != NULL && new != NULL && !json_equal(old, new);
        if (i >= keys && !changes && keys > 0)
            continue;
        printf(" %s ", json_string_value(name));
        print_value(old != NULL ? old : new);
        if (changes) {
            fputs(" → ", stdout);
            print_value(new);
        }
    }
    putchar('\n');
}

static void tell_planned_table(const json_t *table)
{
    const json_t *mends = json_object_get(table, "mends");
    const json_t *mend;
    size_t i;

    printf("  %s: %zu row(s)\n", json_string_value(json_object_get(table, "table")), json_array_size(mends));
    json_array_foreach(mends, i, mend)
    {
        if (i < MOST_SHOWN)
            tell_mend(table, mend);
    }
    if (json_array_size(mends) > MOST_SHOWN)
        printf("    … and %zu more\n", json_array_size(mends) - MOST_SHOWN);
}

static void tell_plan(const char *store, const json_t *about, const json_t *plan)
{
    const json_t *one;
    size_t i;

    printf("%s: %lld row(s) of %lld table(s) would be written on the target; nothing was changed\n", store, (long long)json_integer_value(json_object_get(about, "rows")),
           (long long)json_integer_value(json_object_get(about, "tables")));
    json_array_foreach(json_object_get(plan, "tables"), i, one)
        tell_planned_table(one);
    json_array_foreach(json_object_get(about, "refused"), i, one)
        printf("  %s: %s\n", json_string_value(json_object_get(one, "table")), json_string_value(json_object_get(one, "why")));
    printf("  to be read: %s\nnext: leat repair %s --apply\n", json_string_value(json_object_get(about, "sql")), store);
}

static void tell_mended(const char *store, const json_t *report)
{
    const json_t *one;
    const json_t *row;
    size_t i;
    size_t k;

    printf("%s: %s\n", store, json_is_true(json_object_get(report, "clean")) ? "mended, and compared again: these tables are equal" : "NOT equal after the repair: `leat verify`, then `leat repair` again");
    json_array_foreach(json_object_get(report, "mended"), i, one)
    {
        const char *why = json_string_value(json_object_get(one, "why"));
        printf("  %s: %lld mended, %lld left%s%s\n", json_string_value(json_object_get(one, "table")), (long long)json_integer_value(json_object_get(one, "mended")),
               (long long)json_integer_value(json_object_get(one, "left")), why != NULL ? ": " : "", why != NULL ? why : "");
        json_array_foreach(json_object_get(one, "rows"), k, row)
            printf("    %s: %s\n", json_string_value(json_object_get(row, "kind")), json_string_value(json_object_get(row, "why")));
    }
}

static enum err tell_store(struct verifying *v, const struct asked *asked, json_t *stores, bool *ret_clean, struct fault *f)
{
    AUTO_CHARS *path = plan_path(v->cli, asked->store);
    json_t *report;
    json_t *plan = NULL;

    TRY(verify_report(v->journal, asked->store, asked->id, &report, f));
    if (v->does == VERIFY_PLAN) {
        plan = json_load_file(path, 0, NULL);
        *ret_clean = *ret_clean && json_array_size(json_object_get(plan, "refused")) == 0;
        if (!v->cli->json)
            tell_plan(asked->store, json_object_get(report, "plan"), plan);
        json_object_update(json_object_get(report, "plan"), plan);
    } else {
        *ret_clean = *ret_clean && json_is_true(json_object_get(report, "clean"));
        if (!v->cli->json)
            tell_mended(asked->store, report);
    }
    json_decref(plan);
    json_object_set_new(report, "name", json_string(asked->store));
    json_array_append_new(stores, report);
    return ERR_OK;
}

static enum err tell(struct verifying *v, bool *ret_clean, struct fault *f)
{
    json_t *stores = json_array();
    enum err err = ERR_OK;

    *ret_clean = true;
    if (v->terminal && !v->cli->json)
        fputs("\r\033[K", stderr);
    for (size_t i = 0; i < v->count && err == ERR_OK; i++)
        err = tell_store(v, &v->asked[i], stores, ret_clean, f);
    if (err == ERR_OK && v->cli->json) {
        json_t *o = cli_object(v->cli, *ret_clean);
        json_object_set(o, "stores", stores);
        cli_answer(v->cli, o, v->does == VERIFY_PLAN && v->count > 0 ? "leat repair --apply" : "leat status");
    } else if (err == ERR_OK && v->count == 0) {
        puts("nothing to mend: the last comparison found no row that differs");
    }
    json_decref(stores);
    return err;
}

static enum err repair(struct cli *c, struct verifying *v, struct arena *a, bool *ret_clean, struct fault *f)
{
    TRY(verifying_open(v, c, a, c->apply ? VERIFY_REPAIR : VERIFY_PLAN, f));
    TRY(ask(v, f));
    if (v->count > 0)
        TRY(verifying_wait(v, f));
    return tell(v, ret_clean, f);
}

int cmd_repair(struct cli *c, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct verifying v = {.journal = NULL};
    bool clean = false;
    enum err err;

    if (c->copy_again != NULL) /* --recopy */
        return cmd_resume(c, f);
    err = repair(c, &v, a, &clean, f);
    verifying_close(&v);
    if (err != ERR_OK)
        return err_info(err)->exit_status;
    return clean ? 0 : 2;
}
