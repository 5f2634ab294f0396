/* pilot/presence.h — where the pilot daemon is: STATE/run/pilot.json, with what tells it from another process of its pid. */
#ifndef LEAT_PILOT_PRESENCE_H
#define LEAT_PILOT_PRESENCE_H

#include "base/fault.h"
#include "journal/holder.h"

MUST_USE enum err presence_write(const char *state_dir, struct fault *f);
/* False: no pilot runs in the background here. */
bool presence_read(const char *state_dir, struct holder *ret);
void presence_remove(const char *state_dir);
/* Whether that store was named when the pilot was woken; asked once. */
bool presence_woken(const char *state_dir, const char *store);

#endif
