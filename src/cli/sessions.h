/* cli/sessions.h — who is connected to either side past the doors, as `leat status` tells it. */
#ifndef LEAT_CLI_SESSIONS_H
#define LEAT_CLI_SESSIONS_H

#include <jansson.h>

#include "cli/cli.h"

/* {"bypassing": how many on either side, or null where nobody can tell, "who": [{"side", "user", "application",
 * "address", "count"}]}. Both servers are asked, for seconds at most, and not more often than every two. */
json_t *sessions_past_doors(const struct cli *c, const struct config_store *store);
/* For people: a line, or some. */
void sessions_lines(const json_t *sessions, bool has_doors, struct buf *out);

#endif
