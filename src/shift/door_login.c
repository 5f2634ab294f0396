/* shift/door_login.c — who a client is, and how a server is shown that it is that one. */
#include "shift/door_internal.h"

#include <arpa/inet.h>
#include <string.h>

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

void login_begin(struct session *s)
{
    if (trusted(s)) {
        session_admit(s);
        return;
    }
    session_refuse(s, "28000", "this door lets nobody in from your address without a password", "name the address in door_trust");
}

void login_answer(struct session *s, const char *body, size_t n)
{
    (void)body;
    (void)n;
    session_end(s);
}

void login_free(struct session *s)
{
    (void)s;
}

void login_backend_free(struct backend *b)
{
    (void)b;
}

bool login_toward(struct backend *b, uint32_t code, const char *body, size_t n)
{
    (void)body;
    (void)n;
    if (code == 0)
        return true;
    pgwire_error(&b->error, "FATAL", "28000", "the server behind this door asks for a password, and the door has none", NULL, NULL);
    return false;
}
void session_verifier(struct session *s)
{
    (void)s;
}
