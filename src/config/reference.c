/* config/reference.c — what can stand in leat.yaml, in words for people: the reference and the file to begin with. Both
 * are made of schema.def, and so cannot say anything else than the parser does. */
#include <string.h>

#include "config/internal.h"

#define DOC_WIDTH 100

static const char intro[] =
    "# leat.yaml\n"
    "\n"
    "<!-- Generated from src/config/schema.def (config_reference); a test compares the two. -->\n"
    "\n"
    "One file describes one migration. leat reads `./leat.yaml`, or the file named with `--config`; `leat init` writes "
    "one to\n"
    "begin with. Whatever is not understood is an error with file, line and column, and nothing is done.\n"
    "\n"
    "Keys marked *later* may stand in the file already: they are checked and kept, but this release does not act on "
    "them; they\n"
    "are read by a later release.\n"
    "\n";

static const char values_text[] =
    "## How values are written\n"
    "\n"
    "- **name**: `a`-`z` first, then `a`-`z`, `0`-`9`, `_` or `-`; at most 32 characters.\n"
    "- **connection string**: `postgresql://user@host:5432/database?sslmode=require`, or `host=... dbname=... "
    "user=...`, as libpq takes\n"
    "  them. In a URI, `@` in a user's name or password is written `%40`, `:` `%3A` and `/` `%2F`. Put it in quotes if "
    "it holds `: ` or ` #`.\n"
    "- **password**: best not in this file, but in a passfile (`~/.pgpass`, `passfile=`), in `PGPASSWORD`, or in a "
    "variable of the\n"
    "  environment. leat never shows one.\n"
    "- **`${NAME}`** in a connection string is replaced from the environment; a variable that is not set is an error. "
    "It may stand for\n"
    "  the whole string or for a part; what replaces a user's name, a password or another value is escaped by leat, so "
    "it is\n"
    "  held in the environment as it is: `postgresql://leat:${OLD_PASSWORD}@old-db/orders`.\n"
    "- **pattern**: `schema.table`; `*` stands for any characters, `?` for one. A pattern that begins with `*` needs "
    "quotes. Letters count\n"
    "  as the catalog has them. System schemas (`pg_*`, `information_schema`) and leat's own (`leat`) are never "
    "chosen.\n"
    "- **duration**: a whole number and `us`, `ms`, `s`, `m`, `h` or `d`: `250ms`, `10m`, `7d`; `0` needs no unit.\n"
    "- **size**: a whole number and `B`, `kB`, `MB`, `GB` or `TB` (powers of 1024): `512MB`, `20GB`; `0` needs no "
    "unit.\n"
    "- **percentage**: `5%`, `0.1%`. In a list of shares each is larger than the one before.\n"
    "- **host:port**: `0.0.0.0:6432`, `db.example.org:6432`, `[::1]:6432`.\n"
    "\n"
    "Of YAML itself: spaces for indentation, UTF-8, one document, 1 MB at most; no anchors, aliases or tags.\n"
    "\n";

/* --- the reference --- */

/* `|` would end the table's cell. */
static void add_cell(struct buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '|')
            buf_addc(out, '\\');
        buf_addc(out, *p);
    }
}

static void add_code(struct buf *out, const char *text)
{
    if (text == NULL)
        return;
    buf_addc(out, '`');
    add_cell(out, text);
    buf_addc(out, '`');
}

static void add_range(struct buf *out, const char *range)
{
    const char *dots = range != NULL ? strstr(range, "..") : NULL;

    if (dots == NULL)
        add_code(out, range);
    else
        buf_addf(out, "`%.*s` to `%s`", (int)(dots - range), range, dots + 2);
}

static void add_row(struct buf *out, const struct config_key *key)
{
    buf_addf(out, "| `%s` | %s | ", key->path, config_key_kind(key)->name);
    add_range(out, key->range);
    buf_adds(out, " | ");
    if (key->required)
        buf_adds(out, "required");
    else
        add_code(out, key->fallback);
    buf_addf(out, " | %s | ", key->later ? "later" : "yes");
    add_cell(out, key->doc);
    buf_adds(out, " |\n");
}

static bool has_value(const struct config_key *key)
{
    return config_key_kind(key)->parse != NULL;
}

static void add_section(struct buf *out, const struct config_key *top)
{
    size_t n = strlen(top->path);

    buf_addf(out,
             "## %s\n\n%s%s%s\n\n| key | value | range | default | in force | meaning |\n|---|---|---|---|---|---|\n",
             top->path, top->doc, top->required ? " Required." : "", top->later ? " *Later.*" : "");
    for (const struct config_key *key = top; key < config_keys + config_key_count; key++) {
        if (strncmp(key->path, top->path, n) != 0 || (key->path[n] != '.' && key->path[n] != '\0'))
            break;
        if (has_value(key) || (key != top && strcmp(config_key_name(key), "*") != 0))
            add_row(out, key);
    }
    buf_addc(out, '\n');
}

void config_reference(struct buf *out)
{
    buf_adds(out, intro);
    buf_adds(out, "## A file to begin with\n\n```yaml\n");
    config_template(out, "shop", "orders", "postgresql://leat@old-db:5432/orders",
                    "postgresql://leat@new-db:5432/orders");
    buf_adds(out, "```\n\nBelow, `*` stands for a name of your choice. A key is *required* where its group stands in "
                  "the file.\n\n");
    for (size_t i = 0; i < config_key_count; i++)
        if (config_key_below(NULL, &config_keys[i]))
            add_section(out, &config_keys[i]);
    buf_adds(out, values_text);
    buf_adds(out, "## Errors\n\n```\nleat: config: leat.yaml is not valid — leat.yaml:12:7: unknown key \"targt\" in "
                  "stores.orders; did you mean \"target\"? — mend the "
                  "line named, then `leat doctor`\n```\n");
}

/* --- the file to begin with --- */

static void add_comment(struct buf *out, int indent, const char *text)
{
    while (*text != '\0') {
        size_t n = strlen(text);

        if (n > DOC_WIDTH) {
            const char *blank = memrchr(text, ' ', DOC_WIDTH);
            n = blank != NULL ? (size_t)(blank - text) : n;
        }
        buf_addf(out, "%*s# %.*s\n", indent, "", (int)n, text);
        text += n + (text[n] == ' ');
    }
}

/* In double quotes, which can hold anything. */
static void add_quoted(struct buf *out, const char *text)
{
    buf_addc(out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            buf_addf(out, "\\x%02X", c);
        else
            buf_addc(out, *p);
    }
    buf_addc(out, '"');
}

/* A required value; NULL: its place is left for the user. */
static void add_required(struct buf *out, int indent, const struct config_key *key, const char *value)
{
    add_comment(out, indent, key->doc);
    buf_addf(out, "%*s%s: ", indent, "", config_key_name(key));
    if (value == NULL)
        buf_adds(out, "# fill in: postgresql://user@host:5432/database");
    else if (key->kind == KIND_NAME && config_name_ok(value))
        buf_adds(out, value);
    else
        add_quoted(out, value);
    buf_addc(out, '\n');
}

static void add_optional(struct buf *out, int indent, const struct config_key *key)
{
    AUTO_BUF words = {0};

    buf_adds(&words, key->doc);
    if (key->range != NULL && strstr(key->range, "..") != NULL)
        buf_addf(&words, " (%.*s to %s)", (int)(strstr(key->range, "..") - key->range), key->range,
                 strstr(key->range, "..") + 2);
    else if (key->range != NULL && strchr(key->range, '|') != NULL)
        buf_addf(&words, " (%s)", key->range);
    add_comment(out, indent, buf_cstr(&words));
    buf_addf(out, "%*s# %s: %s\n", indent, "", config_key_name(key),
             key->fallback != NULL ? key->fallback : key->example);
}

struct answers {
    const char *migration, *from, *to;
};

static const char *answer_for(const struct answers *answers, const struct config_key *key)
{
    return strcmp(key->path, "migration") == 0         ? answers->migration
           : strcmp(key->path, "stores.*.source") == 0 ? answers->from
                                                       : answers->to;
}

/* The keys of a group that are in force: the required ones to be answered first, then the others as comments. */
static void add_keys(struct buf *out, int indent, const struct config_key *group, const struct answers *answers)
{
    for (int optional = 0; optional <= 1; optional++)
        for (size_t i = 0; i < config_key_count; i++) {
            const struct config_key *key = &config_keys[i];

            if (key->later || !has_value(key) || !config_key_below(group, key) || key->required == (optional != 0))
                continue;
            if (key->required)
                add_required(out, indent, key, answer_for(answers, key));
            else
                add_optional(out, indent, key);
        }
}

void config_template(struct buf *out, const char *migration, const char *store, const char *from, const char *to)
{
    struct answers answers = {.migration = migration, .from = from, .to = to};

    add_comment(out, 0,
                "leat.yaml: what moves, from where to where. What stands in comments is the default or an example. "
                "All keys: docs/leat.yaml.md. Next: leat doctor");
    buf_addc(out, '\n');
    add_keys(out, 0, NULL, &answers);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *top = &config_keys[i];

        if (top->later || has_value(top) || !config_key_below(NULL, top))
            continue;
        buf_addc(out, '\n');
        add_comment(out, 0, top->doc);
        buf_addf(out, "%s:\n", top->path);
        if (config_key_kind(top)->shape == SHAPE_NAMED) {
            add_comment(
                out, 2,
                "Passwords: best in a passfile or in PGPASSWORD; ${NAME} in an address takes it from the environment.");
            buf_adds(out, "  ");
            if (config_name_ok(store))
                buf_adds(out, store);
            else
                add_quoted(out, store);
            buf_adds(out, ":\n");
            add_keys(out, 4, config_key_find(top, "*"), &answers);
        } else {
            add_keys(out, 2, top, &answers);
        }
    }
}
