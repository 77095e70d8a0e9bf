/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_client.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "tls/alpn.h"
#include "tls/digest.h"
#include "tls/pem.h"
#include "tls/tls_int.h"
#include "tls/tls_text.h"
#include "tls/verify.h"

/* Who holds a spec: its maker, and the context of each worker that used it. */
struct tls_client_spec {
    unsigned refs; /* atomic */
    struct arena arena;
    char id[2 * DIGEST_SIZE];
    const char *server_name;
    bool is_ip; /* server_name is an address literal: no SNI (RFC 6066 3) */
    struct span ca_pem;
    struct conf_san *sans;
    unsigned sans_count;
    bool has_cert;
    struct span cert_pem, key_pem;
};

/* Our own digest rather than the model's: two specs with one id share sessions, so it is taken
 * from what is in fact used. */
static void make_id(struct tls_client_spec *spec)
{
    uint8_t bytes[DIGEST_SIZE];
    struct digest digest;

    digest_begin(&digest);
    digest_add(&digest, span_str(spec->server_name));
    digest_add(&digest, spec->ca_pem);
    for (unsigned i = 0; i < spec->sans_count; i++) {
        digest_add(&digest, spec->sans[i].is_uri ? SPAN_LIT("uri") : SPAN_LIT("dns"));
        digest_add(&digest, spec->sans[i].value);
    }
    digest_add(&digest, spec->has_cert ? SPAN_LIT("cert") : SPAN_LIT(""));
    digest_add(&digest, spec->cert_pem);
    digest_add(&digest, spec->key_pem);
    digest_end(&digest, bytes);
    digest_hex(bytes, DIGEST_SIZE, spec->id);
}

static bool is_ip_literal(const char *text)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(text);
    bool found = ip != NULL;
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return found;
}

static int check_spec(const struct tls_client_spec *spec, struct err *reterr)
{
    struct err err = {0};
    int rc = 0;

    if (spec->server_name[0] == '\0' && spec->sans_count == 0)
        return err_set(reterr, -EINVAL, "there is no name to verify the backend by");
    if (spec->ca_pem.len > 0) {
        X509_STORE *store = pem_read_store(NULL, spec->ca_pem, NULL, &err);
        if (!store)
            return err_set(reterr, -EINVAL, "CA certificates: %s", err.text);
        X509_STORE_free(store);
    }
    if (spec->has_cert) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        rc = ctx ? pem_use_pair(ctx, NULL, spec->cert_pem, spec->key_pem, &err) : -ENOMEM;
        SSL_CTX_free(ctx);
        if (rc < 0)
            err_set(reterr, -EINVAL, "client certificate: %s", err.text);
    }
    return rc < 0 ? -EINVAL : 0;
}

int tls_client_compile(const struct model_backend_tls *tls, struct tls_client_spec **ret,
                       struct err *reterr)
{
    ASSERT(!tls->invalid);
    struct tls_client_spec *spec = xcalloc(1, sizeof(*spec));
    spec->refs = 1;
    arena_init(&spec->arena, 4096, 0, NULL);
    struct span name = arena_copy(&spec->arena, tls->server_name);
    spec->server_name = name.ptr;
    spec->ca_pem = arena_copy(&spec->arena, tls->ca_pem);
    spec->sans = arena_array(&spec->arena, struct conf_san, tls->sans_count);
    for (unsigned i = 0; spec->sans && i < tls->sans_count; i++) {
        spec->sans[i].is_uri = tls->sans[i].is_uri;
        spec->sans[i].value = arena_copy(&spec->arena, tls->sans[i].value);
    }
    spec->sans_count = tls->sans_count;
    spec->has_cert = tls->has_client_cert;
    if (spec->has_cert) {
        spec->cert_pem = arena_copy(&spec->arena, tls->client_cert.cert_pem);
        spec->key_pem = arena_copy(&spec->arena, tls->client_cert.key_pem);
    }
    int rc = arena_ok(&spec->arena) ? 0 : err_set(reterr, -ENOMEM, "no memory");
    if (rc == 0 && strlen(spec->server_name) != name.len)
        rc = err_set(reterr, -EINVAL, "the server name holds a NUL");
    if (rc == 0)
        rc = check_spec(spec, reterr);
    if (rc < 0) {
        tls_client_spec_free(spec);
        return rc;
    }
    spec->is_ip = is_ip_literal(spec->server_name);
    make_id(spec);
    *ret = spec;
    return 0;
}

void tls_client_spec_free(struct tls_client_spec *spec)
{
    if (!spec || __atomic_sub_fetch(&spec->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (spec->key_pem.len > 0)
        OPENSSL_cleanse((char *)(uintptr_t)spec->key_pem.ptr, spec->key_pem.len);
    arena_fini(&spec->arena);
    free(spec);
}

struct span tls_client_spec_id(const struct tls_client_spec *spec)
{
    return span_make(spec->id, sizeof(spec->id));
}

/* The chain, and then the names that are to be in the certificate. Inside the handshake: what
 * fails here is told to the peer, and no byte of ours was sent. */
static int verify_backend(X509_STORE_CTX *store, void *user)
{
    const struct tls_client_spec *spec = user;
    int ok = X509_verify_cert(store);
    if (ok <= 0 || spec->sans_count == 0)
        return ok;
    if (verify_has_san(X509_STORE_CTX_get0_cert(store), spec->sans, spec->sans_count))
        return 1;
    X509_STORE_CTX_set_error(store, TLS_TEXT_NO_SAN);
    return 0;
}

/* TLS 1.3 gives sessions after the handshake, any number of them: the newest is kept. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client_ctx *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static bool use_trust(struct tls_worker *worker, SSL_CTX *ctx, const struct tls_client_spec *spec)
{
    if (spec->ca_pem.len > 0) {
        X509_STORE *store = pem_read_store(worker->lib, spec->ca_pem, NULL, NULL);
        if (!store)
            return false;
        SSL_CTX_set_cert_store(ctx, store);
        return true;
    }
    if (!worker->system_store) {
        worker->system_store = X509_STORE_new();
        if (!worker->system_store)
            return false;
        /* Where there are none, nothing verifies, and that is told. */
        (void)X509_STORE_set_default_paths_ex(worker->system_store, worker->lib, NULL);
    }
    SSL_CTX_set1_cert_store(ctx, worker->system_store);
    return true;
}

static SSL_CTX *build_ctx(struct tls_worker *worker, struct tls_client_ctx *client)
{
    struct tls_client_spec *spec = client->spec;
    SSL_CTX *ctx = tls_ctx_new_client(worker);
    if (!ctx)
        return NULL;
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    bool ok = use_trust(worker, ctx, spec);
    if (spec->has_cert)
        ok = ok && pem_use_pair(ctx, worker->lib, spec->cert_pem, spec->key_pem, NULL) == 0;
    X509_VERIFY_PARAM_set_hostflags(param, VERIFY_HOST_FLAGS);
    if (spec->sans_count == 0)
        ok = ok && (spec->is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, spec->server_name)
                                : X509_VERIFY_PARAM_set1_host(param, spec->server_name, 0)) == 1;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_backend, spec);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    SSL_CTX_set_app_data(ctx, client);
    ERR_clear_error();
    if (ok)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static void free_client(struct tls_client_ctx *client)
{
    tls_client_spec_free(client->spec);
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->ctx);
    free(client->key);
    free(client);
}

void tls_client_ctx_unref(struct tls_client_ctx *client)
{
    ASSERT(client->refs > 0);
    if (--client->refs == 0)
        free_client(client);
}

/* The worker's context for spec and ALPN, made at first use. The key's storage is the entry's. */
static struct tls_client_ctx *find_client(struct tls_worker *worker,
                                          const struct tls_client_spec *spec, struct span alpn)
{
    char key_room[sizeof(spec->id) + ALPN_SIZE];
    if (alpn.len > ALPN_SIZE)
        return NULL;
    memcpy(key_room, spec->id, sizeof(spec->id));
    if (alpn.len > 0)
        memcpy(key_room + sizeof(spec->id), alpn.ptr, alpn.len);
    struct span key = span_make(key_room, sizeof(spec->id) + alpn.len);
    struct hmap_node *node = hmap_find(&worker->clients, key);
    if (node)
        return container_of(node, struct tls_client_ctx, node);

    struct tls_client_ctx *client = calloc(1, sizeof(*client));
    char *key_copy = malloc(key.len);
    if (!client || !key_copy) {
        free(client);
        free(key_copy);
        return NULL;
    }
    memcpy(key_copy, key.ptr, key.len);
    client->key = key_copy;
    client->refs = 1;
    client->spec = (struct tls_client_spec *)(uintptr_t)spec;
    __atomic_add_fetch(&client->spec->refs, 1, __ATOMIC_RELAXED);
    client->ctx = build_ctx(worker, client);
    if (!client->ctx) {
        free_client(client);
        return NULL;
    }
    hmap_insert(&worker->clients, &client->node, span_make(client->key, key.len));
    return client;
}

struct layer *tls_client_layer_new(struct tls_worker *worker, const struct tls_client_spec *spec,
                                   struct span alpn)
{
    struct tls_client_ctx *client = find_client(worker, spec, alpn);
    if (!client)
        return NULL;
    struct tls_layer *layer = tls_layer_new(worker);
    if (!layer)
        return NULL;
    if (!tls_layer_set_names(layer, span_str(spec->server_name), SPAN_NONE)) {
        layer->layer.ops->free(&layer->layer);
        return NULL;
    }
    client->used_ns = worker->loop->clock.mono_ns;
    client->refs++;
    layer->client = client;
    layer->alpn = span_skip(client->node.key, sizeof(spec->id));
    return &layer->layer;
}

static bool can_resume(const SSL_SESSION *session)
{
    const X509 *peer = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
    return SSL_SESSION_is_resumable(session) && peer && !verify_is_out_of_date(peer);
}

SSL *tls_client_start(struct tls_layer *layer)
{
    struct tls_client_ctx *client = layer->client;
    const struct tls_client_spec *spec = client->spec;
    uint8_t protocols[ALPN_SIZE];
    size_t protocols_len = alpn_write(layer->alpn, protocols);

    SSL *ssl = SSL_new(client->ctx);
    if (!ssl)
        return NULL;
    SSL_set_connect_state(ssl);
    bool ok = true;
    if (spec->server_name[0] != '\0' && !spec->is_ip)
        ok = SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                      (void *)(uintptr_t)spec->server_name) == 1;
    if (protocols_len > 0)
        ok = ok && SSL_set_alpn_protos(ssl, protocols, (unsigned)protocols_len) == 0;
    if (client->session && !can_resume(client->session))
        tls_client_forget(client);
    if (client->session)
        ok = ok && SSL_set_session(ssl, client->session) == 1;
    if (ok)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

void tls_client_forget(struct tls_client_ctx *client)
{
    SSL_SESSION_free(client->session);
    client->session = NULL;
}

void tls_client_sweep(struct tls_worker *worker, uint64_t idle_ns)
{
    for (struct hmap_node *node = hmap_next(&worker->clients, NULL); node;) {
        struct hmap_node *next = hmap_next(&worker->clients, node);
        struct tls_client_ctx *client = container_of(node, struct tls_client_ctx, node);
        if (idle_ns == 0 || worker->loop->clock.mono_ns - client->used_ns >= idle_ns) {
            hmap_remove(&worker->clients, node);
            tls_client_ctx_unref(client);
        }
        node = next;
    }
}
