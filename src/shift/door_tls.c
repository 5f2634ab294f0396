/* shift/door_tls.c — TLS toward applications. */
#include "shift/door_internal.h"

#include <openssl/err.h>
#include <string.h>

static const unsigned char alpn_name[] = "\012postgresql";

/* Who names protocols has to name ours: else another protocol's client could be led here. */
static int choose(SSL *tls, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered, unsigned int n, void *arg)
{
    unsigned char *chosen;

    (void)tls;
    (void)arg;
    if (SSL_select_next_proto(&chosen, ret_len, alpn_name, sizeof alpn_name - 1, offered, n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

bool door_tls_names_us(const SSL *tls)
{
    const unsigned char *name;
    unsigned int n;

    SSL_get0_alpn_selected(tls, &name, &n);
    return n == sizeof alpn_name - 2 && memcmp(name, alpn_name + 1, n) == 0;
}

static enum err refused(const char *path, struct fault *f)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    enum err err = fault_todo(f, ERR_CONFIG, "correct door_tls in leat.yaml", "%s: %s", path, why != NULL ? why : "it cannot be used");

    ERR_clear_error();
    return err;
}

enum err door_tls_init(struct door *door, struct fault *f)
{
    const struct config_store *store = door->store;
    AUTO_CHARS *cert = door_path(door, store->door_tls_cert);
    AUTO_CHARS *key = door_path(door, store->door_tls_key);
    SSL_CTX *ctx;

    if (cert == NULL || key == NULL)
        return ERR_OK;
    ctx = SSL_CTX_new(TLS_server_method());
    ENSURE(ctx != NULL);
    door->client_tls = ctx;
    door->require_tls = store->door_tls_require != 0;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return refused(cert, f);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return refused(key, f);
    return ERR_OK;
}

void door_tls_fini(struct door *door)
{
    SSL_CTX_free(door->client_tls);
}
