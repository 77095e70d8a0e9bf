/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_int.h"

#include <errno.h>

#include <openssl/err.h>

#include "io/conn.h"
#include "tls/tls_text.h"

/* A layer while OpenSSL has it: the handshake, and what comes after it until tls_handover, or for
 * ever where there is no handing over. OpenSSL does no I/O of its own: its BIO reads from the
 * bytes of the current on_data call and writes records to worker->out.
 *
 * Every entry into OpenSSL lies between enter() and leave(). leave() passes what was made down in
 * one write, so nothing stays in worker->out between calls. The BIO never blocks: reading past
 * the input asks to try again, writing takes all or fails with the layer below. */

static BIO_METHOD *tls_ssl_bio_method;

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
    if (size > TLS_OUT_SIZE - worker->out_len && tls_layer_flush(layer) < 0)
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

void tls_ssl_init(void)
{
    tls_ssl_bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "ringgate");
    ASSERT(tls_ssl_bio_method != NULL);
    BIO_meth_set_read_ex(tls_ssl_bio_method, bio_read);
    BIO_meth_set_write_ex(tls_ssl_bio_method, bio_write);
    BIO_meth_set_ctrl(tls_ssl_bio_method, bio_ctrl);
}

BIO *tls_ssl_new_bio(struct tls_worker *worker)
{
    BIO *bio = BIO_new(tls_ssl_bio_method);
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
    tls_layer_begin_out(layer);
    ERR_clear_error();
    return outer;
}

/* 0; what the layer below says of our records. */
static int leave(struct tls_layer *layer, struct tls_layer *outer)
{
    int rc = tls_layer_flush(layer);
    layer->worker->active = outer;
    return rc;
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

bool tls_ssl_begin(struct tls_layer *layer)
{
    struct tls_worker *worker = layer->worker;
    layer->ssl = layer->client ? tls_client_start(layer) : SSL_new(worker->accept_ctx);
    if (!layer->ssl || BIO_up_ref(worker->bio) != 1)
        return false;
    SSL_set_bio(layer->ssl, worker->bio, worker->bio);
    if (!layer->client)
        SSL_set_accept_state(layer->ssl);
    tls_handover_watch(layer);
    layer->state = TLS_LAYER_HANDSHAKE;
    return true;
}

bool tls_ssl_handshake(struct tls_layer *layer)
{
    const char *text = NULL;
    struct tls_layer *outer = enter(layer);
    int ret = SSL_do_handshake(layer->ssl);
    int error = ret == 1 ? SSL_ERROR_NONE : SSL_get_error(layer->ssl, ret);
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ &&
        error != SSL_ERROR_WANT_CLIENT_HELLO_CB)
        text = why(layer);
    int rc = leave(layer, outer);
    if (rc < 0)
        tls_layer_fail_below(layer, rc);
    else if (text)
        tls_layer_fail(layer, -EPROTO, text);
    return rc == 0 && !text && ret == 1;
}

bool tls_ssl_read(struct tls_layer *layer, uint8_t *plain)
{
    const char *text = NULL;
    size_t len = 0;

    if (layer->in.len == 0 && !SSL_has_pending(layer->ssl))
        return false;
    struct tls_layer *outer = enter(layer);
    int ret = SSL_read_ex(layer->ssl, plain, RECORD_PLAIN_MAX, &len);
    int error = ret == 1 ? SSL_ERROR_NONE : SSL_get_error(layer->ssl, ret);
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN)
        text = why(layer);
    int rc = leave(layer, outer);
    if (layer->key_updates > TLS_KEY_UPDATES_MAX && !text)
        text = TLS_TEXT_KEY_UPDATES;
    if (rc < 0) {
        tls_layer_fail_below(layer, rc);
    } else if (text) {
        tls_layer_fail(layer, -EPROTO, text);
    } else if (error == SSL_ERROR_ZERO_RETURN) {
        layer->ended = true;
        layer_up_end(&layer->layer);
    } else if (len > 0) {
        /* A server's tickets come before its first answer: OpenSSL has them now. */
        if (SSL_version(layer->ssl) == TLS1_3_VERSION)
            tls_handover(layer);
        layer_up_data(&layer->layer, span_make(plain, len));
        return true;
    }
    return false;
}

/* Every piece from where it is, in records of its own. Without renegotiation SSL_write never wants
 * to read. */
static int write_pieces(struct tls_layer *layer, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++) {
        const uint8_t *data = iov[i].iov_base;
        for (size_t left = iov[i].iov_len, done; left > 0; data += done, left -= done) {
            if (SSL_write_ex(layer->ssl, data, left, &done) != 1)
                return layer->down_error ? layer->down_error : -EPROTO;
        }
    }
    return 0;
}

int tls_ssl_write(struct tls_layer *layer, const struct iovec *iov, int count)
{
    const char *text = "";
    struct tls_layer *outer = enter(layer);
    int rc = write_pieces(layer, iov, count);
    if (rc < 0)
        text = why(layer);
    int below = leave(layer, outer);
    if (below < 0)
        tls_layer_fail_below(layer, below);
    else if (rc < 0)
        tls_layer_fail(layer, rc, text);
    return below < 0 ? below : rc;
}

int tls_ssl_shutdown(struct tls_layer *layer)
{
    struct tls_layer *outer = enter(layer);
    /* Sends close_notify; 0 and 1 are both good, the peer's own is not waited for. */
    (void)SSL_shutdown(layer->ssl);
    ERR_clear_error();
    return leave(layer, outer);
}

void tls_ssl_end(struct tls_layer *layer)
{
    if (!layer->ssl)
        return;
    /* Without this OpenSSL marks the session as bad when close_notify was not exchanged. */
    if (layer->state == TLS_LAYER_OPEN)
        SSL_set_shutdown(layer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(layer->ssl);
    layer->ssl = NULL;
}
