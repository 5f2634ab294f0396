/* cli/again.c — see again.h. */
#include "cli/again.h"

#include <string.h>

#include "pilot/status.h"
#include "replicate/again.h"

/* "schema.name", or a name that only one schema has. */
static enum err find_table(const struct catalog *catalog, const char *text, size_t len, const struct table **ret, struct fault *f)
{
    const struct table *found = NULL;

    for (size_t i = 0; i < catalog->table_count; i++) {
        const struct table *t = &catalog->tables[i];
        AUTO_CHARS *full = mem_format("%s.%s", t->schema, t->name);

        if (strlen(full) == len && strncmp(full, text, len) == 0) {
            *ret = t;
            return ERR_OK;
        }
        if (strlen(t->name) != len || strncmp(t->name, text, len) != 0)
            continue;
        if (found != NULL)
            return fault_todo(f, ERR_UNKNOWN_NAME, "name it with its schema", "there is a table %s in more than one schema", t->name);
        found = t;
    }
    if (found == NULL)
        return fault_todo(f, ERR_UNKNOWN_NAME, "`leat status` lists the tables; partitions are named one by one", "no table %.*s is followed", (int)len, text);
    *ret = found;
    return ERR_OK;
}

static enum err list_tables(const struct catalog *catalog, const char *names, struct buf *ret, struct fault *f)
{
    for (const char *at = names; *at != '\0';) {
        size_t n = strcspn(at, ",");
        const struct table *t = NULL;

        TRY(find_table(catalog, at, n, &t, f));
        buf_addf(ret, "%c%u", ret->len > 0 ? ',' : '{', t->oid);
        at += n + (at[n] == ',');
    }
    if (ret->len == 0)
        return fault_set(f, ERR_USAGE, "--copy-again names no table");
    buf_addc(ret, '}');
    return ERR_OK;
}

static enum err ask_tables(const struct cli *c, const struct config_store *cs, struct journal *j, struct fault *f)
{
    _Atomic bool stop = false;
    AUTO(store) *store = NULL;
    AUTO(catalog) *source = NULL;
    AUTO_BUF oids = {0};

    TRY(store_new(c->config, cs, c->state_dir, 0, &stop, &store, f));
    TRY(store->ops->load(store, &source, NULL, f));
    TRY(list_tables(source, c->copy_again, &oids, f));
    TRY(cli_consent(c, cs->name, "the tables named are emptied on the target and copied again; the others go on being followed", f));
    return again_ask(j, cs->name, AGAIN_ASKED, buf_cstr(&oids), f);
}

static enum err ask_arm(const struct cli *c, const struct config_store *cs, struct journal *j, struct fault *f)
{
    TRY(cli_consent(c, cs->name, "publication and slot are made anew on the source, and every table is emptied on the target and copied again; the schema stays", f));
    return again_ask(j, cs->name, AGAIN_ARM, "asked for", f);
}

/* What the engine said last; it looks again under the row itself before anything is emptied. */
static enum err check_source_serves(const struct cli *c, const struct config_store *cs, struct fault *f)
{
    bool alive;
    json_t *o = pilot_store_status(c->state_dir, cs->name, &alive);
    const char *authority = json_string_value(json_object_get(o, "authority"));
    bool target = authority != NULL && strcmp(authority, "target") == 0;

    json_decref(o);
    return target ? fault_todo(f, ERR_AUTHORITY, "`leat rollback` first, if the source is to serve again", "store %s: the target serves; its tables are not emptied", cs->name) : ERR_OK;
}

enum err again_request(struct cli *c, const char *store, struct fault *f)
{
    AUTO(journal) *j = NULL;
    const struct config_store *cs;

    if (c->copy_again == NULL && !c->arm_again)
        return ERR_OK;
    if (store == NULL && c->config->store_count != 1)
        return fault_todo(f, ERR_USAGE, "leat resume STORE …", "there are %d stores: name one", (int)c->config->store_count);
    cs = store != NULL ? config_store_find(c->config, store) : &c->config->stores[0];
    TRY(check_source_serves(c, cs, f));
    TRY(journal_sqlite_open(c->state_dir, c->config->migration, &j, f));
    if (c->arm_again)
        return ask_arm(c, cs, j, f);
    return ask_tables(c, cs, j, f);
}
