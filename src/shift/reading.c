/* shift/reading.c — see reading.h. The tree comes as JSON: a node is an object whose one key, its kind, begins with a capital; its fields do not. */
#include "shift/reading.h"

#include <jansson.h>
#include <pg_query.h>
#include <string.h>
#include <strings.h>

#define DEEPEST 512
#define CTES_MOST 64

struct walk {
    const struct reading_names *names;
    const char *ctes[CTES_MOST];
    size_t cte_count;
    int deep;
    bool clock;
};

/* What a SELECT may consist of. Not here: locking, INTO, TABLESAMPLE, XML, column definitions, and every other statement. */
static const char *const parts[] = {
    "A_ArrayExpr", "A_Const", "A_Expr", "A_Indices", "A_Indirection", "A_Star", "Alias", "BitString", "BoolExpr", "Boolean", "BooleanTest", "CaseExpr", "CaseWhen", "CoalesceExpr",
    "CollateClause", "ColumnRef", "CommonTableExpr", "Float", "FuncCall", "GroupingFunc", "GroupingSet", "Integer", "JoinExpr", "List", "MinMaxExpr", "NamedArgExpr", "NullTest",
    "ParamRef", "RangeFunction", "RangeSubselect", "RangeVar", "ResTarget", "RowExpr", "SQLValueFunction", "SelectStmt", "SortBy", "String", "SubLink", "TypeCast", "TypeName",
    "WindowDef", "WithClause", NULL};
static const char *const fields_refused[] = {"intoClause", "lockingClause", "useOp", NULL};
/* They differ between servers, or name what does. */
static const char *const columns_refused[] = {"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax", "oid", NULL};
static const char *const types_refused[] = {"regclass", "regproc", "regprocedure", "regoper", "regoperator", "regtype", "regnamespace", "regrole", "regconfig", "regdictionary",
                                            "regcollation", "oid", "oidvector", "xid", "xid8", "cid", "tid", "pg_lsn", "txid_snapshot", "pg_snapshot", "refcursor", NULL};
static const char *const clock_functions[] = {"now", "transaction_timestamp", "age", NULL};

static bool is_in(const char *const list[], const char *word)
{
    for (size_t i = 0; list[i] != NULL; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* Of a list of String nodes: its last, and in *ret_schema the one before, or NULL. NULL: it is no such list, or has more than two. */
static const char *qualified(const json_t *list, const char **ret_schema)
{
    size_t n = json_array_size(list);
    const char *name = n > 0 ? text(json_object_get(json_array_get(list, n - 1), "String"), "sval") : NULL;

    *ret_schema = n == 2 ? text(json_object_get(json_array_get(list, 0), "String"), "sval") : NULL;
    return n > 2 || (n == 2 && *ret_schema == NULL) ? NULL : name;
}

/* --- what a part names --- */

static bool function_good(struct walk *w, const json_t *call)
{
    const char *schema;
    const char *name = qualified(json_object_get(call, "funcname"), &schema);

    if (name == NULL)
        return false;
    w->clock = w->clock || is_in(clock_functions, name);
    return reading_names_function_good(w->names, schema, name);
}

static bool is_cte(const struct walk *w, const char *name)
{
    for (size_t i = 0; i < w->cte_count; i++)
        if (strcmp(w->ctes[i], name) == 0)
            return true;
    return false;
}

static bool relation_good(const struct walk *w, const json_t *relation)
{
    const char *schema = text(relation, "schemaname");
    const char *name = text(relation, "relname");

    if (name == NULL || text(relation, "catalogname") != NULL)
        return false;
    if (schema == NULL && is_cte(w, name) && !reading_names_relation_known(w->names, NULL, name))
        return true;
    return reading_names_relation_good(w->names, schema, name);
}

/* Its last part is a column, or a function called as one. */
static bool column_good(const struct walk *w, const json_t *list)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        const char *name = text(json_object_get(one, "String"), "sval");

        if (name != NULL && (is_in(columns_refused, name) || !reading_names_column_good(w->names, name)))
            return false;
    }
    return true;
}

static bool operator_good(const struct walk *w, const json_t *name)
{
    const char *schema;
    const char *last = name != NULL ? qualified(name, &schema) : "=";

    return last != NULL && reading_names_operator_good(w->names, last);
}

static bool type_good(const json_t *type)
{
    const json_t *names = json_object_get(type, "names");
    const char *name = text(json_object_get(json_array_get(names, json_array_size(names) - 1), "String"), "sval");

    return name != NULL && !is_in(types_refused, name);
}

static bool value_function_good(struct walk *w, const json_t *value)
{
    const char *op = text(value, "op");

    if (op == NULL || strcmp(op, "SVFOP_CURRENT_CATALOG") == 0)
        return false;
    w->clock = w->clock || strstr(op, "DATE") != NULL || strstr(op, "TIME") != NULL;
    return true;
}

/* A literal of a time that is today's, or this moment's. */
static void note_clock(struct walk *w, const json_t *constant)
{
    const char *value = text(json_object_get(constant, "sval"), "sval");

    w->clock = w->clock || (value != NULL && (strcasecmp(value, "now") == 0 || strcasecmp(value, "today") == 0 || strcasecmp(value, "tomorrow") == 0 || strcasecmp(value, "yesterday") == 0));
}

static bool node_good(struct walk *w, const char *kind, const json_t *node)
{
    if (!is_in(parts, kind))
        return false;
    if (strcmp(kind, "FuncCall") == 0)
        return function_good(w, node);
    if (strcmp(kind, "RangeVar") == 0)
        return relation_good(w, node);
    if (strcmp(kind, "ColumnRef") == 0)
        return column_good(w, json_object_get(node, "fields"));
    if (strcmp(kind, "A_Indirection") == 0)
        return column_good(w, json_object_get(node, "indirection"));
    if (strcmp(kind, "A_Expr") == 0)
        return operator_good(w, json_object_get(node, "name")) || text(node, "kind") == NULL;
    if (strcmp(kind, "SubLink") == 0)
        return operator_good(w, json_object_get(node, "operName"));
    if (strcmp(kind, "SQLValueFunction") == 0)
        return value_function_good(w, node);
    if (strcmp(kind, "A_Const") == 0)
        note_clock(w, node);
    return true;
}

/* --- the tree --- */

static bool good(struct walk *w, const json_t *value);

static bool field_good(struct walk *w, const char *key, const json_t *value)
{
    if (*key >= 'A' && *key <= 'Z')
        return node_good(w, key, value) && good(w, value);
    if (is_in(fields_refused, key) || (strcmp(key, "typeName") == 0 && !type_good(value)))
        return false;
    return good(w, value);
}

static bool all_good(struct walk *w, const json_t *value)
{
    const char *key;
    json_t *one;
    size_t i;

    json_array_foreach(value, i, one)
        if (!good(w, one))
            return false;
    json_object_foreach((json_t *)(uintptr_t)value, key, one)
        if (!field_good(w, key, one))
            return false;
    return true;
}

static bool good(struct walk *w, const json_t *value)
{
    bool yes;

    if (!json_is_array(value) && !json_is_object(value))
        return true;
    if (w->deep == DEEPEST)
        return false;
    w->deep++;
    yes = all_good(w, value);
    w->deep--;
    return yes;
}

/* The names of all WITH in it, wherever they may be seen. */
static void find_ctes(struct walk *w, const json_t *value, int deep)
{
    const char *name = text(json_object_get(value, "CommonTableExpr"), "ctename");
    const char *key;
    json_t *one;
    size_t i;

    if (name != NULL && w->cte_count < CTES_MOST)
        w->ctes[w->cte_count++] = name;
    if (deep == DEEPEST)
        return;
    json_array_foreach(value, i, one)
        find_ctes(w, one, deep + 1);
    json_object_foreach((json_t *)(uintptr_t)value, key, one)
        find_ctes(w, one, deep + 1);
}

/* --- transactions --- */

enum reading_isolation reading_isolation(const char *word)
{
    return strcasecmp(word, "read committed") == 0 || strcasecmp(word, "read uncommitted") == 0 ? ISOLATION_READ_COMMITTED : ISOLATION_HIGHER;
}

static void read_option(const json_t *option, struct reading *ret)
{
    const char *name = text(option, "defname");
    const json_t *value = json_object_get(json_object_get(option, "arg"), "A_Const");
    const char *word = text(json_object_get(value, "sval"), "sval");

    if (name != NULL && strcmp(name, "transaction_read_only") == 0)
        ret->mode = json_integer_value(json_object_get(json_object_get(value, "ival"), "ival")) == 1 ? MODE_READ_ONLY : MODE_READ_WRITE;
    else if (name != NULL && strcmp(name, "transaction_isolation") == 0)
        ret->isolation = word != NULL ? reading_isolation(word) : ISOLATION_HIGHER;
}

static void read_transaction(const json_t *statement, struct reading *ret)
{
    const char *kind = text(statement, "kind");
    const json_t *one;
    size_t i;

    if (kind == NULL || json_object_get(statement, "chain") != NULL)
        return;
    if (strcmp(kind, "TRANS_STMT_COMMIT") == 0 || strcmp(kind, "TRANS_STMT_ROLLBACK") == 0)
        ret->kind = READING_END;
    if (strcmp(kind, "TRANS_STMT_BEGIN") != 0 && strcmp(kind, "TRANS_STMT_START") != 0)
        return;
    ret->kind = READING_BEGIN;
    json_array_foreach(json_object_get(statement, "options"), i, one)
        read_option(json_object_get(one, "DefElem"), ret);
}

/* --- the statement --- */

static void read_statement(const struct reading_names *names, const json_t *statement, struct reading *ret)
{
    const json_t *transaction = json_object_get(statement, "TransactionStmt");
    struct walk w = {.names = names};

    if (transaction != NULL) {
        read_transaction(transaction, ret);
    } else if (json_object_get(statement, "SelectStmt") != NULL) {
        find_ctes(&w, statement, 0);
        ret->kind = good(&w, statement) ? READING_SELECT : READING_OTHER;
        ret->clock = w.clock;
    }
}

static void read_tree(const struct reading_names *names, const char *tree, struct reading *ret)
{
    json_t *o = json_loads(tree, 0, NULL);
    const json_t *statements = json_object_get(o, "stmts");

    if (json_array_size(statements) == 1)
        read_statement(names, json_object_get(json_array_get(statements, 0), "stmt"), ret);
    json_decref(o);
}

void reading_of(const struct reading_names *names, const char *sql, size_t len, struct reading *ret)
{
    AUTO_CHARS *copy = NULL;
    PgQueryParseResult parsed;

    *ret = (struct reading){.kind = READING_OTHER};
    if (len == 0 || len > READING_MOST || memchr(sql, '\0', len) != NULL)
        return;
    copy = mem_format("%.*s", (int)len, sql);
    parsed = pg_query_parse(copy);
    if (parsed.error == NULL && parsed.parse_tree != NULL)
        read_tree(names, parsed.parse_tree, ret);
    pg_query_free_parse_result(parsed);
}
