/* build/find_tools.c — the pg_dump and pg_restore to use: client_tools_find(), past Debian's wrapper. */
#include "build/find_tools.h"

#include <unistd.h>

#include "build/build.h"

/* The program itself, where it is (LEAT_PG_BINDIR=/usr/bin: no other way leads to the wrapper). */
static const char *past_wrapper(struct arena *a, const char *path, int major)
{
    const char *base = strrchr(path, '/');
    const char *direct;

    if (base == NULL || !client_tools_is_wrapper(path))
        return path;
    direct = arena_format(a, "/usr/lib/postgresql/%d/bin%s", major, base);
    return access(direct, X_OK) == 0 ? direct : path;
}

enum err find_tools(struct arena *a, int at_least, int best, struct client_tools *ret, struct fault *f)
{
    struct client_tools tools;

    TRY(client_tools_find(a, at_least, best, &tools, f));
    tools.dump = past_wrapper(a, tools.dump, tools.major);
    tools.restore = past_wrapper(a, tools.restore, tools.major);
    *ret = tools;
    return ERR_OK;
}

enum err build_find_pg_dump(struct arena *a, int major, const char **ret_dump, const char **ret_restore,
                            struct fault *f)
{
    struct client_tools tools;

    TRY(find_tools(a, major, major, &tools, f));
    *ret_dump = tools.dump;
    *ret_restore = tools.restore;
    return ERR_OK;
}
