/* config/text.c — the bytes of leat.yaml: are they text at all, where is what, and how to speak of it. */
#include "config/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 60

enum err config_fail(const struct config_source *s, int line, int column, struct fault *f, const char *fmt, ...)
{
    AUTO_BUF words = {0};
    va_list args;

    va_start(args, fmt);
    buf_vaddf(&words, fmt, args);
    va_end(args);
    return fault_set(f, ERR_CONFIG, "%s:%d:%d: %s", s->path, line, column, buf_cstr(&words));
}

/* The length in bytes of the UTF-8 character at p; 0 if there is none. Shortest form only, no surrogates (RFC 3629). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    unsigned code = p[0];

    if (n == 1)
        return 1;
    if (p[0] < 0xC0 || p[0] > 0xF4 || n > left)
        return 0;
    code = p[0] & (0xFFU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3F);
    }
    return code >= least[n] && code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF) ? n : 0;
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
}

static enum err check_characters(const struct config_source *s, struct fault *f)
{
    const unsigned char *p = (const unsigned char *)s->text;
    int line = 1, column = 1;

    for (size_t i = 0, n; i < s->len; i += n) {
        n = utf8_length(p + i, s->len - i);
        if (n == 0)
            return config_fail(s, line, column, f, "byte 0x%02X is not UTF-8; save the file as UTF-8", p[i]);
        if (is_control(p[i]))
            return config_fail(s, line, column, f, "a control character (0x%02X)", p[i]);
        if (p[i] == '\n' || (p[i] == '\r' && !(i + 1 < s->len && p[i + 1] == '\n'))) {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    return ERR_OK;
}

enum err config_text_check(const struct config_source *s, struct fault *f)
{
    if (s->len > CONFIG_FILE_MAX)
        return fault_todo(f, ERR_CONFIG, "name the right file with --config",
                          "%s: larger than 1 MB: this is not a leat.yaml", s->path);
    return check_characters(s, f);
}

int config_text_tab(const struct config_source *s, int line)
{
    const char *p = s->text, *end = s->text + s->len;

    for (int at = 1; at < line && p != NULL; at++) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p != NULL ? p + 1 : NULL;
    }
    for (const char *q = p; q != NULL && q < end && (*q == ' ' || *q == '\t'); q++)
        if (*q == '\t')
            return (int)(q - p) + 1;
    return 0;
}

/* Replaces what would move a terminal's cursor: C0, DEL and, as UTF-8, C1. */
static void defuse(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7F)
            *p = '?';
        else if (p[0] == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0)
            p[0] = p[1] = '?';
    }
}

const char *config_shown(struct arena *a, const char *text)
{
    const char *safe = strstr(text, "://") != NULL || strchr(text, '=') != NULL ? config_dsn_public(a, text) : text;
    size_t n = strlen(safe);
    char *shown;

    if (n <= SHOWN_MAX) {
        shown = arena_strdup(a, safe);
    } else {
        for (n = SHOWN_MAX; n > 0 && ((unsigned char)safe[n] & 0xC0) == 0x80; n--)
            ;
        shown = arena_format(a, "%.*s…", (int)n, safe);
    }
    defuse(shown);
    return shown;
}
