/* base/mem.c — see mem.h. */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);

    ENSURE(p != NULL);
    return p;
}

void *mem_grow(void *p, size_t size)
{
    void *bigger = realloc(p, size > 0 ? size : 1);

    ENSURE(bigger != NULL);
    return bigger;
}

char *mem_dup(const char *s)
{
    char *copy = s != NULL ? strdup(s) : NULL;

    ENSURE(s == NULL || copy != NULL);
    return copy;
}

char *mem_format(const char *fmt, ...)
{
    struct buf b = {0};
    va_list args;

    va_start(args, fmt);
    buf_reserve(&b, 1);
    buf_vaddf(&b, fmt, args);
    va_end(args);
    return b.data;
}

void auto_free_chars(char **p)
{
    free(*p);
}

/* --- arena --- */

struct chunk {
    struct chunk *next;
    size_t size; /* bytes in data */
    size_t used;
    max_align_t data[];
};

struct adopted {
    struct adopted *next;
    void *p;
    size_t size;
    void (*release)(void *p);
};

struct arena {
    struct adopted *adopted;
    struct chunk *head; /* the chunk being filled; full and oversized ones stand behind it */
    size_t chunk_bytes;
    size_t bytes;
};

static struct chunk *chunk_new(struct arena *a, size_t size)
{
    struct chunk *c = malloc(sizeof *c + size);

    ENSURE(c != NULL);
    c->next = NULL;
    c->size = size;
    c->used = 0;
    a->bytes += sizeof *c + size;
    return c;
}

struct arena *arena_new(size_t chunk_bytes)
{
    struct arena *a = mem_alloc(sizeof *a);

    a->chunk_bytes = chunk_bytes;
    return a;
}

static void chunks_free(struct arena *a, struct chunk *c)
{
    while (c != NULL) {
        struct chunk *next = c->next;
        a->bytes -= sizeof *c + c->size;
        free(c);
        c = next;
    }
}

static void release_adopted(struct arena *a)
{
    while (a->adopted != NULL) {
        struct adopted *gone = a->adopted;
        a->adopted = gone->next;
        a->bytes -= gone->size;
        gone->release(gone->p);
        free(gone);
    }
}

void arena_adopt(struct arena *a, void *p, size_t size, void (*release)(void *p))
{
    struct adopted *one = mem_alloc(sizeof *one);

    *one = (struct adopted){a->adopted, p, size, release};
    a->adopted = one;
    a->bytes += size;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    release_adopted(a);
    chunks_free(a, a->head);
    free(a);
}

void arena_reset(struct arena *a)
{
    struct chunk *keep = a->head;

    release_adopted(a);
    if (keep == NULL)
        return;
    chunks_free(a, keep->next);
    keep->next = NULL;
    keep->used = 0;
    if (keep->size > 2 * a->chunk_bytes) {
        chunks_free(a, keep);
        a->head = NULL;
    }
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct chunk *c = a->head;
    void *p;

    size = (size + 7) & ~(size_t)7;
    if (c == NULL || c->size - c->used < size) {
        struct chunk *fresh = chunk_new(a, size > a->chunk_bytes ? size : a->chunk_bytes);
        if (size > a->chunk_bytes && c != NULL) { /* an oversized one goes behind, so that the head stays in use */
            fresh->next = c->next;
            c->next = fresh;
        } else {
            fresh->next = c;
            a->head = fresh;
        }
        c = fresh;
    }
    p = (char *)c->data + c->used;
    c->used += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

void *arena_copy(struct arena *a, const void *p, size_t size)
{
    void *copy = arena_alloc(a, size);

    if (size > 0)
        memcpy(copy, p, size);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s != NULL ? arena_copy(a, s, strlen(s) + 1) : NULL;
}

char *arena_format(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_list again;
    char *p;
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    ENSURE(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p;
}

size_t arena_bytes(const struct arena *a)
{
    return a->bytes;
}

/* --- buf --- */

void buf_fini(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->size = 0;
}

void buf_reserve(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1;
    size_t size = b->size > 0 ? b->size : 64;

    if (need <= b->size)
        return;
    ENSURE(need <= (b->cap > 0 ? b->cap : BUF_CAP_DEFAULT));
    while (size < need)
        size *= 2;
    b->data = mem_grow(b->data, size);
    b->size = size;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    buf_reserve(b, n);
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    ENSURE(n >= 0);
    buf_reserve(b, (size_t)n);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    b->len += (size_t)n;
    va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    buf_vaddf(b, fmt, args);
    va_end(args);
}

void buf_add_u16be(struct buf *b, uint16_t v)
{
    unsigned char bytes[2] = {(unsigned char)(v >> 8), (unsigned char)v};

    buf_add(b, bytes, sizeof bytes);
}

void buf_add_u32be(struct buf *b, uint32_t v)
{
    uint32_t be = __builtin_bswap32(v);

    buf_add(b, &be, sizeof be);
}

void buf_add_u64be(struct buf *b, uint64_t v)
{
    uint64_t be = __builtin_bswap64(v);

    buf_add(b, &be, sizeof be);
}
