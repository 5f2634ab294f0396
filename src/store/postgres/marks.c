/* store/postgres/marks.c — what of a stream is leat's own: echoes of its mirror, marks of a switch, who serves. See marks.h. */
#include "store/postgres/marks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct value *column(const struct change *c, const char *name)
{
    for (uint16_t i = 0; i < c->relation->column_count; i++)
        if (strcmp(c->relation->columns[i].name, name) == 0)
            return c->new->values[i].len >= 0 ? &c->new->values[i] : NULL;
    return NULL;
}

static bool is_text(const struct value *v, const char *text)
{
    return v != NULL && (size_t)v->len == strlen(text) && memcmp(v->data, text, (size_t)v->len) == 0;
}

static bool is_row_of(const struct change *c, const char *table)
{
    return c->kind == CHANGE_INSERT && c->relation != NULL && c->new != NULL && strcmp(c->relation->schema, "leat") == 0 && strcmp(c->relation->name, table) == 0;
}

bool pg_is_echo(const struct store *s, const struct change *c)
{
    const struct config_store *mirror = s->store->other;
    const struct value *stream;
    size_t n;

    if (mirror == NULL || !is_row_of(c, "progress") || !is_text(column(c, "migration"), s->migration))
        return false;
    n = strlen(mirror->name);
    stream = column(c, "stream");
    return stream != NULL && (size_t)stream->len > n && memcmp(stream->data, mirror->name, n) == 0 && stream->data[n] == ':';
}

static int64_t number(const struct value *v)
{
    char text[24] = "";

    if (v != NULL && (size_t)v->len < sizeof text)
        memcpy(text, v->data, (size_t)v->len);
    return strtoll(text, NULL, 10);
}

bool pg_store_switch_note(const struct store *s, const struct change *c, struct switch_note *ret)
{
    const char *base = store_base(s);

    if (is_row_of(c, "mark") && is_text(column(c, "migration"), s->migration) && is_text(column(c, "store"), s->name)) {
        *ret = (struct switch_note){.mark = number(column(c, "attempt"))};
        return true;
    }
    if (is_row_of(c, "turn") && is_text(column(c, "migration"), s->migration) && is_text(column(c, "store"), base)) {
        *ret = (struct switch_note){.is_turn = true, .epoch = number(column(c, "epoch")), .serves = is_text(column(c, "serves"), "t")};
        return true;
    }
    return false;
}
