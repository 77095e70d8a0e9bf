/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_int.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/metric.h"
#include "io/conn.h"
#include "tls/alpn.h"
#include "tls/tls_text.h"
#include "tls/verify.h"

/* The TLS engine as a layer:
 *
 *      owner --write--> tls_ssl_write    --> worker->out --layer_down_write-->
 *                       tls_direct_write
 *      owner <--up----- worker->plain <----- tls_ssl_read    <-- layer->in <--on_data------
 *                                            tls_direct_read
 *
 * OpenSSL shakes hands; then the layer goes on by itself (tls_handover). Both leave nothing in
 * worker->out between calls; the layer above a second TLS layer on the same conn begins its part
 * of worker->out after ours. */

void tls_layer_begin_out(struct tls_layer *layer)
{
    layer->out_start = layer->worker->out_len;
}

int tls_layer_flush(struct tls_layer *layer)
{
    struct tls_worker *worker = layer->worker;
    size_t len = worker->out_len - layer->out_start;

    if (len > 0 && layer->down_error == 0) {
        struct iovec iov = {worker->out + layer->out_start, len};
        layer->down_error = layer_down_write(&layer->layer, &iov, 1);
    }
    worker->out_len = layer->out_start;
    return layer->down_error;
}

void tls_layer_fail(struct tls_layer *layer, int error, const char *text)
{
    if (layer->state == TLS_LAYER_FAILED)
        return;
    if (layer->state == TLS_LAYER_HANDSHAKE) {
        if (layer->client)
            tls_client_forget(layer->client);
        else
            metric_inc(METRIC_TLS_HANDSHAKE_ERRORS);
    }
    layer->state = TLS_LAYER_FAILED;
    layer->in = SPAN_NONE;
    ERR_clear_error();
    /* The alert is for the peer, who waits for it. */
    conn_flush(layer->layer.conn);
    conn_fail(layer->layer.conn, error, text);
}

void tls_layer_fail_below(struct tls_layer *layer, int error)
{
    tls_layer_fail(layer, error, "TLS: the connection failed");
}

void tls_layer_count_key_update(struct tls_layer *layer)
{
    uint64_t now_ns = layer->worker->loop->clock.mono_ns;
    if (now_ns - layer->key_update_ns >= NS_PER_S) {
        layer->key_update_ns = now_ns;
        layer->key_updates = 0;
    }
    if (layer->key_updates <= TLS_KEY_UPDATES_MAX)
        layer->key_updates++;
}

/* Whom we speak to, once the handshake is complete. NULL; or why that is not good enough. */
static const char *learn_peer(struct tls_layer *layer)
{
    SSL *ssl = layer->ssl;
    struct tls_info *info = &layer->info;
    const unsigned char *alpn;
    unsigned alpn_len;

    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    info->alpn = alpn_find(layer->alpn, span_make(alpn, alpn_len));
    if (alpn_len > 0 && info->alpn.ptr == NULL)
        return "TLS: the peer chose a protocol that was not offered";
    info->version = SSL_get_version(ssl);
    info->cipher = SSL_get_cipher_name(ssl);
    info->resumed = SSL_session_reused(ssl);

    X509 *cert = SSL_get0_peer_certificate(ssl);
    info->peer_cert = cert != NULL;
    if (!cert)
        return NULL;
    bool valid = SSL_get_verify_result(ssl) == X509_V_OK;
    /* A resumed session was verified in its time; that may have passed since. */
    if (valid && info->resumed && verify_is_out_of_date(cert)) {
        valid = false;
        if (!layer->lenient)
            return tls_text_verify(X509_V_ERR_CERT_HAS_EXPIRED);
    }
    if (valid && verify_describe(cert, info, &layer->identity) < 0)
        return "TLS: no memory";
    info->peer_verified = valid;
    return NULL;
}

static void finish(struct tls_layer *layer)
{
    const char *text = learn_peer(layer);
    if (text) {
        tls_layer_fail(layer, -EPROTO, text);
        return;
    }
    layer->state = TLS_LAYER_OPEN;
    layer->spec = NULL;
    if (!layer->client) {
        metric_inc(METRIC_TLS_HANDSHAKES);
        if (layer->info.resumed)
            metric_inc(METRIC_TLS_HANDSHAKES_RESUMED);
    }
    /* With TLS 1.3 a client waits for the tickets of the server (tls_ssl_read). */
    if (!layer->client || SSL_version(layer->ssl) != TLS1_3_VERSION)
        tls_handover(layer);
    layer_up_open(&layer->layer);
}

static void handshake(struct tls_layer *layer)
{
    if (tls_ssl_handshake(layer))
        finish(layer);
}

/* Room for the plaintext of a record. The worker's is in use when the plaintext is itself TLS, of
 * a layer above or of a conn that is carried inside this one. NULL: no block. */
static uint8_t *plain_take(struct tls_worker *worker)
{
    _Static_assert(BLOCK_LARGE_SIZE >= RECORD_OPEN_ROOM, "a block holds a record");
    if (worker->plain_busy)
        return block_get_large(worker->loop->blocks);
    worker->plain_busy = true;
    return worker->plain;
}

static void plain_give(struct tls_worker *worker, uint8_t *plain)
{
    if (plain == worker->plain)
        worker->plain_busy = false;
    else
        block_put_large(worker->loop->blocks, plain);
}

static void read_records(struct tls_layer *layer)
{
    struct tls_worker *worker = layer->worker;
    uint8_t *plain = plain_take(worker);

    if (!plain) {
        tls_layer_fail(layer, -ENOBUFS, "TLS: out of buffer memory");
        return;
    }
    bool more = true;
    while (more && layer->state == TLS_LAYER_OPEN && !layer->ended)
        more = layer->ssl ? tls_ssl_read(layer, plain) : tls_direct_read(layer, plain);
    plain_give(worker, plain);
}

static struct tls_layer *tls_layer_of(struct layer *layer)
{
    return container_of(layer, struct tls_layer, layer);
}

static void on_open(struct layer *base)
{
    struct tls_layer *layer = tls_layer_of(base);
    /* A server waits for the ClientHello; until then a conn costs no TLS memory. */
    if (!layer->client)
        return;
    if (tls_ssl_begin(layer))
        handshake(layer);
    else
        tls_layer_fail(layer, -ENOMEM, "TLS: no memory");
}

static void take_input(struct tls_layer *layer, struct span data)
{
    layer->in = data;
    if (layer->state == TLS_LAYER_HANDSHAKE && layer->turn != TLS_TURN_AWAITED)
        handshake(layer);
    if (layer->state == TLS_LAYER_OPEN)
        read_records(layer);
    if (layer->turn == TLS_TURN_AWAITED)
        tls_direct_hold(layer);
    layer->in = SPAN_NONE;
}

static void on_data(struct layer *base, struct span data)
{
    struct tls_layer *layer = tls_layer_of(base);

    if (layer->state == TLS_LAYER_NEW && !tls_ssl_begin(layer)) {
        tls_layer_fail(layer, -ENOMEM, "TLS: no memory");
        return;
    }
    if (layer->state != TLS_LAYER_FAILED && !layer->ended)
        take_input(layer, data);
}

static void end_turn_wait(struct tls_layer *layer)
{
    if (layer->turn != TLS_TURN_AWAITED)
        return;
    loop_cancel(&layer->task);
    layer->turn = TLS_TURN_NONE;
    metric_add(METRIC_TLS_HANDSHAKES_WAITING, -1);
}

/* The ClientHello is with OpenSSL; what came after it was held. */
static void on_turn(struct loop_task *task)
{
    struct tls_layer *layer = container_of(task, struct tls_layer, task);
    struct block_pool *blocks = layer->worker->loop->blocks;
    uint8_t *held[] = {layer->held[0], layer->held[1]};
    size_t len = layer->held_len;

    end_turn_wait(layer);
    if (layer->state != TLS_LAYER_HANDSHAKE || conn_is_over(layer->layer.conn))
        return;
    layer->held[0] = layer->held[1] = NULL;
    layer->held_len = 0;
    layer->turn = TLS_TURN_NOW;
    take_input(layer, SPAN_NONE);
    for (size_t i = 0; i < ARRAY_COUNT(held) && held[i]; i++) {
        size_t piece = MIN(len, (size_t)BLOCK_SIZE);
        if (layer->state != TLS_LAYER_FAILED && !conn_is_over(layer->layer.conn))
            take_input(layer, span_make(held[i], piece));
        len -= piece;
        block_put(blocks, held[i]);
    }
}

static void on_end(struct layer *base)
{
    struct tls_layer *layer = tls_layer_of(base);
    if (layer->state == TLS_LAYER_FAILED || layer->ended)
        return;
    if (layer->state != TLS_LAYER_OPEN) {
        tls_layer_fail(layer, -ECONNRESET,
                       "TLS: the peer closed the connection during the handshake");
        return;
    }
    layer->ended = true;
    layer->info.truncated = true;
    layer_up_end(base);
}

static int layer_write(struct layer *base, const struct iovec *iov, int count)
{
    struct tls_layer *layer = tls_layer_of(base);
    if (layer->state != TLS_LAYER_OPEN)
        return -EPIPE;
    return layer->ssl ? tls_ssl_write(layer, iov, count) : tls_direct_write(layer, iov, count);
}

static void layer_shutdown(struct layer *base)
{
    struct tls_layer *layer = tls_layer_of(base);
    if (layer->state == TLS_LAYER_FAILED)
        return;
    if (layer->state == TLS_LAYER_OPEN) {
        int rc = layer->ssl ? tls_ssl_shutdown(layer) : tls_direct_shutdown(layer);
        layer->shut = true;
        if (rc < 0) {
            tls_layer_fail_below(layer, rc);
            return;
        }
    }
    layer_down_shutdown(base);
}

static void layer_free(struct layer *base)
{
    struct tls_layer *layer = tls_layer_of(base);
    struct tls_worker *worker = layer->worker;

    /* Cut off in the middle, by a deadline or the peer. */
    if (layer->state == TLS_LAYER_HANDSHAKE && !layer->client)
        metric_inc(METRIC_TLS_HANDSHAKE_ERRORS);
    end_turn_wait(layer);
    tls_ssl_end(layer);
    tls_direct_drop(layer);
    record_side_wipe(&layer->rx);
    record_side_wipe(&layer->tx);
    if (layer->client)
        tls_client_ctx_unref(layer->client);
    OPENSSL_free(layer->identity);
    if (layer->names != layer->names_room)
        free(layer->names);
    pool_put(&worker->layers, layer);
}

const struct layer_ops tls_layer_ops = {
    .name = "tls",
    .on_open = on_open,
    .on_data = on_data,
    .on_end = on_end,
    .write = layer_write,
    .shutdown = layer_shutdown,
    .free = layer_free,
};

struct tls_layer *tls_layer_new(struct tls_worker *worker)
{
    struct tls_layer *layer = pool_get_zero(&worker->layers);
    if (!layer)
        return NULL;
    layer->layer.ops = &tls_layer_ops;
    layer->worker = worker;
    dlist_init(&layer->task.link);
    layer->task.run = on_turn;
    layer->rx.pool = layer->tx.pool = worker->records;
    layer->tx.sealing = true;
    layer->names = layer->names_room;
    layer->info.version = layer->info.cipher = "";
    return layer;
}

bool tls_layer_set_names(struct tls_layer *layer, struct span server_name, struct span listener_id)
{
    size_t len = server_name.len + listener_id.len;
    if (len > sizeof(layer->names_room)) {
        char *names = malloc(len);
        if (!names)
            return false;
        if (layer->names != layer->names_room)
            free(layer->names);
        layer->names = names;
    }
    if (server_name.len > 0)
        memcpy(layer->names, server_name.ptr, server_name.len);
    if (listener_id.len > 0)
        memcpy(layer->names + server_name.len, listener_id.ptr, listener_id.len);
    layer->info.server_name = span_make(layer->names, server_name.len);
    layer->info.listener_id = span_make(layer->names + server_name.len, listener_id.len);
    return true;
}

const struct tls_info *tls_info_of(const struct conn *conn)
{
    const struct layer *layer = conn_find_layer(conn, &tls_layer_ops);
    return layer ? &((const struct tls_layer *)(const void *)layer)->info : NULL;
}
