/* config/tree.c — YAML (libyaml's events) to a tree of nodes that know their place.
 *
 * Of YAML we take lists, maps with plain words as keys, and values; no anchors and aliases, no tags, one document. So
 * the tree has no loops, and is never larger than the file.
 */
#include "config/internal.h"

#include <string.h>

#include <yaml.h>

#define NO_ALIASES "aliases (*name) are not taken; a pattern that begins with * needs quotes: \"*.orders\""

struct builder {
    const struct config_source *source;
    struct node *root;
    struct node *open[CONFIG_DEPTH_MAX]; /* lists and maps we are in; the innermost last */
    struct node *key[CONFIG_DEPTH_MAX];  /* of each, the key whose value comes next */
    int depth;
};

static enum err fail_at(const struct builder *b, const yaml_mark_t *mark, struct fault *f, const char *words)
{
    return config_fail(b->source, (int)mark->line + 1, (int)mark->column + 1, f, "%s", words);
}

/* Puts the node where it belongs: as root, item of a list, key of a map, or the value of that key. */
static enum err place(struct builder *b, struct node *node, const yaml_mark_t *mark, struct fault *f)
{
    struct node *in = b->depth > 0 ? b->open[b->depth - 1] : NULL;

    if (in == NULL) {
        ENSURE(b->root == NULL);
        b->root = node;
        return ERR_OK;
    }
    if (in->kind == NODE_MAP && b->key[b->depth - 1] == NULL) {
        if (node->kind != NODE_SCALAR)
            return fail_at(b, mark, f, "a list or a map cannot be a key");
        b->key[b->depth - 1] = node;
        return ERR_OK;
    }
    node->key = b->key[b->depth - 1];
    b->key[b->depth - 1] = NULL;
    if (in->last != NULL)
        in->last->next = node;
    else
        in->first = node;
    in->last = node;
    in->count++;
    return ERR_OK;
}

static struct node *node_new(const struct builder *b, enum node_kind kind, const yaml_event_t *event)
{
    struct node *node = arena_zalloc(b->source->arena, sizeof *node);

    node->kind = kind;
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    return node;
}

static bool is_null(const char *text)
{
    return *text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

static enum err add_scalar(struct builder *b, const yaml_event_t *event, struct fault *f)
{
    struct node *node = node_new(b, NODE_SCALAR, event);
    const char *text = (const char *)event->data.scalar.value;

    if (strlen(text) != event->data.scalar.length)
        return fail_at(b, &event->start_mark, f, "a value with a zero character in it");
    node->text = arena_strdup(b->source->arena, text);
    node->null = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && is_null(text);
    return place(b, node, &event->start_mark, f);
}

static enum err open_node(struct builder *b, enum node_kind kind, const yaml_event_t *event, struct fault *f)
{
    struct node *node = node_new(b, kind, event);

    TRY(place(b, node, &event->start_mark, f));
    if (b->depth == CONFIG_DEPTH_MAX)
        return fail_at(b, &event->start_mark, f, "nested deeper than anything in leat.yaml");
    b->open[b->depth] = node;
    b->key[b->depth] = NULL;
    b->depth++;
    return ERR_OK;
}

static enum err refuse_extras(const struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor,
                              const yaml_char_t *tag, struct fault *f)
{
    if (anchor != NULL)
        return fail_at(b, &event->start_mark, f, "anchors (&name) are not taken; write the value where it is needed");
    if (tag != NULL)
        return fail_at(b, &event->start_mark, f, "tags (!name) are not taken; a value that begins with ! needs quotes");
    return ERR_OK;
}

static enum err add_event(struct builder *b, const yaml_event_t *event, struct fault *f)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        TRY(refuse_extras(b, event, event->data.scalar.anchor, event->data.scalar.tag, f));
        return add_scalar(b, event, f);
    case YAML_SEQUENCE_START_EVENT:
        TRY(refuse_extras(b, event, event->data.sequence_start.anchor, event->data.sequence_start.tag, f));
        return open_node(b, NODE_LIST, event, f);
    case YAML_MAPPING_START_EVENT:
        TRY(refuse_extras(b, event, event->data.mapping_start.anchor, event->data.mapping_start.tag, f));
        return open_node(b, NODE_MAP, event, f);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        ENSURE(b->depth > 0);
        b->depth--;
        return ERR_OK;
    case YAML_ALIAS_EVENT:
        return fail_at(b, &event->start_mark, f, NO_ALIASES);
    case YAML_DOCUMENT_START_EVENT:
        return b->root == NULL
                   ? ERR_OK
                   : fail_at(b, &event->start_mark, f, "a second document (---) begins here; there can be only one");
    default:
        return ERR_OK;
    }
}

/* What libyaml could not read, in words; a tab in the indentation is the usual reason and gets its own. */
static enum err fail_yaml(const struct builder *b, const yaml_parser_t *parser, struct fault *f)
{
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    int line = (int)parser->problem_mark.line + 1, column = (int)parser->problem_mark.column + 1;
    int begun = (int)parser->context_mark.line + 1;
    int tab = config_text_tab(b->source, line);

    ENSURE(parser->error != YAML_MEMORY_ERROR);
    if (parser->error == YAML_READER_ERROR)
        return config_fail(b->source, line, column, f, "not valid YAML: %s", problem);
    if (tab > 0)
        return config_fail(b->source, line, tab, f, "a tab; YAML is indented with spaces only");
    if (strcmp(problem, "found character that cannot start any token") == 0)
        return config_fail(b->source, line, column, f,
                           "not valid YAML: a value cannot begin with this character; put it in quotes");
    if (parser->context != NULL && strcmp(parser->context, "while scanning an alias") == 0)
        return fail_at(b, &parser->context_mark, f, NO_ALIASES);
    if (parser->context != NULL)
        return config_fail(b->source, line, column, f, "not valid YAML: %s (%s, begun on line %d)", problem,
                           parser->context, begun);
    return config_fail(b->source, line, column, f, "not valid YAML: %s", problem);
}

static enum err build(struct builder *b, yaml_parser_t *parser, struct fault *f)
{
    for (bool done = false; !done;) {
        yaml_event_t event;
        enum err err;

        if (!yaml_parser_parse(parser, &event))
            return fail_yaml(b, parser, f);
        done = event.type == YAML_STREAM_END_EVENT;
        err = add_event(b, &event, f);
        yaml_event_delete(&event);
        TRY(err);
    }
    return ERR_OK;
}

enum err config_tree(const struct config_source *s, struct node **ret, struct fault *f)
{
    struct builder b = {.source = s};
    yaml_parser_t parser;
    enum err err;

    ENSURE(yaml_parser_initialize(&parser));
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)s->text, s->len);
    err = build(&b, &parser, f);
    yaml_parser_delete(&parser);
    TRY(err);
    if (b.root == NULL || (b.root->kind == NODE_SCALAR && b.root->null))
        return fault_todo(f, ERR_CONFIG, "`leat init` writes one to begin with", "%s: the file is empty", s->path);
    *ret = b.root;
    return ERR_OK;
}
