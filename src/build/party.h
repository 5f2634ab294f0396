/* build/party.h — who leat is on the target, and what that role may do with the others. */
#ifndef LEAT_BUILD_PARTY_H
#define LEAT_BUILD_PARTY_H

#include "store/postgres/pg.h"

struct party {
    struct arena *arena;
    const char *role; /* leat's own */
    bool superuser;
    const char **owners; /* roles leat's may give things to and then still work on them: it inherits from them and may
                            become them */
    size_t owner_count;
    const char **spaces; /* tablespaces it may create in */
    size_t space_count;
};

MUST_USE enum err party_load(struct pg *target, struct party **ret, struct fault *f);
void party_free(struct party *p);
AUTO_DEFINE(party)
bool party_may_own(const struct party *p, const char *role);
bool party_has_space(const struct party *p, const char *tablespace);

#endif
