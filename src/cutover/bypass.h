/* cutover/bypass.h — who is connected to a side past its doors: not leat, and not a door in a client's name. */
#ifndef LEAT_CUTOVER_BYPASS_H
#define LEAT_CUTOVER_BYPASS_H

#include "cutover/doors.h"
#include "store/store.h"

/* In the arena. side: "source" or "target", as the doors call the one that is asked. A door is asked before and after:
 * what it opens or ends meanwhile is not taken for a stranger. Whoever is connected for less than least_s is left out.
 * ERR_SWITCH_HELD_UP: a door does not tell; then nobody can. */
MUST_USE enum err bypass_list(const struct store_ops *ops, struct store_admission *at, struct doors *doors,
                              const char *side, double least_s, struct arena *a, struct store_session **ret,
                              size_t *ret_count, struct fault *f);
/* [{"user", "application", "address", "count"}]: sessions that look alike are one. */
json_t *bypass_json(const struct store_session *list, size_t count);

/* What `leat status` tells of one side, by sessions of its own: the list above, with "side". Within some seconds, or
 * not. */
MUST_USE enum err bypass_look(const struct config *config, const struct config_store *store, const char *state_dir,
                              enum store_side on, json_t **ret, struct fault *f);

#endif
