/* shift/door_verifiers.h — what is known of users: the userlist of door_users, or pg_authid of the side that serves.
 *
 * pg_authid is read by a thread of its own, when a worker asks for a user who is not known, or whose password failed; at most once a
 * second. Workers are told (ORDER_VERIFIERS) when it was read, or could not be. */
#ifndef LEAT_SHIFT_DOOR_VERIFIERS_H
#define LEAT_SHIFT_DOOR_VERIFIERS_H

#include "shift/door_internal.h"
#include "shift/users.h"

enum known { KNOWN, KNOWN_NOT, KNOWN_LATER, KNOWN_TROUBLE };

MUST_USE enum err verifiers_start(struct door *door, struct fault *f);
void verifiers_stop(struct door *door); /* its thread; workers may still ask */
void verifiers_free(struct door *door);
/* *ret_text (the caller's to wipe and free): the verifier, the hash, or the password of a userlist. Read anew if what is known was read
 * before `since_us` and does not have the user. LATER: ask again when told. TROUBLE: it cannot be read now. */
enum known verifiers_find(struct verifiers *v, const char *user, int64_t since_us, char **ret_text);
/* His password failed, or a server was not reached: what is known, of users and of names of hosts, may be old. */
void verifiers_doubt(struct verifiers *v);
/* Good for as long as the door's process lives, in every door of the store: for users who are none. */
const uint8_t *verifiers_secret(const struct verifiers *v);

#endif
