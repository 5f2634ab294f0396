/* pilot/status.c — see status.h. */
#include "pilot/status.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/world.h"

#define SILENT_US ((int64_t)15000000) /* an engine that said nothing for so long is not counted as running */

/* A zombie that nobody reaps (its pilot was killed, and what took its place waits for none) does not live. */
static bool lives(pid_t pid)
{
    AUTO_CHARS *path = mem_format("/proc/%d/stat", (int)pid);
    char text[512];
    FILE *file;
    size_t n;
    const char *name_end;

    if (kill(pid, 0) != 0 && errno != EPERM)
        return false;
    file = fopen(path, "re");
    if (file == NULL)
        return errno != ENOENT;
    n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    name_end = strrchr(text, ')');
    return name_end == NULL || (strncmp(name_end, ") Z", 3) != 0 && strncmp(name_end, ") X", 3) != 0);
}

json_t *pilot_store_status(const char *state_dir, const char *store, bool *ret_alive)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.json", state_dir, store);
    json_t *o = json_load_file(path, 0, NULL);
    json_int_t pid = json_integer_value(json_object_get(o, "pid"));
    json_int_t at = json_integer_value(json_object_get(o, "at_us"));

    *ret_alive = o != NULL && pid > 0 && lives((pid_t)pid) && world_wall_us() - at < SILENT_US;
    return o;
}

/* What its engine said last of who serves, and of which epoch. */
static bool says_target(const char *state_dir, const char *name, int64_t *ret_epoch)
{
    bool alive;
    json_t *o = pilot_store_status(state_dir, name, &alive);
    const char *authority = json_string_value(json_object_get(o, "authority"));
    bool target = authority != NULL && strcmp(authority, "target") == 0;

    *ret_epoch = json_integer_value(json_object_get(o, "epoch"));
    json_decref(o);
    return target;
}

/* One of both may have stopped before it heard of the last switch. */
const struct config_store *pilot_leading(const char *state_dir, const struct config_store *store)
{
    int64_t epoch;
    int64_t back_epoch;
    bool target = says_target(state_dir, store->name, &epoch);
    bool back_target = says_target(state_dir, store->other->name, &back_epoch);

    return (back_epoch > epoch ? back_target : target) ? store->other : store;
}

int64_t pilot_store_written(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.json", state_dir, store);
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
}

static void copy_text(char *to, size_t size, const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    snprintf(to, size, "%s", text != NULL ? text : "");
}

void pilot_store_fault(const char *state_dir, const char *store, struct fault *ret)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", state_dir, store);
    json_t *o = json_load_file(path, 0, NULL);
    const char *code = json_string_value(json_object_get(o, "code"));

    fault_clear(ret);
    if (code != NULL && err_by_code(code) != ERR_OK) {
        ret->code = err_by_code(code);
        copy_text(ret->what, sizeof ret->what, o, "what");
        copy_text(ret->why, sizeof ret->why, o, "why");
        copy_text(ret->todo, sizeof ret->todo, o, "todo");
    }
    json_decref(o);
}

void pilot_store_note(const char *state_dir, const char *store, const struct fault *why)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", state_dir, store);
    AUTO_CHARS *temporary = mem_format("%s.new", path);
    const struct err_info *info = err_info(why->code);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "code", info->code, "what", why->what[0] != '\0' ? why->what : info->text, "why", why->why, "todo",
                          why->todo[0] != '\0' ? why->todo : info->remedy);

    if (o != NULL && (json_dump_file(o, temporary, JSON_COMPACT) != 0 || rename(temporary, path) != 0))
        (void)unlink(temporary);
    json_decref(o);
}

void pilot_store_forget(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = mem_format("%s/run/%s.fault", state_dir, store);

    (void)unlink(path);
}

bool pilot_all_follow(const struct config *c, const char *state_dir)
{
    for (size_t i = 0; i < c->store_count; i++) {
        bool alive;
        json_t *o = pilot_store_status(state_dir, c->stores[i].name, &alive);
        bool follows = alive && json_is_true(json_object_get(o, "following"));

        json_decref(o);
        if (!follows)
            return false;
    }
    return true;
}

enum err pilot_stopped_store(const struct config *c, const char *state_dir, struct fault *f)
{
    for (size_t i = 0; i < c->store_count; i++) {
        const char *name = c->stores[i].name;
        bool alive;
        struct fault why;
        json_t *o = pilot_store_status(state_dir, name, &alive);

        json_decref(o);
        pilot_store_fault(state_dir, name, &why);
        if (alive || why.code == ERR_OK || why.code == ERR_INTERRUPTED || err_is_transient(why.code))
            continue;
        fault_add(&why, "store %s", name);
        *f = why;
        return why.code;
    }
    return ERR_OK;
}
