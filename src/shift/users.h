/* shift/users.h — a userlist: who may come in at a door where pg_authid cannot be read. PgBouncer's own format.
 *
 *     ; comment
 *     "name" "SCRAM-SHA-256$4096:…"     a verifier; or "md5…" a hash; or the password itself
 *
 * A double quote within is doubled. What follows the second word on its line is passed over, as PgBouncer does.
 * Stricter than PgBouncer: a line that is not understood is an error (there it ends the list in silence), and so is a
 * name that comes twice, a quote that does not close on its line, a verifier that is cut or mistyped (there it becomes
 * a password). */
#ifndef LEAT_SHIFT_USERS_H
#define LEAT_SHIFT_USERS_H

#include "base/fault.h"
#include "base/mem.h"
#include "wire/scram.h"

#define USERS_FILE_MOST ((size_t)64 << 20)
#define USERS_NAME_MOST 63 /* bytes: no role's name is longer */

enum user_secret { USER_SCRAM, USER_MD5, USER_PASSWORD };

struct user {
    const char *name;
    enum user_secret kind;
    const char *secret;             /* as the file has it; "" as a password lets nobody in */
    struct scram_verifier verifier; /* USER_SCRAM */
};

struct users; /* immutable: any number of threads may read it */
/* ERR_USERLIST, with path:line. */
MUST_USE enum err users_parse(const char *path, const char *text, size_t len, struct users **ret, struct fault *f);
MUST_USE enum err users_load(const char *path, struct users **ret, struct fault *f);
void users_free(struct users *u); /* wipes */
AUTO_DEFINE(users)
/* NULL: not in the list. Lives as long as the list. */
const struct user *users_find(const struct users *u, const char *name);
size_t users_count(const struct users *u);

#endif
