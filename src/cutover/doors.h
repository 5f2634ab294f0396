/* cutover/doors.h — the doors of a store, as a switch speaks to them: all at once, over their control sockets
 * (STATE/run/STORE.door.N.sock, docs/formats/door.md). A store may have none: then nobody is held, and who is connected is refused by the fence. */
#ifndef LEAT_CUTOVER_DOORS_H
#define LEAT_CUTOVER_DOORS_H

#include <jansson.h>

#include "base/fault.h"
#include "base/mem.h"

struct doors;
/* Those that answer now. A socket nobody listens at is what a door left that is gone. */
MUST_USE enum err doors_open(const char *state_dir, const char *store, struct doors **ret, struct fault *f);
void doors_free(struct doors *d);
AUTO_DEFINE(doors)
size_t doors_count(const struct doors *d);

/* The request to each of them, without waiting. Takes o. */
MUST_USE enum err doors_send(struct doors *d, json_t *o, struct fault *f);
/* Whether each has answered, or is gone, within that time: what doors_receive() then takes without waiting. */
bool doors_answered(const struct doors *d, int64_t timeout_us);
/* Each one's answer, as a list of objects; ERR_SWITCH_HELD_UP when one did not answer in time, or answered that it could not: *f says why. */
MUST_USE enum err doors_receive(struct doors *d, int64_t timeout_us, json_t **ret, struct fault *f);
/* Both. */
MUST_USE enum err doors_ask(struct doors *d, json_t *o, int64_t timeout_us, json_t **ret, struct fault *f);
/* The sum of a number over answers; the greatest of pause_ms[key]. */
int64_t doors_sum(const json_t *answers, const char *key);
double doors_pause_ms(const json_t *answers, const char *key);

#endif
