/* shift/inspect.c — see inspect.h. The question's bytes, its answer read with jansson, two answers compared. */
#include "shift/inspect.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "wire/messages.h"
#include "sql_embedded.h"
#include "wire/bytes.h"

#define BINARY 1

/* --- the question --- */

/* Names of plain letters with a dot in them: an array's literal needs no quoting. */
static void add_names(struct buf *b, const char *const *customs, size_t count)
{
    buf_adds(b, "'{");
    for (size_t i = 0; i < count; i++) {
        ENSURE(strpbrk(customs[i], "'\\\"{}, ") == NULL);
        buf_addf(b, "%s%s", i > 0 ? "," : "", customs[i]);
    }
    buf_adds(b, "}'");
}

/* Without parameters: a statement that has some is planned anew each of its first five times, which takes longer than carrying it out. */
static void add_text(struct buf *b, const char *const *customs, size_t count, bool locks)
{
    const char *at = SQL_DOOR_INSPECT;

    for (const char *next = strchr(at, '$'); next != NULL; at = next + 2, next = strchr(at, '$')) {
        buf_add(b, at, (size_t)(next - at));
        if (next[1] == '1')
            add_names(b, customs, count);
        else
            buf_adds(b, locks ? "true" : "false");
    }
    buf_add(b, at, strlen(at) + 1);
}

static void add_parse(struct buf *b, const char *const *customs, size_t count, bool locks)
{
    size_t at = message_begin(b, 'P');

    message_string(b, SESSION_INSPECT_NAME);
    add_text(b, customs, count, locks);
    buf_add_u16be(b, 0);
    message_end(b, at);
}

static void add_bind(struct buf *b)
{
    size_t at = message_begin(b, 'B');

    message_string(b, "");
    message_string(b, SESSION_INSPECT_NAME);
    buf_add_u16be(b, 0);
    buf_add_u16be(b, 0);
    buf_add_u16be(b, 1);
    buf_add_u16be(b, BINARY);
    message_end(b, at);
}

void inspect_request(struct buf *ret, const char *const *customs, size_t custom_count, bool locks)
{
    add_parse(ret, customs, custom_count, locks);
    add_bind(ret);
    message_execute(ret);
    message_close_statement(ret, SESSION_INSPECT_NAME);
    message_sync(ret);
}

void inspect_keep(struct buf *ret, const char *const *customs, size_t custom_count, bool locks)
{
    message_close_statement(ret, SESSION_INSPECT_NAME); /* one kept before; none is no error */
    add_parse(ret, customs, custom_count, locks);
    inspect_again(ret);
}

void inspect_again(struct buf *ret)
{
    add_bind(ret);
    message_execute(ret);
    message_sync(ret);
}

void inspect_forget(struct buf *ret)
{
    message_close_statement(ret, SESSION_INSPECT_NAME);
    message_sync(ret);
}

/* --- the answer --- */

/* Reads straight through: the first thing wrong is kept, everything after it reads as empty. */
struct reader {
    struct arena *arena;
    const char *wrong;
};

static const char *text_of(struct reader *r, const json_t *v, const char *what)
{
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) {
        r->wrong = r->wrong != NULL ? r->wrong : what;
        return "";
    }
    return arena_strdup(r->arena, json_string_value(v));
}

/* A list, or null for one without elements. */
static size_t length_of(struct reader *r, const json_t *list, const char *what)
{
    if (list == NULL || !(json_is_array(list) || json_is_null(list)))
        r->wrong = r->wrong != NULL ? r->wrong : what;
    return json_array_size(list);
}

static const char *const *read_texts(struct reader *r, const json_t *object, const char *what, size_t *ret_count)
{
    const json_t *list = json_object_get(object, what);
    size_t count = length_of(r, list, what);
    const char **texts = arena_alloc(r->arena, count * sizeof *texts);

    for (size_t i = 0; i < count; i++)
        texts[i] = text_of(r, json_array_get(list, i), what);
    *ret_count = count;
    return texts;
}

const char *session_setting_find(const struct session_setting *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(list[i].name, name) == 0)
            return list[i].value;
    return NULL;
}

/* Both lists into one; a custom setting that an extension has made the server's own stands in both. */
static void read_settings(struct reader *r, const json_t *object, struct session_state *s)
{
    static const char *const lists[] = {"settings", "customs"};
    struct session_setting *all = arena_alloc(r->arena, (json_array_size(json_object_get(object, lists[0])) +
                                                         json_array_size(json_object_get(object, lists[1]))) *
                                                            sizeof *all);
    size_t count = 0;

    for (size_t k = 0; k < 2; k++) {
        const json_t *list = json_object_get(object, lists[k]);
        size_t n = length_of(r, list, lists[k]);

        for (size_t i = 0; i < n; i++) {
            const json_t *pair = json_array_get(list, i);
            const char *name = text_of(r, json_array_get(pair, 0), lists[k]);

            if (session_setting_find(all, count, name) == NULL)
                all[count++] = (struct session_setting){name, text_of(r, json_array_get(pair, 1), lists[k])};
        }
    }
    s->settings = all;
    s->setting_count = count;
}

/* What an answer of before has not, is not known. */
static void read_effective(struct reader *r, const json_t *object, struct session_state *s)
{
    const json_t *list = json_object_get(object, "effective");
    struct session_setting *all = arena_alloc(r->arena, (json_array_size(list) + 1) * sizeof *all);

    s->effective = all;
    for (; s->effective_count < json_array_size(list); s->effective_count++) {
        const json_t *pair = json_array_get(list, s->effective_count);

        all[s->effective_count] = (struct session_setting){text_of(r, json_array_get(pair, 0), "effective"), text_of(r, json_array_get(pair, 1), "effective")};
    }
}

static void read_type(struct reader *r, const json_t *pair, struct session_type *ret)
{
    const char *oid = text_of(r, json_array_get(pair, 0), "types");
    char *end = NULL;
    unsigned long v = strtoul(oid, &end, 10);

    if (*oid < '0' || *oid > '9' || *end != '\0' || v == 0 || v > UINT32_MAX)
        r->wrong = r->wrong != NULL ? r->wrong : "types";
    ret->oid = (uint32_t)v;
    ret->name = text_of(r, json_array_get(pair, 1), "types");
}

static void read_statement(struct reader *r, const json_t *row, struct session_statement *ret)
{
    const json_t *types = json_array_get(row, 3);
    struct session_type *list;

    ret->name = text_of(r, json_array_get(row, 0), "statements");
    ret->text = text_of(r, json_array_get(row, 1), "statements");
    if (!json_is_boolean(json_array_get(row, 2)))
        r->wrong = r->wrong != NULL ? r->wrong : "statements";
    ret->from_sql = json_is_true(json_array_get(row, 2));
    ret->type_count = length_of(r, types, "types");
    ret->types = list = arena_alloc(r->arena, ret->type_count * sizeof *list);
    for (size_t i = 0; i < ret->type_count; i++)
        read_type(r, json_array_get(types, i), &list[i]);
}

static void read_statements(struct reader *r, const json_t *object, struct session_state *s)
{
    const json_t *list = json_object_get(object, "statements");
    struct session_statement *all;

    s->statement_count = length_of(r, list, "statements");
    s->statements = all = arena_alloc(r->arena, s->statement_count * sizeof *all);
    for (size_t i = 0; i < s->statement_count; i++)
        read_statement(r, json_array_get(list, i), &all[i]);
}

static struct session_state *read_state(struct reader *r, const json_t *object)
{
    struct session_state *s = arena_zalloc(r->arena, sizeof *s);

    s->session_user = text_of(r, json_object_get(object, "session_user"), "session_user");
    s->role = text_of(r, json_object_get(object, "role"), "role");
    s->encoding = text_of(r, json_object_get(object, "encoding"), "encoding");
    s->temp = read_texts(r, object, "temp", &s->temp_count);
    s->cursors = read_texts(r, object, "cursors", &s->cursor_count);
    s->locks = read_texts(r, object, "locks", &s->lock_count);
    s->channels = read_texts(r, object, "channels", &s->channel_count);
    read_settings(r, object, s);
    read_effective(r, object, s);
    read_statements(r, object, s);
    return s;
}

enum err session_state_parse(struct arena *arena, const char *json, size_t len, struct session_state **ret,
                             struct fault *f)
{
    struct reader r = {.arena = arena};
    json_error_t where;
    json_t *object = json_loadb(json, len, JSON_REJECT_DUPLICATES, &where);
    struct session_state *s;

    if (object == NULL)
        return fault_set(f, ERR_PROTOCOL, "what the session says of itself is no JSON: %s", where.text);
    s = read_state(&r, object);
    json_decref(object);
    if (r.wrong != NULL)
        return fault_set(f, ERR_PROTOCOL, "what the session says of its %s is not as asked", r.wrong);
    *ret = s;
    return ERR_OK;
}

enum err session_state_parse_row(struct arena *arena, const char *body, size_t len, struct session_state **ret,
                                 struct fault *f)
{
    struct bytes b = {.start = body, .at = body, .end = body + len};
    uint16_t count = bytes_u16(&b);
    uint32_t size = bytes_u32(&b);

    if (b.wrong != NULL || count != 1 || size != (size_t)(b.end - b.at))
        return fault_set(f, ERR_PROTOCOL, "what the session says of itself is not one value");
    return session_state_parse(arena, b.at, size, ret, f);
}

/* --- what cannot be moved --- */

static void add_list(struct buf *words, const char *what, const char *const *list, size_t count)
{
    if (count == 0)
        return;
    buf_addf(words, "%s%s", words->len > 0 ? "; " : "", what);
    for (size_t i = 0; i < count; i++)
        buf_addf(words, "%s %s", i > 0 ? "," : ":", list[i]);
}

const char *session_unmovable(const struct session_state *state, struct arena *arena)
{
    AUTO_BUF words = {0};

    add_list(&words, "temporary objects", state->temp, state->temp_count);
    add_list(&words, "cursors WITH HOLD", state->cursors, state->cursor_count);
    add_list(&words, "advisory locks of the session", state->locks, state->lock_count);
    return words.len > 0 ? arena_strdup(arena, buf_cstr(&words)) : NULL;
}

/* --- what is not the same --- */

static const char *other_setting(const struct session_state *a, const struct session_state *b, struct arena *arena)
{
    for (size_t i = 0; i < a->setting_count; i++) {
        const char *value = session_setting_find(b->settings, b->setting_count, a->settings[i].name);

        if (value == NULL || strcmp(value, a->settings[i].value) != 0)
            return arena_format(arena, "setting %s: \"%s\" became \"%s\"", a->settings[i].name, a->settings[i].value,
                                value != NULL ? value : "(not set)");
    }
    for (size_t i = 0; i < b->setting_count; i++)
        if (session_setting_find(a->settings, a->setting_count, b->settings[i].name) == NULL)
            return arena_format(arena, "setting %s: there is a new one", b->settings[i].name);
    return NULL;
}

/* Both in the order of names, as the question asks. */
static const char *other_channel(const struct session_state *a, const struct session_state *b, struct arena *arena)
{
    for (size_t i = 0; i < a->channel_count || i < b->channel_count; i++)
        if (i >= a->channel_count || i >= b->channel_count || strcmp(a->channels[i], b->channels[i]) != 0)
            return arena_format(arena, "channels listened to: %s",
                                i < a->channel_count ? a->channels[i] : b->channels[i]);
    return NULL;
}

static bool same_statement(const struct session_statement *a, const struct session_statement *b, bool here)
{
    if (strcmp(a->name, b->name) != 0 || a->from_sql != b->from_sql || a->type_count != b->type_count)
        return false;
    for (size_t i = 0; i < a->type_count; i++)
        if (strcmp(a->types[i].name, b->types[i].name) != 0)
            return false;
    return (a->from_sql && !here) ||
           strcmp(a->text, b->text) == 0; /* there a PREPARE's own part of the text was sent again */
}

static const char *other_statement(const struct session_state *a, const struct session_state *b, bool here,
                                   struct arena *arena)
{
    for (size_t i = 0; i < a->statement_count || i < b->statement_count; i++)
        if (i >= a->statement_count || i >= b->statement_count ||
            !same_statement(&a->statements[i], &b->statements[i], here))
            return arena_format(arena, "prepared statement \"%s\"",
                                i < a->statement_count ? a->statements[i].name : b->statements[i].name);
    return NULL;
}

/* here: both were asked of one session, so that texts are the same, too, where nothing has changed. */
static const char *differs(const struct session_state *a, const struct session_state *b, bool here, struct arena *arena)
{
    const char *why = session_unmovable(b, arena);

    if (why == NULL && strcmp(a->session_user, b->session_user) != 0)
        why = arena_format(arena, "session_user: %s became %s", a->session_user, b->session_user);
    if (why == NULL && strcmp(a->role, b->role) != 0)
        why = arena_format(arena, "role: %s became %s", a->role, b->role);
    if (why == NULL && strcmp(a->encoding, b->encoding) != 0)
        why = arena_format(arena, "client_encoding: %s became %s", a->encoding, b->encoding);
    if (why == NULL)
        why = other_setting(a, b, arena);
    if (why == NULL)
        why = other_channel(a, b, arena);
    return why != NULL ? why : other_statement(a, b, here, arena);
}

const char *session_state_differs(const struct session_state *a, const struct session_state *b, struct arena *arena)
{
    return differs(a, b, false, arena);
}

const char *session_state_changed(const struct session_state *before, const struct session_state *now,
                                  struct arena *arena)
{
    return differs(before, now, true, arena);
}
