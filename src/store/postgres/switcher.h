/* store/postgres/switcher.h — the switching operations of store.h. */
#ifndef LEAT_STORE_POSTGRES_SWITCHER_H
#define LEAT_STORE_POSTGRES_SWITCHER_H

#include "store/store.h"

MUST_USE enum err pg_switch_open(struct store *s, struct store_switch **ret, struct fault *f);
void pg_switch_close(struct store_switch *w);
MUST_USE enum err pg_switch_rows(struct store_switch *w, struct switch_row *ret_old, struct switch_row *ret_new, struct fault *f);
MUST_USE enum err pg_switch_gate(struct store_switch *w, int64_t epoch, int64_t *ret_attempt, struct fault *f);
MUST_USE enum err pg_switch_settle(struct store_switch *w, struct switch_settled *ret, struct fault *f);
MUST_USE enum err pg_switch_obstacles(struct store_switch *w, struct arena *a, struct switch_obstacle **ret, size_t *ret_count, struct fault *f);
MUST_USE enum err pg_switch_notes(struct store_switch *w, bool *ret, struct fault *f);
MUST_USE enum err pg_switch_clear_way(struct store_switch *w, struct fault *f);
MUST_USE enum err pg_switch_lock(struct store_switch *w, int64_t deadline_ms, struct fault *f);
void pg_switch_unlock(struct store_switch *w);
MUST_USE enum err pg_switch_mark(struct store_switch *w, int64_t mark, struct fault *f);
MUST_USE enum err pg_switch_came(struct store_switch *w, enum store_side on, int64_t mark, bool *ret, struct fault *f);
MUST_USE enum err pg_switch_check(struct store_switch *w, struct fault *f);
MUST_USE enum err pg_switch_prepare_open(struct store_switch *w, int64_t epoch, int64_t attempt, int64_t deadline_ms,
                                         struct fault *f);
MUST_USE enum err pg_switch_decide(struct store_switch *w, int64_t epoch, int64_t attempt, bool *ret, struct fault *f);
MUST_USE enum err pg_switch_open_side(struct store_switch *w, int64_t epoch, int64_t attempt, bool *ret,
                                      struct fault *f);

#endif
