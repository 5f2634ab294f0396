/* shift/door_login.c — who a client is, and how a server is shown that it is that one.
 *
 * From an address of door_trust a client is let in as whom it says. From elsewhere it proves that it knows the password, against the
 * verifier; the proof of SCRAM leaves the ClientKey, which opens every server that holds the same verifier. A trusted client leaves nothing: then the
 * servers must let the door in by themselves, or the userlist have the hash or the password.
 *
 * Secrets: in one locked allocation a session, wiped with it. */
#include "shift/door_internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/world.h"
#include "shift/door_verifiers.h"
#include "wire/md5auth.h"
#include "wire/scram.h"

enum server_asks { ASKS_NOTHING = 0, ASKS_PASSWORD = 3, ASKS_MD5 = 5, ASKS_SASL = 10, ASKS_SASL_MORE = 11, ASKS_SASL_LAST = 12 };

struct login {
    struct scram_server *scram;
    struct scram_verifier verifier;
    bool known;
    uint8_t salt[MD5AUTH_SALT];
    char hash[MD5AUTH_TEXT];
    int messages;    /* of SCRAM, so far */
    int64_t since_us; /* what is known of the user must be no older */
};

struct secret {
    enum user_secret kind;
    uint8_t client_key[SCRAM_KEY];
    struct scram_verifier verifier;
    char hash[MD5AUTH_TEXT];
    char password[1024];
};

/* --- addresses --- */

static bool same_bits(const uint8_t *a, const uint8_t *b, int bits)
{
    int whole = bits / 8;
    int rest = bits % 8;

    if (memcmp(a, b, (size_t)whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

/* An IPv4 client of an IPv6 socket comes as ::ffff:a.b.c.d. */
static bool in_network(const struct sockaddr_storage *peer, const struct config_network *net)
{
    const struct sockaddr_in *v4 = (const void *)peer;
    const struct sockaddr_in6 *v6 = (const void *)peer;

    if (peer->ss_family == AF_INET)
        return net->family == AF_INET && same_bits((const uint8_t *)&v4->sin_addr, net->address, net->bits);
    if (peer->ss_family != AF_INET6)
        return false;
    if (net->family == AF_INET && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return same_bits(v6->sin6_addr.s6_addr + 12, net->address, net->bits);
    return net->family == AF_INET6 && same_bits(v6->sin6_addr.s6_addr, net->address, net->bits);
}

static bool trusted(const struct session *s)
{
    const struct door *door = s->worker->door;

    for (size_t i = 0; i < door->trust_count; i++)
        if (in_network(&s->peer, &door->trust[i]))
            return true;
    return false;
}

/* --- secrets --- */

static struct secret *secret_new(enum user_secret kind)
{
    struct secret *secret = mem_alloc(sizeof *secret);

    (void)mlock(secret, sizeof *secret); /* as far as RLIMIT_MEMLOCK lets it */
    secret->kind = kind;
    return secret;
}

static void wipe_text(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void login_free(struct session *s)
{
    if (s->login != NULL) {
        scram_server_free(s->login->scram);
        explicit_bzero(s->login, sizeof *s->login);
        free(TAKE(s->login));
    }
}

void login_forget(struct session *s)
{
    login_free(s);
    if (s->secret == NULL)
        return;
    explicit_bzero(s->secret, sizeof *s->secret);
    (void)munlock(s->secret, sizeof *s->secret);
    free(TAKE(s->secret));
}

/* --- toward the client --- */

/* Nobody is told whether it is the user or the password. */
static void wrong(struct session *s)
{
    char text[256];

    verifiers_doubt(s->worker->door->verifiers);
    snprintf(text, sizeof text, "password authentication failed for user \"%.200s\"", s->user);
    session_refuse(s, "28P01", text, NULL);
}

static void ask(struct session *s, uint32_t code, const void *more, size_t n)
{
    AUTO_BUF b = {0};

    pgwire_auth(&b, code, more, n);
    s->client.want_read = true;
    session_say(s, &b);
}

static void ask_scram(struct session *s)
{
    static const char mechanisms[] = SCRAM_MECHANISM "\0"; /* a list, and its end */
    struct login *l = s->login;

    l->scram = scram_server_new(l->known ? &l->verifier : NULL, s->user, verifiers_secret(s->worker->door->verifiers), NULL);
    s->stage = SESSION_SCRAM;
    ask(s, ASKS_SASL, mechanisms, sizeof mechanisms);
}

static void ask_md5(struct session *s)
{
    world_random(s->login->salt, sizeof s->login->salt);
    s->stage = SESSION_PASSWORD;
    ask(s, ASKS_MD5, s->login->salt, sizeof s->login->salt);
}

/* A password in clear, in the userlist: the client proves it by SCRAM against a verifier made here. */
static void ask_plain(struct session *s, const char *password)
{
    uint8_t salt[16];

    world_random(salt, sizeof salt);
    s->secret = secret_new(USER_PASSWORD);
    snprintf(s->secret->password, sizeof s->secret->password, "%s", password);
    s->login->known = scram_verifier_make(password, salt, sizeof salt, 4096, &s->login->verifier);
    ask_scram(s);
}

static void ask_by(struct session *s, const char *text)
{
    struct login *l = s->login;

    if (scram_verifier_parse(text, &l->verifier)) {
        l->known = true;
        ask_scram(s);
    } else if (md5auth_is_hash(text)) {
        snprintf(l->hash, sizeof l->hash, "%s", text);
        ask_md5(s);
    } else if (s->worker->door->store->door_users != NULL) {
        ask_plain(s, text);
    } else {
        ask_scram(s); /* no password that this door could know of: refused as a wrong one */
    }
}

/* A trusted client: the userlist may open the servers all the same. */
static void take_what_opens(struct session *s, const char *text)
{
    if (md5auth_is_hash(text)) {
        s->secret = secret_new(USER_MD5);
        snprintf(s->secret->hash, sizeof s->secret->hash, "%s", text);
    } else if (!scram_verifier_parse(text, &s->login->verifier) && s->worker->door->store->door_users != NULL) {
        s->secret = secret_new(USER_PASSWORD);
        snprintf(s->secret->password, sizeof s->secret->password, "%s", text);
    }
}

void session_verifier(struct session *s)
{
    char *text = NULL;

    switch (verifiers_find(s->worker->door->verifiers, s->user, s->login->since_us, &text)) {
    case KNOWN_LATER:
        s->stage = SESSION_VERIFIER;
        break;
    case KNOWN_TROUBLE:
        session_refuse(s, "57P03", "this door cannot look up users now", "the server must answer, and leat's role be allowed to read pg_authid; else name a userlist with door_users");
        break;
    case KNOWN:
        ask_by(s, text);
        break;
    case KNOWN_NOT:
        ask_scram(s);
        break;
    }
    wipe_text(text);
}

void login_begin(struct session *s)
{
    char *text = NULL;

    s->login = mem_alloc(sizeof *s->login);
    s->login->since_us = world_mono_us();
    if (!trusted(s)) {
        session_verifier(s);
        return;
    }
    if (verifiers_find(s->worker->door->verifiers, s->user, 0, &text) == KNOWN)
        take_what_opens(s, text);
    wipe_text(text);
    login_free(s);
    session_admit(s);
}

static void admit(struct session *s)
{
    login_free(s);
    session_admit(s);
}

static void check_md5(struct session *s, const char *body, size_t n)
{
    const char *nul = memchr(body, '\0', n);

    if (nul == NULL || !md5auth_check(s->login->hash, s->login->salt, body, (size_t)(nul - body))) {
        wrong(s);
        return;
    }
    s->secret = secret_new(USER_MD5);
    memcpy(s->secret->hash, s->login->hash, sizeof s->secret->hash);
    admit(s);
}

static void refuse_scram(struct session *s, const struct fault *f)
{
    if (f->code == ERR_PROTOCOL)
        session_refuse(s, "08P01", f->why, NULL);
    else
        wrong(s);
}

/* SASLInitialResponse: the mechanism's name, the length of what follows. */
static void scram_first(struct session *s, const char *body, size_t n)
{
    const char *nul = memchr(body, '\0', n);
    AUTO_BUF out = {0};
    struct fault f = {0};
    uint32_t len;

    if (nul == NULL || strcmp(body, SCRAM_MECHANISM) != 0 || (size_t)(body + n - nul) < 1 + sizeof len) {
        session_refuse(s, "08P01", "this door knows SCRAM-SHA-256 only", NULL);
        return;
    }
    memcpy(&len, nul + 1, sizeof len);
    if (ntohl(len) != (size_t)(body + n - nul) - 1 - sizeof len) {
        session_refuse(s, "08P01", "a malformed answer to the request for a password", NULL);
        return;
    }
    if (scram_server_first(s->login->scram, nul + 1 + sizeof len, ntohl(len), &out, &f) != ERR_OK)
        refuse_scram(s, &f);
    else
        ask(s, ASKS_SASL_MORE, out.data, out.len);
}

static void scram_last(struct session *s, const char *body, size_t n)
{
    AUTO_BUF out = {0};
    struct fault f = {0};
    struct secret *secret = secret_new(USER_SCRAM);
    enum err err = scram_server_final(s->login->scram, body, n, &out, secret->client_key, &f);

    if (err == ERR_OK && s->secret == NULL) {
        secret->verifier = s->login->verifier;
        s->secret = TAKE(secret);
    }
    if (secret != NULL) {
        explicit_bzero(secret, sizeof *secret);
        free(secret);
    }
    if (err != ERR_OK) {
        refuse_scram(s, &f);
        return;
    }
    ask(s, ASKS_SASL_LAST, out.data, out.len);
    if (s->stage != SESSION_GONE)
        admit(s);
}

void login_answer(struct session *s, const char *body, size_t n)
{
    if (s->stage == SESSION_PASSWORD)
        check_md5(s, body, n);
    else if (s->login->messages++ == 0)
        scram_first(s, body, n);
    else
        scram_last(s, body, n);
}

/* --- toward a server --- */

void login_backend_free(struct backend *b)
{
    scram_client_free(b->scram);
    b->scram = NULL;
}

static bool cannot(struct backend *b, const char *why, const char *hint)
{
    char text[512];

    snprintf(text, sizeof text, "the %s behind this door %s", side_name(b->side), why);
    if (b->error.len == 0)
        pgwire_error(&b->error, "FATAL", "28000", text, NULL, hint);
    return false;
}

static bool answer(struct backend *b, const void *first, size_t first_len, const void *more, size_t more_len)
{
    AUTO_BUF out = {0};
    size_t begin = pgwire_begin(&out, 'p');
    bool said;

    buf_add(&out, first, first_len);
    buf_add(&out, more, more_len);
    pgwire_end(&out, begin);
    said = conn_write(&b->conn, out.data, out.len);
    explicit_bzero(out.data, out.len);
    conn_watch(&b->conn, b->session->worker->epoll_fd);
    return said;
}

static bool offers_scram(const char *body, size_t n)
{
    for (size_t at = 0; at < n && body[at] != '\0'; at += strnlen(body + at, n - at) + 1)
        if (strncmp(body + at, SCRAM_MECHANISM, n - at) == 0)
            return true;
    return false;
}

static bool sasl_first(struct backend *b, const char *body, size_t n)
{
    const struct secret *secret = b->session->secret;
    AUTO_BUF out = {0};
    AUTO_BUF head = {0};

    if (!offers_scram(body, n))
        return cannot(b, "asks for a login that this door does not know", "SCRAM-SHA-256, md5 and trust can be passed on");
    if (secret == NULL || secret->kind == USER_MD5)
        return cannot(b, "asks for SCRAM, and the door has no key for it", "give the role one and the same SCRAM password on both sides, or let the door's address in by pg_hba.conf");
    b->scram = secret->kind == USER_PASSWORD ? scram_client_new_password(secret->password, NULL) : scram_client_new_key(secret->client_key, &secret->verifier, NULL);
    scram_client_first(b->scram, &out);
    pgwire_add_string(&head, SCRAM_MECHANISM);
    buf_add_u32be(&head, (uint32_t)out.len);
    return answer(b, head.data, head.len, out.data, out.len);
}

static bool sasl_more(struct backend *b, const char *body, size_t n)
{
    AUTO_BUF out = {0};
    struct fault f = {0};

    if (b->scram == NULL || scram_client_next(b->scram, body, n, &out, &f) != ERR_OK)
        return cannot(b, f.code == ERR_VERIFIER ? "holds another password for this role than the other side" : "speaks no SCRAM", "give the role the same rolpassword on both sides");
    return answer(b, out.data, out.len, "", 0);
}

static bool sasl_last(struct backend *b, const char *body, size_t n)
{
    struct fault f = {0};

    if (b->scram == NULL || scram_client_final(b->scram, body, n, &f) != ERR_OK)
        return cannot(b, "does not prove that it knows this role's password", "it is not the server it should be");
    return true;
}

static bool md5(struct backend *b, const char *body, size_t n)
{
    const struct secret *secret = b->session->secret;
    char hash[MD5AUTH_TEXT];
    char text[MD5AUTH_TEXT];

    if (n != MD5AUTH_SALT || secret == NULL || secret->kind == USER_SCRAM)
        return cannot(b, "asks for an md5 password, and the door has none", "give the role one and the same password on both sides, or let the door's address in by pg_hba.conf");
    if (secret->kind == USER_MD5)
        memcpy(hash, secret->hash, sizeof hash);
    else if (!md5auth_hash(secret->password, b->session->user, hash))
        return cannot(b, "asks for md5, which this machine's OpenSSL refuses", NULL);
    if (!md5auth_answer(hash, (const uint8_t *)body, text))
        return cannot(b, "asks for md5, which this machine's OpenSSL refuses", NULL);
    return answer(b, text, sizeof text, "", 0);
}

/* Loopback and a unix socket are as good as TLS here: nobody stands in between. */
static bool is_private(const struct backend *b)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    const struct sockaddr_in *v4 = (const void *)&at;
    const struct sockaddr_in6 *v6 = (const void *)&at;

    if (b->conn.tls != NULL)
        return true;
    if (getpeername(b->conn.fd, (struct sockaddr *)&at, &len) != 0)
        return false;
    if (at.ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return at.ss_family == AF_UNIX || (at.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
}

static bool clear(struct backend *b)
{
    const struct secret *secret = b->session->secret;

    if (secret == NULL || secret->kind != USER_PASSWORD)
        return cannot(b, "asks for a password in clear, and the door has none", "only a password in the userlist (door_users) can be given so");
    if (!is_private(b))
        return cannot(b, "asks for a password in clear without TLS", "the door gives it over TLS only: sslmode=require in the connection string");
    return answer(b, secret->password, strlen(secret->password) + 1, "", 0);
}

bool login_toward(struct backend *b, uint32_t code, const char *body, size_t n)
{
    switch ((enum server_asks)code) {
    case ASKS_NOTHING:
        return true;
    case ASKS_PASSWORD:
        return clear(b);
    case ASKS_MD5:
        return md5(b, body, n);
    case ASKS_SASL:
        return sasl_first(b, body, n);
    case ASKS_SASL_MORE:
        return sasl_more(b, body, n);
    case ASKS_SASL_LAST:
        return sasl_last(b, body, n);
    }
    return cannot(b, "asks for a login that this door does not know (GSSAPI, SSPI, LDAP or another)", "SCRAM-SHA-256, md5 and trust can be passed on");
}
