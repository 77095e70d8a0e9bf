/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_server.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "base/metric.h"
#include "tls/digest.h"
#include "tls/pem.h"
#include "tls/sni.h"
#include "tls/tls_int.h"

/* Choosing a virtual host. The order of things in OpenSSL is what makes it safe:
 *
 *      ClientHello parsed -> our callback (host, context, verify mode, session id context)
 *                         -> session resumption checked against that id context
 *                         -> extensions, certificate, ...
 *
 * Chosen any later, for example in the servername callback, a session of one host resumes
 * on another that asks for a client certificate. SSL_set_SSL_CTX takes over certificates and
 * trust only; verify mode and session id context are set on the connection by hand. */

#define TLS_KINDS 3 /* key types side by side: RSA, EC, others */
#define TLS_PICK_NONE 0xffffu

struct tls_server_cert {
    struct span cert_pem, key_pem;
    struct span *names; /* DNS SANs */
    unsigned names_count, kind;
};

struct tls_server_listener {
    struct hmap_node node; /* key: sni_key of the hostname */
    struct span id, ca_pem;
    bool validate, lenient, refuse; /* refuse: validation without a usable CA */
    struct tls_server_cert *certs;
    unsigned certs_count;
    uint8_t digest[DIGEST_SIZE]; /* of all that goes into a context */
    uint8_t sid_ctx[DIGEST_SIZE]; /* the digest and the id: whose sessions may resume */
};
_Static_assert(DIGEST_SIZE <= SSL_MAX_SID_CTX_LENGTH, "fits a session id context");

struct tls_server_spec {
    struct arena arena;
    struct hmap by_name; /* struct tls_server_listener */
    struct tls_server_listener *listeners;
    unsigned count;
};

static void compile_names(struct arena *arena, X509 *leaf, struct tls_server_cert *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int count = MAX(sk_GENERAL_NAME_num(names), 0);
    cert->names = arena_array(arena, struct span, (size_t)count);
    for (int i = 0; cert->names && i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        int len = ASN1_STRING_length(name->d.dNSName);
        cert->names[cert->names_count++] = arena_copy(
            arena, span_make(ASN1_STRING_get0_data(name->d.dNSName), len > 0 ? (size_t)len : 0));
    }
    GENERAL_NAMES_free(names);
}

/* Checks the pair as a worker will use it, and notes what choosing needs. */
static int compile_cert(struct arena *arena, const struct model_cert *in,
                        struct tls_server_cert *cert, struct err *reterr)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return err_set(reterr, -ENOMEM, "no memory");
    int rc = pem_use_pair(ctx, NULL, in->cert_pem, in->key_pem, reterr);
    if (rc == 0) {
        X509 *leaf = SSL_CTX_get0_certificate(ctx);
        EVP_PKEY *key = X509_get0_pubkey(leaf);
        cert->kind = EVP_PKEY_is_a(key, "RSA") ? 0 : EVP_PKEY_is_a(key, "EC") ? 1 : 2;
        cert->cert_pem = arena_copy(arena, in->cert_pem);
        cert->key_pem = arena_copy(arena, in->key_pem);
        compile_names(arena, leaf, cert);
    } else {
        err_prefix(reterr, "%.*s", SPAN_ARG(in->id));
    }
    SSL_CTX_free(ctx);
    return rc;
}

static void compile_digests(struct tls_server_listener *listener)
{
    uint8_t mode = (uint8_t)(listener->validate | listener->lenient << 1 | listener->refuse << 2);
    struct digest digest;

    digest_begin(&digest);
    digest_add(&digest, span_make(&mode, sizeof(mode)));
    digest_add(&digest, listener->ca_pem);
    for (unsigned i = 0; i < listener->certs_count; i++) {
        digest_add(&digest, listener->certs[i].cert_pem);
        digest_add(&digest, listener->certs[i].key_pem);
    }
    digest_end(&digest, listener->digest);

    /* Certificates are not part of it: sessions outlive a renewal. */
    digest_begin(&digest);
    digest_add(&digest, span_make(&mode, sizeof(mode)));
    digest_add(&digest, listener->ca_pem);
    digest_add(&digest, listener->id);
    digest_end(&digest, listener->sid_ctx);
}

/* 0; -EINVAL: no certificate can be used (the first reason is in *reterr). A listener with
 * some good certificates is served with those. */
static int compile_listener(struct arena *arena, const struct model_listener *in,
                            struct tls_server_listener *listener, struct err *reterr)
{
    struct err err = {0}, first = {0};

    listener->id = arena_copy(arena, in->id);
    listener->validate = in->frontend.validate;
    listener->lenient = in->frontend.insecure_fallback;
    listener->certs = arena_array(arena, struct tls_server_cert, in->certs_count);
    for (unsigned i = 0; listener->certs && i < in->certs_count && i < TLS_PICK_NONE; i++) {
        if (compile_cert(arena, &in->certs[i], &listener->certs[listener->certs_count], &err) == 0)
            listener->certs_count++;
        else if (first.code == 0)
            first = err;
    }
    if (listener->certs_count == 0) {
        if (first.code == 0)
            err_set(&first, -EINVAL, "there is no certificate");
        *reterr = first;
        return -EINVAL;
    }
    if (listener->validate) {
        listener->ca_pem = arena_copy(arena, in->frontend.ca_pem);
        X509_STORE *store = pem_read_store(NULL, in->frontend.ca_pem, NULL, &err);
        listener->refuse = store == NULL;
        X509_STORE_free(store);
    }
    compile_digests(listener);
    *reterr = first;
    if (listener->refuse)
        err_set(reterr, -EINVAL, "client certificates cannot be verified: %s", err.text);
    return 0;
}

struct tls_server_spec *tls_server_compile(
    const struct model_listener *const *listeners, unsigned count,
    void (*bad)(void *user, const struct model_listener *listener, const struct err *err),
    void *user)
{
    struct tls_server_spec *spec = calloc(1, sizeof(*spec));
    if (!spec)
        return NULL;
    arena_init(&spec->arena, 16384, 0, NULL);
    hmap_init(&spec->by_name, count);
    spec->listeners = arena_array(&spec->arena, struct tls_server_listener, count);
    for (unsigned i = 0; spec->listeners && i < count; i++) {
        struct tls_server_listener *listener = &spec->listeners[spec->count];
        struct err err = {0};
        memset(listener, 0, sizeof(*listener));
        int rc = compile_listener(&spec->arena, listeners[i], listener, &err);
        if (err.code != 0 && bad)
            bad(user, listeners[i], &err);
        struct span key = arena_copy(&spec->arena, sni_key(listeners[i]->hostname));
        if (rc < 0 || !arena_ok(&spec->arena))
            continue;
        spec->count++;
        if (!hmap_find(&spec->by_name, key))
            hmap_insert(&spec->by_name, &listener->node, key);
    }
    if (arena_ok(&spec->arena))
        return spec;
    tls_server_spec_free(spec);
    return NULL;
}

void tls_server_spec_free(struct tls_server_spec *spec)
{
    if (!spec)
        return;
    for (unsigned i = 0; i < spec->count; i++) {
        const struct tls_server_listener *listener = &spec->listeners[i];
        for (unsigned c = 0; c < listener->certs_count; c++) {
            struct span key = listener->certs[c].key_pem;
            OPENSSL_cleanse((char *)(uintptr_t)key.ptr, key.len);
        }
    }
    hmap_fini(&spec->by_name);
    arena_fini(&spec->arena);
    free(spec);
}

static unsigned cert_score(const struct tls_server_cert *cert, struct span name)
{
    unsigned best = 0;
    for (unsigned i = 0; i < cert->names_count; i++)
        best = MAX(best, sni_cert_score(cert->names[i], name));
    return best;
}

/* The certificates that fit name best (Gateway API: the longest match), the first of each key
 * type; when none fits, the first ones of the listener. */
static void pick_certs(const struct tls_server_listener *listener, struct span name,
                       uint16_t picks[TLS_KINDS])
{
    unsigned best = 0;
    for (unsigned i = 0; i < listener->certs_count; i++)
        best = MAX(best, cert_score(&listener->certs[i], name));
    for (unsigned kind = 0; kind < TLS_KINDS; kind++)
        picks[kind] = TLS_PICK_NONE;
    for (unsigned i = 0; i < listener->certs_count; i++) {
        uint16_t *pick = &picks[listener->certs[i].kind];
        if (*pick == TLS_PICK_NONE && cert_score(&listener->certs[i], name) == best)
            *pick = (uint16_t)i;
    }
}

/* AllowInsecureFallback: whatever verification says, the handshake goes on; the result stays
 * with the session, so that resuming does not make it valid. */
static int verify_lenient(X509_STORE_CTX *store, void *user)
{
    (void)user;
    if (X509_verify_cert(store) <= 0 && X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    ERR_clear_error();
    return 1;
}

static bool use_validation(struct tls_worker *worker, SSL_CTX *ctx,
                           const struct tls_server_listener *listener)
{
    STACK_OF(X509_NAME) *names = NULL;
    if (!listener->validate)
        return true;
    X509_STORE *store = pem_read_store(worker->lib, listener->ca_pem, &names, NULL);
    if (!store)
        return false;
    SSL_CTX_set_cert_store(ctx, store);
    SSL_CTX_set_client_CA_list(ctx, names);
    if (listener->lenient)
        SSL_CTX_set_cert_verify_callback(ctx, verify_lenient, NULL);
    return true;
}

static SSL_CTX *build_ctx(struct tls_worker *worker, const struct tls_server_listener *listener,
                          const uint16_t picks[TLS_KINDS])
{
    SSL_CTX *ctx = tls_ctx_new_server(worker);
    bool ok = ctx && use_validation(worker, ctx, listener);
    for (unsigned kind = 0; ok && kind < TLS_KINDS; kind++) {
        if (picks[kind] == TLS_PICK_NONE)
            continue;
        const struct tls_server_cert *cert = &listener->certs[picks[kind]];
        ok = pem_use_pair(ctx, worker->lib, cert->cert_pem, cert->key_pem, NULL) == 0;
    }
    if (ok)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* The worker's context for a host; NULL: no memory. */
static SSL_CTX *find_ctx(struct tls_worker *worker, const struct tls_server_listener *listener,
                         struct span name)
{
    uint16_t picks[TLS_KINDS];
    uint8_t key[sizeof(((struct tls_server_ctx *)NULL)->key)] = {0};
    _Static_assert(sizeof(key) >= DIGEST_SIZE + sizeof(picks), "key holds both");

    pick_certs(listener, name, picks);
    memcpy(key, listener->digest, DIGEST_SIZE);
    memcpy(key + DIGEST_SIZE, picks, sizeof(picks));
    struct hmap_node *node = hmap_find(&worker->servers, span_make(key, sizeof(key)));
    if (node)
        return container_of(node, struct tls_server_ctx, node)->ctx;

    struct tls_server_ctx *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    memcpy(entry->key, key, sizeof(key));
    entry->ctx = build_ctx(worker, listener, picks);
    if (!entry->ctx) {
        free(entry);
        return NULL;
    }
    hmap_insert(&worker->servers, &entry->node, span_make(entry->key, sizeof(entry->key)));
    return entry->ctx;
}

static int refuse(struct tls_layer *layer, int *alert, int code, const char *text)
{
    layer->refusal = text;
    *alert = code;
    return SSL_CLIENT_HELLO_ERROR;
}

int tls_server_on_hello(SSL *ssl, int *alert, void *user)
{
    struct tls_worker *worker = user;
    struct tls_layer *layer = worker->active;
    const unsigned char *extension;
    size_t extension_len;
    char name_room[SNI_NAME_MAX + 1];
    struct span name = SPAN_LIT("");

    if (layer->turn != TLS_TURN_NOW) {
        layer->turn = TLS_TURN_AWAITED;
        metric_inc(METRIC_TLS_HANDSHAKES_WAITING);
        loop_defer_slow(worker->loop, &layer->task);
        return SSL_CLIENT_HELLO_RETRY;
    }
    layer->turn = TLS_TURN_NONE;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &extension_len) == 1) {
        struct span raw;
        if (sni_parse(span_make(extension, extension_len), &raw) < 0 ||
            sni_canonical(raw, name_room, &name) < 0)
            return refuse(layer, alert, SSL_AD_DECODE_ERROR, "TLS: malformed server name");
    }
    const struct hmap_node *node = sni_find(&layer->spec->by_name, name);
    if (!node)
        return refuse(layer, alert, SSL_AD_UNRECOGNIZED_NAME, "TLS: unrecognized server name");
    const struct tls_server_listener *listener =
        container_of(node, struct tls_server_listener, node);
    if (listener->refuse)
        return refuse(layer, alert, SSL_AD_ACCESS_DENIED,
                      "TLS: client certificates cannot be verified");

    SSL_CTX *ctx = find_ctx(worker, listener, name);
    if (!ctx || !tls_layer_set_names(layer, name, listener->id) || !SSL_set_SSL_CTX(ssl, ctx) ||
        SSL_set_session_id_context(ssl, listener->sid_ctx, DIGEST_SIZE) != 1)
        return refuse(layer, alert, SSL_AD_INTERNAL_ERROR, "TLS: no memory");
    int mode = SSL_VERIFY_NONE;
    if (listener->validate)
        mode = SSL_VERIFY_PEER | (listener->lenient ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    SSL_set_verify(ssl, mode, NULL);
    layer->lenient = listener->lenient;
    return SSL_CLIENT_HELLO_SUCCESS;
}

void tls_server_ctx_free(struct tls_worker *worker, struct tls_server_ctx *entry)
{
    hmap_remove(&worker->servers, &entry->node);
    SSL_CTX_free(entry->ctx);
    free(entry);
}

static bool is_live(const struct tls_server_ctx *entry, const struct tls_server_spec *spec)
{
    for (unsigned i = 0; i < spec->count; i++) {
        if (memcmp(entry->key, spec->listeners[i].digest, DIGEST_SIZE) == 0)
            return true;
    }
    return false;
}

void tls_server_sweep(struct tls_worker *worker, const struct tls_server_spec *const *live,
                      unsigned count)
{
    for (struct hmap_node *node = hmap_next(&worker->servers, NULL); node;) {
        struct hmap_node *next = hmap_next(&worker->servers, node);
        struct tls_server_ctx *entry = container_of(node, struct tls_server_ctx, node);
        bool found = false;
        for (unsigned i = 0; i < count && !found; i++)
            found = is_live(entry, live[i]);
        if (!found)
            tls_server_ctx_free(worker, entry);
        node = next;
    }
}

struct layer *tls_server_layer_new(struct tls_worker *worker, const struct tls_server_spec *spec,
                                   struct span alpn)
{
    struct tls_layer *layer = tls_layer_new(worker);
    if (!layer)
        return NULL;
    layer->spec = spec;
    layer->alpn = alpn;
    return &layer->layer;
}
