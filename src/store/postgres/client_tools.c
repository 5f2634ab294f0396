/* store/postgres/client_tools.c — see client_tools.h. Programs are asked for their version; no path is believed. */
#include "store/postgres/client_tools.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEWEST_TRIED 30
#define OLDEST_TRIED 10

extern char **environ;

struct search {
    struct arena *arena;
    int at_least;
    int best;
    struct client_tools found; /* major 0: none yet */
    struct buf seen;           /* for the error: "/usr/bin (15)" */
};

bool client_tools_is_wrapper(const char *path)
{
    char real[PATH_MAX];

    return realpath(path, real) != NULL && strstr(real, "pg_wrapper") != NULL;
}

int client_tools_major(const char *version_line)
{
    const char *after = strstr(version_line, "(PostgreSQL) ");
    long major = after != NULL ? strtol(after + strlen("(PostgreSQL) "), NULL, 10) : 0;

    return major > 0 && major < 1000 ? (int)major : 0;
}

/* The first bytes of what `path --version` prints; "" when it cannot be run. */
static void ask_version(const char *path, char *line, size_t size)
{
    char *const argv[] = {(char *)path, (char *)"--version", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    size_t have = 0;
    pid_t pid;

    line[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    while (failed == 0 && have + 1 < size) {
        ssize_t n = read(ends[0], line + have, size - have - 1);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    line[have] = '\0';
    close(ends[0]);
    if (failed == 0)
        waitpid(pid, NULL, 0);
}

static int major_of(const char *path)
{
    char line[256];

    if (access(path, X_OK) != 0)
        return 0;
    ask_version(path, line, sizeof line);
    return client_tools_major(line);
}

/* Whether `major` is a better choice than what was found: at or below `best` the newest, above it the oldest. */
static bool better(const struct search *s, int major)
{
    int have = s->found.major;

    if (major < s->at_least)
        return false;
    if (have == 0)
        return true;
    if (major <= s->best)
        return have > s->best || major > have;
    return have > s->best && major < have;
}

static void try_folder(struct search *s, const char *folder)
{
    const char *dump = arena_format(s->arena, "%s/pg_dump", folder);
    const char *restore = arena_format(s->arena, "%s/pg_restore", folder);
    int major = major_of(dump);

    if (major == 0 || major_of(restore) != major)
        return;
    buf_addf(&s->seen, "%s%s (%d)", s->seen.len > 0 ? ", " : "", folder, major);
    if (better(s, major))
        s->found = (struct client_tools){.dump = dump, .restore = restore, .major = major};
}

/* A folder with Debian's wrapper is passed over: what it leads to is tried itself. */
static void try_path(struct search *s)
{
    const char *path = getenv("PATH");

    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        const char *folder = arena_format(s->arena, "%.*s", (int)n, path);
        if (n > 0 && path[0] == '/' && !client_tools_is_wrapper(arena_format(s->arena, "%s/pg_dump", folder)))
            try_folder(s, folder);
        path += n + (path[n] == ':');
    }
}

static void try_all(struct search *s)
{
    const char *only = getenv("LEAT_PG_BINDIR");

    if (only != NULL && *only != '\0') {
        try_folder(s, only);
        return;
    }
    try_path(s);
    for (int major = NEWEST_TRIED; major >= OLDEST_TRIED; major--) {
        try_folder(s, arena_format(s->arena, "/usr/lib/postgresql/%d/bin", major));
        try_folder(s, arena_format(s->arena, "/usr/pgsql-%d/bin", major));
    }
}

enum err client_tools_find(struct arena *a, int at_least, int best, struct client_tools *ret, struct fault *f)
{
    struct search s = {.arena = a, .at_least = at_least, .best = best >= at_least ? best : at_least};
    enum err err = ERR_OK;

    try_all(&s);
    if (s.found.major == 0)
        err = fault_todo(f, ERR_PG_DUMP,
                         arena_format(a, "apt-get install postgresql-client-%d (or set LEAT_PG_BINDIR to the folder of a pg_dump %d or newer)", s.best, at_least),
                         "no pg_dump with its pg_restore of version %d or newer; found: %s", at_least, s.seen.len > 0 ? buf_cstr(&s.seen) : "none");
    else
        *ret = s.found;
    buf_fini(&s.seen);
    return err;
}
