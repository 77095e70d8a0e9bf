/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_TLS_INT_H
#define RINGGATE_TLS_TLS_INT_H

/* Shared by the tls_*.c files: the worker's OpenSSL state and the layer. */

#include "base/hmap.h"
#include "base/pool.h"
#include "io/loop.h"
#include "tls/digest.h"
#include "tls/tls_client.h"
#include "tls/tls_server.h"

#include <openssl/ssl.h>

#define TLS_RECORD_MAX 16384u /* plaintext bytes of a record, RFC 8446 5.1 */
#define TLS_OUT_SIZE (4 * (TLS_RECORD_MAX + 256)) /* four whole records before a write below */

struct tls_layer;

/* Everything OpenSSL that one thread uses. It shares no lock with other threads: the library
 * context, and with it keys, fetched algorithms and random generators, is its own. */
struct tls_worker {
    struct loop *loop;
    OSSL_LIB_CTX *lib;
    EVP_CIPHER *ticket_cipher;
    EVP_MAC *ticket_mac;
    SSL_CTX *accept_ctx; /* server conns begin with it; the ClientHello chooses the real one */
    /* One BIO serves all connections of the thread: it has no state between two calls, and
     * `active` tells whose call it is. */
    BIO *bio;
    struct tls_layer *active;
    struct hmap servers; /* struct tls_server_ctx */
    struct hmap clients; /* struct tls_client_ctx */
    X509_STORE *system_store; /* made at first use */
    struct pool layers;
    uint8_t *out; /* TLS_OUT_SIZE: records made in a call */
    size_t out_len;
    uint8_t *plain; /* TLS_RECORD_MAX: plaintext on its way up */
    bool plain_busy;
    uint8_t *gather; /* TLS_RECORD_MAX: small pieces that become one record */
};

/* Server side (tls_server.c). */
struct tls_server_ctx {
    struct hmap_node node; /* key: content digest of the listener, then the chosen pairs */
    uint8_t key[DIGEST_SIZE + 8];
    SSL_CTX *ctx;
    bool live; /* mark of the sweep */
};

/* Client side (tls_client.c): context and session of one spec and ALPN on one worker. */
struct tls_client_ctx {
    struct hmap_node node;
    char *key;
    struct tls_client_spec *spec; /* reference held */
    SSL_CTX *ctx;
    SSL_SESSION *session; /* newest that can resume; NULL: none */
    unsigned refs; /* the map's and the layers' */
    uint64_t used_ns; /* monotonic */
};

enum tls_layer_state {
    TLS_LAYER_NEW, /* nothing has come yet: no SSL object */
    TLS_LAYER_HANDSHAKE,
    TLS_LAYER_OPEN,
    TLS_LAYER_FAILED, /* reported; bytes are ignored */
};

struct tls_layer {
    struct layer layer;
    struct tls_worker *worker;
    SSL *ssl;
    struct span in; /* what is left of the bytes given to the current call */
    size_t out_start; /* where its records begin in worker->out */
    int down_error; /* of layer_down_write inside a call */
    uint8_t state; /* enum tls_layer_state */
    bool ended; /* end passed up */
    bool lenient; /* server: goes on without a valid client certificate */
    uint16_t key_updates; /* in the second that began at key_update_ns */
    uint64_t key_update_ns;
    const char *refusal; /* why our own callback ended the handshake, static */
    const struct tls_server_spec *spec; /* server: until open */
    struct tls_client_ctx *client; /* client: reference held */
    struct span alpn; /* protocols we speak, as in tls/alpn.h; lives as long as the layer */
    struct tls_info info;
    char *identity; /* peer names; NULL: none */
    char *names; /* server_name and listener_id: names_room, or the heap when they are long */
    char names_room[96];
};

/* tls_ctx.c: contexts with our profile; NULL: no memory. */
SSL_CTX *tls_ctx_new_server(struct tls_worker *worker);
SSL_CTX *tls_ctx_new_client(struct tls_worker *worker);

/* tls_layer.c */
extern const struct layer_ops tls_layer_ops;
/* The process-wide BIO method; start-up. */
void tls_layer_init(void);
BIO *tls_layer_new_bio(struct tls_worker *worker);
struct tls_layer *tls_layer_new(struct tls_worker *worker); /* NULL: no memory */
/* Keeps copies of the names in info. false: no memory. */
bool tls_layer_set_names(struct tls_layer *layer, struct span server_name, struct span listener_id);

/* tls_server.c */
int tls_server_on_hello(SSL *ssl, int *alert, void *worker); /* SSL_client_hello_cb_fn */
void tls_server_ctx_free(struct tls_worker *worker, struct tls_server_ctx *entry);
/* Drops the contexts of listeners that are in none of the specs. */
void tls_server_sweep(struct tls_worker *worker, const struct tls_server_spec *const *live,
                      unsigned count);

/* tls_client.c */
/* A new SSL object of the layer's context, with the session to resume; NULL: no memory. */
SSL *tls_client_start(struct tls_layer *layer);
/* The handshake of a layer failed: the session it tried is not tried again. */
void tls_client_forget(struct tls_client_ctx *client);
void tls_client_ctx_unref(struct tls_client_ctx *client);
/* Lets go of contexts that no connection has used for a while. */
void tls_client_sweep(struct tls_worker *worker, uint64_t idle_ns);

#endif
