/* base/fault.h — errors as values: a class for the program, a chain of words for the human. */
#ifndef LEAT_BASE_FAULT_H
#define LEAT_BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

enum err_class { ERR_CLASS_NONE, ERR_CLASS_USER, ERR_CLASS_TRANSIENT, ERR_CLASS_DATA, ERR_CLASS_SOURCE, ERR_CLASS_TARGET, ERR_CLASS_BUG, ERR_CLASS_STOP };

enum err {
    ERR_OK = 0,
#define X(id, code, class, status, text, remedy) ERR_##id,
#include "base/errors.def"
#undef X
    ERR_COUNT
};

/* One row of errors.def; err_info(ERR_OK) is a row of its own ("ok"). */
struct err_info {
    const char *code;
    enum err_class class;
    int exit_status;
    const char *text;
    const char *remedy;
};

const struct err_info *err_info(enum err err);
const char *err_class_name(enum err_class class);
/* The error whose code is `code`, or ERR_OK if there is none. */
enum err err_by_code(const char *code);
static inline bool err_is_transient(enum err err)
{
    return err_info(err)->class == ERR_CLASS_TRANSIENT;
}

/* What the human reads. `why` is the innermost reason, `what` grows outwards ("copying public.t: ..."), `todo` replaces
 * the table's remedy when a more exact one is known. All are cut, never overrun. Zero-initialise it. */
struct fault {
    enum err code;
    char what[512];
    char why[2048];
    char todo[1024];
};

/* Records code and reason (the first one recorded stays) and returns code, so that `return fault_set(...)` reads well. */
enum err fault_set(struct fault *f, enum err code, const char *fmt, ...) __attribute__((format(printf, 3, 4), warn_unused_result));
/* The same, with the exact thing to do. */
enum err fault_todo(struct fault *f, enum err code, const char *todo, const char *fmt, ...) __attribute__((format(printf, 4, 5), warn_unused_result));
/* Puts words about what was being done before the words already there. */
void fault_add(struct fault *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "CODE: what — why — what to do", into `buf`; always ends in NUL. Returns buf. */
const char *fault_text(const struct fault *f, char *buf, size_t size);
void fault_clear(struct fault *f);
/* Whatever is no UTF-8 becomes '?': text of a server that was cut in the middle of a character, or never was any. In place. True: something did. */
bool text_tidy(char *text);
/* "the source" and "the target", and either before a colon at the beginning, exchanged; not within quotes. In place; done twice it is as it was. A way
 * back speaks of its stream's ends, and those are the store's the other way round. */
void text_turn_sides(char *text);

#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        enum err try_err_ = (expr);                                                                                    \
        if (try_err_ != ERR_OK)                                                                                        \
            return try_err_;                                                                                           \
    } while (0)

#define TRY_WITH(expr, f, ...)                                                                                         \
    do {                                                                                                               \
        enum err try_err_ = (expr);                                                                                    \
        if (try_err_ != ERR_OK) {                                                                                      \
            fault_add((f), __VA_ARGS__);                                                                               \
            return try_err_;                                                                                           \
        }                                                                                                              \
    } while (0)

/* Broken invariants only, never input. On in every build. */
#define ENSURE(cond)                                                                                                   \
    do {                                                                                                               \
        if (__builtin_expect(!(cond), 0))                                                                              \
            ensure_failed(#cond, __FILE__, __LINE__, __func__);                                                        \
    } while (0)
void ensure_failed(const char *cond, const char *file, int line, const char *func) __attribute__((noreturn));

#define MUST_USE __attribute__((warn_unused_result))

#endif
