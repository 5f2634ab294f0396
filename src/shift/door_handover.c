/* shift/door_handover.c — a new process of the same door takes the listening sockets over; the old one drains.
 *
 * The new one asks over the control socket ({"do":"handover"}) and gets, with the answer, the sockets themselves (SCM_RIGHTS): whoever
 * waits in their queues loses nothing. The old one then goes by another name, STORE.door.N.PID, so that whoever holds a store's doors together
 * finds it too, and ends with its last client. Requests to cancel what it still runs come to the new one, which passes them on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/world.h"
#include "shift/door_control.h"

#define ANSWER_MS 10000

/* --- the old one --- */

static bool send_sockets(int fd, const char *line, const int *sockets, int count)
{
    char control[CMSG_SPACE(sizeof(int) * DOOR_MOST_THREADS)] = {0};
    struct iovec words = {.iov_base = (char *)(uintptr_t)line, .iov_len = strlen(line)};
    struct msghdr m = {.msg_iov = &words, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), sockets, sizeof(int) * (size_t)count);
    return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)words.iov_len;
}

static void take_another_name(struct control *c)
{
    struct door *door = c->door;
    AUTO_CHARS *before = mem_format("%s.sock", door->name);
    AUTO_CHARS *status = mem_format("%s.json", door->name);
    AUTO_CHARS *fresh = mem_format("%s.%d", door->name, (int)getpid());
    AUTO_CHARS *after = mem_format("%s.sock", fresh);

    (void)renameat(c->run_fd, before, c->run_fd, after);
    (void)unlinkat(c->run_fd, status, 0);
    log_line(LOG_INFO, door->name, "its address is another process's now; drains as %s", fresh);
    snprintf(door->name_now, sizeof door->name_now, "%s", fresh);
}

json_t *control_hand_over(struct control *c, int peer)
{
    struct door *door = c->door;
    int sockets[DOOR_MOST_THREADS];
    int count = 0;

    if (c->phase != PHASE_NONE || atomic_load(&door->draining))
        return control_no("not now: an attempt is under way, or it drains already");
    for (int i = 0; i < door->worker_count; i++)
        if (door->workers[i].listen_fd >= 0)
            sockets[count++] = door->workers[i].listen_fd;
    AUTO_CHARS *line = mem_format("{\"ok\":true,\"name\":\"%s.%d\",\"sockets\":%d}\n", door->name, (int)getpid(), count);
    if (!send_sockets(c->peers[peer].fd, line, sockets, count))
        return control_no("the sockets could not be sent");
    take_another_name(c);
    control_drain(c);
    return NULL;
}

/* --- the new one --- */

static int receive_sockets(int fd, char *line, size_t size, int *sockets, int *ret_count)
{
    char control[CMSG_SPACE(sizeof(int) * DOOR_MOST_THREADS)];
    struct iovec words = {.iov_base = line, .iov_len = size - 1};
    struct msghdr m = {.msg_iov = &words, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct cmsghdr *c;
    ssize_t got;

    if (poll(&p, 1, ANSWER_MS) != 1)
        return ETIMEDOUT;
    got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return got < 0 ? errno : EPIPE;
    line[got] = '\0';
    for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *ret_count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(sockets, CMSG_DATA(c), sizeof(int) * (size_t)*ret_count);
    }
    return 0;
}

/* Without waiting: one that stands still, its queue full, is EAGAIN. */
int control_dial(int run_fd, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int n = snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s.sock", run_fd, name);
    int why;

    if (fd >= 0 && n > 0 && (size_t)n < sizeof at.sun_path && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

static enum err take(struct door *door, int fd, struct fault *f)
{
    static const char words[] = "{\"do\":\"handover\"}\n";
    int sockets[DOOR_MOST_THREADS];
    int count = 0;
    char line[512];
    int problem;
    json_t *answer;

    if (send(fd, words, sizeof words - 1, MSG_NOSIGNAL) < 0)
        return fault_set(f, ERR_SYSTEM, "the door that runs does not listen: %s", strerror(errno));
    problem = receive_sockets(fd, line, sizeof line, sockets, &count);
    answer = problem == 0 ? json_loads(line, 0, NULL) : NULL;
    if (count == 0) {
        const char *why = json_string_value(json_object_get(answer, "why"));
        enum err err = fault_todo(f, ERR_BUSY, "let its attempt end, then start the new door", "the door that runs does not hand over: %s", why != NULL ? why : strerror(problem));
        json_decref(answer);
        return err;
    }
    snprintf(door->predecessor, sizeof door->predecessor, "%s", json_string_value(json_object_get(answer, "name")) != NULL ? json_string_value(json_object_get(answer, "name")) : "");
    json_decref(answer);
    door->worker_count = count;
    for (int i = 0; i < count; i++)
        door->workers[i].listen_fd = sockets[i];
    return ERR_OK;
}

enum err door_take_over(struct door *door, struct fault *f)
{
    AUTO_CHARS *run = mem_format("%s/run", door->state_dir);
    int run_fd = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = run_fd >= 0 ? control_dial(run_fd, door->name) : -1;
    enum err err = ERR_OK;

    if (fd < 0 && errno == EAGAIN)
        err = fault_todo(f, ERR_BUSY, "end it, then start the new door", "the door that runs does not answer");
    if (fd >= 0) {
        err = take(door, fd, f);
        close(fd);
    }
    if (run_fd >= 0)
        close(run_fd);
    return err;
}

/* --- requests to cancel that are not for this process --- */

void door_cancel_elsewhere(struct door *door, uint32_t pid, uint32_t key)
{
    uint64_t one = 1;

    if (door->predecessor[0] == '\0')
        return;
    pthread_mutex_lock(&door->elsewhere_lock);
    if (door->elsewhere_count < DOOR_MOST_ELSEWHERE) {
        door->elsewhere[door->elsewhere_count].pid = pid;
        door->elsewhere[door->elsewhere_count++].key = key;
    }
    pthread_mutex_unlock(&door->elsewhere_lock);
    (void)!write(door->kick_fd, &one, sizeof one);
}

void control_pass_cancels(struct control *c)
{
    struct door *door = c->door;

    pthread_mutex_lock(&door->elsewhere_lock);
    while (door->elsewhere_count > 0) {
        struct cancel_key k = door->elsewhere[--door->elsewhere_count];
        AUTO_CHARS *line = mem_format("{\"do\":\"cancel\",\"pid\":%u,\"key\":%u}\n", k.pid, k.key);
        int fd = control_dial(c->run_fd, door->predecessor);

        if (fd < 0)
            continue;
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
        close(fd);
    }
    pthread_mutex_unlock(&door->elsewhere_lock);
}
