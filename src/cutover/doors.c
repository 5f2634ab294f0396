/* cutover/doors.c — see doors.h. */
#include "cutover/doors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/world.h"

#define MOST_DOORS 64

struct door {
    char name[64];
    int fd;
    struct buf in;
};

struct doors {
    struct door list[MOST_DOORS];
    size_t count;
};

/* Paths may be longer than a socket's address: by the folder's descriptor they never are. Trap: where a door has stood
 * still until its queue was full, connect() would wait for it without end: EAGAIN instead. */
static int connect_to(int folder, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why;

    if (fd < 0)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

static bool is_of(const char *file, const char *store)
{
    size_t n = strlen(store);
    size_t len = strlen(file);

    return strncmp(file, store, n) == 0 && strncmp(file + n, ".door.", 6) == 0 && len > 5 && strcmp(file + len - 5, ".sock") == 0;
}

enum err doors_open(const char *state_dir, const char *store, struct doors **ret, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/run", state_dir);
    AUTO(doors) *d = mem_alloc(sizeof *d);
    DIR *dir = opendir(path);

    if (dir == NULL)
        return fault_set(f, ERR_STATE_DIR, "cannot read %s: %s", path, strerror(errno));
    for (const struct dirent *e = readdir(dir); e != NULL && d->count < MOST_DOORS; e = readdir(dir)) {
        int fd = -1;

        if (!is_of(e->d_name, store))
            continue;
        fd = connect_to(dirfd(dir), e->d_name);
        if (fd < 0 && errno != EAGAIN) /* nobody listens there any more */
            continue;
        d->list[d->count].fd = fd;
        snprintf(d->list[d->count].name, sizeof d->list[d->count].name, "%s", e->d_name);
        d->count++;
    }
    closedir(dir);
    *ret = TAKE(d);
    return ERR_OK;
}

/* A door that failed once is not spoken to again: an answer that came late would be taken for the next one's. It settles by itself. */
static void give_up(struct door *door)
{
    if (door->fd >= 0)
        close(door->fd);
    door->fd = -1;
}

void doors_free(struct doors *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->count; i++) {
        give_up(&d->list[i]);
        buf_fini(&d->list[i].in);
    }
    free(d);
}

size_t doors_count(const struct doors *d)
{
    return d->count;
}

static enum err write_all(struct door *door, const char *data, size_t len, struct fault *f)
{
    while (len > 0) {
        ssize_t n = send(door->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_set(f, ERR_SWITCH_HELD_UP, "door %s: %s", door->name, strerror(errno));
        data += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

static enum err send_one(struct door *door, const char *line, struct fault *f)
{
    enum err err;

    if (door->fd < 0)
        return fault_set(f, ERR_SWITCH_HELD_UP, "door %s: it does not answer any more", door->name);
    err = write_all(door, line, strlen(line), f);
    if (err != ERR_OK)
        give_up(door);
    return err;
}

/* All are told, also when one cannot be. */
enum err doors_send(struct doors *d, json_t *o, struct fault *f)
{
    AUTO_CHARS *text = json_dumps(o, JSON_COMPACT);
    AUTO_CHARS *line = mem_format("%s\n", text);
    enum err result = ERR_OK;

    for (size_t i = 0; i < d->count; i++) {
        struct fault ignored = {0};
        enum err err = send_one(&d->list[i], line, result == ERR_OK ? f : &ignored);
        result = result == ERR_OK ? err : result;
    }
    json_decref(o);
    return result;
}

/* One line, without its end; *ret NULL: not by then. */
static enum err read_line(struct door *door, int64_t deadline_us, json_t **ret, struct fault *f)
{
    for (;;) {
        char *end = door->in.len > 0 ? memchr(door->in.data, '\n', door->in.len) : NULL;
        struct pollfd p = {.fd = door->fd, .events = POLLIN};
        int64_t left = deadline_us - world_mono_us();
        ssize_t n;

        if (end != NULL) {
            size_t line = (size_t)(end - door->in.data);
            *ret = json_loadb(door->in.data, line, 0, NULL);
            memmove(door->in.data, end + 1, door->in.len - line - 1);
            door->in.len -= line + 1;
            return *ret != NULL ? ERR_OK : fault_set(f, ERR_PROTOCOL, "door %s: its answer is no JSON", door->name);
        }
        if (left <= 0 || poll(&p, 1, (int)(left / 1000) + 1) == 0)
            return fault_set(f, ERR_SWITCH_HELD_UP, "door %s did not answer in time", door->name);
        buf_reserve(&door->in, 65536);
        n = recv(door->fd, door->in.data + door->in.len, 65536, MSG_DONTWAIT);
        if (n > 0)
            door->in.len += (size_t)n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return fault_set(f, ERR_SWITCH_HELD_UP, "door %s is gone", door->name);
    }
}

bool doors_answered(const struct doors *d, int64_t timeout_us)
{
    int64_t until = world_mono_us() + timeout_us;

    for (size_t i = 0; i < d->count; i++) {
        struct pollfd p = {.fd = d->list[i].fd, .events = POLLIN};
        int64_t left = until - world_mono_us();

        if (p.fd >= 0 && poll(&p, 1, left > 0 ? (int)(left / 1000) : 0) == 0)
            return false;
    }
    return true;
}

static enum err say_why(const struct door *door, const json_t *answer, struct fault *f)
{
    const json_t *why = json_object_get(answer, "why");
    AUTO_CHARS *text = json_dumps(json_is_array(why) ? json_array_get(why, 0) : why, JSON_COMPACT | JSON_ENCODE_ANY);

    return fault_set(f, ERR_SWITCH_HELD_UP, "door %s: %zu client(s), the first: %s", door->name, json_is_array(why) ? json_array_size(why) : 1, text != NULL ? text : "?");
}

/* All are heard out, also when one could not: the next request's answers are then its own. */
enum err doors_receive(struct doors *d, int64_t timeout_us, json_t **ret, struct fault *f)
{
    int64_t deadline = world_mono_us() + timeout_us;
    json_t *answers = json_array();
    enum err result = ERR_OK;

    for (size_t i = 0; i < d->count; i++) {
        struct fault ignored = {0};
        json_t *answer = NULL;
        enum err err = d->list[i].fd < 0 ? fault_set(result == ERR_OK ? f : &ignored, ERR_SWITCH_HELD_UP, "door %s: it does not answer any more", d->list[i].name)
                                         : read_line(&d->list[i], deadline, &answer, result == ERR_OK ? f : &ignored);
        if (err != ERR_OK)
            give_up(&d->list[i]);
        if (err == ERR_OK && !json_is_true(json_object_get(answer, "ok")))
            err = say_why(&d->list[i], answer, result == ERR_OK ? f : &ignored);
        if (answer != NULL)
            json_array_append_new(answers, answer);
        result = result == ERR_OK ? err : result;
    }
    if (ret != NULL)
        *ret = answers;
    else
        json_decref(answers);
    return result;
}

enum err doors_ask(struct doors *d, json_t *o, int64_t timeout_us, json_t **ret, struct fault *f)
{
    struct fault second = {0};
    enum err sent = doors_send(d, o, f);
    enum err received = doors_receive(d, timeout_us, ret, sent == ERR_OK ? f : &second);

    return sent != ERR_OK ? sent : received;
}

int64_t doors_sum(const json_t *answers, const char *key)
{
    int64_t sum = 0;
    const json_t *one;
    size_t i;

    json_array_foreach(answers, i, one)
        sum += json_integer_value(json_object_get(one, key));
    return sum;
}

double doors_pause_ms(const json_t *answers, const char *key)
{
    double most = 0;
    const json_t *one;
    size_t i;

    json_array_foreach(answers, i, one)
    {
        double ms = json_number_value(json_object_get(json_object_get(one, "pause_ms"), key));
        most = ms > most ? ms : most;
    }
    return most;
}
