/* shift/reading_names.h — what a name in a statement may mean on the source, as far as reads on the target go (shift/reading.h). Pure.
 *
 * Names are not resolved: a session's search_path is its own. A bare name is good if everything that is called so, in any schema, is;
 * one with its schema, if everything in that schema is. What is not listed is not good: it came after the list was made, or is nowhere. */
#ifndef LEAT_SHIFT_READING_NAMES_H
#define LEAT_SHIFT_READING_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct reading_names;
/* Filled by one thread; once sealed any number may read it. */
struct reading_names *reading_names_new(void);
void reading_names_free(struct reading_names *n);
AUTO_DEFINE(reading_names)

/* volatility: 'i', 's' or 'v', the worst of what makes it up. takes_row: it can be called as a column of a row ("t.name"). */
void reading_names_function(struct reading_names *n, const char *schema, const char *name, char volatility, bool takes_row);
/* follows: it is a table that is on the target at the stream's position. view: the view's text, else NULL. system: of a system schema. */
void reading_names_relation(struct reading_names *n, const char *schema, const char *name, bool follows, const char *view, bool system);
/* An operator that calls what is volatile. */
void reading_names_bad_operator(struct reading_names *n, const char *name);
/* Functions of users that only read may read whatever is there: good if every relation with rows of its own follows. */
void reading_names_seal(struct reading_names *n);

/* schema NULL: a bare name. */
bool reading_names_function_good(const struct reading_names *n, const char *schema, const char *name);
/* Whether there is a relation of that name at all, good or not. */
bool reading_names_relation_known(const struct reading_names *n, const char *schema, const char *name);
bool reading_names_relation_good(const struct reading_names *n, const char *schema, const char *name);
bool reading_names_operator_good(const struct reading_names *n, const char *name);
/* Whether a column's name may be a call of something that is not good. */
bool reading_names_column_good(const struct reading_names *n, const char *name);
size_t reading_names_relations(const struct reading_names *n, size_t *ret_good);

#endif
