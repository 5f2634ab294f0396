/* wire/pgwire.c — see pgwire.h. */
#include "wire/pgwire.h"

#include <endian.h>
#include <string.h>

#include "wire/bytes.h"

#define CODE_CANCEL ((1234u << 16) | 5678)
#define CODE_TLS ((1234u << 16) | 5679)
#define CODE_GSS ((1234u << 16) | 5680)

static uint32_t read_u32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

/* --- frames --- */

/* What each side may say once a session has begun; 'p' answers to an authentication. */
static const bool known[2][256] = {
    [PGWIRE_CLIENT] = {['B'] = true, ['C'] = true, ['D'] = true, ['E'] = true, ['F'] = true, ['H'] = true, ['P'] = true, ['Q'] = true,
                       ['S'] = true, ['X'] = true, ['c'] = true, ['d'] = true, ['f'] = true, ['p'] = true},
    [PGWIRE_SERVER] = {['1'] = true, ['2'] = true, ['3'] = true, ['A'] = true, ['C'] = true, ['D'] = true, ['E'] = true, ['G'] = true,
                       ['H'] = true, ['I'] = true, ['K'] = true, ['N'] = true, ['R'] = true, ['S'] = true, ['T'] = true, ['V'] = true,
                       ['W'] = true, ['Z'] = true, ['c'] = true, ['d'] = true, ['n'] = true, ['s'] = true, ['t'] = true, ['v'] = true},
};

enum pgwire_seen pgwire_frame(enum pgwire_from from, const char *p, size_t n, char *ret_type, uint32_t *ret_total)
{
    uint32_t len;

    if (n == 0)
        return PGWIRE_MORE;
    if (!known[from][(unsigned char)*p])
        return PGWIRE_WRONG;
    if (n < PGWIRE_HEADER)
        return PGWIRE_MORE;
    len = read_u32(p + 1);
    if (len < 4 || len > PGWIRE_MESSAGE_MAX)
        return PGWIRE_WRONG;
    *ret_type = *p;
    *ret_total = len + 1;
    return PGWIRE_FRAME;
}

/* --- how a connection begins --- */

/* Names and values come in pairs, a name that is empty ends them, and nothing follows it. */
static bool params_ok(const char *p, size_t n)
{
    struct bytes b = {.start = p, .at = p, .end = p + n};

    while (b.wrong == NULL) {
        const char *name = bytes_string(&b);

        if (b.wrong != NULL)
            return false;
        if (*name == '\0')
            return b.at == b.end;
        (void)bytes_string(&b);
    }
    return false;
}

static enum pgwire_startup_kind classify(const char *p, struct pgwire_startup *s)
{
    uint32_t code = read_u32(p + 4);

    switch (code) {
    case CODE_TLS:
        return s->total == 8 ? STARTUP_TLS : STARTUP_WRONG;
    case CODE_GSS:
        return s->total == 8 ? STARTUP_GSS : STARTUP_WRONG;
    case CODE_CANCEL:
        if (s->total < 16 || s->total > 12 + 256)
            return STARTUP_WRONG;
        s->pid = read_u32(p + 8);
        s->key = p + 12;
        s->key_len = s->total - 12;
        return STARTUP_CANCEL;
    default:
        break;
    }
    s->version = code;
    if (code >> 16 == 1 || code >> 16 == 2)
        return STARTUP_OLD;
    if (code >> 16 != 3 || s->total < 9 || !params_ok(p + 8, s->total - 8))
        return STARTUP_WRONG;
    s->params = p + 8;
    s->params_len = s->total - 9;
    return STARTUP_SESSION;
}

enum pgwire_startup_kind pgwire_startup(const char *p, size_t n, struct pgwire_startup *ret)
{
    *ret = (struct pgwire_startup){.kind = STARTUP_MORE};
    if (n > 0 && *p != 0)
        return ret->kind = STARTUP_WRONG; /* a length below 16 MB begins with 0 */
    if (n < 4)
        return STARTUP_MORE;
    ret->total = read_u32(p);
    if (ret->total < 8 || ret->total > PGWIRE_STARTUP_MAX)
        return ret->kind = STARTUP_WRONG;
    if (n < ret->total)
        return STARTUP_MORE;
    return ret->kind = classify(p, ret);
}

bool pgwire_startup_next(const struct pgwire_startup *s, uint32_t *at, const char **ret_name, const char **ret_value)
{
    const char *name = s->params + *at;
    const char *value;

    if (*at >= s->params_len)
        return false;
    value = name + strlen(name) + 1;
    *at = (uint32_t)(value + strlen(value) + 1 - s->params);
    *ret_name = name;
    *ret_value = value;
    return true;
}

const char *pgwire_startup_param(const struct pgwire_startup *s, const char *name)
{
    const char *one;
    const char *value;
    const char *found = NULL; /* the last of a name counts, as in the server */

    for (uint32_t at = 0; pgwire_startup_next(s, &at, &one, &value);)
        if (strcmp(one, name) == 0)
            found = value;
    return found;
}

/* --- writing --- */

size_t pgwire_begin(struct buf *b, char type)
{
    buf_addc(b, type);
    return pgwire_begin_untyped(b) - 1;
}

void pgwire_end(struct buf *b, size_t begin)
{
    pgwire_end_untyped(b, begin + 1);
}

size_t pgwire_begin_untyped(struct buf *b)
{
    size_t begin = b->len;

    buf_add_u32be(b, 0);
    return begin;
}

void pgwire_end_untyped(struct buf *b, size_t begin)
{
    uint32_t len = htobe32((uint32_t)(b->len - begin));

    ENSURE(b->len - begin >= 4 && b->len - begin <= PGWIRE_MESSAGE_MAX);
    memcpy(b->data + begin, &len, sizeof len);
}

void pgwire_add_string(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s) + 1);
}

static void add_field(struct buf *b, char field, const char *text)
{
    if (text == NULL)
        return;
    buf_addc(b, field);
    pgwire_add_string(b, text);
}

void pgwire_error(struct buf *b, const char *severity, const char *sqlstate, const char *message, const char *detail, const char *hint)
{
    size_t begin = pgwire_begin(b, 'E');

    add_field(b, 'S', severity);
    add_field(b, 'V', severity);
    add_field(b, 'C', sqlstate);
    add_field(b, 'M', message);
    add_field(b, 'D', detail);
    add_field(b, 'H', hint);
    buf_addc(b, '\0');
    pgwire_end(b, begin);
}

void pgwire_ready(struct buf *b, char status)
{
    size_t begin = pgwire_begin(b, 'Z');

    buf_addc(b, status);
    pgwire_end(b, begin);
}

void pgwire_parameter(struct buf *b, const char *name, const char *value)
{
    size_t begin = pgwire_begin(b, 'S');

    pgwire_add_string(b, name);
    pgwire_add_string(b, value);
    pgwire_end(b, begin);
}

void pgwire_auth(struct buf *b, uint32_t code, const void *more, size_t more_len)
{
    size_t begin = pgwire_begin(b, 'R');

    buf_add_u32be(b, code);
    buf_add(b, more, more_len);
    pgwire_end(b, begin);
}

void pgwire_sync(struct buf *b)
{
    pgwire_end(b, pgwire_begin(b, 'S'));
}

/* --- reading --- */

const char *pgwire_error_field(const char *body, size_t n, char field)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};

    while (b.wrong == NULL) {
        char one = (char)bytes_u8(&b);
        const char *text = one != '\0' ? bytes_string(&b) : NULL;

        if (text == NULL || b.wrong != NULL)
            return NULL;
        if (one == field)
            return text;
    }
    return NULL;
}

const char *pgwire_string(const char *body, size_t n, const char **ret_second)
{
    struct bytes b = {.start = body, .at = body, .end = body + n};
    const char *first = bytes_string(&b);
    const char *second = bytes_string(&b);

    if (b.wrong != NULL)
        return NULL;
    *ret_second = second;
    return first;
}
