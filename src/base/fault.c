/* base/fault.c — see fault.h. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct err_info table[ERR_COUNT] = {
    [ERR_OK] = {"ok", ERR_CLASS_NONE, 0, "nothing failed", ""},
#define X(id, code, class, status, text, remedy) [ERR_##id] = {code, ERR_CLASS_##class, status, text, remedy},
#include "base/errors.def"
#undef X
};

const struct err_info *err_info(enum err err)
{
    ENSURE((unsigned)err < ERR_COUNT);
    return &table[err];
}

const char *err_class_name(enum err_class class)
{
    static const char *const names[] = {"none", "user", "transient", "data", "source", "target", "bug", "stop"};
    ENSURE((size_t)class < sizeof names / sizeof *names);
    return names[class];
}

enum err err_by_code(const char *code)
{
    for (int i = 1; i < ERR_COUNT; i++)
        if (strcmp(table[i].code, code) == 0)
            return (enum err)i;
    return ERR_OK;
}

/* How many bytes the character at p takes; 0: it is none (RFC 3629: no overlong form, no surrogate, nothing beyond U+10FFFF). */
static size_t utf8_length(const unsigned char *p)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool text_tidy(char *text)
{
    bool any = false;

    for (char *p = text; *p != '\0';) {
        size_t n = utf8_length((const unsigned char *)p);

        any = any || n == 0;
        if (n == 0)
            *p = '?';
        p += n > 0 ? n : 1;
    }
    return any;
}

static bool ends_word(char c)
{
    return !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '-';
}

static bool is_side(const char *text, const char *at)
{
    if (strncmp(at, "source", 6) != 0 && strncmp(at, "target", 6) != 0)
        return false;
    if (at == text)
        return at[6] == ':';
    return at - text >= 4 && strncmp(at - 4, "the ", 4) == 0 && (at - text == 4 || ends_word(at[-5])) && ends_word(at[6]);
}

void text_turn_sides(char *text)
{
    bool quoted = false;

    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\'' && (quoted || p == text || ends_word(p[-1])))
            quoted = !quoted;
        else if (!quoted && is_side(text, p))
            memcpy(p, *p == 's' ? "target" : "source", 6); /* as long as one another */
    }
}

__attribute__((format(printf, 4, 0))) static void fault_record(struct fault *f, enum err code, const char *todo,
                                                               const char *fmt, va_list args)
{
    if (f == NULL || f->code != ERR_OK)
        return;
    f->code = code;
    vsnprintf(f->why, sizeof f->why, fmt, args);
    text_tidy(f->why);
    for (size_t n = strlen(f->why); n > 0 && (f->why[n - 1] == '\n' || f->why[n - 1] == ' '); n--)
        f->why[n - 1] = '\0';
    if (todo != NULL)
        snprintf(f->todo, sizeof f->todo, "%s", todo);
    text_tidy(f->todo);
}

enum err fault_set(struct fault *f, enum err code, const char *fmt, ...)
{
    va_list args;

    ENSURE(code != ERR_OK);
    va_start(args, fmt);
    fault_record(f, code, NULL, fmt, args);
    va_end(args);
    return code;
}

enum err fault_todo(struct fault *f, enum err code, const char *todo, const char *fmt, ...)
{
    va_list args;

    ENSURE(code != ERR_OK);
    va_start(args, fmt);
    fault_record(f, code, todo, fmt, args);
    va_end(args);
    return code;
}

void fault_add(struct fault *f, const char *fmt, ...)
{
    char before[sizeof f->what];
    char after[sizeof f->what];
    va_list args;

    if (f == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(before, sizeof before, fmt, args);
    va_end(args);
    memcpy(after, f->what, sizeof after);
    if (after[0] == '\0')
        snprintf(f->what, sizeof f->what, "%s", before);
    else
        snprintf(f->what, sizeof f->what, "%.200s: %.300s", before, after);
    text_tidy(f->what);
}

const char *fault_text(const struct fault *f, char *buf, size_t size)
{
    const struct err_info *info = err_info(f->code);
    const char *what = f->what[0] != '\0' ? f->what : info->text;
    const char *todo = f->todo[0] != '\0' ? f->todo : info->remedy;

    snprintf(buf, size, "%s: %s — %s — %s", info->code, what, f->why[0] != '\0' ? f->why : info->text, todo);
    return buf;
}

void fault_clear(struct fault *f)
{
    memset(f, 0, sizeof *f);
}

void ensure_failed(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "leat: bug: %s does not hold in %s (%s:%d) — stopped before anything could be lost — please report it\n",
            cond, func, file, line);
    abort();
}
