/* shift/door_customs.c — the names of custom settings that sessions are asked for: what functions of either side set,
 * and what a session's own texts showed. Read with the types; names only come, none goes, so that a list is told apart
 * from a longer one by its address. */
#include "shift/door_internal.h"

#include <stdlib.h>
#include <string.h>

#include "sql_embedded.h"

#define MOST 4096 /* every session is asked for each */

/* In order, each once. Once the door has it, it stays as it is until the door ends. */
struct custom_names {
    struct custom_names *before;
    size_t count;
    char *names[];
};

static void names_free(struct custom_names *n)
{
    for (size_t i = 0; n != NULL && i < n->count; i++)
        free(n->names[i]);
    free(n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_among(const struct custom_names *n, const char *name)
{
    return n != NULL && bsearch(&name, n->names, n->count, sizeof *n->names, by_name) != NULL;
}

/* Such a name goes into the question as it is. */
static bool is_plain(const char *name)
{
    return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_$.")] == '\0';
}

/* `before`, and what it has not. */
static struct custom_names *joined(struct custom_names *before, const PGresult *r)
{
    size_t had = before != NULL ? before->count : 0;
    struct custom_names *n = mem_alloc(sizeof *n + (had + (size_t)PQntuples(r)) * sizeof *n->names);

    n->before = before;
    for (size_t i = 0; i < had; i++)
        n->names[n->count++] = mem_dup(before->names[i]);
    for (int i = 0; i < PQntuples(r); i++)
        if (is_plain(PQgetvalue(r, i, 0)) && !is_among(before, PQgetvalue(r, i, 0)))
            n->names[n->count++] = mem_dup(PQgetvalue(r, i, 0));
    qsort(n->names, n->count, sizeof *n->names, by_name);
    return n;
}

/* Under types_lock: a fresh reader of names may come to it beside the settler. */
static enum err take(struct door *door, const PGresult *r, struct fault *f)
{
    struct custom_names *before = atomic_load(&door->customs);
    struct custom_names *n = joined(before, r);

    if (n->count > MOST) {
        names_free(n);
        return fault_set(
            f, ERR_UNMOVABLE,
            "functions set more than %d custom settings, and every session would have to be asked for each", MOST);
    }
    if (n->count == (before != NULL ? before->count : 0))
        names_free(n);
    else
        atomic_store(&door->customs, n);
    return ERR_OK;
}

enum err door_customs_load(struct door *door, struct pg *pg, struct fault *f)
{
    AUTO_RESULT *r = NULL;
    enum err err;

    TRY(pg_exec(pg, SQL_DOOR_CUSTOMS, &r, f));
    pthread_mutex_lock(&door->types_lock);
    err = take(door, r, f);
    pthread_mutex_unlock(&door->types_lock);
    return err;
}

void door_customs_free(struct door *door)
{
    struct custom_names *n = atomic_load(&door->customs);

    while (n != NULL) {
        struct custom_names *before = n->before;

        names_free(n);
        n = before;
    }
}

bool door_customs_are_asked(const struct session *s)
{
    return s->inspect_names == atomic_load(&s->worker->door->customs) && s->inspect_customs == s->notes.custom_count;
}

void door_customs_fix(struct session *s)
{
    s->inspect_names = atomic_load(&s->worker->door->customs);
    s->inspect_customs = s->notes.custom_count;
}

const char **door_customs_asked(const struct session *s, size_t *ret_count)
{
    const struct custom_names *n = s->inspect_names;
    size_t count = n != NULL ? n->count : 0;
    const char **list = mem_alloc((count + s->inspect_customs + 1) * sizeof *list);

    for (size_t i = 0; i < count; i++)
        list[i] = n->names[i];
    for (size_t i = 0; i < s->inspect_customs; i++)
        if (!is_among(n, s->notes.customs[i]))
            list[count++] = s->notes.customs[i];
    *ret_count = count;
    return list;
}
