/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_int.h"

#include <errno.h>

#include "base/panic.h"
#include "tls/secret.h"

/* From OpenSSL to our own record layer (tls_direct.c). What goes over is the secrets and the
 * number of records that OpenSSL made and took under them:
 *
 *      TLS 1.3   the application secrets are seen when OpenSSL derives them (provider.h), which
 *                is when their keys come into use; from then on the record headers that it tells
 *                of are counted. A server's tickets are such records.
 *      TLS 1.2   the key block is computed once more from the master secret; each side has sent
 *                one record under it, Finished.
 *
 * OpenSSL reads no further than the record it wants, so between records all that it has not used
 * is in layer->in. */

void tls_handover_on_secret(void *user, bool of_server, const uint8_t *secret, size_t size)
{
    struct tls_worker *worker = user;
    struct tls_layer *layer = worker->active;
    if (!layer || size > RECORD_SECRET_MAX)
        return;
    struct record_side *side = of_server == (layer->client == NULL) ? &layer->tx : &layer->rx;
    memcpy(side->secret, secret, size);
    side->tls13 = true;
    side->seq = 0;
}

/* Counts records, and KeyUpdate messages of the peer. */
static void on_message(int writing, int version, int type, const void *buf, size_t len, SSL *ssl,
                       void *user)
{
    struct tls_layer *layer = user;
    (void)version;
    (void)ssl;
    if (type == SSL3_RT_HEADER) {
        struct record_side *side = writing ? &layer->tx : &layer->rx;
        side->seq++;
    } else if (!writing && type == SSL3_RT_HANDSHAKE && len > 0 &&
               *(const uint8_t *)buf == SSL3_MT_KEY_UPDATE) {
        layer->keeps_ssl = true; /* the secrets that follow are not seen */
        tls_layer_count_key_update(layer);
    }
}

void tls_handover_watch(struct tls_layer *layer)
{
    SSL_set_msg_callback(layer->ssl, on_message);
    SSL_set_msg_callback_arg(layer->ssl, layer);
}

/* false: not a suite of ours. */
static bool find_suite(const SSL *ssl, uint8_t *ret)
{
    static const int nids[RECORD_SUITE_COUNT] = {
        [RECORD_AES_128_GCM] = NID_aes_128_gcm,
        [RECORD_AES_256_GCM] = NID_aes_256_gcm,
        [RECORD_CHACHA20_POLY1305] = NID_chacha20_poly1305,
    };
    int nid = SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl));
    for (uint8_t i = 0; i < RECORD_SUITE_COUNT; i++) {
        if (nids[i] == nid) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool take_keys(struct tls_layer *layer, bool tls13)
{
    EVP_KDF *prf = layer->worker->prf;
    if (tls13) {
        if (!layer->rx.tls13 || !layer->tx.tls13)
            return false;
        secret_use(&layer->rx);
        secret_use(&layer->tx);
        return true;
    }
    layer->rx.seq = layer->tx.seq = 1;
    return layer->client ? secret_use_master(prf, layer->ssl, &layer->tx, &layer->rx)
                         : secret_use_master(prf, layer->ssl, &layer->rx, &layer->tx);
}

void tls_handover(struct tls_layer *layer)
{
    SSL *ssl = layer->ssl;
    bool between = !SSL_has_pending(ssl) && strcmp(SSL_rstate_string(ssl), "RH") == 0;

    if (layer->keeps_ssl || !between)
        return;
    if (find_suite(ssl, &layer->rx.suite)) {
        layer->tx.suite = layer->rx.suite;
        if (take_keys(layer, SSL_version(ssl) == TLS1_3_VERSION)) {
            tls_ssl_end(layer);
            return;
        }
    }
    layer->keeps_ssl = true;
}
