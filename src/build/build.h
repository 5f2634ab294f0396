/* build/build.h — the empty copy of a store on the target: roles, schema, and what comes after the rows.
 *
 * Roles with verifiers, memberships, settings come first (pg_restore cannot make them, trap P22). The schema is
 * pg_dump's; pg_restore writes its statements, leat runs them: pre-data at once, in one transaction with the row that
 * says so; post-data is cut into items by the dump's own table of contents (entries carry the catalog's class and oid),
 * so that each table's keys and indexes can be built as soon as its rows are there.
 *
 * In order: build_roles, build_dump, build_pre, (arm, copy), build_post_load, and the items, by this rule:
 *  - as a table of rows (ordinary or leaf) is copied: its KEY items, then its INDEX items, those of one phase in any
 *    order or at once;
 *  - when all are: the KEY and INDEX items of all other oids (partitioned tables: their indexes ON ONLY and the
 *    ATTACHes of their partitions'; 0), one after the other as they stand; then REST, FOREIGN_KEY and LAST, each as it
 *    stands.
 *
 * It holds because a leaf's key and index are entries of their own in a dump (ALTER TABLE ONLY leaf ADD ...,
 * CREATE INDEX ON leaf), and because items.c puts off to REST whatever else would need another table's. Each item is
 * one query string, so it is in whole or not at all; what it makes may exist already after a crash (42P07, 42710,
 * 42P16): then it is done. Items expect the session of pg.h (empty search_path). */
#ifndef LEAT_BUILD_BUILD_H
#define LEAT_BUILD_BUILD_H

#include "base/fault.h"
#include "base/mem.h"
#include "config/config.h"
#include "store/postgres/pg.h"

/* When an item may run. */
enum build_phase {
    BUILD_KEY,   /* primary key, unique constraint or index that is the table's identity: first, streams need it */
    BUILD_INDEX, /* other indexes, unique and exclusion constraints, with their comments, CLUSTER, REPLICA IDENTITY,
                    statistics targets */
    BUILD_REST,  /* check NOT VALID, triggers, rules, policies, extended statistics, row security, indexes of
                  * materialized views, views that need a key: when all is copied */
    BUILD_FOREIGN_KEY, /* added NOT VALID, then validated, when every table has joined */
    BUILD_LAST, /* materialized view contents (REFRESH), publications, subscriptions (disabled), event triggers */
};

struct build_item {
    enum build_phase phase;
    const char *name; /* for people: "index public.orders_at_idx" */
    const char *sql;  /* one or more statements */
    uint32_t table_oid;   /* of the source's table it belongs to (a partitioned table's index: that table's); 0: none */
    const char *validate; /* BUILD_FOREIGN_KEY: the VALIDATE statement to run afterwards. NULL: sql adds it valid
                           * (partitioned tables before 18), or it stays NOT VALID: as on the source, or since one end's
                           * table is not copied (name says so) */
};

struct build_post {
    struct arena *arena;
    struct build_item *items; /* in the order pg_restore would run them, within each phase */
    size_t count;
    const char *notes; /* lines for people: what is not made, and why; "" when there is nothing to say */
};
void build_post_free(struct build_post *p);
AUTO_DEFINE(build_post)

/* pg_dump and pg_restore of a major >= `major`: client_tools_find(), past Debian's wrapper. Strings in the arena. */
MUST_USE enum err build_find_pg_dump(struct arena *a, int major, const char **ret_dump, const char **ret_restore,
                                     struct fault *f);

/* Creates on the target, in one transaction, the roles that matter to the source database: owners and grantees of
 * anything in it (default privileges and policies too) and of itself, roles with settings for it, the bootstrap
 * superuser, and every login role when the source lets verifiers be read; then their members, and what they are members
 * of. With attributes, verifier, memberships, comment, settings per role and per role in database. Roles that exist
 * keep their verifier and attributes; differences are reported. A target role that is no superuser makes them without
 * what it may not give, becomes a member of those that own something (to index and check their tables), and reports
 * what was refused, with the statement. Idempotent. `report` gets lines for people. */
MUST_USE enum err build_roles(const struct config_store *s, struct pg *source, struct pg *target, struct buf *report,
                              struct fault *f);

/* pg_dump --schema-only of the source into DIR/schema.dump (atomically; DIR is made if need be), by a pg_dump that fits
 * both sides. A table's lock is waited for 10 s: then ERR_BUSY. The schema leat, publications leat_*, triggers that
 * call leat's functions are left out. */
MUST_USE enum err build_dump(const struct config_store *s, const char *dir, int source_major, struct fault *f);

/* Makes pre-data on the target, with owners, grants and default privileges, then the database's settings, comment and
 * grants. All of it in one transaction with a row in leat.built; where the target's lock table is too small for that,
 * in portions, each with its count. Refuses a target which already holds relations of the dump (ERR_TARGET_NOT_EMPTY,
 * nothing changed). `mine` says that leat began to make this schema before: then the row tells, and it returns at once,
 * or goes on behind the last portion. A target role that is no superuser keeps what it cannot give away. Tablespaces
 * the target lacks are left out. What is refused and forgiven goes into build_notes(); any other error stops with
 * ERR_SCHEMA, the entry and the statement. */
MUST_USE enum err build_pre(const struct config_store *s, const char *dir, struct pg *target, bool mine,
                            struct fault *f);

/* Adds the lines that building the schema left for people: what leat's role was refused and an administrator may want
 * to do. */
MUST_USE enum err build_notes(const char *dir, struct buf *report, struct fault *f);

/* Reads DIR/schema.dump's post-data as items. `source` tells which table an index or constraint belongs to; the target
 * is asked for its version and leat's rights there. */
MUST_USE enum err build_post_load(const struct config_store *s, const char *dir, struct pg *source,
                                  struct build_post **ret, struct fault *f);

#endif
