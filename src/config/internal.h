/* config/internal.h — what the files of config/ share. The way of a file, and it is the order of the parts below:
 *
 *   text --text.c--> checked text --tree.c--> nodes with places --read.c--> struct config   (by schema.c and kinds.c)
 */
#ifndef LEAT_CONFIG_INTERNAL_H
#define LEAT_CONFIG_INTERNAL_H

#include "config/config.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define CONFIG_DEPTH_MAX 8 /* the schema itself goes four deep; beyond this nothing can be meant */
#define CONFIG_NAMES_MAX 64

/* --- text.c: the file's bytes, places in it, and words about it --- */
struct config_source {
    const char *path; /* for messages */
    const char *text;
    size_t len;
    struct arena *arena;
};
/* "path:line:column: ..." as ERR_CONFIG. */
MUST_USE enum err config_fail(const struct config_source *s, int line, int column, struct fault *f, const char *fmt,
                              ...) __attribute__((format(printf, 5, 6)));
MUST_USE enum err config_text_check(const struct config_source *s, struct fault *f);
/* Column (1-based, in characters) of the tab the line is indented with; 0: none. */
int config_text_tab(const struct config_source *s, int line);
/* What the user wrote, fit to stand in a message: cut, without control characters and passwords. */
const char *config_shown(struct arena *a, const char *text);

/* --- tree.c: YAML to nodes --- */
enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };
struct node {
    enum node_kind kind;
    int line, column; /* from 1 */
    bool null;        /* SCALAR: nothing, ~ or null, unquoted */
    const char *text; /* SCALAR */
    struct node *key; /* of a node in a MAP: its key, a SCALAR */
    struct node *first, *last;
    struct node *next;
    size_t count; /* of children */
};
MUST_USE enum err config_tree(const struct config_source *s, struct node **ret, struct fault *f);

/* --- kinds.c: how a value looks --- */
enum config_shape { SHAPE_ONE, SHAPE_LIST, SHAPE_GROUP, SHAPE_NAMED };
enum config_store_as { AS_TEXT, AS_INT, AS_INT64 };
struct config_key;
struct config_parsed {
    const char *text;
    int64_t number;
};
struct config_kind {
    const char *name; /* for the reference */
    enum config_shape shape;
    enum config_store_as as;
    /* Parses one value (for a list: one item). NULL, or what is wrong, in the arena; never with a password in it.
     * NULL itself: the kind has no value of its own. */
    const char *(*parse)(struct arena *a, const struct config_key *key, const char *text, struct config_parsed *ret);
    bool or_one; /* a list of one may be written without brackets */
};
#define CONFIG_KINDS(X)                                                                                                \
    X(GROUP)                                                                                                           \
    X(NAMED) X(NAME) X(TEXT) X(DSN) X(ENGINE) X(CHOICE) X(INTEGER) X(DURATION) X(SIZE) X(PERCENT) X(PERCENTS) X(WORDS)          \
        X(PATTERNS) X(ADDRESS) X(ADDRESSES) X(DOORS) X(NETWORKS) X(USER) X(URL)
enum config_kind_id {
#define X(id) KIND_##id,
    CONFIG_KINDS(X)
#undef X
        KIND_COUNT
};
extern const struct config_kind config_kinds[KIND_COUNT];

/* --- schema.c: the table --- */
enum config_owner { OWNER_NONE, OWNER_CONFIG, OWNER_STORE };
struct config_key {
    const char *path;
    enum config_kind_id kind;
    bool required;
    bool later;
    const char *fallback; /* the default, as written */
    const char *range;
    const char *example;
    enum config_owner owner;
    size_t offset;
    size_t size;
    size_t offset_count; /* of a list: where its length goes */
    const char *doc;
};
extern const struct config_key config_keys[];
extern const size_t config_key_count;
static inline const struct config_kind *config_key_kind(const struct config_key *key)
{
    return &config_kinds[key->kind];
}
const char *config_key_name(const struct config_key *key); /* the last part of its path */
/* Whether `key` is directly below `group`; NULL: below the root. */
bool config_key_below(const struct config_key *group, const struct config_key *key);
const struct config_key *config_key_find(const struct config_key *group, const char *name);
/* Words to add to "unknown key": the nearest of its group, where else it belongs, or what there is. In the arena. */
const char *config_key_hint(struct arena *a, const struct config_key *group, const char *name);
/* The item of "a|b|c" nearest to text, if near enough, in the arena; else NULL. */
const char *config_nearest(struct arena *a, const char *items, const char *text);

/* --- dsn.c --- */
/* ${NAME} from the environment. NULL, or what is wrong. */
const char *config_dsn_expand(struct arena *a, const char *text, const char **ret);
/* NULL, or what is wrong, without any part of it that could be a secret. */
const char *config_dsn_check(struct arena *a, const char *dsn);
/* Whether both name the same database, as far as the text shows. */
bool config_dsn_same(const char *a, const char *b);
/* Whether they name different ones, wherever those are. */
bool config_dsn_other_database(const char *a, const char *b);
bool config_dsn_names_user(const char *dsn);

/* --- choose.c --- */
const char *config_pattern_check(struct arena *a, const char *pattern);

/* --- read.c --- */
/* Tree to config, in s->arena. */
MUST_USE enum err config_read(const struct config_source *s, const struct node *root, struct config **ret,
                              struct fault *f);

#endif
