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

/* The TLS engine as a layer. OpenSSL does no I/O of its own: its BIO reads
 * from the bytes of the current on_data call and writes records to worker->out.
 *
 *      owner --write--> gather --SSL_write--> worker->out --layer_down_write-->
 *      owner <--up----- worker->plain <--SSL_read-- layer->in <--on_data------
 *
 * Every entry into OpenSSL lies between enter() and leave(). leave() passes what was made down in
 * one write, so nothing stays in worker->out between calls; the layer above a second TLS layer
 * on the same conn begins its part of worker->out after ours. The BIO never blocks: reading past
 * the input asks to try again, writing takes all or fails with the layer below. */

#define TLS_KEY_UPDATES_MAX 32 /* in a second: more is an attack on our processor */

static BIO_METHOD *tls_layer_bio_method;

static int flush(struct tls_layer *layer)
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

static int bio_read(BIO *bio, char *buf, size_t size, size_t *ret_len)
{
    struct tls_worker *worker = BIO_get_data(bio);
    struct tls_layer *layer = worker->active;
    size_t len = MIN(size, layer->in.len);

    BIO_clear_retry_flags(bio);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(buf, layer->in.ptr, len);
    layer->in = span_skip(layer->in, len);
    *ret_len = len;
    return 1;
}

static int bio_write(BIO *bio, const char *buf, size_t size, size_t *ret_len)
{
    struct tls_worker *worker = BIO_get_data(bio);
    struct tls_layer *layer = worker->active;

    BIO_clear_retry_flags(bio);
    if (size > TLS_OUT_SIZE - worker->out_len && flush(layer) < 0)
        return 0;
    /* OpenSSL comes again with what is left. */
    size_t len = MIN(size, TLS_OUT_SIZE - worker->out_len);
    if (len == 0)
        return 0;
    memcpy(worker->out + worker->out_len, buf, len);
    worker->out_len += len;
    *ret_len = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

void tls_layer_init(void)
{
    tls_layer_bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "ringgate");
    ASSERT(tls_layer_bio_method != NULL);
    BIO_meth_set_read_ex(tls_layer_bio_method, bio_read);
    BIO_meth_set_write_ex(tls_layer_bio_method, bio_write);
    BIO_meth_set_ctrl(tls_layer_bio_method, bio_ctrl);
}

BIO *tls_layer_new_bio(struct tls_worker *worker)
{
    BIO *bio = BIO_new(tls_layer_bio_method);
    if (bio) {
        BIO_set_data(bio, worker);
        BIO_set_init(bio, 1);
    }
    return bio;
}

static struct tls_layer *enter(struct tls_layer *layer)
{
    struct tls_worker *worker = layer->worker;
    struct tls_layer *outer = worker->active;
    worker->active = layer;
    layer->out_start = worker->out_len;
    ERR_clear_error();
    return outer;
}

/* 0; what the layer below says of our records. */
static int leave(struct tls_layer *layer, struct tls_layer *outer)
{
    int rc = flush(layer);
    layer->worker->active = outer;
    return rc;
}

/* Reports and forgets: no byte goes up or down after this. */
static void fail(struct tls_layer *layer, int error, const char *text)
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

/* After an OpenSSL call that failed for good, before leave(). */
static const char *why(const struct tls_layer *layer)
{
    unsigned long error = ERR_peek_error();
    if (layer->refusal)
        return layer->refusal;
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return tls_text_verify(SSL_get_verify_result(layer->ssl));
    return tls_text_error(error);
}

static void fail_below(struct tls_layer *layer, int error)
{
    fail(layer, error, "TLS: the connection failed");
}

/* KeyUpdate messages of the peer, RFC 8446 4.6.3: each costs us a key schedule, and maybe an
 * answer. */
static void on_message(int writing, int version, int type, const void *buf, size_t len, SSL *ssl,
                       void *user)
{
    struct tls_layer *layer = user;
    (void)version;
    (void)ssl;
    if (writing || type != SSL3_RT_HANDSHAKE || len == 0 ||
        *(const uint8_t *)buf != SSL3_MT_KEY_UPDATE)
        return;
    uint64_t now_ns = layer->worker->loop->clock.mono_ns;
    if (now_ns - layer->key_update_ns >= NS_PER_S) {
        layer->key_update_ns = now_ns;
        layer->key_updates = 0;
    }
    if (layer->key_updates <= TLS_KEY_UPDATES_MAX)
        layer->key_updates++;
}

static bool make_ssl(struct tls_layer *layer)
{
    struct tls_worker *worker = layer->worker;
    layer->ssl = layer->client ? tls_client_start(layer) : SSL_new(worker->accept_ctx);
    if (!layer->ssl || BIO_up_ref(worker->bio) != 1)
        return false;
    SSL_set_bio(layer->ssl, worker->bio, worker->bio);
    if (!layer->client)
        SSL_set_accept_state(layer->ssl);
    layer->state = TLS_LAYER_HANDSHAKE;
    return true;
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
        fail(layer, -EPROTO, text);
        return;
    }
    layer->state = TLS_LAYER_OPEN;
    layer->spec = NULL;
    SSL_set_msg_callback(layer->ssl, on_message);
    SSL_set_msg_callback_arg(layer->ssl, layer);
    if (!layer->client) {
        metric_inc(METRIC_TLS_HANDSHAKES);
        if (layer->info.resumed)
            metric_inc(METRIC_TLS_HANDSHAKES_RESUMED);
    }
    layer_up_open(&layer->layer);
}

static void handshake(struct tls_layer *layer)
{
    const char *text = NULL;
    struct tls_layer *outer = enter(layer);
    int ret = SSL_do_handshake(layer->ssl);
    if (ret != 1 && SSL_get_error(layer->ssl, ret) != SSL_ERROR_WANT_READ)
        text = why(layer);
    int rc = leave(layer, outer);
    if (rc < 0)
        fail_below(layer, rc);
    else if (text)
        fail(layer, -EPROTO, text);
    else if (ret == 1)
        finish(layer);
}

/* Room for the plaintext of a record. The worker's is in use when the plaintext is itself TLS, of
 * a layer above or of a conn that is carried inside this one. NULL: no block. */
static uint8_t *plain_take(struct tls_worker *worker)
{
    _Static_assert(BLOCK_SIZE >= TLS_RECORD_MAX, "a block holds a record");
    if (worker->plain_busy)
        return block_get(worker->loop->blocks);
    worker->plain_busy = true;
    return worker->plain;
}

static void plain_give(struct tls_worker *worker, uint8_t *plain)
{
    if (plain == worker->plain)
        worker->plain_busy = false;
    else
        block_put(worker->loop->blocks, plain);
}

static void read_records(struct tls_layer *layer)
{
    struct tls_worker *worker = layer->worker;
    uint8_t *plain = plain_take(worker);

    if (!plain) {
        fail(layer, -ENOBUFS, "TLS: out of buffer memory");
        return;
    }
    while (layer->state == TLS_LAYER_OPEN && !layer->ended &&
           (layer->in.len > 0 || SSL_has_pending(layer->ssl))) {
        const char *text = NULL;
        size_t len = 0;
        struct tls_layer *outer = enter(layer);
        int ret = SSL_read_ex(layer->ssl, plain, TLS_RECORD_MAX, &len);
        int error = ret == 1 ? SSL_ERROR_NONE : SSL_get_error(layer->ssl, ret);
        if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ &&
            error != SSL_ERROR_ZERO_RETURN)
            text = why(layer);
        int rc = leave(layer, outer);
        if (layer->key_updates > TLS_KEY_UPDATES_MAX && !text)
            text = "TLS: too many key updates";
        if (rc < 0) {
            fail_below(layer, rc);
        } else if (text) {
            fail(layer, -EPROTO, text);
        } else if (error == SSL_ERROR_ZERO_RETURN) {
            layer->ended = true;
            layer_up_end(&layer->layer);
        } else if (len > 0) {
            layer_up_data(&layer->layer, span_make(plain, len));
        } else {
            break;
        }
    }
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
    if (make_ssl(layer))
        handshake(layer);
    else
        fail(layer, -ENOMEM, "TLS: no memory");
}

static void on_data(struct layer *base, struct span data)
{
    struct tls_layer *layer = tls_layer_of(base);

    if (layer->state == TLS_LAYER_NEW && !make_ssl(layer)) {
        fail(layer, -ENOMEM, "TLS: no memory");
        return;
    }
    if (layer->state == TLS_LAYER_FAILED || layer->ended)
        return;
    layer->in = data;
    if (layer->state == TLS_LAYER_HANDSHAKE)
        handshake(layer);
    if (layer->state == TLS_LAYER_OPEN)
        read_records(layer);
    layer->in = SPAN_NONE;
}

static void on_end(struct layer *base)
{
    struct tls_layer *layer = tls_layer_of(base);
    if (layer->state == TLS_LAYER_FAILED || layer->ended)
        return;
    if (layer->state != TLS_LAYER_OPEN) {
        fail(layer, -ECONNRESET, "TLS: the peer closed the connection during the handshake");
        return;
    }
    layer->ended = true;
    layer->info.truncated = true;
    layer_up_end(base);
}

/* One SSL_write of at most a record. Without renegotiation it never wants to read. */
static int write_record(struct tls_layer *layer, const void *data, size_t len)
{
    while (len > 0) {
        size_t done;
        if (SSL_write_ex(layer->ssl, data, len, &done) != 1)
            return layer->down_error ? layer->down_error : -EPROTO;
        data = (const char *)data + done;
        len -= done;
    }
    return 0;
}

/* Large pieces go to OpenSSL from where they are, small ones share a record. */
static int write_pieces(struct tls_layer *layer, const struct iovec *iov, int count)
{
    uint8_t *gather = layer->worker->gather;
    size_t filled = 0;
    int rc = 0;

    for (int i = 0; i < count && rc == 0; i++) {
        const uint8_t *data = iov[i].iov_base;
        size_t left = iov[i].iov_len, len;
        for (; left > 0 && rc == 0; data += len, left -= len) {
            len = MIN(left, TLS_RECORD_MAX - filled);
            if (filled == 0 && (len == TLS_RECORD_MAX || i == count - 1)) {
                rc = write_record(layer, data, len);
                continue;
            }
            memcpy(gather + filled, data, len);
            filled += len;
            if (filled == TLS_RECORD_MAX) {
                rc = write_record(layer, gather, filled);
                filled = 0;
            }
        }
    }
    if (rc == 0)
        rc = write_record(layer, gather, filled);
    return rc;
}

static int layer_write(struct layer *base, const struct iovec *iov, int count)
{
    struct tls_layer *layer = tls_layer_of(base);
    const char *text = "";

    if (layer->state != TLS_LAYER_OPEN)
        return -EPIPE;
    struct tls_layer *outer = enter(layer);
    int rc = write_pieces(layer, iov, count);
    if (rc < 0)
        text = why(layer);
    int below = leave(layer, outer);
    if (below < 0)
        fail_below(layer, below);
    else if (rc < 0)
        fail(layer, rc, text);
    return below < 0 ? below : rc;
}

static void layer_shutdown(struct layer *base)
{
    struct tls_layer *layer = tls_layer_of(base);
    if (layer->state == TLS_LAYER_FAILED)
        return;
    if (layer->state == TLS_LAYER_OPEN) {
        struct tls_layer *outer = enter(layer);
        /* Sends close_notify; 0 and 1 are both good, the peer's own is not waited for. */
        (void)SSL_shutdown(layer->ssl);
        ERR_clear_error();
        int rc = leave(layer, outer);
        if (rc < 0) {
            fail_below(layer, rc);
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
    /* Without this OpenSSL marks the session as bad when close_notify was not exchanged. */
    if (layer->ssl && layer->state == TLS_LAYER_OPEN)
        SSL_set_shutdown(layer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(layer->ssl);
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
