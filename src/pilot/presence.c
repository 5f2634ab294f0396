/* pilot/presence.c — see presence.h. */
#include "pilot/presence.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "journal/holder.h"
#include "pilot/pilot.h"

static char *path_of(const char *state_dir)
{
    return mem_format("%s/run/pilot.json", state_dir);
}

enum err presence_write(const char *state_dir, struct fault *f)
{
    AUTO_CHARS *path = path_of(state_dir);
    AUTO_CHARS *temporary = mem_format("%s.new", path);
    struct holder self;
    json_t *o;
    bool done;

    holder_self(&self);
    o = json_pack("{s:i, s:I, s:I, s:s, s:s}", "format_version", 1, "pid", (json_int_t)self.pid, "started_ticks", (json_int_t)self.started, "host", self.host, "place",
                  self.place);
    done = o != NULL && json_dump_file(o, temporary, JSON_COMPACT) == 0 && rename(temporary, path) == 0;
    json_decref(o);
    return done ? ERR_OK : fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
}

void presence_remove(const char *state_dir)
{
    AUTO_CHARS *path = path_of(state_dir);

    if (pilot_pid(state_dir) == getpid()) /* else it is another's by now */
        (void)unlink(path);
}

static void copy_text(char *to, const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    snprintf(to, HOLDER_TEXT_SIZE, "%s", text != NULL ? text : "");
}

bool presence_read(const char *state_dir, struct holder *ret)
{
    AUTO_CHARS *path = path_of(state_dir);
    json_t *o = json_load_file(path, 0, NULL);

    *ret = (struct holder){.pid = json_integer_value(json_object_get(o, "pid")), .started = json_integer_value(json_object_get(o, "started_ticks"))};
    copy_text(ret->host, o, "host");
    copy_text(ret->place, o, "place");
    json_decref(o);
    return ret->pid > 0 && holder_look(ret) == HOLDER_LIVES;
}

int pilot_pid(const char *state_dir)
{
    struct holder h;

    return presence_read(state_dir, &h) ? (int)h.pid : 0;
}

static char *wake_path(const char *state_dir, const char *store)
{
    return mem_format("%s/run/%s.resume", state_dir, store);
}

bool pilot_wake(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = wake_path(state_dir, store);
    int pid = pilot_pid(state_dir);
    FILE *file = pid != 0 ? fopen(path, "we") : NULL;

    return file != NULL && fclose(file) == 0 && kill(pid, SIGUSR1) == 0;
}

bool pilot_heard(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = wake_path(state_dir, store);

    return access(path, F_OK) != 0;
}

bool presence_woken(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = wake_path(state_dir, store);

    return unlink(path) == 0;
}
