/* verify/report.c — see report.h. Values are shown cut to VALUE_MOST bytes. */
#include "verify/report.h"

#include <string.h>

#define VALUE_MOST 200
#define COLUMNS_MOST 16 /* of a row: of its key, and of those that differ */

char *report_name(const struct table *t)
{
    return mem_format("%s.%s", t->schema, t->name);
}

const json_t *report_in(const json_t *list, const struct table *t)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
        if (table_is_called(t, json_string_value(json_object_get(one, "table"))))
            return one;
    return NULL;
}

/* Cut between characters: what is cut in the middle is no UTF-8. */
static json_t *value_json(const char *text)
{
    size_t n;
    json_t *o;

    if (text == NULL)
        return json_null();
    n = strlen(text);
    if (n <= VALUE_MOST) {
        o = json_string(text);
    } else {
        for (n = VALUE_MOST; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
        o = json_sprintf("%.*s…", (int)n, text);
    }
    return o != NULL ? o : json_string("(bytes that are no UTF-8)"); /* of a database without an encoding */
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static json_t *key_json(const struct compared *t, const struct named_row *row)
{
    const char *const *values = row->source != NULL ? row->source : row->target;
    uint16_t count = t->plan.keys > 0 ? t->plan.keys : t->plan.count;
    json_t *o = json_object();

    for (uint16_t i = 0; values != NULL && i < count && i < COLUMNS_MOST; i++)
        json_object_set_new(o, t->plan.columns[i].source->name, value_json(values[i]));
    return o;
}

static json_t *columns_json(const struct compared *t, const struct named_row *row)
{
    json_t *list = json_array();

    for (uint16_t i = 0; row->source != NULL && row->target != NULL && i < t->plan.count && json_array_size(list) < COLUMNS_MOST; i++)
        if (!same_text(row->source[i], row->target[i]))
            json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "column", t->plan.columns[i].source->name, "source", value_json(row->source[i]), "target", value_json(row->target[i])));
    return list;
}

static json_t *rows_json(const struct compared *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->named_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:o, s:o}", "kind", difference_name(t->named[i].kind), "count", (json_int_t)t->named[i].count, "key", key_json(t, &t->named[i]),
                                              "columns", columns_json(t, &t->named[i])));
    return list;
}

json_t *report_table(const struct compared *t, bool with_rows)
{
    AUTO_CHARS *name = report_name(t->source);
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:f}", "table", name, "rows_source", (json_int_t)t->rows[0], "rows_target", (json_int_t)t->rows[1], "differences", (json_int_t)t->differences,
                          "seconds", (double)t->us / 1e6);

    if (t->more)
        json_object_set_new(o, "more", json_true());
    if (t->remark != NULL)
        json_object_set_new(o, "remark", json_string(t->remark));
    if (t->named_count > 0 && with_rows)
        json_object_set_new(o, "rows", rows_json(t));
    return o;
}
