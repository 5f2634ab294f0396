/* build/find_tools.h — see client_tools.h; the paths are those of the programs themselves. */
#ifndef LEAT_BUILD_FIND_TOOLS_H
#define LEAT_BUILD_FIND_TOOLS_H

#include "store/postgres/client_tools.h"

#define TOOLS_NEWEST 999 /* as `best`: the newest there is. pg_restore reads what any older pg_dump wrote */

MUST_USE enum err find_tools(struct arena *a, int at_least, int best, struct client_tools *ret, struct fault *f);

#endif
