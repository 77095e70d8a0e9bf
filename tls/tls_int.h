/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_TLS_INT_H
#define RINGGATE_TLS_TLS_INT_H

/* Shared by the tls_*.c files: the worker's OpenSSL state and the layer.
 *
 *      tls_layer.c     the layer: states, what is known of the peer
 *      tls_ssl.c       its bytes while OpenSSL has them: the handshake
 *      tls_handover.c  what our record layer gets from OpenSSL
 *      tls_direct.c    its bytes from then on */

#include "base/hmap.h"
#include "base/pool.h"
#include "io/loop.h"
#include "tls/digest.h"
#include "tls/provider.h"
#include "tls/record.h"
#include "tls/tls_client.h"
#include "tls/tls_server.h"

#include <openssl/ssl.h>

#define TLS_OUT_SIZE (4 * (RECORD_PLAIN_MAX + 256)) /* four whole records before a write below */
/* Cipher contexts of a worker, 1 KB each and two for a connection: those of 256 connections
 * that are busy at the same time stay keyed; beyond that a record costs a key schedule more. */
#define TLS_CIPHERS_MAX 512u
#define TLS_HELD_MAX (2 * BLOCK_SIZE)
#define TLS_KEY_UPDATES_MAX 32 /* in a second: more is an attack on our processor */

struct tls_layer;

/* Everything OpenSSL that one thread uses. It shares no lock with other threads: the library
 * context, and with it keys, fetched algorithms and random generators, is its own. */
struct tls_worker {
    struct loop *loop;
    OSSL_LIB_CTX *lib;
    struct provider provider;
    EVP_CIPHER *ticket_cipher;
    SSL_CTX *accept_ctx; /* server conns begin with it; the ClientHello chooses the real one */
    /* One BIO serves all connections of the thread: it has no state between two calls, and
     * `active` tells whose call it is. */
    BIO *bio;
    struct tls_layer *active;
    struct hmap servers; /* struct tls_server_ctx */
    struct hmap clients; /* struct tls_client_ctx */
    X509_STORE *system_store; /* made at first use */
    struct pool layers;
    struct record_pool *records;
    EVP_KDF *prf; /* of TLS 1.2 */
    uint8_t *out; /* TLS_OUT_SIZE: records made in a call */
    size_t out_len;
    uint8_t *plain; /* RECORD_OPEN_ROOM: plaintext on its way up */
    bool plain_busy;
};

/* Server side (tls_server.c). */
struct tls_server_ctx {
    struct hmap_node node; /* key: content digest of the listener, then the chosen pairs */
    uint8_t key[DIGEST_SIZE + 8];
    SSL_CTX *ctx;
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

/* A handshake with a client waits after its ClientHello until other work is done: the answer takes
 * a signature, which may keep the processor for milliseconds (loop_defer_slow). */
enum tls_turn { TLS_TURN_NONE, TLS_TURN_AWAITED, TLS_TURN_NOW };

struct tls_layer {
    /* What each record needs, together. */
    struct layer layer;
    struct tls_worker *worker;
    SSL *ssl; /* NULL: not begun, or handed over */
    struct span in; /* what is left of the bytes given to the current call */
    size_t out_start; /* where its records begin in worker->out */
    struct tls_client_ctx *client; /* client: reference held */
    uint64_t wrote_ns; /* when data was last written */
    /* Blocks with the beginning of a record, or what came while its turn was awaited; NULL: none.
     */
    uint8_t *held[2];
    uint32_t held_len;
    int down_error; /* of layer_down_write inside a call */
    uint16_t small_bytes; /* sent in small records since the last pause */
    uint8_t state; /* enum tls_layer_state */
    uint8_t turn; /* enum tls_turn */
    bool ended; /* end passed up */
    bool shut; /* close_notify sent */
    bool lenient; /* server: goes on without a valid client certificate */
    bool keeps_ssl; /* cannot be handed over */
    uint32_t message_left; /* of a handshake message's body, to be ignored */
    uint8_t message_have, message[4]; /* its head, TLS 1.3 */
    uint8_t empty_records; /* in a row */
    /* Until the handover only secrets and sequence numbers, as OpenSSL makes and counts them. */
    struct record_side rx, tx;

    struct loop_task task; /* while TLS_TURN_AWAITED */
    uint16_t key_updates; /* in the second that began at key_update_ns */
    uint64_t key_update_ns;
    const char *refusal; /* why our own callback ended the handshake, static */
    const struct tls_server_spec *spec; /* server: until open */
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
struct tls_layer *tls_layer_new(struct tls_worker *worker); /* NULL: no memory */
/* Keeps copies of the names in info. false: no memory. */
bool tls_layer_set_names(struct tls_layer *layer, struct span server_name, struct span listener_id);

/* What is added to worker->out from here on is the layer's. */
void tls_layer_begin_out(struct tls_layer *layer);
/* Passes it down. 0; what the layer below says of it, now and ever after. */
int tls_layer_flush(struct tls_layer *layer);
/* Reports and forgets: no byte goes up or down after this. text: static. */
void tls_layer_fail(struct tls_layer *layer, int error, const char *text);
void tls_layer_fail_below(struct tls_layer *layer, int error);
/* KeyUpdate messages of the peer, RFC 8446 4.6.3: each costs us a key schedule, and maybe an
 * answer. */
void tls_layer_count_key_update(struct tls_layer *layer);

/* tls_ssl.c: each of these reports what fails. */
void tls_ssl_init(void); /* the process-wide BIO method; start-up */
BIO *tls_ssl_new_bio(struct tls_worker *worker);
bool tls_ssl_begin(struct tls_layer *layer); /* false: no memory, not reported */
bool tls_ssl_handshake(struct tls_layer *layer); /* true: complete */
/* One record to plain (RECORD_OPEN_ROOM) and up. false: no other can follow. */
bool tls_ssl_read(struct tls_layer *layer, uint8_t *plain);
int tls_ssl_write(struct tls_layer *layer, const struct iovec *iov, int count);
int tls_ssl_shutdown(struct tls_layer *layer); /* close_notify */
void tls_ssl_end(struct tls_layer *layer); /* frees what OpenSSL has of it */

/* tls_handover.c */
/* provider.found of a worker. */
void tls_handover_on_secret(void *worker, bool of_server, const uint8_t *secret, size_t size);
void tls_handover_watch(struct tls_layer *layer); /* counts, from before the handshake on */
/* Takes an open layer from OpenSSL if that can be done now: layer->ssl is NULL then. TLS 1.2: at
 * the end of the handshake or never. */
void tls_handover(struct tls_layer *layer);

/* tls_direct.c: as tls_ssl.c. */
bool tls_direct_read(struct tls_layer *layer, uint8_t *plain);
int tls_direct_write(struct tls_layer *layer, const struct iovec *iov, int count);
int tls_direct_shutdown(struct tls_layer *layer);
void tls_direct_hold(struct tls_layer *layer); /* keeps layer->in, TLS_HELD_MAX in all */
void tls_direct_drop(struct tls_layer *layer); /* gives held blocks back */

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
