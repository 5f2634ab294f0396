/* shift/notes.h — what a session's own catalog cannot tell (shift/inspect.h), noted from the texts that pass.
 *
 * A text is scanned once, cheaply, for a few words; wherever they stand, in strings and comments too. So it errs on the
 * safe side: a note may be needless, and what hides behind a function's name is not seen (for custom settings see
 * door_customs.c). Values of sequences have no view: currval() and lastval() give what nextval(), or an INSERT through
 * a column's default, left in the session. Used in one transaction that is of no consequence, for none is split between
 * two servers; used across transactions it is lost when the session moves, and makes it unmovable. */
#ifndef LEAT_SHIFT_NOTES_H
#define LEAT_SHIFT_NOTES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

#define SESSION_CUSTOMS_MOST 256 /* names kept of one session; one that sets more is unmovable */

struct session_notes {
    char **customs; /* names of custom settings, in lower case, each once; those of mem_alloc */
    size_t custom_count;
    bool customs_lost; /* some names were not to be had: set_config with a parameter, too many of them, or not of plain
                          letters */
    struct buf tail;   /* of a text that comes in pieces: what was not looked at yet */
    bool advanced;     /* in this transaction a sequence may have been advanced */
    bool reads_sequences; /* a currval or lastval that may look back to an earlier transaction */
    bool dblink;          /* dblink_connect */
    bool seeded; /* setseed, or set_config of it (SET seed is not told from a column of UPDATE): where random() stands
                    has no view, and goes on with any later transaction */
    bool calls;           /* a function by a FunctionCall message */
    bool discard;         /* DISCARD or RESET ALL was seen: ask the session anew */
};

/* How a text reaches the server. */
enum session_text {
    SESSION_TEXT_ONCE,    /* Query, or Parse of the unnamed statement: runs in the transaction it is sent in */
    SESSION_TEXT_PREPARED /* Parse of a named one: may run in any later one */
};
void session_notes_text(struct session_notes *n, const char *sql, size_t len, enum session_text how);
/* A text too large to be had whole, in the pieces it comes in; more: this is not the last one. */
void session_notes_piece(struct session_notes *n, const char *sql, size_t len, enum session_text how, bool more);
/* A FunctionCall, which has a number in the place of a text. Those of large objects leave nothing in a session. */
void session_notes_call(struct session_notes *n, uint32_t function);
/* At each ReadyForQuery 'I': the transaction is over. */
static inline void session_notes_idle(struct session_notes *n)
{
    n->advanced = false;
}
void session_notes_fini(struct session_notes *n);
/* As session_unmovable(): a literal, or NULL. */
const char *session_notes_unmovable(const struct session_notes *n);

#endif
