/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_STREAM_H
#define RINGGATE_HTTP_STREAM_H

/* One request and its response on a session, seen from our end: the seam
 * between the exchange and every version of HTTP. A server session gives out
 * streams that carry a request to us; a client session streams that carry one
 * away. The exchange never asks which version it talks to.
 *
 * Bytes are granted, not pushed: a session delivers no more body bytes than it
 * has credit for. A client stream (response body) starts with HTTP_STREAM_WINDOW, a
 * server stream (request body) with none, so that the holder can decide, limit and
 * connect first; http_stream_grant adds to it. Credit never exceeds HTTP_STREAM_WINDOW.
 *
 * Calls down never call back before they return. Callbacks come from the loop. After on_reset, or
 * after both directions have ended (on_end delivered, http_stream_end sent), or http_stream_reset,
 * the stream is gone and must not be used.
 *
 * Tunnels (WebSocket), the same in every version: a request with head->upgrade has no body and
 * has ended with its head (on_end comes; http_client_request is given end). A final answer other
 * than 101 is an ordinary message. After 101, sent by a server or received by a client, both
 * directions are open again and carry the tunnel's bytes as bodies, under credit as bodies are (a
 * server stream still has none); on_end and http_stream_end, both without trailers, are the
 * half-closes. Bytes that came before the 101 wait for it. */

#include "http/message.h"
#include "io/conn.h"

#define HTTP_STREAM_WINDOW 65536u /* body bytes */

/* Why a stream or session failed: (id, status we answer a client with or 0, text for log and
 * client). */
#define HTTP_ERRORS(X)                                                                             \
    X(NONE, 0, "none")                                                                             \
    X(BAD_REQUEST, 400, "malformed request")                                                       \
    X(BAD_HOST, 400, "missing or malformed Host")                                                  \
    X(BAD_TARGET, 400, "malformed request target")                                                 \
    X(BAD_FRAMING, 400, "ambiguous message length")                                                \
    X(BAD_CHUNK, 400, "malformed chunked body")                                                    \
    X(METHOD, 405, "method not allowed here")                                                      \
    X(REQUEST_TIMEOUT, 408, "request not received in time")                                        \
    X(URI_TOO_LONG, 414, "request line too long")                                                  \
    X(EXPECTATION, 417, "unknown expectation")                                                     \
    X(HEAD_TOO_LARGE, 431, "header fields too large or too many")                                  \
    X(TRAILERS_TOO_LARGE, 400, "trailers too large or too many")                                   \
    X(CODING, 501, "transfer coding not implemented")                                              \
    X(VERSION, 505, "HTTP version not supported")                                                  \
    X(BAD_RESPONSE, 502, "malformed response")                                                     \
    X(TRUNCATED, 0, "connection closed inside a message")                                          \
    X(CLOSED, 0, "connection closed before a message")                                             \
    X(RESET, 0, "connection reset")                                                                \
    X(WRITE_TIMEOUT, 0, "peer does not read")                                                      \
    X(NO_MEMORY, 503, "out of buffers")                                                            \
    X(TLS, 0, "TLS failed")                                                                        \
    X(GONE, 0, "closed by us")                                                                     \
    X(REFUSED, 0, "request refused unprocessed")                                                   \
    X(CANCELLED, 0, "cancelled by the peer")                                                       \
    X(PROTOCOL, 0, "HTTP/2 protocol error")                                                        \
    X(FLOOD, 0, "too many frames or resets for the work done")                                     \
    X(NOT_HTTP, 0, "first line of no version of HTTP")

enum http_error {
#define X(id, status, text) HTTP_ERROR_##id,
    HTTP_ERRORS(X)
#undef X
        HTTP_ERROR_COUNT
};
unsigned http_error_status(enum http_error error);
const char *http_error_text(enum http_error error);
const char *http_error_name(enum http_error error); /* "bad_request": for logs and metrics */

struct http_stream;
struct http_stream_user;

/* What the session tells the holder of a stream. */
struct http_stream_user_ops {
    /* Client streams: a response head. Status 1xx (not 101): more heads follow. 101, whatever the
     * version: the answer to head->upgrade, from now on a tunnel. The head lives in the arena given
     * to http_client_request. */
    void (*on_head)(struct http_stream_user *user, struct http_stream *stream,
                    struct http_head *head);
    /* Body bytes, borrowed for the call; already de-framed. */
    void (*on_body)(struct http_stream_user *user, struct http_stream *stream, struct span data);
    /* The message is complete; trailers: NULL or a head that holds only fields (forbidden ones
     * dropped). */
    void (*on_end)(struct http_stream_user *user, struct http_stream *stream,
                   struct http_head *trailers);
    /* After http_stream_is_congested was true: more may be sent. */
    void (*on_drain)(struct http_stream_user *user, struct http_stream *stream);
    /* The stream failed and is gone. */
    void (*on_reset)(struct http_stream_user *user, struct http_stream *stream,
                     enum http_error error);
    /* Server streams: blocks that the holder has for the request, the arena's among them; asked
     * when blocks are scarce. NULL: one. */
    unsigned (*held)(const struct http_stream_user *user);
};

struct http_stream_user {
    const struct http_stream_user_ops *ops;
};

/* What a session implements. */
struct http_stream_ops {
    const char *protocol; /* "HTTP/1.1", for logs */
    int (*send_head)(struct http_stream *stream, struct http_head *head, bool end);
    int (*send_body)(struct http_stream *stream, const struct iovec *iov, int count);
    int (*send_end)(struct http_stream *stream, struct http_head *trailers);
    bool (*is_congested)(const struct http_stream *stream);
    void (*grant)(struct http_stream *stream, size_t bytes);
    void (*reset)(struct http_stream *stream, enum http_error error);
    struct conn *(*conn)(const struct http_stream *stream);
};

struct http_stream {
    const struct http_stream_ops *ops;
    struct http_stream_user *user; /* NULL until set by the taker */
    /* During on_reset: what the conn said of its failure (static), or NULL. */
    const char *error_text;
    /* Server, set by the taker: the peer may be silent in the middle of a body as long as it likes
     * (gRPC, tunnels): body_timeout does not count. False for a new stream. */
    bool may_rest;
    /* During on_reset: it came as the peer's RST_STREAM with reset_code (RFC 9113 7). */
    bool peer_reset;
    uint32_t reset_code;
};

/* Server: a response head, or (status 1xx) an interim one. Client: used by http_client_request
 * only. The session chooses framing from head->content_length and writes Connection,
 * Content-Length, Transfer-Encoding and Date itself; hop-by-hop fields must be gone. end: no body
 * follows (also HEAD, 204, 304; a content_length of 0 or more is still announced for HEAD and
 * 304). 0; -errno: the stream will be reset (on_reset follows). Until then calls do no harm; those
 * that send fail. The same holds when sending a body or its end has failed. */
static inline MUST_CHECK int http_stream_send_head(struct http_stream *s, struct http_head *head,
                                                   bool end)
{
    return s->ops->send_head(s, head, end);
}

/* Takes all bytes, borrowed for the call (a borrowed span goes to the socket without a copy where
 * possible). */
static inline MUST_CHECK int http_stream_send_body(struct http_stream *s, const struct iovec *iov,
                                                   int count)
{
    return s->ops->send_body(s, iov, count);
}

/* Ends the message; trailers NULL: none (dropped when the framing cannot carry them). */
static inline MUST_CHECK int http_stream_end(struct http_stream *s, struct http_head *trailers)
{
    return s->ops->send_end(s, trailers);
}

static inline bool http_stream_is_congested(const struct http_stream *s)
{
    return s->ops->is_congested(s);
}

/* Gives credit for body bytes that have gone on their way. */
static inline void http_stream_grant(struct http_stream *s, size_t bytes)
{
    s->ops->grant(s, bytes);
}

/* Abandons the stream in whatever state (h1: closes the connection when the message is not over; a
 * server stream whose response is complete but whose request is not: lingering close). No callback
 * follows. */
static inline void http_stream_reset(struct http_stream *s, enum http_error error)
{
    s->ops->reset(s, error);
}

/* The connection underneath, for addresses and TLS facts; borrowed. */
static inline struct conn *http_stream_conn(const struct http_stream *s)
{
    return s->ops->conn(s);
}

#endif
