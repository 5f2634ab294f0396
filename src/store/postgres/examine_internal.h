/* store/postgres/examine_internal.h — what the examine_*.c files share. */
#ifndef LEAT_STORE_POSTGRES_EXAMINE_INTERNAL_H
#define LEAT_STORE_POSTGRES_EXAMINE_INTERNAL_H

#include "model/table.h"
#include "store/postgres/examine.h"
#include "store/postgres/pg.h"

struct examine_end {
    struct pg *pg;     /* NULL: does not answer */
    PGresult *facts;   /* name → value, see examine_facts.sql; NULL as long as pg is */
    const char *dsn;
    const char *role;  /* who we are there, and quoted */
    const char *role_quoted;
    const char *database_quoted;
};

struct examine {
    const struct config *config;
    const struct config_store *store;
    const struct examine_sink *sink;
    struct examine_end ends[2];  /* by enum side */
    struct catalog *catalog;     /* the chosen tables of the source; NULL: could not be read */
    struct arena *arena;
    bool ours;                   /* this migration has begun on this target: what stands there is leat's */
};

enum {
    NEED_SOURCE = 1,
    NEED_TARGET = 2,
    NEED_CATALOG = 4,
    NEED_BOTH = NEED_SOURCE | NEED_TARGET,
};

/* One thing to look at. A check that cannot be carried out is told as such and hides no other. */
struct examine_check {
    const char *id;
    unsigned needs;
    int from; /* majors of the source between which it is asked; 0: no bound */
    int to;
    enum err (*run)(struct examine *e, const struct examine_check *c, struct fault *f);
    const char *sql;  /* for examine_listing */
    const char *fine; /* said when there is nothing to say */
};

/* Each row of c->sql (schema, name, why, fix) is a finding, if the table is chosen; a row without schema always is. Asked on the source
 * unless the check needs the target alone. */
enum err examine_listing(struct examine *e, const struct examine_check *c, struct fault *f);

void examine_tell(struct examine *e, enum remark level, const char *id, const char *object, const char *fix, const char *why, ...)
    __attribute__((format(printf, 6, 7)));
void examine_fine(struct examine *e, const char *id, const char *object, const char *why, ...) __attribute__((format(printf, 4, 5)));
/* A fault as a finding: its code is the id. */
void examine_tell_fault(struct examine *e, enum remark level, const char *object, const struct fault *f);

static inline struct examine_end *examine_source(struct examine *e)
{
    return &e->ends[SIDE_SOURCE];
}
static inline struct examine_end *examine_target(struct examine *e)
{
    return &e->ends[SIDE_TARGET];
}
const char *examine_fact(const struct examine_end *end, const char *name); /* "" when the server does not tell */
int64_t examine_number(const struct examine_end *end, const char *name, int64_t otherwise);
bool examine_true(const struct examine_end *end, const char *name);
/* The kind of service that runs the server, by the roles only it has: "Amazon RDS", ...; "" none known. */
const char *examine_service(const struct examine_end *end);

typedef enum err examine_run(struct examine *e, const struct examine_check *c, struct fault *f);
/* examine_servers.c: what both servers are, and whether they can do it at all */
examine_run examine_version, examine_same_server, examine_standby, examine_encoding, examine_read_only, examine_pg_dump;
/* examine_wal.c: logical decoding, its slots and senders, what holds it up */
examine_run examine_wal_level, examine_slots, examine_senders, examine_slot_limits, examine_slot_name, examine_connections, examine_sessions,
    examine_synchronous;
/* examine_rights.c: what leat's role may do on either side */
examine_run examine_replication_right, examine_create_source, examine_create_target, examine_owners,
    examine_row_security, examine_replica_role, examine_roles, examine_ddl_detection, examine_way_back,
    examine_door_role;
/* examine_tables.c: the chosen tables */
examine_run examine_chosen, examine_size, examine_foreign_keys, examine_large_objects, examine_sequences;
/* examine_target.c: what the target has to have, and what it must not */
examine_run examine_target_empty, examine_extensions, examine_tablespaces;
/* examine_collations.c: by which rules text is sorted */
examine_run examine_collations, examine_default_collation;
/* examine_settings.c: settings applications would see changed */
examine_run examine_settings;

#endif
