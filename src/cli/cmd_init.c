/* cli/cmd_init.c — leat init: a leat.yaml to begin with.
 *
 * A password in an address given on the command line is not written to the file: ${LEAT_SOURCE_PASSWORD} or ${LEAT_TARGET_PASSWORD}
 * takes its place, and the person is told to set it. It stood in the shell's history already; it need not stand in a file as well. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* The folder's name, made fit to be a migration's: [a-z][a-z0-9_-]*, at most 32. */
static void name_of_folder(const char *path, char name[33])
{
    AUTO_CHARS *folder = mem_dup(path);
    const char *last;
    size_t n = 0;

    *strrchr(folder, '/') = '\0';
    last = strrchr(folder, '/') != NULL ? strrchr(folder, '/') + 1 : folder;
    for (; *last != '\0' && n < 32; last++) {
        char c = *last >= 'A' && *last <= 'Z' ? (char)(*last + 32) : *last;
        bool letter = c >= 'a' && c <= 'z';

        if (letter || (n > 0 && ((c >= '0' && c <= '9') || c == '-' || c == '_')))
            name[n++] = c;
    }
    name[n] = '\0';
    if (n == 0)
        snprintf(name, 33, "migration");
}

/* postgresql://user:PASSWORD@host/... */
static const char *in_authority(const char *dsn, size_t *ret_len)
{
    const char *authority = strstr(dsn, "://");
    const char *at = NULL;
    const char *colon;

    if (authority == NULL)
        return NULL;
    authority += 3;
    for (const char *p = authority; p < authority + strcspn(authority, "/?"); p++)
        at = *p == '@' ? p : at;
    colon = at != NULL ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon == NULL)
        return NULL;
    *ret_len = (size_t)(at - colon - 1);
    return colon + 1;
}

/* ...?password=PASSWORD&... or host=... password=PASSWORD or password='PASSWORD' */
static const char *in_parameters(const char *dsn, size_t *ret_len)
{
    static const char key[] = "password=";

    for (const char *p = strstr(dsn, key); p != NULL; p = strstr(p + 1, key)) {
        const char *value = p + sizeof key - 1;

        if (p != dsn && strchr("?& ", p[-1]) == NULL)
            continue;
        *ret_len = value[0] == '\'' ? strcspn(++value, "'") : strcspn(value, "& ");
        return value;
    }
    return NULL;
}

/* The password in a DSN: where it begins, and its length; NULL: there is none, or a ${NAME} already. */
static const char *find_password(const char *dsn, size_t *ret_len)
{
    const char *found = in_authority(dsn, ret_len);

    if (found == NULL)
        found = in_parameters(dsn, ret_len);
    return found != NULL && *ret_len > 0 && strncmp(found, "${", 2) != 0 ? found : NULL;
}

/* NULL for NULL. */
static char *without_password(const char *dsn, const char *variable, bool *ret_moved)
{
    size_t len = 0;
    const char *at = dsn != NULL ? find_password(dsn, &len) : NULL;

    *ret_moved = at != NULL;
    if (at == NULL)
        return mem_dup(dsn);
    return mem_format("%.*s${%s}%s", (int)(at - dsn), dsn, variable, at + len);
}

static enum err write_file(const char *path, const struct buf *text, struct fault *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool done;

    if (fd < 0 && errno == EEXIST)
        return fault_todo(f, ERR_CONFIG, "edit it, or name another with --config", "%s is there already; it is never overwritten", path);
    if (fd < 0)
        return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
    done = write(fd, text->data, text->len) == (ssize_t)text->len;
    if (close(fd) == 0 && done)
        return ERR_OK;
    (void)unlink(path);
    return fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
}

static void say(const struct cli *c, bool from_moved, bool to_moved)
{
    AUTO_BUF next = {0};

    if (c->from == NULL || c->to == NULL)
        buf_addf(&next, "fill in the addresses in %s\n", c->config_path);
    if (from_moved)
        buf_adds(&next, "export LEAT_SOURCE_PASSWORD=...\n");
    if (to_moved)
        buf_adds(&next, "export LEAT_TARGET_PASSWORD=...\n");
    buf_adds(&next, "leat doctor\n");
    if (c->json) {
        json_t *o = cli_object(c, true);

        json_object_set_new(o, "file", json_string(c->config_path));
        cli_answer(c, o, buf_cstr(&next));
        return;
    }
    printf("wrote %s\n", c->config_path);
    if (from_moved || to_moved)
        puts("passwords were not written down: the file takes them from the environment");
    for (const char *line = buf_cstr(&next); line[0] != '\0'; line += strcspn(line, "\n") + 1)
        printf("next: %.*s\n", (int)strcspn(line, "\n"), line);
}

int cmd_init(struct cli *c, struct fault *f)
{
    AUTO_BUF text = {0};
    bool from_moved;
    bool to_moved;
    AUTO_CHARS *from = without_password(c->from, "LEAT_SOURCE_PASSWORD", &from_moved);
    AUTO_CHARS *to = without_password(c->to, "LEAT_TARGET_PASSWORD", &to_moved);
    char name[33];

    name_of_folder(c->config_path, name);
    config_template(&text, name, "main", from, to);
    if (write_file(c->config_path, &text, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    say(c, from_moved, to_moved);
    return 0;
}
