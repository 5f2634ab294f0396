/* build/dsn_env.c — see dsn_env.h. */
#include "build/dsn_env.h"

#include <libpq-fe.h>
#include <stdlib.h>

static void conninfo_drop(PQconninfoOption **options)
{
    PQconninfoFree(*options);
}

static bool is_plain_name(const char *dsn)
{
    return strchr(dsn, '=') == NULL && strncmp(dsn, "postgres://", 11) != 0 && strncmp(dsn, "postgresql://", 13) != 0;
}

/* Set by us below, whatever the DSN says of them. */
static bool is_ours(const char *keyword)
{
    static const char *const ours[] = {"application_name", "fallback_application_name", "options", "client_encoding",
                                       "replication"};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(keyword, ours[i]) == 0)
            return true;
    return false;
}

static void add_quoted(struct buf *b, const char *keyword, const char *value)
{
    buf_addf(b, "%s%s='", b->len > 0 ? " " : "", keyword);
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\')
            buf_addc(b, '\\');
        buf_addc(b, *value);
    }
    buf_addc(b, '\'');
}

struct env_list {
    struct arena *arena;
    const char **list;
    size_t count;
    struct buf rest;
};

static void put(struct env_list *l, const char *name, const char *value)
{
    l->list[l->count++] = arena_format(l->arena, "%s=%s", name, value);
}

static enum err put_option(struct env_list *l, const PQconninfoOption *o, struct fault *f)
{
    if (o->envvar != NULL && *o->envvar != '\0')
        put(l, o->envvar, o->val);
    else if (strcmp(o->keyword, "sslpassword") == 0)
        return fault_set(f, ERR_CONFIG, "pg_dump cannot be given sslpassword: use a client key without a passphrase");
    else
        add_quoted(&l->rest, o->keyword, o->val);
    return ERR_OK;
}

static const char *find_value(const PQconninfoOption *o, const char *keyword)
{
    for (; o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    return NULL;
}

static enum err put_all(struct env_list *l, const PQconninfoOption *options, const char *name, const char *more,
                        struct fault *f)
{
    const char *of_dsn = find_value(options, "options");
    const char *inherited = getenv("PGOPTIONS");

    for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (o->val != NULL && !is_ours(o->keyword))
            TRY(put_option(l, o, f));
    of_dsn = of_dsn != NULL ? of_dsn : inherited != NULL ? inherited : "";
    put(l, "PGOPTIONS", arena_format(l->arena, "%s%s%s", of_dsn, *of_dsn != '\0' ? " " : "", more));
    put(l, "PGAPPNAME", name);
    put(l, "PGCLIENTENCODING", "UTF8");
    if (find_value(options, "connect_timeout") == NULL)
        put(l, "PGCONNECT_TIMEOUT", "10");
    put(l, "LC_ALL", "C"); /* its own words are read */
    return ERR_OK;
}

enum err dsn_env_make(struct arena *a, const char *dsn, const char *name, const char *more, struct dsn_env *ret,
                      struct fault *f)
{
    const char *text = dsn;
    struct env_list l = {.arena = a};
    size_t count = 0;
    enum err err;

    if (is_plain_name(dsn)) {
        AUTO_BUF quoted = {0};
        add_quoted(&quoted, "dbname", dsn);
        text = arena_strdup(a, buf_cstr(&quoted));
    }
    __attribute__((cleanup(conninfo_drop))) PQconninfoOption *options = PQconninfoParse(text, NULL);
    if (options == NULL)
        return fault_set(f, ERR_CONFIG, "the connection string is not understood");
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
        count++;
    l.list = arena_zalloc(a, (count + 8) * sizeof *l.list);
    err = put_all(&l, options, name, more, f);
    if (err == ERR_OK)
        *ret = (struct dsn_env){.env = l.list, .rest = arena_strdup(a, buf_cstr(&l.rest))};
    buf_fini(&l.rest);
    return err;
}
