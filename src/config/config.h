/* config/config.h — leat.yaml, parsed and checked by one schema table (config/schema.def), with defaults filled in.
 * Every error names file, line and column, and the nearest valid key. Strings live in the config's own arena. */
#ifndef LEAT_CONFIG_CONFIG_H
#define LEAT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

enum ddl_policy { DDL_STOP, DDL_APPLY };
enum door_unmovable { UNMOVABLE_WAIT, UNMOVABLE_TERMINATE };

#define CONFIG_BACK "+back" /* behind a store's name: no name a user can give holds a '+' */

struct config_store {
    const char *name;        /* [a-z][a-z0-9_-]*, at most 32 characters: it becomes part of slot and file names */
    const char *engine;      /* "postgresql" */
    const char *source;      /* DSN as written; never print it: config_dsn_public() */
    const char *target;
    const char *door_source; /* the doors' own DSN of either side; leat's, the same pointer, where none is given */
    const char *door_target;
    const char **door;       /* "host:port", each a process; count 0 = none */
    size_t door_count;
    const char *door_users;  /* as written, from the folder of leat.yaml; or NULL */
    const char **door_trust; /* networks: "10.0.0.0/8" */
    size_t door_trust_count;
    enum door_unmovable door_unmovable;
    const char *door_tls_cert; /* as written, from the folder of leat.yaml; or NULL */
    const char *door_tls_key;
    int door_tls_require;    /* 1: clients without TLS are turned away */
    const char **include;    /* patterns schema.table with *; count 0 = everything but system schemas */
    size_t include_count;
    const char **exclude;
    size_t exclude_count;
    const char **long_snapshots; /* tables whose copy may hold its snapshot beyond limits.snapshot_age */
    size_t long_snapshot_count;
    enum ddl_policy ddl;
    const char **rights_except; /* roles whose rights may differ between the sides */
    size_t rights_except_count;
    int deny; /* 1: after a switch the side that was left lets nobody in who comes past the doors */
    const char **reads_share; /* "10%"; the first counts until another is said. count 0: reads stay at the source */
    size_t reads_share_count;
    const char **reads_users; /* of every share above 0% */
    size_t reads_user_count;
    const char **reads_applications;
    size_t reads_application_count;
    int64_t reads_wait_us;
    const struct config_store *other; /* its way back; of a way back, the store itself */
    bool back;               /* it is a way back: "NAME+back", source and target exchanged. Never in config.stores */
};

struct config_limits {
    int64_t source_wal;       /* bytes the slot may retain on the source */
    int64_t spool;            /* bytes of spool on disk */
    int64_t snapshot_age_us;
    int64_t silence_us;       /* an engine that has said nothing for so long is ended and started again */
    int64_t drop_slot_after_us; /* 0: never */
    int copy_workers;
    int verify_workers;
    int index_workers;
    int apply_lanes;
    int door_threads;         /* 0: one for every two cores */
    int door_clients;
    int64_t source_lag_us;    /* replica lag of the source's own standbys above which copying slows down; 0 = not watched */
};

struct config_gates {
    int64_t lag_us;
    int64_t pause_us;
    int rehearsals;
    int64_t observe_us;
};

/* A key that was given or has a default, by its path ("services.web.share", "gates.errors.margin"). So the keys that
 * only later releases read are kept, too. Values of a `source` or `target`, and of the doors', may hold a password. */
struct config_value {
    const char *path;
    const char **items; /* as written, ${NAME} replaced; one, or those of a list */
    size_t count;
    int line, column;   /* 0: it is the default */
};

struct config {
    const char *path;
    const char *migration;    /* same alphabet and length as a store's name */
    struct config_store *stores;
    size_t store_count;
    struct config_limits limits;
    struct config_gates gates;
    struct config_value *values;
    size_t value_count;
    struct arena *arena;
};

MUST_USE enum err config_load(const char *path, struct config **ret, struct fault *f);
/* The same from memory; `path` is only for messages. For tests and the fuzzer. */
MUST_USE enum err config_parse(const char *path, const char *text, size_t len, struct config **ret, struct fault *f);
void config_free(struct config *c);
AUTO_DEFINE(config)
const struct config_store *config_store_find(const struct config *c, const char *name); /* NULL: none */
/* The same, and "NAME+back": the way back of a store, whose source is its target. */
const struct config_store *config_stream_find(const struct config *c, const char *name);
/* Of a stream, either way: the store it is of, by its name. */
static inline const char *config_stream_base(const struct config_store *s)
{
    return s->back ? s->other->name : s->name;
}
const struct config_value *config_value(const struct config *c, const char *path); /* NULL: not given, and no default */
/* The DSN without its passwords, for output; also of a DSN that is not well-formed. In the arena. */
const char *config_dsn_public(struct arena *a, const char *dsn);
/* An address and, behind a slash, how many of its bits count: "10.0.0.0/8", "::1/128"; alone, all of them. False: not such. */
struct config_network {
    int family; /* AF_INET or AF_INET6 */
    uint8_t address[16];
    int bits;
};
bool config_parse_network(const char *text, struct config_network *ret);
/* Whether it may name a migration, store or service: [a-z][a-z0-9_-]{0,31}. */
bool config_name_ok(const char *text);
/* "250ms", "1s", "10m", "7d" (units us ms s m h d) → microseconds; "20GB", "512MB" (units B kB MB GB TB, powers of 1024)
 * → bytes. A whole number and a unit, or 0; nothing else. False when not such. */
bool config_parse_duration(const char *text, int64_t *ret_us);
/* "10%", "0.5%" → millionths of one percent. */
bool config_parse_percent(const char *text, int64_t *ret);
bool config_parse_size(const char *text, int64_t *ret_bytes);
/* Whether schema.table is chosen by the store's include and exclude patterns. */
bool config_chooses(const struct config_store *s, const char *schema, const char *table);
/* Whether its copy may hold its snapshot for as long as it takes. */
bool config_exempts(const struct config_store *s, const char *schema, const char *table);
/* The reference of all keys, as Markdown (docs/leat.yaml.md is it), and the commented file `leat init` writes; from and to
 * may be NULL: then their lines are left to be filled in. */
void config_reference(struct buf *out);
void config_template(struct buf *out, const char *migration, const char *store, const char *from, const char *to);

#endif
