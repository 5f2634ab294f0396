/* shift/users.c — see users.h. Names and secrets are unquoted in a copy of the text, in place, and point into it. */
#include "shift/users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/md5auth.h"

#define READ_CHUNK ((size_t)64 << 10)

struct users {
    char *text;
    size_t text_len;
    struct user *list; /* in the order of names */
    size_t count;
    size_t size;
};

struct reader {
    const char *path;
    char *at;
    char *end; /* a NUL is there */
    int line;
};

#define FAIL(r, f, ...) fault_line((r), (f), __VA_ARGS__)

static enum err __attribute__((format(printf, 3, 4)))
fault_line(const struct reader *r, struct fault *f, const char *fmt, ...)
{
    AUTO_BUF words = {0};
    va_list args;

    va_start(args, fmt);
    buf_vaddf(&words, fmt, args);
    va_end(args);
    return fault_set(f, ERR_USERLIST, "%s:%d: %s", r->path, r->line, buf_cstr(&words));
}

/* --- a line --- */

static void skip_blanks(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\f' || *r->at == '\v')
        r->at++;
}

static void skip_line(struct reader *r)
{
    while (r->at < r->end && *r->at != '\n')
        r->at++;
}

/* The word in quotes that stands here, unquoted in place. `what` it should be, for words of error. */
static enum err read_word(struct reader *r, const char *what, char **ret, struct fault *f)
{
    char *to = r->at;

    if (*r->at != '"')
        return FAIL(r, f, "%s should stand here, in double quotes", what);
    *ret = to;
    for (r->at++; *r->at != '"' || r->at[1] == '"'; r->at++) {
        if (r->at == r->end || *r->at == '\n' || *r->at == '\0')
            return FAIL(r, f, "the double quote before %s is not closed on its line", what);
        r->at += *r->at == '"';
        *to++ = *r->at;
    }
    r->at++;
    *to = '\0';
    return ERR_OK;
}

static enum err judge_secret(const struct reader *r, struct user *u, struct fault *f)
{
    if (md5auth_is_hash(u->secret)) {
        u->kind = USER_MD5;
        return ERR_OK;
    }
    u->kind = USER_PASSWORD;
    if (strncmp(u->secret, SCRAM_MECHANISM "$", strlen(SCRAM_MECHANISM) + 1) != 0)
        return ERR_OK;
    u->kind = USER_SCRAM;
    if (!scram_verifier_parse(u->secret, &u->verifier))
        return FAIL(r, f, "what stands for user \"%s\" begins like a SCRAM verifier, but is none", u->name);
    return ERR_OK;
}

static struct user *add_user(struct users *u)
{
    if (u->count == u->size) {
        size_t size = u->size > 0 ? u->size * 2 : 64;
        struct user *more = mem_alloc(size * sizeof *more);

        if (u->count > 0) {
            memcpy(more, u->list, u->count * sizeof *more);
            explicit_bzero(u->list, u->count * sizeof *u->list);
        }
        free(u->list);
        u->list = more;
        u->size = size;
    }
    return &u->list[u->count++];
}

static enum err read_user(struct reader *r, struct users *u, struct fault *f)
{
    struct user *one = add_user(u);
    char *name = NULL;
    char *secret = NULL;

    TRY(read_word(r, "the user's name", &name, f));
    if (*name == '\0' || strlen(name) > USERS_NAME_MOST)
        return FAIL(r, f, "the user's name is %s", *name == '\0' ? "empty" : "longer than 63 bytes");
    skip_blanks(r);
    TRY(read_word(r, "the user's secret", &secret, f));
    one->name = name;
    one->secret = secret;
    TRY(judge_secret(r, one, f));
    skip_line(r);
    return ERR_OK;
}

/* --- the list --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct user *)a)->name, ((const struct user *)b)->name);
}

static enum err sort(const struct reader *r, struct users *u, struct fault *f)
{
    if (u->count > 0)
        qsort(u->list, u->count, sizeof *u->list, by_name);
    for (size_t i = 1; i < u->count; i++)
        if (strcmp(u->list[i - 1].name, u->list[i].name) == 0)
            return fault_set(f, ERR_USERLIST, "%s: user \"%s\" is there twice", r->path, u->list[i].name);
    return ERR_OK;
}

enum err users_parse(const char *path, const char *text, size_t len, struct users **ret, struct fault *f)
{
    AUTO(users) *u = mem_alloc(sizeof *u);
    struct reader r = {.path = path, .line = 1};

    u->text = mem_alloc(len + 1);
    u->text_len = len;
    if (len > 0)
        memcpy(u->text, text, len);
    r.at = u->text;
    r.end = u->text + len;
    while (r.at < r.end) {
        skip_blanks(&r);
        if (*r.at == ';')
            skip_line(&r);
        else if (r.at < r.end && *r.at != '\n')
            TRY(read_user(&r, u, f));
        if (r.at < r.end && *r.at == '\n') {
            r.line++;
            r.at++;
        }
    }
    TRY(sort(&r, u, f));
    *ret = TAKE(u);
    return ERR_OK;
}

/* Into a buffer whose size is known beforehand, so that no copy of secrets stays behind as it grows. */
static enum err read_file(const char *path, struct buf *out, struct fault *f)
{
    FILE *file = fopen(path, "re");
    int problem = errno;
    size_t n = 1;

    if (file == NULL)
        return fault_set(f, ERR_USERLIST, "%s: %s", path, strerror(problem));
    setvbuf(file, NULL, _IONBF, 0);
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) >= 0 && (size_t)ftell(file) <= USERS_FILE_MOST)
        buf_reserve(out, (size_t)ftell(file) + READ_CHUNK);
    rewind(file);
    while (n > 0 && out->len <= USERS_FILE_MOST) {
        buf_reserve(out, READ_CHUNK);
        n = fread(out->data + out->len, 1, READ_CHUNK, file);
        out->len += n;
    }
    problem = ferror(file) ? errno : 0;
    fclose(file);
    if (problem != 0 || out->len > USERS_FILE_MOST)
        return fault_set(f, ERR_USERLIST, "%s: %s", path,
                         problem != 0 ? strerror(problem) : "it is larger than 64 MiB");
    return ERR_OK;
}

enum err users_load(const char *path, struct users **ret, struct fault *f)
{
    AUTO_BUF text = {0};
    enum err err = read_file(path, &text, f);

    if (err == ERR_OK)
        err = users_parse(path, buf_cstr(&text), text.len, ret, f);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size);
    return err;
}

void users_free(struct users *u)
{
    if (u == NULL)
        return;
    if (u->text != NULL)
        explicit_bzero(u->text, u->text_len);
    if (u->list != NULL)
        explicit_bzero(u->list, u->size * sizeof *u->list);
    free(u->text);
    free(u->list);
    free(u);
}

const struct user *users_find(const struct users *u, const char *name)
{
    struct user key = {.name = name};

    return u->count > 0 ? bsearch(&key, u->list, u->count, sizeof *u->list, by_name) : NULL;
}

size_t users_count(const struct users *u)
{
    return u->count;
}
