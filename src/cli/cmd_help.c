/* cli/cmd_help.c — leat help and the hidden ways to the generated pages: see reference.h. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/reference.h"

static int print(const struct buf *text)
{
    return fwrite(buf_cstr(text), 1, text->len, stdout) == text->len && fflush(stdout) == 0 ? 0 : 1;
}

static int answer(const struct cli *c, const struct buf *text)
{
    json_t *o;

    if (!c->json)
        return print(text);
    o = cli_object(c, true);
    json_object_set_new(o, "text", json_stringn(buf_cstr(text), text->len));
    cli_answer(c, o, NULL);
    return 0;
}

static enum err about(const char *name, struct buf *out, struct fault *f)
{
    enum command c = command_by_name(name);
    const char *near = command_nearest(name);

    if (c != COMMAND_COUNT && command_info(c)->shown != HIDDEN) {
        reference_command(out, c);
        return ERR_OK;
    }
    if (near != NULL)
        return fault_set(f, ERR_USAGE, "there is no command \"%s\"; did you mean %s?", name, near);
    return fault_set(f, ERR_USAGE, "there is no command \"%s\"", name);
}

int cmd_help(struct cli *c, struct fault *f)
{
    AUTO_BUF text = {0};

    if (c->man)
        reference_man(&text);
    else if (c->reference != NULL && strcmp(c->reference, "commands") == 0)
        reference_commands_md(&text);
    else if (c->reference != NULL)
        reference_errors_md(&text);
    else if (c->arg_count == 0 && c->short_help)
        reference_short(&text);
    else if (c->arg_count == 0)
        reference_help(&text);
    else if (about(c->args[0], &text, f) != ERR_OK)
        return err_info(f->code)->exit_status;
    return answer(c, &text);
}

int cmd_completion(struct cli *c, struct fault *f)
{
    AUTO_BUF text = {0};

    if (!reference_completion(&text, c->arg_count > 0 ? c->args[0] : ""))
        return err_info(fault_set(f, ERR_USAGE, "completions are for bash, zsh or fish: `leat completion bash`"))->exit_status;
    return print(&text);
}
