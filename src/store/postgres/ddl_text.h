/* store/postgres/ddl_text.h — what can be said of a statement from its text alone. Pure; a lexer, no parser. */
#ifndef LEAT_STORE_POSTGRES_DDL_TEXT_H
#define LEAT_STORE_POSTGRES_DDL_TEXT_H

#include <stdbool.h>

#include "base/mem.h"

/* The nth (from 0) statement of `text` that gives the command tag, where exactly `of` do; in the arena, without its semicolon. NULL:
 * none (the command was given by a function or a DO block), or not so many: which one it was cannot be told. */
const char *ddl_text_pick(struct arena *a, const char *text, const char *tag, int nth, int of);
/* Whether running it elsewhere or later may give rows already there other values: a default or USING that is more than a literal,
 * a column name or a cast; a column that counts by itself. */
bool ddl_text_computes(const char *statement);
/* Whether it takes a word of those (upper case) outside of literals and quoted names. */
bool ddl_text_has(const char *statement, const char *word);
/* The statement without that word; in the arena. */
const char *ddl_text_without(struct arena *a, const char *statement, const char *word);

#endif
