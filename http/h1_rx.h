/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_RX_H
#define RINGGATE_HTTP_H1_RX_H

/* The receiving half of an HTTP/1 session: takes a body out of the conn's input
 * and gives it to the holder of the stream under credit. Part of h1_server and h1_client. */

#include "http/chunk.h"
#include "http/h1_scan.h"

enum h1_rx_kind {
    H1_RX_NONE, /* no body */
    H1_RX_LENGTH,
    H1_RX_CHUNKED,
    H1_RX_TRAILERS, /* after the last chunk */
    H1_RX_UNTIL_CLOSE,
};

struct h1_rx {
    struct conn *conn; /* NULL: the session has let go of it */
    struct arena *arena; /* of the message; the session's user owns it */
    const struct http_limits *limits;
    struct http_head *trailers; /* after END */
    union {
        uint64_t remaining; /* LENGTH: bytes to come */
        struct chunk chunk; /* CHUNKED */
    };
    struct h1_scan scan; /* of the head, later of the trailers */
    uint32_t credit; /* body bytes that may be given out */
    uint8_t kind; /* enum h1_rx_kind */
    bool active; /* the stream has a holder */
    bool paused; /* out of credit, the conn's input waits */
    bool delivering; /* inside on_body */
};

enum h1_rx_event {
    H1_RX_WAIT, /* for bytes or for credit */
    H1_RX_END, /* the message is complete; trailers is set */
    H1_RX_BAD, /* malformed chunks or trailers */
    H1_RX_LARGE, /* trailers beyond the limits */
    H1_RX_GONE, /* the holder let go of the stream or of the session during on_body */
};

/* A message with this head follows in the input. A body of unknown length that is not chunked lasts
 * until the connection closes. credit: bytes of body that may be given out at first. */
void h1_rx_begin(struct h1_rx *rx, const struct http_head *head, uint32_t credit);
/* The connection's bytes are a tunnel's from now on; they last until it is closed. */
void h1_rx_begin_tunnel(struct h1_rx *rx, uint32_t credit);
/* Gives out what is there to the stream's user. Calls on_body. */
enum h1_rx_event h1_rx_pump(struct h1_rx *rx, struct http_stream *stream);
/* Never beyond HTTP_STREAM_WINDOW in all. */
void h1_rx_grant(struct h1_rx *rx, size_t bytes);
/* Stops waiting for credit, so that input comes again. */
void h1_rx_unpause(struct h1_rx *rx);
/* The rest of the body lies whole in the input: takes it away unseen and returns true. */
bool h1_rx_discard(struct h1_rx *rx);
bool h1_rx_can_discard(const struct h1_rx *rx);
/* Why a conn failed: what on_close says, for the holder of the stream. */
enum http_error h1_rx_error(int error);

#endif
