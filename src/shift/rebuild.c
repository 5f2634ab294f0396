/* shift/rebuild.c — see rebuild.h. */
#include "shift/rebuild.h"

#include <string.h>
#include <strings.h>

#include "wire/messages.h"

#define SET_NAME "leat.door.set"
#define RUN_NAME "leat.door.run"
/* pg_catalog.unnest takes one array only: the form with several is no function, and found by its bare name alone. */
#define SET_SQL                                                                                                        \
    "SELECT pg_catalog.set_config(s.n, s.v, false) FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), "         \
    "pg_catalog.unnest($2::pg_catalog.text[])) s(n, v)"
#define TEXT_ARRAY_OID 1009
#define BINARY 1

struct list {
    const char **names;
    const char **values;
    size_t count;
};

static void add_to(struct list *l, const char *name, const char *value)
{
    l->names[l->count] = name;
    l->values[l->count++] = value;
}

/* Set once everything else stands. */
static bool is_late(const char *name)
{
    size_t len = strlen(name);

    return strncasecmp(name, "default_transaction_", strlen("default_transaction_")) == 0 ||
           strcasecmp(name, "client_encoding") == 0 || (len > 8 && strcasecmp(name + len - 8, "_timeout") == 0);
}

/* --- messages --- */

static void add_parse(struct buf *b, const char *name, const char *text, size_t len)
{
    size_t at = message_begin(b, 'P');

    message_string(b, name);
    buf_add(b, text, len);
    buf_addc(b, '\0');
    buf_add_u16be(b, 0);
    message_end(b, at);
}

static void add_bind_nothing(struct buf *b, const char *name)
{
    size_t at = message_begin(b, 'B');

    message_string(b, "");
    message_string(b, name);
    buf_add_u16be(b, 0);
    buf_add_u16be(b, 0);
    buf_add_u16be(b, 0);
    message_end(b, at);
}

static void add_run(struct buf *b, const char *sql, size_t len)
{
    add_parse(b, RUN_NAME, sql, len);
    add_bind_nothing(b, RUN_NAME);
    message_execute(b);
    message_close_statement(b, RUN_NAME);
}

static void add_set(struct buf *b, const struct list *l)
{
    size_t at;

    if (l->count == 0)
        return;
    at = message_begin(b, 'B');
    message_string(b, "");
    message_string(b, SET_NAME);
    buf_add_u16be(b, 1);
    buf_add_u16be(b, BINARY);
    buf_add_u16be(b, 2);
    message_text_array(b, l->names, l->count);
    message_text_array(b, l->values, l->count);
    buf_add_u16be(b, 0);
    message_end(b, at);
    message_execute(b);
}

/* --- the parts, in their order --- */

static void add_encoding(struct buf *b)
{
    const char *name = "client_encoding";
    const char *value = "UTF8";

    add_parse(b, SET_NAME, SET_SQL, strlen(SET_SQL));
    add_set(b, &(struct list){&name, &value, 1});
}

static void add_settings(struct buf *b, const struct rebuild *r, bool late, struct arena *arena)
{
    const struct session_state *s = r->state;
    size_t most = s->setting_count + 2;
    struct list l = {arena_alloc(arena, most * sizeof *l.names), arena_alloc(arena, most * sizeof *l.values), 0};
    bool encoding = false;

    for (size_t i = 0; i < s->setting_count; i++) {
        encoding = encoding || strcasecmp(s->settings[i].name, "client_encoding") == 0;
        if (is_late(s->settings[i].name) == late)
            add_to(&l, s->settings[i].name, s->settings[i].value);
    }
    if (!late && strcmp(s->session_user, r->login_user) != 0)
        add_to(&l, "session_authorization", s->session_user);
    if (!late)
        add_to(&l, "role", s->role);
    add_set(b, &l);
    if (late && !encoding) /* as the startup packet had it, and not as a setting of the session */
        add_run(b, "RESET client_encoding", strlen("RESET client_encoding"));
}

static void add_channels(struct buf *b, const struct session_state *s)
{
    for (size_t i = 0; i < s->channel_count; i++) {
        AUTO_BUF sql = {0};

        buf_adds(&sql, "LISTEN \"");
        for (const char *c = s->channels[i]; *c != '\0'; c++) {
            if (*c == '"')
                buf_addc(&sql, '"');
            buf_addc(&sql, *c);
        }
        buf_addc(&sql, '"');
        add_run(b, sql.data, sql.len);
    }
}

static enum err add_protocol_statement(struct buf *b, const struct rebuild *r, const struct session_statement *s,
                                       struct fault *f)
{
    size_t at = message_begin(b, 'P');

    message_string(b, s->name);
    message_string(b, s->text);
    if (s->type_count > UINT16_MAX)
        return fault_set(f, ERR_UNMOVABLE, "it has more parameters than a message can name");
    buf_add_u16be(b, (uint16_t)s->type_count);
    for (size_t i = 0; i < s->type_count; i++) {
        uint32_t oid;

        TRY_WITH(type_map_oid(r->types, s->types[i].oid, &oid, f), f, "parameter of type %s", s->types[i].name);
        buf_add_u32be(b, oid);
    }
    message_end(b, at);
    return ERR_OK;
}

static enum err add_sql_statement(struct buf *b, const struct session_statement *s, struct fault *f)
{
    size_t len;
    const char *sql = rebuild_find_prepare(s->text, s->name, &len);

    if (sql == NULL)
        return fault_set(f, ERR_UNMOVABLE, "its PREPARE cannot be told from what else stands in its query string");
    add_run(b, sql, len);
    return ERR_OK;
}

static enum err add_statements(struct buf *b, const struct rebuild *r, struct fault *f)
{
    for (size_t i = 0; i < r->state->statement_count; i++) {
        const struct session_statement *s = &r->state->statements[i];

        TRY_WITH(s->from_sql ? add_sql_statement(b, s, f) : add_protocol_statement(b, r, s, f), f,
                 "prepared statement \"%s\"", s->name);
    }
    return ERR_OK;
}

static enum err add_unnamed(struct buf *b, const struct rebuild *r, struct fault *f)
{
    size_t at;

    if (r->unnamed == NULL)
        return ERR_OK;
    at = message_begin(b, 'P');
    buf_add(b, r->unnamed, r->unnamed_len);
    message_end(b, at);
    TRY_WITH(type_map_parse(r->unnamed_types, b->data + at + 4, r->unnamed_len, f), f, "the unnamed statement");
    return ERR_OK;
}

static enum err add_all(struct buf *b, const struct rebuild *r, struct arena *arena, struct fault *f)
{
    add_encoding(b);
    add_settings(b, r, false, arena);
    add_channels(b, r->state);
    TRY(add_statements(b, r, f));
    add_settings(b, r, true, arena);
    message_close_statement(b, SET_NAME);
    TRY(add_unnamed(b, r, f));
    message_sync(b);
    return ERR_OK;
}

enum err rebuild_request(const struct rebuild *r, struct buf *ret, struct fault *f)
{
    AUTO(arena) *arena = arena_new(4096);
    size_t before = ret->len;
    enum err err = add_all(ret, r, arena, f);

    if (err != ERR_OK && ret->data != NULL) {
        ret->len = before;
        ret->data[before] = '\0';
    }
    return err;
}
