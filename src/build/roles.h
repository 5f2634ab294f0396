/* build/roles.h — the roles of a database, as the source has them and as the target has them. Internal to
 * build_roles(). */
#ifndef LEAT_BUILD_ROLES_H
#define LEAT_BUILD_ROLES_H

#include "build/party.h"
#include "build/step.h"

enum role_attribute {
    ROLE_SUPER,
    ROLE_INHERIT,
    ROLE_CREATEROLE,
    ROLE_CREATEDB,
    ROLE_LOGIN,
    ROLE_REPLICATION,
    ROLE_BYPASSRLS,
    ROLE_ATTRIBUTES
};

struct role {
    const char *oid; /* as text */
    const char *name;
    bool attributes[ROLE_ATTRIBUTES];
    int64_t connections;     /* -1: no limit */
    const char *valid_until; /* NULL: for ever */
    const char *verifier;    /* NULL: none, or it cannot be read */
    const char *comment;
    bool owns; /* something in the database */
    bool made; /* by this run: it was not on the target */
};

struct roles {
    struct arena *arena;
    struct role *list;
    size_t count;
    const char *oids; /* "{10,16384}" */
    bool verifiers;   /* could be read */
    int source_major;
};

MUST_USE enum err roles_load(struct pg *source, struct roles **ret, struct fault *f);
void roles_free(struct roles *r);
AUTO_DEFINE(roles)
/* Whether this connection's role reads pg_authid; and the table to read instead when it does not. */
MUST_USE enum err roles_readable(struct pg *pg, bool *ret, struct fault *f);
const char *roles_table(bool readable);
const char *role_attribute_word(enum role_attribute attribute, bool on); /* "LOGIN", "NOLOGIN" */

/* Memberships, settings and comments, as steps to be run after the roles are there. */
MUST_USE enum err roles_grants(const struct roles *r, struct pg *source, struct pg *target, const struct party *party,
                               struct steps *steps, struct fault *f);
MUST_USE enum err roles_settings(const struct roles *r, struct pg *source, struct pg *target, const struct party *party,
                                 struct steps *steps, struct fault *f);

#endif
