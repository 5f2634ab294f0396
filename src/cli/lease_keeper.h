/* cli/lease_keeper.h — a lease held while a command works: renewed beside it, given up at its end. */
#ifndef LEAT_CLI_LEASE_KEEPER_H
#define LEAT_CLI_LEASE_KEEPER_H

#include <stdatomic.h>

#include "journal/journal.h"

struct lease_keeper;
/* ERR_LEASE_HELD: another has it. *stop becomes true when it is lost, to another or because it could not be renewed for
 * as long as it counts. */
MUST_USE enum err lease_keeper_start(struct journal *j, const char *name, int64_t ttl_us, _Atomic bool *stop,
                                     struct lease_keeper **ret, struct fault *f);
/* Whether it is ours now, renewed by the caller: a process that stood still may not have noticed yet. */
MUST_USE enum err lease_keeper_check(struct lease_keeper *k, struct fault *f);
/* *ret_lost with why in *f: it was not ours to the end. Frees it. */
void lease_keeper_stop(struct lease_keeper *k, bool *ret_lost, struct fault *f);

#endif
