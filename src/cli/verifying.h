/* cli/verifying.h — asking engines for what only they can do at a cut (comparing, planning a repair, mending), and waiting for it with a
 * view of how it goes. Where no pilot runs, one does until it is done. */
#ifndef LEAT_CLI_VERIFYING_H
#define LEAT_CLI_VERIFYING_H

#include "cli/cli.h"
#include "verify/verify.h"

struct asked { /* one store */
    const char *store;
    const char *id;
    bool joined; /* it was under way: part of what it says may be of before this command */
};

struct verifying {
    struct cli *cli;
    struct arena *arena;
    enum verify_does does;
    bool terminal;
    struct journal *journal;
    struct asked *asked;
    size_t count;
    int64_t shown_us;
};

/* Asks every store, or the one named; what is under way of the same kind and scope is joined, and that is said. wanted: NULL, or whether a store is to be asked. */
MUST_USE enum err verifying_ask(struct verifying *v, bool (*wanted)(struct verifying *v, const char *store), struct fault *f);
MUST_USE enum err verifying_wait(struct verifying *v, struct fault *f);
/* Opens the journal. */
MUST_USE enum err verifying_open(struct verifying *v, struct cli *c, struct arena *a, enum verify_does does, struct fault *f);
void verifying_close(struct verifying *v);

#endif
