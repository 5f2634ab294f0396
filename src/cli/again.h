/* cli/again.h — leat resume STORE --copy-again TABLES, --arm-again: the request that the store's engine carries out. */
#ifndef LEAT_CLI_AGAIN_H
#define LEAT_CLI_AGAIN_H

#include "cli/cli.h"

/* Writes what was asked for into the journal, durably, once it was consented to. Nothing asked for: nothing done. store: NULL, the only one. */
MUST_USE enum err again_request(struct cli *c, const char *store, struct fault *f);

#endif
