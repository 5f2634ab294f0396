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

/* Of one stream. While its target serves nothing is emptied, whichever it is; and a way back is never copied: what was written between is made good by a
 * comparison and a repair. */
static enum err ask_arm(const struct cli *c, const struct config_store *stream, bool target_serves, struct journal *j, struct fault *f)
{
    const char *what = "publication and slot are made anew on the source, and every table is emptied on the target and copied again; the schema stays";

    if (stream->back && target_serves)
        what = "the slot of the way back is made anew on the target, and nothing is copied: what was written there since the old one is missing on the source until `leat verify` has found it and"
               " `leat repair --apply` has brought it there, and `leat rollback` waits for that";
    else if (stream->back || target_serves)
        what = "publication and slot are made anew on the side that does not serve, and nothing is copied: what the other side holds is not touched";
    TRY(cli_consent(c, stream->name, what, f));
    return again_ask(j, stream->name, AGAIN_ARM, "asked for", f);
}

/* What the engines said last; they look again under the row itself before anything is emptied. */
static bool target_serves(const struct cli *c, const struct config_store *cs)
{
    return pilot_leading(c->state_dir, cs) != cs;
}

static bool wants_arming(const struct cli *c, const struct config_store *stream)
{
    static const enum err wants[] = {ERR_LEFT_BEHIND, ERR_SLOT_LOST, ERR_SLOT_FOREIGN, ERR_SLOT_DROPPED, ERR_SERVER_CHANGED, ERR_TARGET_BEHIND, ERR_BACKLOG_LOST};
    struct fault why;

    pilot_store_fault(c->state_dir, stream->name, &why);
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++)
        if (why.code == wants[i])
            return true;
    return false;
}

/* Whichever stream of the store stopped for it; where none did, the store's own. */
static enum err ask_arming(const struct cli *c, const struct config_store *cs, struct journal *j, struct fault *f)
{
    bool target = target_serves(c, cs);
    bool back = wants_arming(c, cs->other);

    if (wants_arming(c, cs) || !back)
        TRY(ask_arm(c, cs, target, j, f));
    return back ? ask_arm(c, cs->other, target, j, f) : ERR_OK;
}

static enum err check_source_serves(const struct cli *c, const struct config_store *cs, struct fault *f)
{
    return target_serves(c, cs) ? fault_todo(f, ERR_AUTHORITY, "`leat rollback` first, if the source is to serve again", "store %s: the target serves; its tables are not emptied", cs->name) : ERR_OK;
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
    TRY(journal_sqlite_open(c->state_dir, c->config->migration, &j, f));
    if (c->arm_again)
        return ask_arming(c, cs, j, f);
    TRY(check_source_serves(c, cs, f));
    return ask_tables(c, cs, j, f);
}
