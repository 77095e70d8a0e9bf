/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>

#include "base/clock.h"
#include "tls/heap.h"
#include "tls/ticket.h"
#include "tls/tls_text.h"

#define TLS_CLIENT_IDLE_NS (600 * NS_PER_S)

static void tls_init_once(void)
{
    heap_init();
    /* The system's openssl.cnf is for other programs: ours is fixed here. */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL);
    tls_text_init();
    tls_ssl_init();
    ticket_rotate();
}

void tls_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, tls_init_once);
}

void tls_ticket_rotate(void)
{
    ticket_rotate();
}

struct tls_worker *tls_worker_new(struct loop *loop, struct err *reterr)
{
    struct tls_worker *worker = calloc(1, sizeof(*worker));
    if (!worker) {
        err_set(reterr, -ENOMEM, "no memory for TLS");
        return NULL;
    }
    heap_begin();
    worker->loop = loop;
    hmap_init(&worker->servers, 64);
    hmap_init(&worker->clients, 64);
    /* A conn that is closed keeps its layer until its turn ends: twice is never reached. */
    pool_init(&worker->layers, "tls_layer", sizeof(struct tls_layer), 2 * loop->conns_max + 16);
    worker->out = malloc(TLS_OUT_SIZE);
    worker->plain = malloc(RECORD_OPEN_ROOM);
    worker->lib = OSSL_LIB_CTX_new();
    if (!worker->out || !worker->plain || !worker->lib)
        goto fail;
    worker->provider.found = tls_handover_on_secret;
    worker->provider.user = worker;
    if (!provider_load(&worker->provider, worker->lib))
        goto fail;
    worker->ticket_cipher = EVP_CIPHER_fetch(worker->lib, "AES-256-CBC", NULL);
    worker->records = record_pool_new(worker->lib, TLS_CIPHERS_MAX);
    worker->prf = EVP_KDF_fetch(worker->lib, OSSL_KDF_NAME_TLS1_PRF, NULL);
    worker->bio = tls_ssl_new_bio(worker);
    worker->accept_ctx = tls_ctx_new_server(worker);
    if (!worker->ticket_cipher || !worker->records || !worker->prf || !worker->bio ||
        !worker->accept_ctx)
        goto fail;
    SSL_CTX_set_client_hello_cb(worker->accept_ctx, tls_server_on_hello, worker);
    return worker;

fail:
    err_set(reterr, -ENOMEM, "OpenSSL cannot be set up: %s",
            ERR_peek_last_error() ? ERR_reason_error_string(ERR_peek_last_error()) : "no memory");
    ERR_clear_error();
    tls_worker_free(worker);
    return NULL;
}

void tls_worker_free(struct tls_worker *worker)
{
    if (!worker)
        return;
    for (struct hmap_node *node = hmap_next(&worker->servers, NULL); node;) {
        struct hmap_node *next = hmap_next(&worker->servers, node);
        tls_server_ctx_free(worker, container_of(node, struct tls_server_ctx, node));
        node = next;
    }
    tls_client_sweep(worker, 0);
    ASSERT(worker->clients.count == 0);
    pool_fini(&worker->layers);
    hmap_fini(&worker->servers);
    hmap_fini(&worker->clients);
    SSL_CTX_free(worker->accept_ctx);
    X509_STORE_free(worker->system_store);
    BIO_free(worker->bio);
    EVP_CIPHER_free(worker->ticket_cipher);
    record_pool_free(worker->records);
    EVP_KDF_free(worker->prf);
    provider_unload(&worker->provider);
    OSSL_LIB_CTX_free(worker->lib);
    free(worker->out);
    /* It held what travelled inside TLS. */
    if (worker->plain)
        OPENSSL_cleanse(worker->plain, RECORD_OPEN_ROOM);
    free(worker->plain);
    free(worker);
    heap_end();
}

void tls_worker_sweep(struct tls_worker *worker, const struct tls_server_spec *const *live,
                      unsigned count)
{
    tls_server_sweep(worker, live, count);
    tls_client_sweep(worker, TLS_CLIENT_IDLE_NS);
}
