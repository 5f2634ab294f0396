/* base/mem.h — memory by lifetime: arenas, capped buffers, and locals that clean up after themselves.
 *
 * Allocation never fails visibly: out of memory ends the process (every queue and buffer is capped, so it is a bug or a
 * machine too small; nothing is lost by dying). Nothing here locks; an arena or buffer belongs to one thread at a time. */
#ifndef LEAT_BASE_MEM_H
#define LEAT_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

void *mem_alloc(size_t size);        /* zeroed; never NULL */
void *mem_grow(void *p, size_t size); /* realloc; never NULL; new bytes are not zeroed */
char *mem_dup(const char *s);        /* NULL stays NULL */
char *mem_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* AUTO(type) *x = NULL; frees x with type_free() at the end of its scope; TAKE(x) moves it out. */
#define AUTO_DEFINE(name)                                                                                              \
    static inline __attribute__((unused)) void auto_free_##name(struct name **p)                                      \
    {                                                                                                                  \
        if (*p != NULL)                                                                                                \
            name##_free(*p);                                                                                           \
    }
#define AUTO(name) __attribute__((cleanup(auto_free_##name))) struct name
#define TAKE(p)                                                                                                        \
    ({                                                                                                                 \
        __typeof__(p) taken_ = (p);                                                                                    \
        (p) = NULL;                                                                                                    \
        taken_;                                                                                                        \
    })
void auto_free_chars(char **p);
#define AUTO_CHARS __attribute__((cleanup(auto_free_chars))) char

/* --- arena: many allocations, freed together --- */
struct arena;
struct arena *arena_new(size_t chunk_bytes); /* chunk_bytes: the usual size asked from malloc, e.g. 64 KiB */
void arena_free(struct arena *a);
/* Forgets everything; keeps one chunk for reuse. */
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull)); /* 8-byte aligned, not zeroed */
void *arena_zalloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_copy(struct arena *a, const void *p, size_t size);
char *arena_strdup(struct arena *a, const char *s); /* NULL stays NULL */
char *arena_format(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes what another gave out of his own memory: released with the arena's. For what is too large to copy. */
void arena_adopt(struct arena *a, void *p, size_t size, void (*release)(void *p));
/* Bytes obtained from malloc (or adopted) and not yet given back. */
size_t arena_bytes(const struct arena *a);
AUTO_DEFINE(arena)

/* --- buf: a growing byte buffer with a cap --- */
struct buf {
    char *data; /* always ends in a NUL beyond `len` once something was added */
    size_t len;
    size_t size;
    size_t cap; /* 0 = BUF_CAP_DEFAULT; going beyond it is an ENSURE: check input sizes before */
};
#define BUF_CAP_DEFAULT ((size_t)2 << 30)
void buf_fini(struct buf *b);
void buf_reserve(struct buf *b, size_t more); /* room for `more` bytes and a NUL */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
void buf_add_u16be(struct buf *b, uint16_t v);
void buf_add_u32be(struct buf *b, uint32_t v);
void buf_add_u64be(struct buf *b, uint64_t v);
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}
static inline const char *buf_cstr(const struct buf *b)
{
    return b->data != NULL ? b->data : "";
}
static inline void auto_fini_buf(struct buf *b)
{
    buf_fini(b);
}
#define AUTO_BUF __attribute__((cleanup(auto_fini_buf))) struct buf

#endif
