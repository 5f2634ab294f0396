/* cli/cmd_verify.c — leat verify: asks for an exact comparison, shows how it goes, and says what was found. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/verifying.h"

#define MOST_SHOWN 10 /* rows of a table, for people */

/* --- telling --- */

static void tell_row(const json_t *row)
{
    char *key = json_dumps(json_object_get(row, "key"), JSON_COMPACT | JSON_ENSURE_ASCII);
    const json_t *columns = json_object_get(row, "columns");
    const json_t *c;
    size_t i;

    printf("    %-8s %s", json_string_value(json_object_get(row, "kind")), key);
    json_array_foreach(columns, i, c)
    {
        char *source = json_dumps(json_object_get(c, "source"), JSON_ENCODE_ANY);
        char *target = json_dumps(json_object_get(c, "target"), JSON_ENCODE_ANY);
        printf("%s %s: %s on the source, %s on the target", i > 0 ? ";" : "", json_string_value(json_object_get(c, "column")), source, target);
        free(source);
        free(target);
    }
    putchar('\n');
    free(key);
}

static void tell_table(const json_t *t)
{
    json_int_t n = json_integer_value(json_object_get(t, "differences"));
    const json_t *remark = json_object_get(t, "remark");
    const json_t *rows = json_object_get(t, "rows");
    const json_t *row;
    size_t i;

    if (remark != NULL)
        printf("  %s: %s\n", json_string_value(json_object_get(t, "table")), json_string_value(remark));
    if (n == 0)
        return;
    printf("  %s: %s%lld rows differ (%lld on the source, %lld on the target)\n", json_string_value(json_object_get(t, "table")), json_object_get(t, "more") != NULL ? "more than " : "", (long long)n,
           (long long)json_integer_value(json_object_get(t, "rows_source")), (long long)json_integer_value(json_object_get(t, "rows_target")));
    json_array_foreach(rows, i, row)
    {
        if (i < MOST_SHOWN)
            tell_row(row);
    }
    if (n > MOST_SHOWN)
        printf("    … and %lld more\n", (long long)n - MOST_SHOWN);
}

static void tell_store(const char *store, const json_t *report)
{
    const json_t *tables = json_object_get(report, "tables");
    const json_t *left_out = json_object_get(report, "unverifiable");
    const json_t *self_test = json_object_get(report, "self_test");
    char rows[32];
    const json_t *one;
    size_t i;

    printf("%s: %s: %zu tables, %s rows; the self-test found %lld of %lld damages\n", store, json_is_true(json_object_get(report, "clean")) ? "both sides are equal" : "NOT equal",
           json_array_size(tables), cli_count(json_integer_value(json_object_get(report, "rows")), rows), (long long)json_integer_value(json_object_get(self_test, "found")),
           (long long)json_integer_value(json_object_get(self_test, "planted")));
    json_array_foreach(tables, i, one)
        tell_table(one);
    json_array_foreach(json_object_get(report, "objects"), i, one)
        printf("  %s %s: %s\n", json_string_value(json_object_get(one, "kind")), json_string_value(json_object_get(one, "object")), json_string_value(json_object_get(one, "why")));
    json_array_foreach(left_out, i, one)
        printf("  could not be compared: %s: %s\n", json_string_value(json_object_get(one, "object")), json_string_value(json_object_get(one, "why")));
    json_array_foreach(json_object_get(report, "not_compared"), i, one)
        printf("  not compared: %s: %s\n", json_string_value(json_object_get(one, "object")), json_string_value(json_object_get(one, "why")));
}

static const char *store_name(const struct cli *c, const char *stream)
{
    return config_stream_base(config_stream_find(c->config, stream));
}

static enum err tell(struct verifying *v, bool *ret_clean, struct fault *f)
{
    json_t *stores = json_array();
    enum err err = ERR_OK;

    *ret_clean = true;
    if (v->terminal && !v->cli->json)
        fputs("\r\033[K", stderr);
    for (size_t i = 0; i < v->count && err == ERR_OK; i++) {
        json_t *report = NULL;
        err = verify_report(v->journal, v->asked[i].store, v->asked[i].id, &report, f);
        if (err != ERR_OK)
            break;
        *ret_clean = *ret_clean && json_is_true(json_object_get(report, "clean"));
        json_object_set_new(report, "name", json_string(store_name(v->cli, v->asked[i].store)));
        json_object_set_new(report, "way_back", json_boolean(config_stream_find(v->cli->config, v->asked[i].store)->back)); /* then `source` is the side that serves, too */
        json_object_set_new(report, "joined", json_boolean(v->asked[i].joined));
        if (!v->cli->json)
            tell_store(v->asked[i].store, report);
        json_array_append_new(stores, report);
    }
    if (v->cli->json && err == ERR_OK) {
        json_t *o = cli_object(v->cli, *ret_clean);
        json_object_set(o, "stores", stores);
        cli_answer(v->cli, o, *ret_clean ? "leat status" : "leat repair");
    }
    json_decref(stores);
    return err;
}

static enum err verify(struct cli *c, struct verifying *v, struct arena *a, bool *ret_clean, struct fault *f)
{
    TRY(verifying_open(v, c, a, VERIFY_COMPARE, f));
    TRY(verifying_ask(v, NULL, f));
    TRY(verifying_wait(v, f));
    return tell(v, ret_clean, f);
}

int cmd_verify(struct cli *c, struct fault *f)
{
    AUTO(arena) *a = arena_new(16384);
    struct verifying v = {.journal = NULL};
    bool clean = false;
    enum err err = verify(c, &v, a, &clean, f);

    verifying_close(&v);
    if (err != ERR_OK)
        return err_info(err)->exit_status;
    return clean ? 0 : 2;
}
