/* config/schema.c — schema.def as a table, and what can be asked of it: which key is meant, and which was meant
 * instead. */
#include "config/internal.h"

#include <string.h>

#define NEAREST_MAX 64 /* longer words are not compared */

#define IN_CONFIG(member) OWNER_CONFIG, offsetof(struct config, member), sizeof(((struct config *)0)->member), 0
#define IN_STORE(member)                                                                                               \
    OWNER_STORE, offsetof(struct config_store, member), sizeof(((struct config_store *)0)->member), 0
#define LIST_IN_STORE(member, count)                                                                                   \
    OWNER_STORE, offsetof(struct config_store, member), sizeof(((struct config_store *)0)->member),                    \
        offsetof(struct config_store, count)
#define KEPT OWNER_NONE, 0, 0, 0
#define REQUIRED true
#define OPTIONAL false
#define NOW false
#define LATER true
#define KEY(path, kind, need, since, fallback, range, example, bind, doc)                                              \
    {path, KIND_##kind, need, since, fallback, range, example, bind, doc},

const struct config_key config_keys[] = {
#include "config/schema.def"
};
const size_t config_key_count = sizeof config_keys / sizeof *config_keys;

const char *config_key_name(const struct config_key *key)
{
    const char *dot = strrchr(key->path, '.');

    return dot != NULL ? dot + 1 : key->path;
}

bool config_key_below(const struct config_key *group, const struct config_key *key)
{
    size_t n = group != NULL ? strlen(group->path) : 0;

    if (n > 0 && (strncmp(key->path, group->path, n) != 0 || key->path[n++] != '.'))
        return false;
    return strchr(key->path + n, '.') == NULL;
}

const struct config_key *config_key_find(const struct config_key *group, const char *name)
{
    for (size_t i = 0; i < config_key_count; i++)
        if (config_key_below(group, &config_keys[i]) && strcmp(config_key_name(&config_keys[i]), name) == 0)
            return &config_keys[i];
    return NULL;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein (optimal string alignment): how many letters to insert, drop, change, or swap with their
 * neighbour. */
static int distance(const char *a, const char *b)
{
    int n = (int)strlen(a), m = (int)strlen(b);
    int rows[3][NEAREST_MAX + 1];

    ENSURE(n <= NEAREST_MAX && m <= NEAREST_MAX);
    for (int j = 0; j <= m; j++)
        rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *row = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];

        row[0] = i;
        for (int j = 1; j <= m; j++) {
            row[j] = least(least(before[j] + 1, row[j - 1] + 1), before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_before[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

/* Near enough is: a third of the letters wrong at most, three in all. */
static void nearer(const char *text, const char *candidate, const char **ret_best, int *ret_distance)
{
    size_t n = strlen(text), m = strlen(candidate);
    int allowed = least((int)(n > m ? n : m) / 3, 3);
    int d = n <= NEAREST_MAX && m <= NEAREST_MAX ? distance(text, candidate) : NEAREST_MAX;

    if (d <= allowed && (*ret_best == NULL || d < *ret_distance)) {
        *ret_best = candidate;
        *ret_distance = d;
    }
}

const char *config_nearest(struct arena *a, const char *items, const char *text)
{
    const char *best = NULL;
    int best_distance = 0;

    for (const char *p = items; p != NULL;) {
        const char *bar = strchr(p, '|');

        nearer(text, bar != NULL ? arena_format(a, "%.*s", (int)(bar - p), p) : arena_strdup(a, p), &best,
               &best_distance);
        p = bar != NULL ? bar + 1 : NULL;
    }
    return best;
}

static const char *owner_of(struct arena *a, const struct config_key *key)
{
    const char *name = config_key_name(key);

    return name == key->path ? "the top of the file" : arena_format(a, "%.*s", (int)(name - key->path - 1), key->path);
}

const char *config_key_hint(struct arena *a, const struct config_key *group, const char *name)
{
    const char *best = NULL, *list = NULL;
    int best_distance = 0;

    for (size_t i = 0; i < config_key_count; i++)
        if (config_key_below(group, &config_keys[i])) {
            nearer(name, config_key_name(&config_keys[i]), &best, &best_distance);
            list = list == NULL ? config_key_name(&config_keys[i])
                                : arena_format(a, "%s, %s", list, config_key_name(&config_keys[i]));
        }
    if (best != NULL)
        return arena_format(a, "did you mean \"%s\"?", best);
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_key_name(&config_keys[i]), name) == 0 && strcmp(name, "*") != 0)
            return arena_format(a, "it belongs to %s", owner_of(a, &config_keys[i]));
    return arena_format(a, "there are: %s", list);
}
