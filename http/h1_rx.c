/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_rx.h"

#include <errno.h>

#include "base/panic.h"
#include "http/h1_parse.h"

void h1_rx_begin(struct h1_rx *rx, const struct http_head *head, uint32_t credit)
{
    ASSERT(!rx->paused);
    rx->trailers = NULL;
    rx->credit = credit;
    rx->remaining = 0;
    if (!head->has_body) {
        rx->kind = H1_RX_NONE;
    } else if (head->chunked) {
        rx->kind = H1_RX_CHUNKED;
        chunk_init(&rx->chunk, rx->limits->chunk_ext_bytes_max);
    } else if (head->content_length >= 0) {
        rx->kind = H1_RX_LENGTH;
        rx->remaining = (uint64_t)head->content_length;
    } else {
        rx->kind = H1_RX_UNTIL_CLOSE;
    }
}

void h1_rx_begin_tunnel(struct h1_rx *rx, uint32_t credit)
{
    ASSERT(!rx->paused);
    rx->trailers = NULL;
    rx->kind = H1_RX_UNTIL_CLOSE;
    rx->credit = credit;
    if (credit == 0) { /* bytes that are here already come with the first grant */
        rx->paused = true;
        conn_pause_input(rx->conn);
    }
}

/* The user may do anything in on_body, also end the session: then conn is NULL. */
static void rx_deliver(struct h1_rx *rx, struct http_stream *stream, struct span data, size_t used)
{
    struct http_stream_user *user = stream->user;
    rx->credit -= (uint32_t)data.len;
    rx->delivering = true;
    user->ops->on_body(user, stream, data);
    rx->delivering = false;
    if (rx->conn != NULL)
        conn_consume(rx->conn, used);
}

static enum h1_rx_event rx_wait(struct h1_rx *rx, bool bytes_left)
{
    if (bytes_left && rx->credit == 0 && !rx->paused) {
        rx->paused = true;
        conn_pause_input(rx->conn);
    }
    return H1_RX_WAIT;
}

/* LENGTH and UNTIL_CLOSE. true: go on. */
static bool rx_plain(struct h1_rx *rx, struct http_stream *stream, struct span in,
                     enum h1_rx_event *ret)
{
    bool counted = rx->kind == H1_RX_LENGTH;
    if (counted && rx->remaining == 0) {
        *ret = H1_RX_END;
        return false;
    }
    size_t n = MIN(in.len, (size_t)rx->credit);
    if (counted)
        n = (size_t)MIN((uint64_t)n, rx->remaining);
    if (n == 0) {
        *ret = rx_wait(rx, in.len > 0);
        return false;
    }
    if (counted)
        rx->remaining -= n;
    rx_deliver(rx, stream, span_make(in.ptr, n), n);
    return true;
}

static bool rx_chunked(struct h1_rx *rx, struct http_stream *stream, struct span in,
                       enum h1_rx_event *ret)
{
    size_t used;
    struct span data;
    switch (chunk_decode(&rx->chunk, in, rx->credit, &used, &data)) {
    case CHUNK_DATA:
        rx_deliver(rx, stream, data, used);
        return true;
    case CHUNK_MORE:
        conn_consume(rx->conn, used);
        *ret = rx_wait(rx, used < in.len);
        return false;
    case CHUNK_END:
        conn_consume(rx->conn, used);
        rx->kind = H1_RX_TRAILERS;
        rx->scan = (struct h1_scan){0};
        return true;
    default:
        *ret = H1_RX_BAD;
        return false;
    }
}

static enum h1_rx_event rx_trailers(struct h1_rx *rx, struct span in)
{
    ssize_t n = h1_scan_run(&rx->scan, H1_SCAN_TRAILERS, in, rx->limits);
    if (n == 0)
        return conn_input_is_full(rx->conn) ? H1_RX_LARGE : H1_RX_WAIT;
    if (n == -(ssize_t)HTTP_ERROR_TRAILERS_TOO_LARGE)
        return H1_RX_LARGE;
    struct h1_parse parse = {.arena = rx->arena, .limits = rx->limits, .lines = rx->scan.lines};
    if (n < 0 ||
        h1_parse_trailers(&parse, span_make(in.ptr, (size_t)n), &rx->trailers) != HTTP_ERROR_NONE)
        return H1_RX_BAD;
    conn_consume(rx->conn, (size_t)n);
    return H1_RX_END;
}

enum h1_rx_event h1_rx_pump(struct h1_rx *rx, struct http_stream *stream)
{
    enum h1_rx_event event = H1_RX_WAIT;
    bool more = true;
    while (more) {
        if (rx->conn == NULL || !rx->active)
            return H1_RX_GONE;
        struct span in = conn_input(rx->conn);
        switch ((enum h1_rx_kind)rx->kind) {
        case H1_RX_NONE:
            return H1_RX_END;
        case H1_RX_LENGTH:
        case H1_RX_UNTIL_CLOSE:
            more = rx_plain(rx, stream, in, &event);
            break;
        case H1_RX_CHUNKED:
            more = rx_chunked(rx, stream, in, &event);
            break;
        case H1_RX_TRAILERS:
            return rx_trailers(rx, in);
        }
    }
    return event;
}

void h1_rx_unpause(struct h1_rx *rx)
{
    if (!rx->paused)
        return;
    rx->paused = false;
    conn_resume_input(rx->conn);
}

void h1_rx_grant(struct h1_rx *rx, size_t bytes)
{
    rx->credit = (uint32_t)MIN(rx->credit + bytes, (size_t)HTTP_STREAM_WINDOW);
    if (bytes > 0)
        h1_rx_unpause(rx);
}

/* Length of the trailer section at the start of in; -1: not all of it is here. */
static ssize_t rx_trailers_size(const struct h1_rx *rx, struct span in, struct h1_scan scan)
{
    ssize_t n = h1_scan_run(&scan, H1_SCAN_TRAILERS, in, rx->limits);
    return n > 0 ? n : -1;
}

/* The same for what is left of a chunked body; looks only, on a copy of the decoder. */
static ssize_t rx_chunks_size(const struct h1_rx *rx, struct span in)
{
    struct chunk chunk = rx->chunk;
    struct span data;
    size_t at = 0, used;
    for (;;) {
        int event = chunk_decode(&chunk, span_skip(in, at), SIZE_MAX, &used, &data);
        if (event != CHUNK_DATA && event != CHUNK_END)
            return -1;
        at += used;
        if (event == CHUNK_DATA)
            continue;
        ssize_t trailers = rx_trailers_size(rx, span_skip(in, at), (struct h1_scan){0});
        return trailers < 0 ? -1 : (ssize_t)at + trailers;
    }
}

/* Bytes of input up to the end of the message; -1: the end is not here. */
static ssize_t rx_rest_size(const struct h1_rx *rx)
{
    struct span in = conn_input(rx->conn);
    if (rx->delivering)
        return -1;
    switch ((enum h1_rx_kind)rx->kind) {
    case H1_RX_NONE:
        return 0;
    case H1_RX_LENGTH:
        return rx->remaining <= in.len ? (ssize_t)rx->remaining : -1;
    case H1_RX_CHUNKED:
        return rx_chunks_size(rx, in);
    case H1_RX_TRAILERS:
        return rx_trailers_size(rx, in, rx->scan);
    case H1_RX_UNTIL_CLOSE:
        break;
    }
    return -1;
}

bool h1_rx_can_discard(const struct h1_rx *rx)
{
    return rx_rest_size(rx) >= 0;
}

bool h1_rx_discard(struct h1_rx *rx)
{
    ssize_t rest = rx_rest_size(rx);
    if (rest < 0)
        return false;
    conn_consume(rx->conn, (size_t)rest);
    rx->kind = H1_RX_NONE;
    return true;
}

enum http_error h1_rx_error(int error)
{
    switch (error) {
    case -ETIMEDOUT:
        return HTTP_ERROR_WRITE_TIMEOUT;
    case -EPROTO:
        return HTTP_ERROR_TLS;
    case -ENOBUFS:
    case -ENOMEM:
        return HTTP_ERROR_NO_MEMORY;
    default:
        return HTTP_ERROR_RESET;
    }
}
