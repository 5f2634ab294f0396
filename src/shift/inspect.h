/* shift/inspect.h — what a session is, told by the session itself (sql/door_inspect.sql), and whether another can take
 * its place.
 *
 * The door asks at a transaction boundary, on the client's own connection, with bytes made here: a *named* statement,
 * so that the client's unnamed one stays, closed again in the same breath. The answer holds as long as nothing is
 * forwarded to that session: an idle one need not be asked twice. Pure: no I/O. The question never fails for want of a
 * right, whatever the search_path; if it fails, the session is unmovable.
 *
 * What no question can find, and shift/notes.h looks for in the texts that pass: values of sequences (currval,
 * lastval), connections of dblink, settings with names nobody saw. Nothing finds state inside procedural languages
 * (%_SHARED, GD), and random()'s seed. */
#ifndef LEAT_SHIFT_INSPECT_H
#define LEAT_SHIFT_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

#define SESSION_INSPECT_NAME "leat.door.inspect" /* the client never sees it */

struct session_setting {
    const char *name;
    const char *value; /* as current_setting gives it: with its unit, good for set_config */
};

struct session_type {
    uint32_t oid;     /* on that session's server */
    const char *name; /* "schema.type", or "schema.type[]", quoted as identifiers are: the same on both sides */
};

struct session_statement {
    const char *name;
    const char *text; /* from_sql: all of the query string in which its PREPARE stood */
    bool from_sql;
    const struct session_type *types;
    size_t type_count;
};

/* Everything in the arena given to the parser. Text is UTF-8, whatever the client's encoding. */
struct session_state {
    const char *session_user; /* not the user who logged in after SET SESSION AUTHORIZATION */
    const char *role;         /* "none": no SET ROLE */
    const char *encoding;     /* the client's */
    const char *const *temp;  /* up to ten; in words */
    size_t temp_count;
    const char *const *cursors; /* WITH HOLD */
    size_t cursor_count;
    const char *const *locks; /* advisory, held by the session; up to ten; "classid/objid" */
    size_t lock_count;
    const char *const *channels;
    size_t channel_count;
    const struct session_setting *settings; /* set in the session (SET, set_config); custom ones stand last */
    size_t setting_count;
    const struct session_setting *effective; /* what decides how values look, and transactions begin, whoever set it; not compared */
    size_t effective_count;
    const struct session_statement *statements;
    size_t statement_count;
};

/* NULL: there is none of that name. */
const char *session_setting_find(const struct session_setting *list, size_t count, const char *name);

/* The question: Parse, Bind, Execute, Close, Sync; one ReadyForQuery, and of the answer only its one DataRow counts.
 * customs: names of custom settings to look for, as session_notes has them. locks: whether to look for advisory locks, which reads every lock of
 * the server (milliseconds while thousands are held): false after nothing was forwarded since it was asked with true.
 */
void inspect_request(struct buf *ret, const char *const *customs, size_t custom_count, bool locks);
/* The same at less cost, where the answer is awaited by people: asked once beforehand with the statement kept, it takes a third of the time again
 * (the first answer of a fresh session takes longest of all). Until inspect_forget() the client can find the statement in
 * pg_prepared_statements. Each is one ReadyForQuery. inspect_again() asks what inspect_keep() was given, and fails with 26000 after the client's
 * DISCARD ALL or DEALLOCATE ALL: then ask with inspect_request(). */
void inspect_keep(struct buf *ret, const char *const *customs, size_t custom_count, bool locks);
void inspect_again(struct buf *ret);
void inspect_forget(struct buf *ret);
/* The body of that DataRow (after its length). ERR_PROTOCOL: it is no answer to the question. */
MUST_USE enum err session_state_parse_row(struct arena *arena, const char *body, size_t len, struct session_state **ret,
                                          struct fault *f);
/* The JSON alone. */
MUST_USE enum err session_state_parse(struct arena *arena, const char *json, size_t len, struct session_state **ret,
                                      struct fault *f);

/* Why no other session can take its place, in words for people ("temporary objects: table t"); NULL: one can. */
const char *session_unmovable(const struct session_state *state, struct arena *arena);
/* What `b`, made in the place of `a`, has not or has otherwise; NULL: nothing. Types are compared by name. */
const char *session_state_differs(const struct session_state *a, const struct session_state *b, struct arena *arena);
/* What of one session is otherwise than it was: texts of its PREPAREs, too, which the other server may have been given
 * in another form. */
const char *session_state_changed(const struct session_state *before, const struct session_state *now,
                                  struct arena *arena);

#endif
