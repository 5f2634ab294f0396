/* cli/cli.c — how answers and errors are said. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *cli_object(const struct cli *c, bool ok)
{
    return json_pack("{s:i, s:s, s:b}", "format_version", 1, "command", command_info(c->command)->name, "ok", (int)ok);
}

void cli_answer(const struct cli *c, json_t *o, const char *next_steps)
{
    json_t *list = json_array();

    (void)c;
    for (const char *line = next_steps; line != NULL && line[0] != '\0';) {
        size_t n = strcspn(line, "\n");

        json_array_append_new(list, json_stringn(line, n));
        line += n + (line[n] == '\n');
    }
    json_object_set_new(o, "next_steps", list);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

int cli_fault(const struct cli *c, const struct fault *f)
{
    const struct err_info *info = err_info(f->code);
    const char *todo = f->todo[0] != '\0' ? f->todo : info->remedy;
    char text[8192];

    fflush(stdout);
    fprintf(stderr, "leat: %s\n", fault_text(f, text, sizeof text));
    if (c->json) {
        json_t *o = cli_object(c, false);

        json_object_set_new(o, "error", json_pack("{s:s, s:s, s:s, s:s}", "code", info->code, "what", f->what[0] != '\0' ? f->what : info->text,
                                                  "why", f->why, "todo", todo));
        cli_answer(c, o, todo);
    }
    return info->exit_status;
}

const char *cli_size(double bytes, char text[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;

    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, unit < 2 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

const char *cli_count(int64_t n, char text[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int out = 0;

    for (int i = 0; i < len; i++) {
        text[out++] = digits[i];
        if ((len - i - 1) % 3 == 0 && i < len - 1 && digits[i] != '-')
            text[out++] = ',';
    }
    text[out] = '\0';
    return text;
}

bool cli_colors(int fd)
{
    const char *term = getenv("TERM");
    const char *off = getenv("NO_COLOR");

    return isatty(fd) && (off == NULL || off[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

void cli_wrap(struct buf *out, const char *text, int width, int indent)
{
    int column = 0;

    while (*text != '\0') {
        int n = (int)strcspn(text, " ");

        if (column > 0 && column + 1 + n > width) {
            buf_addc(out, '\n');
            column = 0;
        }
        if (column == 0)
            buf_addf(out, "%*s", indent, "");
        else
            buf_addc(out, ' ');
        buf_addf(out, "%.*s", n, text);
        column = (column == 0 ? indent : column + 1) + n;
        text += n + (text[n] == ' ');
    }
    buf_addc(out, '\n');
}

enum err cli_consent(const struct cli *c, const char *store, const char *what, struct fault *f)
{
    char line[16];

    if (c->yes)
        return ERR_OK;
    if (!c->json && isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
        fprintf(stderr, "%s: %s\nGo on? [y/N] ", store, what);
        fflush(stderr);
        if (fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y'))
            return ERR_OK;
    }
    return fault_todo(f, ERR_CONSENT, "give --yes", "store %s: %s", store, what);
}
