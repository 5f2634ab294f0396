/* shift/door_sides.c — the two servers, as the doors' connection strings say (door_source, door_target; leat's own
 * where they are not given): addresses, the database's name, TLS. */
#include "shift/door_internal.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const char *option(const PQconninfoOption *options, const char *name)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, name) == 0)
            return o->val;
    return NULL;
}

/* What the string says, and what libpq would take from environment and defaults. */
static PQconninfoOption *parse(const char *dsn)
{
    PQconninfoOption *given = PQconninfoParse(dsn, NULL);
    PQconninfoOption *all = PQconndefaults();

    for (PQconninfoOption *o = all; given != NULL && all != NULL && o->keyword != NULL; o++) {
        const char *value = option(given, o->keyword);

        if (value == NULL)
            continue;
        free(o->val);
        o->val = mem_dup(value);
    }
    PQconninfoFree(given);
    return all;
}

/* The n-th part of a list "a,b"; the last one counts for those behind it. */
static void part(const char *list, int n, char *ret, size_t size)
{
    const char *at = list != NULL ? list : "";

    for (; n > 0 && strchr(at, ',') != NULL; n--)
        at = strchr(at, ',') + 1;
    snprintf(ret, size, "%.*s", (int)strcspn(at, ","), at);
}

static int parts(const char *list)
{
    int n = 1;

    for (const char *at = list; at != NULL && (at = strchr(at, ',')) != NULL; at++)
        n++;
    return n;
}

static void add_socket_file(struct side_address list[], int *count, const char *folder, const char *port)
{
    struct side_address *a = &list[*count];
    struct sockaddr_un *un = (struct sockaddr_un *)&a->at;
    int n = snprintf(un->sun_path, sizeof un->sun_path, "%s/.s.PGSQL.%s", folder, port);

    if (*count == DOOR_MOST_ADDRESSES || n < 0 || (size_t)n >= sizeof un->sun_path)
        return;
    un->sun_family = AF_UNIX;
    a->len = sizeof *un;
    snprintf(a->host, sizeof a->host, "%s", folder);
    ++*count;
}

static void add_host(struct side_address list[], int *count, const char *host, const char *at, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    if (getaddrinfo(at, port, &hints, &found) != 0)
        return;
    for (struct addrinfo *one = found; one != NULL && *count < DOOR_MOST_ADDRESSES; one = one->ai_next) {
        struct side_address *a = &list[(*count)++];

        *a = (struct side_address){.len = one->ai_addrlen};
        memcpy(&a->at, one->ai_addr, one->ai_addrlen);
        snprintf(a->host, sizeof a->host, "%s", host);
    }
    freeaddrinfo(found);
}

enum err door_side_resolve(struct door_side *side, struct fault *f)
{
    PQconninfoOption *options = parse(side->dsn);
    struct side_address list[DOOR_MOST_ADDRESSES];
    int count = 0;
    const char *hosts;
    const char *addresses;
    const char *ports;

    if (options == NULL)
        return fault_set(f, ERR_CONFIG, "a connection string cannot be read");
    hosts = option(options, "host");
    addresses = option(options, "hostaddr");
    ports = option(options, "port");
    memset(list, 0, sizeof list);
    for (int i = 0; i < parts(addresses != NULL ? addresses : hosts); i++) {
        char host[256];
        char address[256];
        char port[32];

        part(hosts, i, host, sizeof host);
        part(addresses, i, address, sizeof address);
        part(ports, i, port, sizeof port);
        if (address[0] == '\0' && host[0] == '\0')
            snprintf(host, sizeof host, "/var/run/postgresql");
        if (address[0] == '\0' && host[0] == '/')
            add_socket_file(list, &count, host, port[0] != '\0' ? port : "5432");
        else
            add_host(list, &count, host[0] != '\0' ? host : address, address[0] != '\0' ? address : host, port[0] != '\0' ? port : "5432");
    }
    PQconninfoFree(options);
    if (count == 0)
        return fault_set(f, ERR_SOURCE_UNREACHABLE, "its host has no address");
    pthread_mutex_lock(&side->lock);
    memcpy(side->addresses, list, sizeof list);
    side->address_count = count;
    pthread_mutex_unlock(&side->lock);
    return ERR_OK;
}

bool door_side_address(struct door_side *side, int n, struct side_address *ret)
{
    bool there;

    pthread_mutex_lock(&side->lock);
    there = n < side->address_count;
    if (there)
        *ret = side->addresses[n];
    pthread_mutex_unlock(&side->lock);
    return there;
}

/* --- TLS toward a server, as libpq's sslmode says --- */

static enum tls_mode tls_mode(const char *word)
{
    static const char *const words[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"};

    for (size_t i = 0; word != NULL && i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0)
            return (enum tls_mode)i;
    return TLS_PREFER;
}

static enum err load_roots(struct door_side *side, const char *roots, struct fault *f)
{
    bool system_roots = roots != NULL && strcmp(roots, "system") == 0;

    if (side->tls < TLS_VERIFY_CA && (roots == NULL || side->tls != TLS_REQUIRE))
        return ERR_OK;
    if (!system_roots && roots == NULL)
        return fault_todo(f, ERR_CONFIG, "name the file of its authorities with sslrootcert in the connection string", "sslmode asks for a certificate that is checked");
    if (system_roots ? SSL_CTX_set_default_verify_paths(side->tls_ctx) != 1 : SSL_CTX_load_verify_locations(side->tls_ctx, roots, NULL) != 1)
        return fault_set(f, ERR_CONFIG, "%s: %s", roots, ERR_reason_error_string(ERR_get_error()));
    SSL_CTX_set_verify(side->tls_ctx, SSL_VERIFY_PEER, NULL);
    return ERR_OK;
}

static enum err make_tls(struct door_side *side, const PQconninfoOption *options, struct fault *f)
{
    const char *cert = option(options, "sslcert");
    const char *key = option(options, "sslkey");
    static const unsigned char alpn[] = "\012postgresql";

    if (side->tls == TLS_DISABLE || side->tls == TLS_ALLOW)
        return ERR_OK;
    side->tls_ctx = SSL_CTX_new(TLS_client_method());
    ENSURE(side->tls_ctx != NULL);
    SSL_CTX_set_min_proto_version(side->tls_ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(side->tls_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_alpn_protos(side->tls_ctx, alpn, sizeof alpn - 1);
    if (cert != NULL && key != NULL && (SSL_CTX_use_certificate_chain_file(side->tls_ctx, cert) != 1 || SSL_CTX_use_PrivateKey_file(side->tls_ctx, key, SSL_FILETYPE_PEM) != 1))
        return fault_set(f, ERR_CONFIG, "%s: %s", cert, ERR_reason_error_string(ERR_get_error()));
    return load_roots(side, option(options, "sslrootcert"), f);
}

static int number(const PQconninfoOption *options, const char *name, int otherwise)
{
    const char *value = option(options, name);

    return value != NULL ? (int)strtol(value, NULL, 10) : otherwise;
}

/* Leat's own where the string says nothing, as for its own sessions (pg.c). */
static struct patience read_patience(const PQconninfoOption *options)
{
    struct patience p = {
        .idle_s = number(options, "keepalives_idle", 10),
        .interval_s = number(options, "keepalives_interval", 5),
        .count = number(options, "keepalives_count", 3),
        .silent_ms = number(options, "tcp_user_timeout", 30000),
    };

    if (number(options, "keepalives", 1) == 0)
        p.idle_s = -1;
    return p;
}

static enum err init(struct door_side *side, const char *dsn, const char *name, struct fault *f)
{
    PQconninfoOption *options = parse(dsn);
    const char *database = options != NULL ? option(options, "dbname") : NULL;
    enum err err = ERR_OK;

    pthread_mutex_init(&side->lock, NULL);
    if (options == NULL)
        return fault_set(f, ERR_CONFIG, "the connection string of the %s cannot be read", name);
    if (database == NULL)
        database = option(options, "user");
    side->dsn = dsn;
    side->database = mem_dup(database != NULL ? database : "");
    side->tls = tls_mode(option(options, "sslmode"));
    side->patience = read_patience(options);
    err = make_tls(side, options, f);
    PQconninfoFree(options);
    return err;
}

enum err door_sides_init(struct door_side sides[2], const struct config_store *store, struct fault *f)
{
    TRY_WITH(init(&sides[SIDE_SOURCE], store->door_source, "source", f), f, "the door's way to the source");
    TRY_WITH(init(&sides[SIDE_TARGET], store->door_target, "target", f), f, "the door's way to the target");
    return ERR_OK;
}

void door_sides_fini(struct door_side sides[2])
{
    for (int i = 0; i < 2; i++) {
        free(sides[i].database);
        SSL_CTX_free(sides[i].tls_ctx);
        pthread_mutex_destroy(&sides[i].lock);
    }
}
