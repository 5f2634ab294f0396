/* wire/messages.h — messages of PostgreSQL's extended protocol, written toward a server. */
#ifndef LEAT_WIRE_MESSAGES_H
#define LEAT_WIRE_MESSAGES_H

#include <string.h>

#include "base/mem.h"

#define MESSAGE_TEXT_OID 25

static inline void message_put_u32(struct buf *b, size_t at, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        b->data[at + i] = (char)(v >> (24 - 8 * i));
}

/* Begins a message; message_end() wants back what it returns. */
static inline size_t message_begin(struct buf *b, char kind)
{
    buf_addc(b, kind);
    buf_add_u32be(b, 0);
    return b->len - 4;
}

static inline void message_end(struct buf *b, size_t at)
{
    message_put_u32(b, at, (uint32_t)(b->len - at)); /* a message's length counts itself */
}

static inline void message_string(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s) + 1);
}

/* A parameter: its length, then its bytes. */
static inline void message_value(struct buf *b, const char *s)
{
    buf_add_u32be(b, (uint32_t)strlen(s));
    buf_adds(b, s);
}

/* A parameter that is a text[] of one dimension, in binary. */
static inline void message_text_array(struct buf *b, const char *const *values, size_t count)
{
    size_t at = b->len;

    buf_add_u32be(b, 0);
    buf_add_u32be(b, count > 0 ? 1 : 0); /* dimensions */
    buf_add_u32be(b, 0);                 /* no NULLs */
    buf_add_u32be(b, MESSAGE_TEXT_OID);
    if (count > 0) {
        buf_add_u32be(b, (uint32_t)count);
        buf_add_u32be(b, 1);
    }
    for (size_t i = 0; i < count; i++)
        message_value(b, values[i]);
    message_put_u32(b, at, (uint32_t)(b->len - at - 4)); /* a parameter's does not */
}

static inline void message_close_statement(struct buf *b, const char *name)
{
    size_t at = message_begin(b, 'C');

    buf_addc(b, 'S');
    message_string(b, name);
    message_end(b, at);
}

/* Of the unnamed portal, all rows. */
static inline void message_execute(struct buf *b)
{
    size_t at = message_begin(b, 'E');

    message_string(b, "");
    buf_add_u32be(b, 0);
    message_end(b, at);
}

static inline void message_sync(struct buf *b)
{
    message_end(b, message_begin(b, 'S'));
}

#endif
