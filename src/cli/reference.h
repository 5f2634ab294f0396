/* cli/reference.h — what is generated from the tables: help, the man page, completions, docs/commands.md, docs/errors.md.
 * All append to the buffer. */
#ifndef LEAT_CLI_REFERENCE_H
#define LEAT_CLI_REFERENCE_H

#include "base/mem.h"
#include "cli/table.h"

void reference_short(struct buf *out);
void reference_help(struct buf *out);
void reference_command(struct buf *out, enum command c);
void reference_man(struct buf *out);
void reference_commands_md(struct buf *out);
void reference_errors_md(struct buf *out);
/* False: no such shell (bash, zsh, fish). */
bool reference_completion(struct buf *out, const char *shell);

#endif
