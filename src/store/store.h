/* store/store.h — what a store can do: the contract between replicate/ and the engines (PostgreSQL; later MariaDB, Redis).
 *
 * A store is one database on both of its sides. Operations come in groups, each with its own handle:
 *   preparing  identify, prepare, arm, load, bind           once an engine start, in this order
 *   copying    copier_*                                      one handle a worker thread
 *   stream     stream_*                                      one reader thread
 *   applying   lane_*                                        one handle a lane's thread
 *   watching   watcher_*                                     the engine's own thread: heartbeat, lag, governor, sequences
 * Every handle has its own connections and belongs to one thread at a time. Transient failures end the engine, which is
 * started again and takes everything up from the record: there is one recovery path, and it is the usual one. */
#ifndef LEAT_STORE_STORE_H
#define LEAT_STORE_STORE_H

#include <stdatomic.h>

#include "config/config.h"
#include "model/batch.h"
#include "model/table.h"
#include "wire/copy_rows.h"

struct store_ops;
struct store {
    const struct store_ops *ops;
    const struct config *config;
    const struct config_store *store;
    const char *migration;
    const char *name;
    const char *state_dir;
    int64_t token;       /* the fencing token of this engine start */
    _Atomic bool *stop;  /* true: end with ERR_INTERRUPTED as soon as possible */
};

/* The store's own name, whichever way the stream goes: that of a way back is "NAME+back". */
static inline const char *store_base(const struct store *s)
{
    return config_stream_base(s->store);
}

/* Told while something long waits: "waits for the transaction of pid 4711 (pgbench), open for 42 s". "" = no longer. */
struct store_waits {
    void (*tell)(void *ctx, const char *text);
    void *ctx;
};

/* How far a table's copy is: the record kept beside its rows on the target (leat.copy). */
struct copy_record {
    uint32_t table_oid; /* of the source */
    const char *table_name; /* "schema.name" when it was written */
    int attempt;
    const char *snapshot;      /* text; "": the table is to be copied, and what is there of an older attempt counts for nothing */
    const char *snapshot_name; /* by which other sessions can share it while its holder lives; NULL: none */
    int ranges;
    int64_t pages;             /* the table's when the ranges were drawn: they stay where they were drawn */
    int64_t age_us;            /* since it was written, by the target's clock, when it was read */
    int64_t filenode;          /* the source's file of its rows under that snapshot; 0: not known */
    int64_t rows;
    bool copied;
    bool indexed;
    bool built;                /* indexed in this attempt or an earlier one: its keys and indexes stand, under whatever name by now */
    int pass;                  /* of the join, 0: none yet */
    struct lsn joined;         /* zero: not yet */
    uint8_t *ranges_done;      /* one byte a range; only when not copied */
};

/* A table copied again: its record, and the number of the attempt that is to come. In the arena. */
struct copied_again {
    const char *table; /* "schema.name" */
    int attempt;
};

struct copy_records {
    struct arena *arena;
    int last_pass; /* the highest number a pass of the join ever had */
    struct copy_record *list;
    size_t count;
};

struct stream_facts { /* where things stand when an engine starts; positions are zero when there is none */
    struct lsn applied;     /* the target's position of the forward stream */
    struct lsn confirmed;   /* the slot's */
    struct lsn *ahead;      /* commits beyond `applied` that are on the target already: a cut was being made (replicate/cut.h); arena of the call */
    size_t ahead_count;
    const char *spool;      /* identity of the spool recorded on the target, NULL: none; arena of the call */
    bool serves;            /* the stream's source had the authority at `applied`: what is written there counts */
};

/* A column of a table (or what stands for one in a type) as a schema change left it. */
struct ddl_column {
    const char *name;
    const char *type;
    bool null; /* may be */
    bool made; /* computed by the server */
};

struct ddl_object {
    uint32_t oid;        /* of the source */
    char kind;           /* 'r' table, 'p' partitioned table, 'y' type, 'i' index (gone), '-' anything else */
    const char *schema;  /* NULL: none */
    const char *name;    /* of what is '-': its whole identity */
    bool gone;           /* it was dropped */
    bool chosen;         /* by the store's patterns; the caller's to set */
    struct ddl_column *columns;
    size_t column_count;
    const char **limits; /* unique indexes and checks: what can refuse a row */
    size_t limit_count;
};

/* A change of the source's schema, as noted in its own transaction. Lives in the arena it was read into. */
struct schema_change {
    int64_t id;
    const char *tag;     /* "ALTER TABLE" */
    const char *command; /* the client's whole text; NULL: not kept */
    const char *role;
    const char *path;
    const char *settings;
    bool garbled;        /* some of it was no UTF-8 and reads '?': fit to be shown, not to be run */
    struct ddl_object *objects;
    size_t count;
    struct change *change; /* the note itself, in the stream */
    int nth;             /* among the `of` changes of its transaction with this tag and text; the caller's to set */
    int of;
};

struct ddl_misfit { /* why following cannot go on past a schema change, and what mends it */
    const char *why;       /* NULL: it can */
    const char *statement; /* what to run on the target */
    const char *remark;    /* what to mind, or NULL */
};

/* What a switch writes into the stream: a mark that is to come round, or that the stream's own source serves from here on (or no longer). */
struct switch_note {
    int64_t mark;
    bool is_turn;
    int64_t epoch;
    bool serves;
};

/* What one side's own row says of authority (SWITCH.md): it serves iff its row names it and its fence is open. */
struct switch_row {
    bool there;          /* the store was armed for switching */
    int64_t epoch;
    bool names_source;   /* whom it names: the store's source, or its target */
    bool names_here;     /* it names the side it stands on */
    int64_t attempt;
    bool open;           /* its fence */
};

/* What settling found: no attempt that was under way can be decided any more. */
struct switch_settled {
    bool source_serves; /* the store's source, or its target */
    int64_t epoch;
    bool opened; /* a decision was found, and carried out */
    /* With an error: that side says that it serves, and this machine knows of a later epoch (store/least_epoch.h). */
    bool outdated;
};

/* The side a stream leads to, looked at alone: its source does not answer. */
struct force_view {
    bool serves; /* it does already, and needs nobody's word */
    bool open;   /* it says so; where that is not taken for true: it failed over since, or is older than what served */
    int64_t epoch;
    int64_t attempt;
    int64_t next_epoch;  /* by which it is to serve */
    const char *applied; /* all the source committed before this is there; NULL: nothing is known. In the arena */
    const char *partial; /* but for these tables, which are still being copied there; NULL: none. In the arena */
};

/* What stands in the way of a switch. In the arena. */
enum switch_hindrance {
    HINDERS_NOT,      /* it is only to be known */
    HINDERS_FAILOVER, /* a switch, unless it was said that no standby is promoted meanwhile */
    HINDERS_CUTOVER,  /* a switch; a rehearsal says it and goes on */
    HINDERS_ALL       /* a rehearsal, too */
};
struct switch_obstacle {
    const char *what; /* "prepared-transaction", "long-transaction", "role-shared", "locks", "rights", ... */
    const char *why;  /* who, since when, and what to do */
    enum switch_hindrance hinders;
};

/* A client's session in one side's database, leat's own left out. In the arena. */
struct store_session {
    int64_t pid;
    const char *user;
    const char *application;
    const char *address; /* "local": by a socket file */
    bool superuser;
    double age_s;
};

/* Who may connect to one side's database. In the arena. */
struct store_admission_facts {
    const char *database;
    const char *privileges; /* as its server writes them */
    const char *owner;
    const char *left_out; /* a table of it that is not the store's, "schema.name"; NULL: there is none */
    bool acts_as_owner;   /* leat's role may change them */
    bool serves;          /* a store of this database serves here */
    bool denied;
};

/* A role that may log in all the same. */
struct store_login {
    const char *role;
    bool superuser;
};

struct lane_stats {
    uint64_t replays;     /* batches that had to be replayed row by row */
    uint64_t divergences;
};

struct store_copier;
struct store_stream;
struct store_lane;
struct store_watcher;
struct store_cutter;
struct store_rows;
struct store_switch;
struct store_admission;

enum store_side { STORE_SOURCE, STORE_TARGET };

/* Something around the rows, as a side has it: an index, a constraint, a trigger, a grant, ... */
struct store_object {
    const char *schema;
    const char *relation;
    const char *kind;
    const char *name; /* "": the relation's own */
    const char *what;
};
struct store_objects { /* in the order of these five */
    struct store_object *list;
    size_t count;
};

/* A sequence that was used, and does not CYCLE. */
struct store_sequence {
    const char *schema;
    const char *name;
    int64_t last;
    int64_t increment;
};

/* What of a table's rows is compared, in which order and form: the same on both sides. */
struct row_column {
    const struct column *source;
    const struct column *target;
    bool as_text;    /* its binary form may differ between the servers */
};
struct row_plan {
    struct row_column *columns; /* those of the key first */
    uint16_t count;
    uint16_t keys;              /* 0: the table has none */
};

/* Which rows of a table are read; all zero: all of them. */
struct row_part {
    const char *const *keys; /* count times as many texts as the plan has keys; a key that comes twice is one */
    size_t count;
    bool ranged;             /* by the key's first column: from <= it < to, in an order that is the same on both sides; */
    const char *from;        /* NULL: from the first on */
    const char *to;          /* NULL: to the last */
    int64_t from_page;       /* of the heap; */
    int64_t to_page;         /* 0: to its end */
};

struct watch { /* what the watcher sees of both sides; refreshed by watcher_poll */
    struct lsn source_now;      /* the source's position in its log */
    struct lsn target_now;      /* insert position of the target's log ... */
    struct lsn target_flushed;  /* ... and how far it is on its disk */
    int64_t slot_retained_bytes;
    const char *slot_state;     /* "reserved", "extended", "unreserved", "lost", "missing"; static */
    int64_t replica_lag_us;     /* worst of the source's own standbys; 0: none */
    int64_t oldest_xact_us;     /* age of the source's oldest open transaction */
    bool slot_in_use;           /* somebody streams from it, as the source sees it */
    int64_t source_clock_us;    /* the source's own clock, by which its commits are dated; ours may differ, or be set */
};

struct store_ops {
    const char *engine;

    /* --- preparing --- */
    /* Both servers' identity against what the journal recorded: text "system id/timeline/major/database's oid" per side, in the arena.
     * ret_target NULL: only the source is asked. */
    enum err (*identify)(struct store *s, struct arena *a, const char **ret_source, const char **ret_target, struct fault *f);
    /* Makes leat's own schema on the target, takes the store's lease there with s->token (ERR_FENCED_OUT when a newer one holds
     * it) and ends every backend an older engine left behind. */
    enum err (*prepare)(struct store *s, struct store_waits *w, struct fault *f);
    /* Identity where a table has none, leat's schema on the source, publication, slot; then waits until no commit from
     * before the slot can be missing from a snapshot (P30). With fresh = true whatever stood half done is dropped first. */
    enum err (*arm)(struct store *s, const struct catalog *source, bool fresh, struct store_waits *w, struct fault *f);
    enum err (*load)(struct store *s, struct catalog **ret_source, struct catalog **ret_target, struct fault *f);
    /* Tables that both sides have by now and the publication lacks are given an identity and published. While there are tables whose
     * copy has not begun, everything begun before that is waited for: from then on a snapshot and the stream miss nothing of them. */
    enum err (*adopt)(struct store *s, const struct catalog *source, const struct catalog *target, const struct copy_records *records, struct store_waits *w, struct fault *f);
    /* While the stream's target serves, nothing is copied to it: tables both sides have and no record speaks of count as joined (what their source holds
     * came from there). Does nothing while it does not serve. */
    enum err (*adopt_serving)(struct store *s, const struct catalog *source, const struct catalog *target, struct fault *f);
    enum err (*facts)(struct store *s, struct arena *a, struct stream_facts *ret, struct fault *f);
    /* The slot's position, as in facts; needs the source alone. */
    enum err (*confirmed)(struct store *s, struct lsn *ret, struct fault *f);
    /* ERR_OK when the target answers and can be written. */
    enum err (*target_answers)(struct store *s, struct fault *f);
    enum err (*copy_records)(struct store *s, struct copy_records *ret, struct fault *f);
    /* These tables (source oids, as the text of an array) are to be copied again: one durable transaction, in which their records
     * become those of a next attempt and their rows leave the ledger. Only while nothing copies or applies. The list is in the arena. */
    enum err (*copy_again)(struct store *s, const char *oids, struct arena *a, struct copied_again **ret, size_t *ret_count, struct fault *f);
    /* Source oids (as above; NULL: none) of tables that were unlogged when they were copied and are logged now. What they are on the
     * target is logged when it returns: a crash there would empty them. */
    enum err (*logged_since)(struct store *s, struct arena *a, const char **ret, struct fault *f);
    /* No position of any stream, nor the spool, is known on the target any more, and it is barred no longer. The same
     * for every table, of a store whose source serves; where the target serves, or of a way back, copies count.
     * *ret_gap: what the source took in before a slot made from here on will be missing on the target; every table
     * stands in the ledger for it, until it was compared. */
    enum err (*forget)(struct store *s, bool *ret_gap, struct fault *f);
    /* A spool was made: its identity is recorded, and every table that has not joined is to be copied again (what the lost spool
     * held of it cannot be had again): one durable transaction. */
    enum err (*spool_record)(struct store *s, const char *identity, struct arena *a, struct copied_again **ret, size_t *ret_count, struct fault *f);
    /* How the relation lands on the table; in the arena. ERR_DDL with the exact difference when it does not. */
    enum err (*bind)(struct store *s, struct arena *a, const struct relation *r, const struct table *source, const struct table *target, uint32_t serial,
                     struct binding **ret, struct fault *f);
    /* Is this change leat's own? Heartbeat note into *ret_note when it is a mark of ours (else NULL). */
    bool (*own_mark)(struct store *s, const struct change *c, const char **ret_note, size_t *ret_len);

    /* Whether c is a note of a switch of this store. */
    bool (*switch_note)(const struct store *s, const struct change *c, struct switch_note *ret);

    /* The note of a schema change that c is; *ret NULL: it is none. */
    enum err (*ddl_read)(struct store *s, struct arena *a, struct change *c, struct schema_change **ret, struct fault *f);
    /* Compares what the change left of its chosen objects with the target as it is now (as the lane's transaction sees it, when one is
     * given). What the source has become since counts as
     * fitting too: a target may be ahead. */
    enum err (*ddl_misfit)(struct store *s, struct store_lane *l, struct arena *a, const struct schema_change *c, struct ddl_misfit *ret, struct fault *f);

    /* Raw messages (of the spool) decoded: a decoder keeps the relations it was told of; *ret NULL for a description. */
    void *(*decoder_make)(void);
    void (*decoder_drop)(void *decoder);
    enum err (*decode)(void *decoder, struct arena *arena, const char *data, size_t len, struct change **ret, struct fault *f);

    /* Gives back what outlives an engine (held snapshots): the work ends here, for now. */
    void (*quit)(struct store *s);

    /* --- copying --- */
    enum err (*copier_open)(struct store *s, struct store_copier **ret, struct fault *f);
    void (*copier_close)(struct store_copier *c);
    /* Empties what an earlier attempt left and copies a whole table in one transaction of the target, its snapshot recorded
     * in the same transaction. *stop makes it end with ERR_INTERRUPTED; the copier must then be closed. */
    enum err (*copier_whole)(struct store_copier *c, const struct table *source, const struct table *target, int attempt, _Atomic uint64_t *bytes, _Atomic bool *stop,
                             const char **ret_snapshot, uint64_t *ret_rows, struct fault *f);
    /* Takes a snapshot in the holder, empties the table and records it: ranges can be copied by any copier from then on.
     * ret_record is filled in the arena. */
    enum err (*copier_open_table)(struct store_copier *c, struct arena *a, const struct table *source, const struct table *target, int attempt,
                                  int ranges, struct copy_record *ret_record, struct fault *f);
    enum err (*copier_range)(struct store_copier *c, const struct table *source, const struct table *target, const struct copy_record *r, int range,
                             _Atomic uint64_t *bytes, _Atomic bool *stop, uint64_t *ret_rows, struct fault *f);
    /* All ranges are in: recorded, the snapshot given back. */
    enum err (*copier_close_table)(struct store_copier *c, const struct table *source, const struct copy_record *r, struct fault *f);
    /* Whether the record's snapshot can still be shared. */
    bool (*copier_snapshot_alive)(struct store_copier *c, const struct table *source, const struct copy_record *r);
    enum err (*copier_indexed)(struct store_copier *c, uint32_t table_oid, struct fault *f);
    /* Runs statements of the schema on the target (indexes, constraints); a thing that already exists counts as done. */
    enum err (*copier_statement)(struct store_copier *c, const char *what, const char *sql, bool *ret_existed, struct fault *f);
    /* Commits a mark on the source whose note is `note`: the stream will deliver it. */
    enum err (*copier_heartbeat)(struct store_copier *c, const char *note, struct fault *f);

    /* --- switching: from this stream's source (the old side) to its target (the new one) --- */
    /* Functions, rows of authority and fences on both sides, whatever is not there yet; of a store, not of a way back. */
    enum err (*fence)(struct store *s, uint64_t *ret_made, struct fault *f);
    enum err (*switch_open)(struct store *s, struct store_switch **ret, struct fault *f);
    void (*switch_close)(struct store_switch *w);
    enum err (*switch_rows)(struct store_switch *w, struct switch_row *ret_old, struct switch_row *ret_new, struct fault *f);
    /* An attempt begins: its number, and which servers both sides are now, on which timeline, stand in both rows, on
     * their standbys, too. What switch_lock is to lock is listed. ERR_SWITCH_HELD_UP: a row is another by now, or a
     * side failed over since the gate before. */
    enum err (*switch_gate)(struct store_switch *w, int64_t epoch, int64_t *ret_attempt, struct fault *f);
    /* Whoever does not know what became of an attempt (SETTLE of spec/README.md): what is open on either side is rolled
     * back, what was decided is opened, what was not can be no more. An error: nobody can tell yet. */
    enum err (*switch_settle)(struct store_switch *w, struct switch_settled *ret, struct fault *f);
    enum err (*switch_obstacles)(struct store_switch *w, struct arena *a, struct switch_obstacle **ret, size_t *ret_count, struct fault *f);
    /* Whether changes of the old side's schema are noted there, and come with its stream. */
    enum err (*switch_notes)(struct store_switch *w, bool *ret, struct fault *f);
    /* What clients would wait for when relations are locked on either side (maintenance that runs there) has given way,
     * or is named: ERR_SWITCH_HELD_UP. */
    enum err (*switch_clear_way)(struct store_switch *w, struct fault *f);
    /* Every relation of the old side locked against writers, in one transaction of the deciding session; ERR_BUSY: not within the deadline, or a
     * relation came in between. The server ends it when we say nothing for deadline_ms. */
    enum err (*switch_lock)(struct store_switch *w, int64_t deadline_ms, struct fault *f);
    void (*switch_unlock)(struct store_switch *w); /* rolls back whatever is open on either side */
    /* A mark into the streams that leave either side, durable; and whether that which left that side (STORE_SOURCE: the
     * old one) has come round. */
    enum err (*switch_mark)(struct store_switch *w, int64_t mark, struct fault *f);
    enum err (*switch_came)(struct store_switch *w, enum store_side on, int64_t mark, bool *ret, struct fault *f);
    /* Under the lock: every relation is locked, the old side's fences are shut in the locking transaction, the new side's sequences are beyond the
     * old one's. */
    enum err (*switch_check)(struct store_switch *w, struct fault *f);
    /* After the drain: no row behaved otherwise than the stream said, and rights on both sides are what they were when
     * obstacles were looked for; the new side opened as epoch, in a transaction left open: it is committed by
     * switch_open_side, or rolled back. */
    enum err (*switch_prepare_open)(struct store_switch *w, int64_t epoch, int64_t attempt, int64_t deadline_ms,
                                    struct fault *f);
    /* In the locking transaction: row and fences of the old side, and COMMIT. *ret false: the attempt is over, or the
     * side failed over (rolled back). An error: not known; switch_settle tells. */
    enum err (*switch_decide)(struct store_switch *w, int64_t epoch, int64_t attempt, bool *ret, struct fault *f);
    /* Once the decision is known: the new side serves. Safe to be done again; *ret false: it is at another epoch, or
     * another attempt. */
    enum err (*switch_open_side)(struct store_switch *w, int64_t epoch, int64_t attempt, bool *ret, struct fault *f);

    /* The stream's source is lost for good: its target is looked at; and opened, at next_epoch, with the stream barred
     * there first. ERR_BUSY: its row changed since it was looked at. *ret_undone, with an error: it is certain that
     * this did not open the side, and never will; the stream is barred no more than it was, as far as that could be. */
    enum err (*force_look)(struct store *s, struct arena *a, struct force_view *ret, struct fault *f);
    enum err (*force_open)(struct store *s, const struct force_view *v, bool *ret_undone, struct fault *f);
    /* Both sides answer: one that was left so, and says that it serves, no longer does. *ret_left: that was so. */
    enum err (*outvote)(struct store *s, bool *ret_left, struct fault *f);

    /* --- admission: who may connect to one side's database, and who is connected (cutover/deny.c). Nothing of it
     * decides anything --- */
    /* At once, or not: it waits some seconds at most for a server. */
    enum err (*admission_open)(struct store *s, enum store_side on, struct store_admission **ret, struct fault *f);
    void (*admission_close)(struct store_admission *a);
    enum err (*admission_facts)(struct store_admission *a, struct arena *arena, struct store_admission_facts *ret,
                                struct fault *f);
    /* Nobody but leat and the doors may connect; what was there is kept beside leat.authority, in the same transaction.
     * ERR_BUSY: the privileges are not those of `facts` any more. Safe to be done again. */
    enum err (*admission_deny)(struct store_admission *a, const struct store_admission_facts *facts, struct fault *f);
    /* What was kept is given back, and forgotten. *ret false: nothing was taken. */
    enum err (*admission_give_back)(struct store_admission *a, bool *ret, struct fault *f);
    enum err (*admission_may_connect)(struct store_admission *a, struct arena *arena, struct store_login **ret,
                                      size_t *ret_count, struct fault *f);
    enum err (*admission_sessions)(struct store_admission *a, struct arena *arena, struct store_session **ret,
                                   size_t *ret_count, struct fault *f);
    enum err (*admission_end)(struct store_admission *a, int64_t pid, struct fault *f);

    /* --- stream --- */
    enum err (*stream_open)(struct store *s, struct lsn from, struct store_stream **ret, struct fault *f);
    void (*stream_close)(struct store_stream *st);
    /* The next parcel, or *ret = NULL when the deadline (monotonic us) passed. Answers keepalives on its own. */
    enum err (*stream_read)(struct store_stream *st, int64_t deadline_us, struct parcel **ret, struct fault *f);
    /* Tells the source what is durable, now. Also to be called about every second while stream_read is not. */
    enum err (*stream_feedback)(struct store_stream *st, struct lsn durable, struct fault *f);

    /* --- applying --- */
    enum err (*lane_open)(struct store *s, const char *stream, const char *lane, struct store_lane **ret, struct fault *f);
    void (*lane_close)(struct store_lane *l);
    /* Begins a transaction with its mark; then the steps (late = those that wait for the batch before). */
    enum err (*lane_begin)(struct store_lane *l, const struct batch *b, struct fault *f);
    enum err (*lane_steps)(struct store_lane *l, const struct batch *b, bool late, struct fault *f);
    enum err (*lane_commit)(struct store_lane *l, const struct batch *b, bool durable, struct fault *f);
    void (*lane_rollback)(struct store_lane *l);
    /* The whole batch again, change by change, each source transaction a target transaction, what does not fit put into
     * the divergence ledger. find(): the binding of a change or NULL when it does not apply here. Begins and commits itself. */
    enum err (*lane_replay)(struct store_lane *l, const struct batch *b, const struct binding *(*find)(void *ctx, const struct txn *t, const struct change *c, const struct relation *r), void *ctx,
                            bool durable, struct fault *f);
    void (*lane_stats)(struct store_lane *l, struct lane_stats *ret);
    /* In a transaction of the join's lane: these tables have joined at `at`. Committed durably by the call, with what the lane did. */
    enum err (*lane_join)(struct store_lane *l, const uint32_t *table_oids, size_t count, struct lsn at, struct fault *f);
    /* Records which tables the pass carries. */
    enum err (*lane_pass)(struct store_lane *l, const uint32_t *table_oids, size_t count, int pass, struct fault *f);
    /* Runs the change's own statement in the lane's transaction, under its path, role and settings. *ret_why: why it could not, in
     * the lane's arena (the transaction is as before it); NULL: it was run. After ERR_BUSY, too, the transaction is as before it. */
    enum err (*lane_ddl)(struct store_lane *l, const struct schema_change *c, const char **ret_why, struct fault *f);
    /* The target's catalog as the lane's transaction sees it. */
    enum err (*lane_catalog)(struct store_lane *l, struct catalog **ret, struct fault *f);
    /* While nothing is in flight: a mark of a switch has come round at that position. Nobody sees it before all that
     * was before it is durable, on the standbys a commit waits for, too. */
    enum err (*lane_mark)(struct store_lane *l, struct lsn at, int64_t mark, struct fault *f);
    /* In the lane's transaction: these commits are on the target, though they lie beyond the position it commits. */
    enum err (*lane_ahead)(struct store_lane *l, const struct lsn *commits, size_t count, struct fault *f);
    /* The position of the lane's stream on the target (max over its marks), zero: none. */
    /* The statement that makes a row of the target what it is on the source: values as text by column of the plan; before NULL: it is not
     * there yet, after NULL: it goes. It changes one row, and only if that is as it was before. In the arena. */
    const char *(*mend_sql)(struct arena *a, const struct table *target, const struct row_plan *plan, const char *const *before, const char *const *after);
    /* Such statements, in one transaction beside the stream, durable on return. ret_why[i]: NULL if it changed its row, else why not, and it
     * changed nothing; in the arena. */
    enum err (*lane_mend)(struct store_lane *l, const char *const *statements, size_t count, struct arena *a, const char **ret_why, struct fault *f);
    /* Entries of the ledger up to that one, of these tables ("schema.name"), are settled: a comparison has found the tables equal. */
    enum err (*lane_settle)(struct store_lane *l, const char *by, int64_t last, const char *tables_json, struct fault *f);
    enum err (*lane_position)(struct store_lane *l, struct lsn *ret, struct fault *f);

    /* --- comparing --- */
    enum err (*cutter_open)(struct store *s, struct store_cutter **ret, struct fault *f);
    void (*cutter_close)(struct store_cutter *c);
    /* Fills leat.scratch on both sides with what the verifier proves itself on. While nothing is held. */
    enum err (*cutter_scratch)(struct store_cutter *c, struct fault *f);
    /* Locks the tables against rewriting (ERR_BUSY: not to be had at once), then takes the source's snapshot; its text in the arena. */
    enum err (*cutter_source)(struct store_cutter *c, const struct table *const *tables, size_t count, struct arena *a, const char **ret_snapshot, struct fault *f);
    /* Transactions that the snapshot does not see and whose commit may be in the source's log all the same. In the arena. */
    enum err (*cutter_suspects)(struct store_cutter *c, const struct snapshot *s, struct arena *a, uint32_t **ret, size_t *ret_count, struct fault *f);
    /* Commits a mark on the source whose note is `note`. */
    enum err (*cutter_mark)(struct store_cutter *c, const char *note, struct fault *f);
    enum err (*cutter_target)(struct store_cutter *c, const struct table *const *tables, size_t count, struct fault *f);
    /* Whether parts of a table can be read by ranges of pages there, without reading all of it. */
    bool (*cutter_by_pages)(const struct store_cutter *c, enum store_side side);
    /* Whether floating-point numbers inside of values that are compared as text are compared to 15 digits. */
    bool (*cutter_coarse)(const struct store_cutter *c);
    /* The last entry of the divergence ledger that the target's snapshot sees; 0: none. */
    enum err (*cutter_ledger)(struct store_cutter *c, int64_t *ret_last, struct fault *f);
    /* The tables of that side on which somebody waits for the locks held here: their oids, at most `size`. */
    enum err (*cutter_in_the_way)(struct store_cutter *c, enum store_side side, uint32_t *oids, size_t size, size_t *ret_count, struct fault *f);
    /* In the arena. Not under the snapshots: as it is now. */
    enum err (*cutter_objects)(struct store_cutter *c, enum store_side side, struct arena *a, struct store_objects *ret, struct fault *f);
    /* Of the source, what no comparison of rows looks at: schema, relation, and why in `what`. */
    enum err (*cutter_left_out)(struct store_cutter *c, struct arena *a, struct store_objects *ret, struct fault *f);
    /* By schema and name. */
    enum err (*cutter_sequences)(struct store_cutter *c, enum store_side side, struct arena *a, struct store_sequence **ret, size_t *ret_count, struct fault *f);
    /* Gives back locks and snapshots of both sides. */
    void (*cutter_end)(struct store_cutter *c);

    /* A connection that reads one side under the cutter's snapshots. */
    enum err (*rows_open)(struct store *s, enum store_side side, struct store_rows **ret, struct fault *f);
    void (*rows_close)(struct store_rows *r);
    enum err (*rows_begin)(struct store_rows *r, struct store_cutter *c, struct fault *f);
    void (*rows_end)(struct store_rows *r);
    /* Every row, in COPY's binary form. *stop: ERR_INTERRUPTED, and the connection must then be closed. */
    enum err (*rows_read)(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part, struct copy_rows *into, _Atomic bool *stop,
                          struct fault *f);
    /* The row (any of them) whose first `fields` columns of the plan are these, as text by column, NULL for NULL; *ret NULL: none. In the arena. */
    enum err (*rows_find)(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *values, struct arena *a, const char *const **ret,
                          struct fault *f);
    /* At most `most` texts of the key's first column that divide the part (ranged, or all) of a table into ranges of about as many rows, in their order; of
     * the source. *ret_count 0: it has no order that is the same on both sides, or there is nothing to divide. In the arena. */
    enum err (*rows_bounds)(struct store_rows *r, const struct table *t, const struct row_plan *plan, const struct row_part *part, size_t most, struct arena *a, const char ***ret,
                            size_t *ret_count, struct fault *f);
    /* How many rows have these texts (NULL: NULL) in the first `fields` columns of the plan. */
    enum err (*rows_count)(struct store_rows *r, const struct table *t, const struct row_plan *plan, uint16_t fields, const char *const *values, uint64_t *ret, struct fault *f);

    /* --- watching --- */
    /* source_only: the target is away; then only poll, heartbeat and drop_slot may be asked, and poll leaves out the target. */
    enum err (*watcher_open)(struct store *s, bool source_only, struct store_watcher **ret, struct fault *f);
    void (*watcher_close)(struct store_watcher *w);
    enum err (*watcher_poll)(struct store_watcher *w, struct watch *ret, struct fault *f);
    /* Commits a heartbeat mark on the source, carrying the acknowledged position. */
    enum err (*watcher_heartbeat)(struct store_watcher *w, struct lsn acknowledged, struct fault *f);
    /* Deletes marks that newer ones supersede. */
    enum err (*watcher_trim)(struct store_watcher *w, struct fault *f);
    enum err (*watcher_sequences)(struct store_watcher *w, uint64_t *ret_moved, struct fault *f);
    /* Tables on which our copying makes others wait longer than limit_us: their oids, at most `size`. */
    enum err (*watcher_blocking)(struct store_watcher *w, int64_t limit_us, uint32_t *oids, size_t size, size_t *ret_count, struct fault *f);
    /* Sums over the source's schema, another text whenever it changed; "" where a note in the stream tells. */
    enum err (*watcher_schema)(struct store_watcher *w, char *ret, size_t size, struct fault *f);
    /* The source's indexes on chosen tables that the target lacks, a few of them by name; "": none. In the arena. */
    enum err (*watcher_indexes)(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f);
    /* Tables whose rows may have gone without the stream saying so: PostgreSQL 10 does not decode TRUNCATE (trap P28), but the file
     * of the rows is another then. *ret: their oids as the text of an array, in the arena; NULL: none. */
    enum err (*watcher_emptied)(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f);
    /* As logged_since, without doing anything. */
    enum err (*watcher_logged)(struct store_watcher *w, struct arena *a, const char **ret, struct fault *f);
    /* Tables whose identity went while they were followed (its key or index dropped): their UPDATEs and DELETEs fail on the source. They
     * are given another; *ret: the statements, a line each, in the arena; NULL: none. */
    enum err (*watcher_identity)(struct store_watcher *w, const struct catalog *source, struct arena *a, const char **ret, struct fault *f);
    /* How many tables both sides have by now that the stream does not carry yet. */
    enum err (*watcher_unpublished)(struct store_watcher *w, size_t *ret_count, struct fault *f);
    enum err (*watcher_ledger)(struct store_watcher *w, int64_t *ret_count, struct fault *f);
    /* What the stream's source says of authority; and settling, as switch_settle, where that source has decided and
     * nobody carries it out. */
    enum err (*watcher_authority)(struct store_watcher *w, struct switch_row *ret, struct fault *f);
    enum err (*watcher_settle)(struct store_watcher *w, struct switch_settled *ret, struct fault *f);
    /* Fences that stand otherwise than their side's row says are set right, under that row. The outputs: which tables', in the arena, whatever is
     * returned; NULL: none. ERR_BUSY: one is in use, try again. */
    enum err (*watcher_fences)(struct store_watcher *w, struct arena *a, const char **ret_source, const char **ret_target, struct fault *f);
    /* The doors' own role has what it needs on both sides, since when it may have been made. */
    enum err (*watcher_doors)(struct store_watcher *w, struct fault *f);
    /* The governor's last resort: the slot goes, and with it what the source holds back. Nobody may be reading from it. */
    enum err (*watcher_drop_slot)(struct store_watcher *w, struct fault *f);
};

/* The engine named in leat.yaml. */
MUST_USE enum err store_new(const struct config *c, const struct config_store *cs, const char *state_dir, int64_t token, _Atomic bool *stop,
                            struct store **ret, struct fault *f);
void store_free(struct store *s);
AUTO_DEFINE(store)

#endif
