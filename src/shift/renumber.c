/* shift/renumber.c — see renumber.h.
 *
 * `asked` is what the server has to answer still, in order: 'd' and 'p', the client's Describe of a statement and of a portal; 'x' and 'y', the
 * door's; 'S', 'Q', 'F', what ends in ReadyForQuery. After an error the server is deaf up to the next Sync: what stands before it in `asked`
 * goes, and what the client sends before it is not noted (`deaf`). */
#include "shift/renumber.h"

#include <arpa/inet.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/pgwire.h"

#define MOST_COLUMNS 1664 /* MaxTupleAttributeNumber */
#define MOST_STATEMENTS 256

struct statement {
    char *name;
    uint32_t *types; /* in the client's numbers */
    size_t count;
};

struct renumber {
    struct type_way up;
    struct type_way down;
    struct buf asked;
    size_t at; /* of asked: the first that is not answered */
    bool deaf;
    bool waits;
    char *wanted; /* the statement asked about last */
    struct statement statements[MOST_STATEMENTS];
    size_t statement_count;
    uint32_t types[MOST_COLUMNS]; /* of the result that comes, in the server's numbers */
    uint16_t formats[MOST_COLUMNS];
    size_t columns;
    bool deep; /* some of its values have numbers inside */
};

struct renumber *renumber_new(struct type_way up, struct type_way down)
{
    struct renumber *r = mem_alloc(sizeof *r);

    r->up = up;
    r->down = down;
    (void)type_map_hold(up.map);
    (void)type_map_hold(down.map);
    return r;
}

static void forget_all(struct renumber *r)
{
    for (size_t i = 0; i < r->statement_count; i++) {
        free(r->statements[i].name);
        free(r->statements[i].types);
    }
    r->statement_count = 0;
}

void renumber_free(struct renumber *r)
{
    if (r == NULL)
        return;
    forget_all(r);
    free(r->wanted);
    buf_fini(&r->asked);
    type_map_drop(r->up.map);
    type_map_drop(r->down.map);
    free(r);
}

bool renumber_waits(const struct renumber *r)
{
    return r->waits;
}

bool renumber_client_whole(char type)
{
    return strchr("PBEDC", type) != NULL;
}

bool renumber_server_whole(const struct renumber *r, char type)
{
    return type == 't' || type == 'T' || (type == 'D' && r->deep);
}

/* --- what is known of statements --- */

static struct statement *find(struct renumber *r, const char *name)
{
    for (size_t i = 0; i < r->statement_count; i++)
        if (strcmp(r->statements[i].name, name) == 0)
            return &r->statements[i];
    return NULL;
}

static void forget(struct renumber *r, const char *name)
{
    struct statement *s = find(r, name);

    if (s == NULL)
        return;
    free(s->name);
    free(s->types);
    *s = r->statements[--r->statement_count];
}

/* ParameterDescription, in the client's numbers by now. */
static void learn(struct renumber *r, const char *body, size_t n)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    size_t count = bytes_u16(&b);
    struct statement *s;

    if (r->wanted == NULL || b.wrong != NULL || n < 2 + 4 * count)
        return;
    forget(r, r->wanted);
    if (r->statement_count == MOST_STATEMENTS)
        forget_all(r);
    s = &r->statements[r->statement_count++];
    s->name = mem_dup(r->wanted);
    s->types = mem_alloc((count + 1) * sizeof *s->types);
    s->count = count;
    for (size_t i = 0; i < count; i++)
        s->types[i] = bytes_u32(&b);
}

/* --- what the server has to answer --- */

static void ask(struct renumber *r, char what)
{
    if (r->deaf)
        return;
    if (r->at > 256 && r->at * 2 > r->asked.len) {
        memmove(r->asked.data, r->asked.data + r->at, r->asked.len - r->at);
        r->asked.len -= r->at;
        r->at = 0;
    }
    buf_addc(&r->asked, what);
}

static char head(const struct renumber *r)
{
    return r->at < r->asked.len ? r->asked.data[r->at] : '\0';
}

static bool ends(char what)
{
    return what == 'S' || what == 'Q' || what == 'F';
}

static void on_error(struct renumber *r)
{
    while (head(r) != '\0' && !ends(head(r)))
        r->at++;
    r->deaf = head(r) == '\0';
    r->waits = false;
}

void renumber_skip(struct renumber *r)
{
    while (head(r) != '\0' && head(r) != 'S')
        r->at++;
    r->deaf = head(r) == '\0';
}

static void on_ready(struct renumber *r)
{
    while (head(r) != '\0' && !ends(head(r)))
        r->at++;
    if (head(r) != '\0')
        r->at++;
}

/* --- from the client --- */

static void add_describe(struct buf *out, char what, const char *name)
{
    size_t begin = pgwire_begin(out, 'D');

    buf_addc(out, what);
    pgwire_add_string(out, name);
    pgwire_end(out, begin);
}

static bool has_binary(struct bytes *b)
{
    uint16_t count = bytes_u16(b);
    bool binary = false;

    for (uint16_t i = 0; i < count && b->wrong == NULL; i++)
        binary |= bytes_u16(b) == 1;
    return binary;
}

static enum renumbered on_bind(struct renumber *r, char *body, size_t n, struct buf *before, struct fault *f)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    const char *name;
    const struct statement *s;

    (void)bytes_string(&b);
    name = bytes_string(&b);
    if (!has_binary(&b) || b.wrong != NULL || r->deaf) /* what is malformed the server refuses itself */
        return RENUMBER_PASS;
    s = find(r, name);
    if (s == NULL) {
        free(r->wanted);
        r->wanted = mem_dup(name);
        add_describe(before, 'S', name);
        pgwire_end(before, pgwire_begin(before, 'H'));
        ask(r, 'x');
        r->waits = true;
        return RENUMBER_WAIT;
    }
    return type_map_bind(r->up, s->types, s->count, body, n, f) == ERR_OK ? RENUMBER_PASS : RENUMBER_REFUSE;
}

/* Parse, Close of a statement: what was known by that name is not any more. */
static void name_changes(struct renumber *r, const char *name, size_t n)
{
    if (memchr(name, '\0', n) != NULL)
        forget(r, name);
}

enum renumbered renumber_client(struct renumber *r, char type, char *body, size_t n, struct buf *before, struct fault *f)
{
    switch (type) {
    case 'P':
        name_changes(r, body, n);
        return type_map_parse(r->up, body, n, f) == ERR_OK ? RENUMBER_PASS : RENUMBER_REFUSE;
    case 'B':
        return on_bind(r, body, n, before, f);
    case 'E':
        if (!r->deaf && memchr(body, '\0', n) != NULL) {
            add_describe(before, 'P', body);
            ask(r, 'y');
        }
        return RENUMBER_PASS;
    case 'D':
        if (n > 0)
            ask(r, body[0] == 'S' ? 'd' : 'p');
        return RENUMBER_PASS;
    case 'C':
        if (n > 1 && body[0] == 'S')
            name_changes(r, body + 1, n - 1);
        return RENUMBER_PASS;
    case 'Q':
        forget_all(r); /* it may be a DEALLOCATE, or a PREPARE */
        ask(r, 'Q');
        return RENUMBER_PASS;
    case 'S':
        r->deaf = false;
        ask(r, 'S');
        return RENUMBER_PASS;
    case 'F':
        ask(r, 'F');
        return RENUMBER_PASS;
    default:
        return RENUMBER_PASS;
    }
}

/* --- from the server --- */

/* RowDescription, in the server's numbers still. */
static void learn_columns(struct renumber *r, const char *body, size_t n)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    size_t count = bytes_u16(&b);

    r->columns = 0;
    r->deep = false;
    for (size_t i = 0; i < count && i < MOST_COLUMNS; i++) {
        (void)bytes_string(&b);
        bytes_skip(&b, 6); /* the table's number, the column's */
        r->types[i] = bytes_u32(&b);
        bytes_skip(&b, 6); /* length, modifier */
        r->formats[i] = bytes_u16(&b);
        if (b.wrong != NULL)
            return;
        r->deep |= r->formats[i] == 1 && type_map_is_deep(r->down, r->types[i]);
        r->columns = i + 1;
    }
}

static enum renumbered on_row_description(struct renumber *r, char *body, size_t n, struct fault *f)
{
    char asked = head(r);

    learn_columns(r, body, n);
    if (asked == 'd' || asked == 'p' || asked == 'x' || asked == 'y')
        r->at++;
    if (asked == 'x' || asked == 'y')
        return RENUMBER_DROP;
    return type_map_row_description(r->down, body, n, f) == ERR_OK ? RENUMBER_PASS : RENUMBER_REFUSE;
}

static enum renumbered on_no_data(struct renumber *r)
{
    char asked = head(r);

    r->columns = 0;
    r->deep = false;
    if (asked == 'd' || asked == 'p' || asked == 'x' || asked == 'y')
        r->at++;
    return asked == 'x' || asked == 'y' ? RENUMBER_DROP : RENUMBER_PASS;
}

static enum renumbered on_parameters(struct renumber *r, char *body, size_t n, struct fault *f)
{
    if (type_map_parameters(r->down, body, n, f) != ERR_OK)
        return RENUMBER_REFUSE;
    if (head(r) != 'x')
        return RENUMBER_PASS;
    learn(r, body, n);
    r->waits = false;
    return RENUMBER_DROP;
}

enum renumbered renumber_server(struct renumber *r, char type, char *body, size_t n, struct fault *f)
{
    switch (type) {
    case 't':
        return on_parameters(r, body, n, f);
    case 'T':
        return on_row_description(r, body, n, f);
    case 'n':
        return on_no_data(r);
    case 'D':
        if (!r->deep)
            return RENUMBER_PASS;
        return type_map_data_row(r->down, r->types, r->formats, r->columns, body, n, f) == ERR_OK ? RENUMBER_PASS : RENUMBER_REFUSE;
    case 'E':
        on_error(r);
        return RENUMBER_PASS;
    case 'Z':
        on_ready(r);
        return RENUMBER_PASS;
    default:
        return RENUMBER_PASS;
    }
}
