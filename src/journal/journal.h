/* journal/journal.h — the durable record: an append-only, hash-chained list of events, and the tables that replaying it
 * gives (steps, facts). A vtable, because shared journals will come; the SQLite one (journal_sqlite_open) is the only
 * one so far. Several processes may hold one journal open; every append is serialised and durable when it returns.
 *
 * Chain: event n carries hash = SHA-256(previous hash || seq || at || store || kind || body), hex; the bytes exactly, and
 * what verifying cannot find, in docs/formats/journal.md.
 * A handle may be used by several threads, but not by a child of the process that opened it (ERR_BUG). */
#ifndef LEAT_JOURNAL_JOURNAL_H
#define LEAT_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

enum event_kind {
#define X(ID, name, text) EVENT_##ID,
#include "journal/events.def"
#undef X
    EVENT_KIND_COUNT
};
const char *event_kind_name(enum event_kind kind); /* "copy.table.done" */
const char *event_kind_text(enum event_kind kind); /* what it means, for `leat explain` and the docs */

struct event {
    int64_t seq;
    int64_t at_us;     /* wall clock */
    const char *store; /* "" for the whole migration */
    const char *kind;  /* its name; a journal may hold kinds this program does not know */
    const char *body;  /* one JSON object, compact */
    const char *hash;  /* 64 hex digits */
};

enum step_state { STEP_NONE, STEP_INTENT, STEP_DONE, STEP_UNDONE };

struct journal;
struct journal_ops {
    void (*free)(struct journal *j);
    /* Appends one event; body is a JSON object (NULL: {}; ERR_BUG if it is not one: keys once, integers within 64 bits,
     * at most 16 MiB). Durable on return. */
    enum err (*append)(struct journal *j, const char *store, enum event_kind kind, const char *body, struct fault *f);
    /* A step's way: intent is durable before its effect begins, done after its probe agreed. Each also appends an event,
     * {"step":...,"detail":body}. ERR_BUG: done without an intent before it, or undone what was never begun. */
    enum err (*step_set)(struct journal *j, const char *store, const char *step, enum step_state state, const char *body, struct fault *f);
    enum err (*step_get)(struct journal *j, const char *store, const char *step, enum step_state *ret, struct fault *f);
    /* A named fact of a store (slot identity, acknowledged position, ...): set durably, with a `fact` event unless
     * `quiet` (positions that move all the time). Values are text; NULL value deletes. */
    enum err (*fact_set)(struct journal *j, const char *store, const char *name, const char *value, bool quiet, struct fault *f);
    /* *ret is in the arena; NULL when there is none. */
    enum err (*fact_get)(struct journal *j, const char *store, const char *name, struct arena *a, const char **ret, struct fault *f);
    /* Calls `each` for events with seq > after, in order, until it returns false. Strings live for the call; `each` may use
     * the journal. An event that does not hold is not handed out: ERR_JOURNAL_BROKEN. */
    enum err (*read)(struct journal *j, int64_t after, bool (*each)(void *ctx, const struct event *e), void *ctx, struct fault *f);
    /* Recomputes the chain, and holds steps, facts and leases against it. ERR_JOURNAL_BROKEN names the first event that
     * does not hold. *ret_count: events checked. Others go on appending meanwhile. */
    enum err (*verify)(struct journal *j, int64_t *ret_count, struct fault *f);
    /* The lease on the migration: who works on it. token grows with every lease taken. ERR_LEASE_HELD names the holder
     * (host, pid) while a live holder renewed within the ttl it took it with. renew and drop fail with ERR_FENCED_OUT
     * once another took it. */
    enum err (*lease_take)(struct journal *j, const char *name, int64_t ttl_us, int64_t *ret_token, struct fault *f);
    enum err (*lease_renew)(struct journal *j, const char *name, int64_t token, struct fault *f);
    enum err (*lease_drop)(struct journal *j, const char *name, int64_t token, struct fault *f);
};
struct journal {
    const struct journal_ops *ops;
};
static inline void journal_free(struct journal *j)
{
    j->ops->free(j);
}
AUTO_DEFINE(journal)

/* Opens, or makes, DIR/journal.db: SQLite in WAL mode, synchronous=FULL, schema version checked (ERR_STATE_NEWER).
 * `migration` is recorded at the first opening; another name later is ERR_STATE_DIR. The directory is made if absent, mode 0700. */
MUST_USE enum err journal_sqlite_open(const char *dir, const char *migration, struct journal **ret, struct fault *f);

#endif
