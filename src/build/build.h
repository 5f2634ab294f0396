/* build/build.h — the empty copy of a store on the target: roles, schema, and what comes after the rows.
 *
 * Roles with verifiers, memberships, settings come first (pg_restore cannot make them, trap P22). The schema is pg_dump's,
 * restored by pg_restore: pre-data at once; post-data is cut into items by the dump's own table of contents (entries carry
 * the catalog's class and oid), so that each table's keys and indexes can be built as soon as its rows are there. */
#ifndef LEAT_BUILD_BUILD_H
#define LEAT_BUILD_BUILD_H

#include "base/fault.h"
#include "base/mem.h"
#include "config/config.h"
#include "store/postgres/pg.h"

/* When an item may run. */
enum build_phase {
    BUILD_KEY,         /* primary key, unique constraint or index that is the table's identity: first, streams need it */
    BUILD_INDEX,       /* other indexes, unique and exclusion constraints, their comments, CLUSTER, REPLICA IDENTITY, statistics */
    BUILD_REST,        /* check NOT VALID, triggers, rules, policies, comments, extended statistics, row security: when all is copied */
    BUILD_FOREIGN_KEY, /* added NOT VALID, then validated, when every table has joined */
    BUILD_LAST,        /* event triggers, materialized view contents (REFRESH), publications and subscriptions (subscriptions disabled) */
};

struct build_item {
    enum build_phase phase;
    const char *name;     /* for people: "index public.orders_at_idx" */
    const char *sql;      /* one or more statements */
    uint32_t table_oid;   /* the source's table it belongs to; 0: none. For an index on a partitioned root: the root's oid */
    const char *validate; /* BUILD_FOREIGN_KEY: the VALIDATE statement to run afterwards, or NULL */
};

struct build_post {
    struct arena *arena;
    struct build_item *items; /* in the order pg_restore would run them, within each phase */
    size_t count;
};
void build_post_free(struct build_post *p);
AUTO_DEFINE(build_post)

/* Where pg_dump and pg_restore are whose major is at least `major` (PATH, then /usr/lib/postgresql/N/bin, /usr/pgsql-N/bin,
 * newest first; LEAT_PG_BINDIR before all). ERR_PG_DUMP says what to install. Strings in the arena. */
MUST_USE enum err build_find_pg_dump(struct arena *a, int major, const char **ret_dump, const char **ret_restore, struct fault *f);

/* Creates on the target the roles that own or are granted anything in the source database (and the roles they are members
 * of), with attributes, verifier (when pg_authid can be read), settings per role, and per role in database. Existing roles
 * keep their verifier and attributes; differences are reported. Idempotent. `report` gets lines for people. */
MUST_USE enum err build_roles(const struct config_store *s, struct pg *source, struct pg *target, struct buf *report, struct fault *f);

/* pg_dump --schema-only of the source into DIR/schema.dump (atomically), with its DDL lock waits bounded. */
MUST_USE enum err build_dump(const struct config_store *s, const char *dir, int source_major, struct fault *f);

/* Restores pre-data into the target (extensions first, owners and grants kept where the role may), per-database settings and
 * comment, default privileges. Refuses a target which already holds tables of the dump (ERR_TARGET_NOT_EMPTY), unless
 * `mine` says that leat itself made them: then what a crash left half done is dropped and made again. Any error of
 * pg_restore stops with ERR_SCHEMA and the statement. */
MUST_USE enum err build_pre(const struct config_store *s, const char *dir, struct pg *target, bool mine, struct fault *f);

/* Reads DIR/schema.dump's post-data as items. `source` tells which table an index or constraint belongs to. */
MUST_USE enum err build_post_load(const struct config_store *s, const char *dir, struct pg *source, struct build_post **ret, struct fault *f);

#endif
