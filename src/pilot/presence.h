/* pilot/presence.h — where the pilot daemon is: STATE/run/pilot.json, with what tells it from another process of its pid. */
#ifndef LEAT_PILOT_PRESENCE_H
#define LEAT_PILOT_PRESENCE_H

#include "base/fault.h"

MUST_USE enum err presence_write(const char *state_dir, struct fault *f);
void presence_remove(const char *state_dir);
/* Whether that store was named when the pilot was woken; asked once. */
bool presence_woken(const char *state_dir, const char *store);

#endif
