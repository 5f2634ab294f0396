/* shift/door.c — the process: what it is told by config, its threads, its end. See door_internal.h for the whole. */
#include "shift/door.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "shift/door_reads.h"
#include "shift/door_verifiers.h"

#define FILES_A_CLIENT 3 /* its own, its server's, and the other side's */
#define FILES_OF_ITS_OWN 200

#define TURN_MS 500

static _Atomic bool asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&asked_to_stop, true);
}

static void watch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGHUP, &ignore, NULL);
}

/* It holds keys that open servers: no core, no debugger of another user. */
static void shelter(void)
{
    if (getenv("LEAT_DUMPABLE") == NULL)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* How many files it may open, at best as many as wanted: who may raise the limit does. */
static int64_t raise_files(int64_t wanted)
{
    struct rlimit files;
    struct rlimit more;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return wanted;
    more = (struct rlimit){(rlim_t)wanted, files.rlim_max > (rlim_t)wanted ? files.rlim_max : (rlim_t)wanted};
    if (files.rlim_cur >= (rlim_t)wanted || setrlimit(RLIMIT_NOFILE, &more) == 0)
        return wanted;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    return (int64_t)files.rlim_max;
}

/* Those there are files for: beyond them a client would be let in, and a switch could not be made ready. */
static void count_clients(struct door *door)
{
    int64_t wanted = FILES_OF_ITS_OWN + (int64_t)FILES_A_CLIENT * door->config->limits.door_clients;
    int64_t files = raise_files(wanted);

    door->most_clients = door->config->limits.door_clients;
    if (files >= wanted)
        return;
    door->most_clients = files > FILES_OF_ITS_OWN + FILES_A_CLIENT ? (files - FILES_OF_ITS_OWN) / FILES_A_CLIENT : 1;
    log_line(LOG_WARN, door->name,
             "may open %lld files (ulimit -n; LimitNOFILE= of a service): that is enough for %lld clients, three each "
             "while a switch is made ready; limits.door_clients (%d) asks for %lld",
             (long long)files, (long long)door->most_clients, door->config->limits.door_clients, (long long)wanted);
}

/* --- its address --- */

/* "host:port", an IPv6 host in brackets. */
static void split(const char *address, char host[256], char port[16])
{
    const char *colon = strrchr(address, ':');
    bool bracket = *address == '[';

    snprintf(host, 256, "%.*s", (int)(colon - address) - (bracket ? 2 : 0), address + (bracket ? 1 : 0));
    snprintf(port, 16, "%s", colon + 1);
}

/* Every worker has a socket of its own, and the kernel deals the clients out. */
static enum err listen_at(const struct addrinfo *at, const char *address, int *ret_fd, struct fault *f)
{
    int on = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fault_set(f, ERR_SYSTEM, "socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int problem = errno;
        close(fd);
        return fault_todo(f, ERR_SYSTEM, "see who listens there (ss -ltnp), or give the door another address", "%s: %s", address, strerror(problem));
    }
    *ret_fd = fd;
    return ERR_OK;
}

static enum err open_listeners(struct door *door, const char *address, struct fault *f)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[256];
    char port[16];
    enum err err = ERR_OK;
    int problem;

    split(address, host, port);
    problem = getaddrinfo(host, port, &hints, &found);
    if (problem != 0)
        return fault_set(f, ERR_SYSTEM, "%s: %s", address, gai_strerror(problem));
    for (int i = 0; i < door->worker_count && err == ERR_OK; i++)
        if (door->workers[i].listen_fd < 0)
            err = listen_at(found, address, &door->workers[i].listen_fd, f);
    freeaddrinfo(found);
    return err;
}

/* --- its making --- */

static void read_trust(struct door *door)
{
    const struct config_store *store = door->store;

    door->trust = mem_alloc((store->door_trust_count + 1) * sizeof *door->trust);
    for (size_t i = 0; i < store->door_trust_count; i++)
        if (config_parse_network(store->door_trust[i], &door->trust[door->trust_count]))
            door->trust_count++;
}

char *door_path(const struct door *door, const char *path)
{
    const char *slash = strrchr(door->config->path, '/');

    if (path == NULL || path[0] == '/' || slash == NULL)
        return mem_dup(path);
    return mem_format("%.*s/%s", (int)(slash - door->config->path), door->config->path, path);
}

static int thread_count(const struct config *c)
{
    long n = c->limits.door_threads > 0 ? c->limits.door_threads : (sysconf(_SC_NPROCESSORS_ONLN) + 1) / 2;

    return n < 1 ? 1 : n > DOOR_MOST_THREADS ? DOOR_MOST_THREADS : (int)n;
}

static enum err make(struct door *door, struct fault *f)
{
    struct fault away = {0};

    TRY(door_sides_init(door->sides, door->store, f));
    snprintf(door->database, sizeof door->database, "%s", door->sides[SIDE_SOURCE].database);
    for (int i = 0; i < 2; i++)
        if (door_side_resolve(&door->sides[i], &away) != ERR_OK)
            log_fault(LOG_WARN, door->name, &away);
    count_clients(door);
    read_trust(door);
    TRY(door_tls_init(door, f));
    door->worker_count = thread_count(door->config);
    for (int i = 0; i < DOOR_MOST_THREADS; i++) {
        door->workers[i].door = door;
        door->workers[i].index = i;
        door->workers[i].listen_fd = -1;
        door->workers[i].holding = true; /* until it is known who serves */
    }
    pthread_mutex_init(&door->elsewhere_lock, NULL);
    pthread_mutex_init(&door->types_lock, NULL);
    door->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    TRY(door_take_over(door, f));
    TRY(control_open(door, f));
    return open_listeners(door, door->store->door[door->nth], f);
}

static enum err work(struct door *door, struct fault *f)
{
    TRY(make(door, f));
    for (int i = 0; i < door->worker_count; i++)
        TRY(worker_init(&door->workers[i], f));
    TRY(verifiers_start(door, f));
    fresh_start(door);
    for (int i = 0; i < door->worker_count; i++)
        TRY(worker_start(&door->workers[i], f));
    log_line(LOG_INFO, door->name, "listens at %s, %d threads", door->store->door[door->nth], door->worker_count);
    while (!atomic_load(&asked_to_stop) && control_turn(door, TURN_MS))
        ;
    fresh_stop(door);
    verifiers_stop(door);
    for (int i = 0; i < door->worker_count; i++) {
        struct order *stop = mem_alloc(sizeof *stop);
        stop->kind = ORDER_STOP;
        worker_order(&door->workers[i], stop);
    }
    for (int i = 0; i < door->worker_count; i++)
        worker_join(&door->workers[i]);
    fresh_free(door); /* workers look into it to their end */
    return ERR_OK;
}

int door_main(const struct config *c, const char *state_dir, const char *store, int64_t nth, struct fault *f)
{
    struct door *door = mem_alloc(sizeof *door);
    AUTO_CHARS *log_path = mem_format("%s/log/%s.door.%d.log", state_dir, store, (int)nth);
    AUTO_CHARS *run = mem_format("%s/run", state_dir);
    enum err err;

    door->config = c;
    door->store = config_store_find(c, store);
    door->state_dir = state_dir;
    if (door->store == NULL)
        return err_info(fault_set(f, ERR_UNKNOWN_NAME, "no store \"%s\" in %s", store, c->path))->exit_status;
    if (nth < 0 || (size_t)nth >= door->store->door_count)
        return err_info(fault_set(f, ERR_CONFIG, "store \"%s\" has no door %d", store, (int)nth))->exit_status;
    door->nth = (int)nth;
    door->name = mem_format("%s.door.%d", store, (int)nth);
    (void)setsid();
    watch_signals();
    shelter();
    log_level_set(LOG_INFO);
    log_bound(log_path, LOG_MOST);
    if ((mkdir(state_dir, 0700) != 0 && errno != EEXIST) || (mkdir(run, 0700) != 0 && errno != EEXIST))
        return err_info(fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", run, strerror(errno)))->exit_status;
    err = work(door, f);
    if (err != ERR_OK)
        log_fault(LOG_ERROR, door->name, f);
    control_close(door);
    verifiers_free(door);
    door_types_free(door);
    door_customs_free(door);
    door_tls_fini(door);
    door_sides_fini(door->sides);
    free(door->trust);
    free(door->name);
    free(door);
    return err == ERR_OK ? 0 : err_info(err)->exit_status;
}
