/* tests/lib/pgoutput_messages.h — for the tests of the decoder: messages made by hand, and a bench to try them on. */
#ifndef LEAT_TESTS_PGOUTPUT_MESSAGES_H
#define LEAT_TESTS_PGOUTPUT_MESSAGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/pgoutput.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define PG_EPOCH_US INT64_C(946684800000000)
#define T 16385u /* a table: public.t(id int key, v text) */

/* --- making messages --- */

static inline void add_name(struct buf *b, const char *name)
{
    buf_add(b, name, strlen(name) + 1);
}

static inline void add_text(struct buf *b, const char *text)
{
    buf_addc(b, 't');
    buf_add_u32be(b, (uint32_t)strlen(text));
    buf_adds(b, text);
}

/* A row by a pattern: 'n', 'u', or a digit for a text of that many x. */
static inline void add_row(struct buf *b, char tag, const char *pattern)
{
    buf_addc(b, tag);
    buf_add_u16be(b, (uint16_t)strlen(pattern));
    for (; *pattern != '\0'; pattern++) {
        if (*pattern >= '0' && *pattern <= '9')
            add_text(b, &"xxxxxxxxx"['9' - *pattern]);
        else
            buf_addc(b, *pattern);
    }
}

static inline void add_relation(struct buf *b, uint32_t id, const char *schema, const char *name, char identity,
                                const char *const *columns)
{
    uint16_t count = 0;

    while (columns[count] != NULL)
        count++;
    buf_add_u32be(b, id);
    add_name(b, schema);
    add_name(b, name);
    buf_addc(b, identity);
    buf_add_u16be(b, count);
    for (uint16_t i = 0; i < count; i++) { /* a '*' in front: part of the key */
        buf_addc(b, columns[i][0] == '*');
        add_name(b, columns[i] + (columns[i][0] == '*'));
        buf_add_u32be(b, 25u + i);
        buf_add_u32be(b, (uint32_t)-1);
    }
}

static const char *const ID_V[] = {"*id", "v", NULL};

/* --- the decoder and one message at a time --- */

struct bench {
    struct pgoutput *d;
    struct arena *arena;
    struct buf b;
    struct pgoutput_msg m;
    struct fault f;
};

static inline int setup(void **state)
{
    struct bench *t = mem_alloc(sizeof *t);

    t->d = pgoutput_new();
    t->arena = arena_new(4096);
    *state = t;
    return 0;
}

static inline int teardown(void **state)
{
    struct bench *t = *state;

    pgoutput_free(t->d);
    arena_free(t->arena);
    buf_fini(&t->b);
    free(t);
    return 0;
}

static inline struct buf *begin(struct bench *t, const char *kind)
{
    buf_clear(&t->b);
    buf_adds(&t->b, kind);
    return &t->b;
}

/* Decodes from a block of exactly the message's size, so that reading past it is seen; it lives in the arena's place.
 */
static inline enum err decode_bytes(struct bench *t, const char *data, size_t len)
{
    static char *last;
    enum err err;

    free(last);
    last = malloc(len > 0 ? len : 1);
    memcpy(last, data, len);
    t->f = (struct fault){0};
    err = pgoutput_decode(t->d, t->arena, last, len, &t->m, &t->f);
    if (err != ERR_OK || t->m.change == NULL) {
        free(last);
        last = NULL;
    }
    return err;
}

static inline void good(struct bench *t)
{
    enum err err = decode_bytes(t, t->b.data, t->b.len);

    if (err != ERR_OK)
        fail_msg("%s", t->f.why);
}

static inline void bad(struct bench *t, const char *why)
{
    memset(&t->m, 0x55, sizeof t->m);
    assert_int_equal(decode_bytes(t, t->b.data, t->b.len), ERR_PROTOCOL);
    if (strstr(t->f.why, why) == NULL)
        fail_msg("'%s' does not say '%s'", t->f.why, why);
    for (size_t i = 0; i < sizeof t->m; i++)
        assert_int_equal(((unsigned char *)&t->m)[i], 0x55); /* untouched */
}

static inline void describe(struct bench *t, uint32_t id, const char *schema, const char *name, char identity,
                            const char *const *columns)
{
    add_relation(begin(t, "R"), id, schema, name, identity, columns);
    good(t);
}

static inline void start_segment(struct bench *t, uint32_t xid, bool first)
{
    buf_add_u32be(begin(t, "S"), xid);
    buf_addc(&t->b, first);
    good(t);
}

static inline void stop_segment(struct bench *t)
{
    begin(t, "E");
    good(t);
}

static inline void assert_value(const struct value *v, const char *text)
{
    assert_int_equal(v->len, strlen(text));
    assert_memory_equal(v->data, text, strlen(text));
}

/* A good message of that kind; it fits T as ID_V describes it. */
static inline void each_kind(struct bench *t, char kind)
{
    char text[2] = {kind, '\0'};
    struct buf *b = begin(t, text);

    switch (kind) {
    case 'B':
        buf_add_u64be(b, 1), buf_add_u64be(b, 2), buf_add_u32be(b, 3);
        return;
    case 'C':
        buf_addc(b, 0), buf_add_u64be(b, 1), buf_add_u64be(b, 2), buf_add_u64be(b, 3);
        return;
    case 'O':
        buf_add_u64be(b, 1), add_name(b, "o");
        return;
    case 'R':
        add_relation(b, T, "public", "t", 'd', ID_V);
        return;
    case 'Y':
        buf_add_u32be(b, 1), add_name(b, "s"), add_name(b, "n");
        return;
    case 'I':
        buf_add_u32be(b, T), add_row(b, 'N', "1n");
        return;
    case 'U':
        buf_add_u32be(b, T), add_row(b, 'K', "1n"), add_row(b, 'N', "1u");
        return;
    case 'D':
        buf_add_u32be(b, T), add_row(b, 'O', "1n");
        return;
    case 'T':
        buf_add_u32be(b, 1), buf_addc(b, 3), buf_add_u32be(b, T);
        return;
    case 'M':
        buf_addc(b, 0), buf_add_u64be(b, 1), add_name(b, "p"), buf_add_u32be(b, 1), buf_addc(b, 'c');
        return;
    case 'S':
        buf_add_u32be(b, 9), buf_addc(b, 1);
        return;
    case 'E':
        return;
    case 'c':
        buf_add_u32be(b, 9), buf_addc(b, 0), buf_add_u64be(b, 1), buf_add_u64be(b, 2), buf_add_u64be(b, 3);
        return;
    case 'A':
        buf_add_u32be(b, 9), buf_add_u32be(b, 10);
        return;
    default:
        fail_msg("no such kind");
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
