/* shift/rebuild.h — the bytes that make a new connection what an old session is (shift/inspect.h). Pure: no I/O.
 *
 * In one pipeline with one Sync, so that the first thing refused ends it: then the connection is of no use, and is
 * closed. In this order:
 *   1. client_encoding UTF8, for what follows is
 *   2. settings, search_path with them; then session authorization, then role: those of the old session were set by
 * whoever it was then
 *   3. channels; statements of the protocol; statements of PREPARE, each by its own text
 *   4. what could get in the way of 2 and 3: timeouts, default_transaction_…; then the client's own encoding
 *   5. the unnamed statement, last, for any other would destroy it; its bytes are the client's, and in its encoding
 *
 * Afterwards the door asks the new session what it is (inspect_request) and compares (session_state_differs). */
#ifndef LEAT_SHIFT_REBUILD_H
#define LEAT_SHIFT_REBUILD_H

#include "shift/inspect.h"
#include "shift/type_map.h"

struct rebuild {
    const struct session_state *state; /* of the old session */
    const char *login_user;            /* who the new connection is logged in as */
    struct type_way types;             /* from the old session's server to the new one's */
    const char
        *unnamed; /* body of the last Parse of the unnamed statement, as the client sent it; NULL: there is none now */
    size_t unnamed_len;
    struct type_way unnamed_types; /* from the client's numbers to the new server's */
};

/* Ends with the one Sync. Names of statements that begin with "leat.door." are the door's own. ERR_UNMOVABLE: something
 * cannot be made anew; nothing is added then. */
MUST_USE enum err rebuild_request(const struct rebuild *r, struct buf *ret, struct fault *f);

/* Of a query string, the one PREPARE of this name: where it begins, and its length; NULL: there is none, or it cannot
 * be told for certain. */
const char *rebuild_find_prepare(const char *text, const char *name, size_t *ret_len);

#endif
