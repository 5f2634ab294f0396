/* store/postgres/holder.c — see holder.h. The process: one thread, poll, blocking statements (they are short). */
#include "store/postgres/holder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/world.h"
#include "store/postgres/pg.h"

#define MOST_CLIENTS 32
#define LINE_SIZE 4096

struct held {
    struct held *next;
    char key[64];
    char name[128]; /* pg_export_snapshot */
    struct pg *pg;
};

struct client {
    int fd;
    size_t len;
    char line[LINE_SIZE];
};

struct hold {
    const char *dsn;
    int listen_fd;
    struct client clients[MOST_CLIENTS];
    size_t client_count;
    struct held *held;
    bool quit;
};

static void answer(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return; /* the client is gone; its next reading tells */
}

static struct held **find(struct hold *h, const char *key)
{
    struct held **at = &h->held;

    while (*at != NULL && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

static void drop(struct hold *h, const char *key)
{
    struct held **at = find(h, key);
    struct held *gone = *at;

    if (gone == NULL)
        return;
    *at = gone->next;
    pg_free(gone->pg);
    free(gone);
}

static enum err take(struct pg *pg, const char *qualified, PGresult **ret, struct fault *f)
{
    TRY(pg_exec(pg, "SET lock_timeout = '1s'; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, f));
    TRY(pg_execf(pg, NULL, f, "LOCK TABLE ONLY %s IN ACCESS SHARE MODE", qualified));
    return pg_exec(pg, pg->major >= 13 ? "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_snapshot()" : "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.txid_current_snapshot()", ret, f);
}

static void on_open(struct hold *h, int fd, const char *key, const char *qualified)
{
    struct fault f = {0};
    struct held *held = mem_alloc(sizeof *held);
    AUTO_RESULT *r = NULL;
    AUTO_CHARS *text = NULL;
    enum err err;

    drop(h, key);
    snprintf(held->key, sizeof held->key, "%s", key);
    err = pg_connect(h->dsn, SIDE_SOURCE, "holder", &held->pg, &f);
    if (err == ERR_OK)
        err = take(held->pg, qualified, &r, &f);
    if (err != ERR_OK) {
        text = mem_format("%s %.1000s\n", err_is_transient(err) ? "busy" : "error", f.why);
        for (char *p = text; *p != '\0' && p[1] != '\0'; p++)
            if (*p == '\n')
                *p = ' ';
        pg_free(held->pg);
        free(held);
    } else {
        snprintf(held->name, sizeof held->name, "%s", PQgetvalue(r, 0, 0));
        held->next = h->held;
        h->held = held;
        text = mem_format("ok %s %s\n", PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
    }
    answer(fd, text);
}

static void on_alive(struct hold *h, int fd, const char *key, const char *name)
{
    struct held *held = *find(h, key);
    bool alive = held != NULL && strcmp(held->name, name) == 0 && pg_exec(held->pg, "SELECT 1", NULL, NULL) == ERR_OK;

    answer(fd, alive ? "ok\n" : "gone\n");
}

static void on_line(struct hold *h, int fd, char *line)
{
    char *verb = line;
    char *key = strchr(line, ' ');
    char *rest = NULL;

    if (key != NULL) {
        *key++ = '\0';
        rest = strchr(key, ' ');
        if (rest != NULL)
            *rest++ = '\0';
    }
    if (strcmp(verb, "quit") == 0) {
        h->quit = true;
        answer(fd, "ok\n");
    } else if (strcmp(verb, "open") == 0 && rest != NULL) {
        on_open(h, fd, key, rest);
    } else if (strcmp(verb, "alive") == 0 && rest != NULL) {
        on_alive(h, fd, key, rest);
    } else if (strcmp(verb, "close") == 0 && key != NULL) {
        drop(h, key);
        answer(fd, "ok\n");
    } else {
        answer(fd, "error not understood\n");
    }
}

static bool client_read(struct hold *h, struct client *c)
{
    ssize_t n = recv(c->fd, c->line + c->len, sizeof c->line - c->len - 1, 0);
    char *end;

    if (n <= 0)
        return false;
    c->len += (size_t)n;
    c->line[c->len] = '\0';
    while ((end = strchr(c->line, '\n')) != NULL) {
        *end = '\0';
        on_line(h, c->fd, c->line);
        c->len -= (size_t)(end + 1 - c->line);
        memmove(c->line, end + 1, c->len + 1);
    }
    return c->len < sizeof c->line - 1;
}

static void client_drop(struct hold *h, size_t i)
{
    close(h->clients[i].fd);
    h->clients[i] = h->clients[--h->client_count];
}

static void accept_client(struct hold *h)
{
    int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (h->client_count == MOST_CLIENTS) {
        close(fd);
        return;
    }
    h->clients[h->client_count].fd = fd;
    h->clients[h->client_count++].len = 0;
}

static void serve(struct hold *h)
{
    int64_t last = world_mono_us();

    while (!h->quit) {
        struct pollfd fds[MOST_CLIENTS + 1] = {{.fd = h->listen_fd, .events = POLLIN}};
        size_t n = h->client_count;

        for (size_t i = 0; i < n; i++)
            fds[i + 1] = (struct pollfd){.fd = h->clients[i].fd, .events = POLLIN};
        (void)poll(fds, n + 1, 1000);
        if (n > 0)
            last = world_mono_us();
        else if (world_mono_us() - last > (int64_t)HOLDER_LONELY_S * 1000000)
            return;
        for (size_t i = n; i-- > 0;)
            if (fds[i + 1].revents != 0 && !client_read(h, &h->clients[i]))
                client_drop(h, i);
        if (fds[0].revents != 0)
            accept_client(h);
    }
}

static int socket_at(const char *path, struct sockaddr_un *ret_address)
{
    memset(ret_address, 0, sizeof *ret_address);
    ret_address->sun_family = AF_UNIX;
    if ((size_t)snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "%s", path) >= sizeof ret_address->sun_path)
        return -1;
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int holder_main(int argc, char **argv)
{
    struct hold h = {.dsn = getenv("LEAT_HOLDER_DSN")};
    struct sockaddr_un address;

    if (argc < 2 || h.dsn == NULL)
        return 64;
    signal(SIGINT, SIG_IGN); /* Ctrl-C is the engine's to understand */
    h.listen_fd = socket_at(argv[1], &address);
    (void)unlink(argv[1]);
    (void)umask(0077);
    if (h.listen_fd < 0 || bind(h.listen_fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(h.listen_fd, 16) != 0)
        return 1;
    serve(&h);
    (void)unlink(argv[1]);
    while (h.held != NULL)
        drop(&h, h.held->key);
    return 0;
}

/* --- the engine's end --- */

struct holder {
    int fd;
};



















static char *path_of(const char *state_dir, const char *store)
{
    return mem_format("%s/run/%s.holder", state_dir, store);
}

static int try_connect(const char *path)
{
    struct sockaddr_un address;
    int fd = socket_at(path, &address);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Forks twice: the engine's death is not the holder's. */
static void spawn(struct store *s, const char *path)
{
    char *argv[] = {(char *)(uintptr_t)"leat", (char *)(uintptr_t)"holder", (char *)(uintptr_t)path, NULL};
    pid_t pid = fork();

    if (pid != 0) {
        (void)waitpid(pid, NULL, 0); /* the one between; the holder is nobody's child */
        return;
    }
    setsid();
    if (fork() != 0)
        _exit(0);
    setenv("LEAT_HOLDER_DSN", s->store->source, 1);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    execv("/proc/self/exe", argv);
    _exit(127);
}

enum err holder_open(struct store *s, struct holder **ret, struct fault *f)
{
    AUTO_CHARS *path = path_of(s->state_dir, s->name);
    int64_t deadline = world_mono_us() + 10000000;
    int fd = try_connect(path);
    struct holder *h;

    if (strlen(path) >= sizeof ((struct sockaddr_un *)0)->sun_path)
        return fault_todo(f, ERR_STATE_DIR, "use a shorter path with --state", "the path %s is too long for a socket", path);
    if (fd < 0)
        spawn(s, path);
    while (fd < 0) {
        if (world_mono_us() > deadline)
            return fault_set(f, ERR_SYSTEM, "the holder of %s did not start (%s)", s->name, path);
        world_sleep_us(5000);
        fd = try_connect(path);
    }
    h = mem_alloc(sizeof *h);
    h->fd = fd;
    *ret = h;
    return ERR_OK;
}

void holder_free(struct holder *h)
{
    if (h == NULL)
        return;
    close(h->fd);
    free(h);
}

/* Sends one line and reads one line back. False: the holder is gone. */
static bool __attribute__((format(printf, 3, 4))) ask(struct holder *h, char line[LINE_SIZE], const char *fmt, ...)
{
    AUTO_BUF b = {0};
    va_list args;
    size_t len = 0;

    va_start(args, fmt);
    buf_vaddf(&b, fmt, args);
    va_end(args);
    if (send(h->fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len)
        return false;
    while (len < LINE_SIZE - 1) {
        ssize_t n = recv(h->fd, line + len, LINE_SIZE - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        line[len] = '\0';
        if (line[len - 1] == '\n') {
            line[len - 1] = '\0';
            return true;
        }
    }
    return false;
}

enum err holder_take(struct holder *h, struct arena *a, const char *key, const char *qualified, const char **ret_name, const char **ret_snapshot, struct fault *f)
{
    char line[LINE_SIZE];
    char *space;

    if (!ask(h, line, "open %s %s\n", key, qualified))
        return fault_set(f, ERR_SNAPSHOT_LOST, "the holder process is gone");
    if (strncmp(line, "busy ", 5) == 0)
        return fault_set(f, ERR_BUSY, "%s", line + 5);
    if (strncmp(line, "ok ", 3) != 0)
        return fault_set(f, ERR_SOURCE_SQL, "%s", line);
    space = strchr(line + 3, ' ');
    if (space == NULL)
        return fault_set(f, ERR_BUG, "the holder said: %s", line);
    *space = '\0';
    *ret_name = arena_strdup(a, line + 3);
    *ret_snapshot = arena_strdup(a, space + 1);
    return ERR_OK;
}

bool holder_alive(struct holder *h, const char *key, const char *name)
{
    char line[LINE_SIZE];

    return ask(h, line, "alive %s %s\n", key, name) && strcmp(line, "ok") == 0;
}

void holder_give_back(struct holder *h, const char *key)
{
    char line[LINE_SIZE];

    (void)ask(h, line, "close %s\n", key);
}

void holder_quit(const char *state_dir, const char *store)
{
    AUTO_CHARS *path = path_of(state_dir, store);
    struct holder h = {.fd = try_connect(path)};
    char line[LINE_SIZE];

    if (h.fd < 0)
        return;
    (void)ask(&h, line, "quit\n");
    close(h.fd);
}
