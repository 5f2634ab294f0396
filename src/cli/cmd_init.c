/* cli/cmd_init.c — leat init: a leat.yaml to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* The folder's name, made fit to be a migration's. */
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

int cmd_init(struct cli *c, struct fault *f)
{
    AUTO_BUF text = {0};
    char name[33];
    int fd;

    name_of_folder(c->config_path, name);
    config_template(&text, name, "main", c->from, c->to);
    fd = open(c->config_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return err_info(fault_todo(f, ERR_CONFIG, "edit it, or name another with --config", "%s is there already; it is never overwritten", c->config_path))->exit_status;
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len) {
        if (fd >= 0)
            close(fd);
        return err_info(fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", c->config_path, strerror(errno)))->exit_status;
    }
    close(fd);
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "file", json_string(c->config_path));
        cli_answer(c, o, "leat doctor");
    } else {
        printf("wrote %s\nnext: fill in the two addresses, then `leat doctor`\n", c->config_path);
    }
    return 0;
}
