/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_int.h"

#include <errno.h>

#include "base/panic.h"
#include "io/conn.h"
#include "tls/secret.h"
#include "tls/tls_text.h"

/* A layer that OpenSSL has handed over: its records are opened from the bytes that came, and
 * sealed from the owner's memory into worker->out. Part of a record that has come is kept in
 * blocks, the only memory such a layer has, until the rest is there.
 *
 * After a handshake few messages may come: alerts, KeyUpdate, tickets to a client. Everything else
 * ends the connection with the alert that RFC 8446 6.2 or RFC 5246 7.2.2 names. */

#define WARNING 1
#define FATAL 2
#define EMPTY_RECORDS_MAX 32 /* in a row, without data: more is an attack on our processor */
#define TLS13_NEW_SESSION_TICKET 4
#define TLS13_KEY_UPDATE 24
#define HANDSHAKE_HEAD 4u
/* So that a client can begin with the first segment of an answer, while its window is small. */
#define SMALL_RECORD 1370u /* a record in a segment of 1400 bytes */
#define SMALL_BYTES 16384u
#define SMALL_AFTER_NS NS_PER_S

_Static_assert(TLS_HELD_MAX >= RECORD_PLAIN_MAX + RECORD_OVERHEAD_MAX, "held fits a record");

/* --- out --- */

/* A layer above leaves half of the room to those below, which make their records of its. */
static size_t out_room(const struct tls_layer *layer)
{
    size_t room = TLS_OUT_SIZE - layer->out_start;
    return layer->layer.below ? room / 2 : room;
}

/* 0; -errno: then layer->down_error tells whether it is from below. */
static int put_record(struct tls_layer *layer, enum record_type type, struct record_pieces *pieces,
                      size_t len)
{
    struct tls_worker *worker = layer->worker;
    size_t used = worker->out_len - layer->out_start;
    if (len + record_overhead(&layer->tx) > out_room(layer) - used && tls_layer_flush(layer) < 0)
        return layer->down_error;
    ssize_t n = record_seal(&layer->tx, type, pieces, len, worker->out + worker->out_len);
    if (n < 0)
        return (int)n;
    worker->out_len += (size_t)n;
    return 0;
}

static int put_bytes(struct tls_layer *layer, enum record_type type, const uint8_t *data,
                     size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct record_pieces pieces = {&iov, 1, 0};
    return put_record(layer, type, &pieces, len);
}

/* Our next key, RFC 8446 4.6.3. */
static int put_key_update(struct tls_layer *layer)
{
    static const uint8_t message[] = {TLS13_KEY_UPDATE, 0, 0, 1, 0};
    int rc = put_bytes(layer, RECORD_HANDSHAKE, message, sizeof(message));
    if (rc == 0)
        secret_update(&layer->tx);
    return rc;
}

/* Passes down what was put since tls_layer_begin_out; rc is what putting said. */
static int end_out(struct tls_layer *layer, int rc)
{
    if (tls_layer_flush(layer) < 0) {
        tls_layer_fail_below(layer, layer->down_error);
        return layer->down_error;
    }
    if (rc < 0)
        tls_layer_fail(layer, rc, rc == -EOVERFLOW ? "TLS: too many records" : "TLS: no memory");
    return rc;
}

static int send_alert(struct tls_layer *layer, uint8_t level, uint8_t code)
{
    const uint8_t alert[] = {level, code};
    tls_layer_begin_out(layer);
    return end_out(layer, put_bytes(layer, RECORD_ALERT, alert, sizeof(alert)));
}

static size_t data_size(struct tls_layer *layer)
{
    uint64_t now_ns = layer->worker->loop->clock.mono_ns;
    if (layer->client)
        return RECORD_PLAIN_MAX;
    if (now_ns - layer->wrote_ns >= SMALL_AFTER_NS)
        layer->small_bytes = 0;
    layer->wrote_ns = now_ns;
    return layer->small_bytes < SMALL_BYTES ? SMALL_RECORD : RECORD_PLAIN_MAX;
}

int tls_direct_write(struct tls_layer *layer, const struct iovec *iov, int count)
{
    struct record_pieces pieces = {iov, count, 0};
    size_t left = 0;
    int rc = 0;

    for (int i = 0; i < count; i++)
        left += iov[i].iov_len;
    tls_layer_begin_out(layer);
    size_t room = out_room(layer) - record_overhead(&layer->tx);
    while (left > 0 && rc == 0) {
        size_t size = data_size(layer), len = MIN(left, size);
        len = MIN(len, room);
        if (layer->tx.tls13 && layer->tx.seq >= RECORD_KEY_USES_MAX)
            rc = put_key_update(layer);
        if (rc == 0)
            rc = put_record(layer, RECORD_DATA, &pieces, len);
        layer->small_bytes = (uint16_t)MIN(layer->small_bytes + len, (size_t)SMALL_BYTES);
        left -= len;
    }
    return end_out(layer, rc);
}

int tls_direct_shutdown(struct tls_layer *layer)
{
    return send_alert(layer, WARNING, SSL_AD_CLOSE_NOTIFY);
}

/* --- in --- */

/* Tells the peer why, and ends the connection. */
static void refuse(struct tls_layer *layer, uint8_t alert, const char *text)
{
    if (layer->shut || send_alert(layer, FATAL, alert) == 0)
        tls_layer_fail(layer, -EPROTO, text);
}

static void refuse_record(struct tls_layer *layer, int error)
{
    switch (error) {
    case -EBADMSG:
        refuse(layer, SSL_AD_BAD_RECORD_MAC, "TLS: bad record mac");
        break;
    case -EMSGSIZE:
        refuse(layer, SSL_AD_RECORD_OVERFLOW, "TLS: record too long");
        break;
    case -EPROTO:
        refuse(layer, SSL_AD_UNEXPECTED_MESSAGE, "TLS: unexpected record");
        break;
    default:
        refuse(layer, SSL_AD_INTERNAL_ERROR,
               error == -EOVERFLOW ? "TLS: too many records" : "TLS: no memory");
    }
}

/* A record that brought no data. */
static void count_empty(struct tls_layer *layer)
{
    if (++layer->empty_records > EMPTY_RECORDS_MAX)
        refuse(layer, SSL_AD_UNEXPECTED_MESSAGE, "TLS: too many empty records");
}

static void on_alert(struct tls_layer *layer, const uint8_t *alert, size_t len)
{
    if (len != 2) {
        refuse(layer, SSL_AD_DECODE_ERROR, "TLS: malformed message");
    } else if (alert[1] == SSL_AD_CLOSE_NOTIFY) {
        layer->ended = true;
        layer_up_end(&layer->layer);
    } else if (alert[1] == SSL_AD_USER_CANCELLED || (!layer->rx.tls13 && alert[0] == WARNING)) {
        count_empty(layer);
    } else {
        tls_layer_fail(layer, -EPROTO, tls_text_alert(alert[1]));
    }
}

static void on_key_update(struct tls_layer *layer, uint8_t request)
{
    if (request > 1) {
        refuse(layer, SSL_AD_ILLEGAL_PARAMETER, "TLS: malformed message");
        return;
    }
    tls_layer_count_key_update(layer);
    if (layer->key_updates > TLS_KEY_UPDATES_MAX) {
        refuse(layer, SSL_AD_UNEXPECTED_MESSAGE, TLS_TEXT_KEY_UPDATES);
        return;
    }
    secret_update(&layer->rx);
    layer->empty_records = 0; /* these have a limit of their own */
    if (request && !layer->shut) {
        tls_layer_begin_out(layer);
        (void)end_out(layer, put_key_update(layer)); /* a failure has been told */
    }
}

/* A piece of a handshake message; it may begin in one record and end in another. KeyUpdate is the
 * last of its record, as the next one has another key (RFC 8446 5.1). Bytes used; 0: refused. */
static size_t take_handshake(struct tls_layer *layer, const uint8_t *data, size_t len)
{
    if (layer->message_left > 0) {
        size_t n = MIN(len, layer->message_left);
        layer->message_left -= (uint32_t)n;
        return n;
    }
    if (layer->message_have < HANDSHAKE_HEAD) {
        layer->message[layer->message_have++] = *data;
        const uint8_t *head = layer->message;
        uint32_t size = (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
        if (layer->message_have < HANDSHAKE_HEAD)
            return 1;
        if (head[0] == TLS13_NEW_SESSION_TICKET && layer->client) {
            layer->message_have = 0;
            layer->message_left = size;
            return 1;
        }
        if (head[0] == TLS13_KEY_UPDATE && size == 1)
            return 1;
    } else if (len == 1) {
        layer->message_have = 0;
        on_key_update(layer, *data);
        return 1;
    }
    refuse(layer, SSL_AD_UNEXPECTED_MESSAGE, "TLS: unexpected message");
    return 0;
}

static bool is_inside_message(const struct tls_layer *layer)
{
    return layer->message_have > 0 || layer->message_left > 0;
}

static void on_handshake(struct tls_layer *layer, const uint8_t *data, size_t len)
{
    count_empty(layer);
    if (layer->state == TLS_LAYER_OPEN && !layer->rx.tls13) {
        /* Renegotiation. The peer decides whether it goes on without. */
        if (!layer->shut)
            (void)send_alert(layer, WARNING, SSL_AD_NO_RENEGOTIATION); /* a failure has been told */
        return;
    }
    if (layer->state == TLS_LAYER_OPEN && len == 0)
        refuse(layer, SSL_AD_UNEXPECTED_MESSAGE, "TLS: unexpected message");
    while (layer->state == TLS_LAYER_OPEN && len > 0) {
        size_t n = take_handshake(layer, data, len);
        data += n;
        len -= n;
    }
}

static void on_record(struct tls_layer *layer, enum record_type type, const uint8_t *data,
                      size_t len)
{
    if (is_inside_message(layer) && type != RECORD_HANDSHAKE) {
        refuse(layer, SSL_AD_UNEXPECTED_MESSAGE, "TLS: unexpected record");
    } else if (type == RECORD_HANDSHAKE) {
        on_handshake(layer, data, len);
    } else if (type == RECORD_ALERT) {
        on_alert(layer, data, len);
    } else if (len == 0) {
        count_empty(layer);
    } else {
        layer->empty_records = 0;
        layer_up_data(&layer->layer, span_make(data, len));
    }
}

void tls_direct_drop(struct tls_layer *layer)
{
    for (size_t i = 0; i < ARRAY_COUNT(layer->held); i++) {
        if (layer->held[i])
            block_put(layer->worker->loop->blocks, layer->held[i]);
        layer->held[i] = NULL;
    }
    layer->held_len = 0;
}

void tls_direct_hold(struct tls_layer *layer)
{
    if (layer->in.len > TLS_HELD_MAX - layer->held_len) {
        tls_layer_fail(layer, -EPROTO, "TLS: more than the handshake allows");
        return;
    }
    while (layer->in.len > 0) {
        uint8_t **block = &layer->held[layer->held_len / BLOCK_SIZE];
        size_t at = layer->held_len % BLOCK_SIZE;
        size_t len = MIN(layer->in.len, BLOCK_SIZE - at);
        if (!*block)
            *block = block_get(layer->worker->loop->blocks);
        if (!*block) {
            tls_layer_fail(layer, -ENOBUFS, "TLS: out of buffer memory");
            return;
        }
        memcpy(*block + at, layer->in.ptr, len);
        layer->held_len += (uint32_t)len;
        layer->in = span_skip(layer->in, len);
    }
}

/* All that has come: what is held, and the input. */
static int input_pieces(const struct tls_layer *layer, struct iovec iov[3])
{
    int count = 0;
    for (size_t at = 0; at < layer->held_len; at += BLOCK_SIZE) {
        iov[count].iov_base = layer->held[at / BLOCK_SIZE];
        iov[count++].iov_len = MIN(layer->held_len - at, (size_t)BLOCK_SIZE);
    }
    iov[count].iov_base = (void *)(uintptr_t)layer->in.ptr;
    iov[count++].iov_len = layer->in.len;
    return count;
}

bool tls_direct_read(struct tls_layer *layer, uint8_t *plain)
{
    struct iovec iov[3];
    struct record_pieces pieces = {iov, input_pieces(layer, iov), 0};
    size_t have = layer->held_len + layer->in.len;
    uint8_t head[RECORD_HEADER_SIZE];
    enum record_type type = RECORD_DATA;
    ssize_t size = 0;

    if (have >= sizeof(head)) {
        record_pieces_copy(&pieces, head, sizeof(head));
        size = record_body_size(&layer->rx, head);
    }
    if (have < sizeof(head) || (size >= 0 && have - sizeof(head) < (size_t)size)) {
        tls_direct_hold(layer);
        return false;
    }
    ssize_t len = size < 0 ? size : record_open(&layer->rx, head, &pieces, plain, &type);
    if (len < 0) {
        refuse_record(layer, (int)len);
        return false;
    }
    layer->in = span_skip(layer->in, sizeof(head) + (size_t)size - layer->held_len);
    tls_direct_drop(layer);
    on_record(layer, type, plain, (size_t)len);
    return true;
}
