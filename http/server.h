/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_SERVER_H
#define RINGGATE_HTTP_SERVER_H

/* What all server sessions share: limits, and the one who gets the requests. */

#include "http/stream.h"

/* Sizes in bytes, times in nanoseconds; 0 in a time: no limit. Defaults: http_limits_default,
 * settings: conf/settings.tbl. */
struct http_limits {
    uint32_t head_bytes_max; /* whole head, 32 KiB; more: 431 */
    uint32_t request_line_max; /* 8 KiB; more: 414 */
    uint32_t field_bytes_max; /* one field, 16 KiB: 431 */
    uint32_t fields_max; /* 100: 431 */
    uint32_t trailer_bytes_max, trailers_max; /* of a section, 8 KiB, 32: 400 */
    uint32_t chunk_ext_bytes_max; /* per message, 4 KiB: 400 */
    uint32_t interims_max; /* 1xx heads before a response, 16; more: BAD_RESPONSE */
    uint32_t requests_max; /* per connection, 10000: then Connection: close */
    uint64_t head_timeout_ns; /* first byte to whole head, 10 s: 408 */
    uint64_t
        idle_timeout_ns; /* between requests, 75 s: closed silently; also before the first byte */
    uint64_t body_timeout_ns; /* between body reads while we want more, 30 s: 408 or reset */
    bool underscores; /* allow '_' in field names; else such fields are dropped */
    /* HTTP/2 (http/h2_guard.h counts). */
    uint32_t h2_streams_max; /* at once, 100 */
    uint32_t h2_requests_max; /* per connection, 10,000: then GOAWAY */
    uint32_t h2_window_bytes; /* of a connection, 1 MiB; a stream's is HTTP_STREAM_WINDOW */
    uint32_t h2_resets_burst, h2_resets_rate; /* that waste work: 100, 10/s */
    uint32_t h2_control_burst, h2_control_rate; /* frames that carry no message: 1,000, 100/s */
    uint32_t h2_empties_max; /* DATA frames without data in a row: 16 */
    uint64_t h2_idle_timeout_ns; /* without a stream, 180 s */
    uint64_t h2_ping_interval_ns; /* of silence before we ask whether the peer is there, 0: never */
};

void http_limits_default(struct http_limits *limits);

struct http_server_owner;
struct http_server_owner_ops {
    /* A request. The head is in the arena that request_arena gave, which is the callee's from now
     * on. The callee sets stream->user before it returns. */
    void (*on_request)(struct http_server_owner *owner, struct http_stream *stream,
                       struct http_head *head);
    /* Memory for the next request's head: an initialised arena; the callee's object owns it. NULL:
     * refuse (503, close). */
    struct arena *(*request_arena)(struct http_server_owner *owner);
    /* The arena was given but no request came of it (bad request, connection closed). */
    void (*release_arena)(struct http_server_owner *owner, struct arena *arena);
    /* A request was refused by the codec and answered with http_error_status(error) (0: no answer
     * was possible). For log and metrics. head: what was parsed, or NULL. */
    void (*on_refused)(struct http_server_owner *owner, enum http_error error,
                       const struct http_head *head);
    /* A session of HTTP/1 without TLS whose first bytes are those of HTTP/2 (h2_server_detect): it
     * is gone, and conn is the callee's, with its input. Instead of on_closed. NULL: HTTP/1 only.
     */
    void (*on_h2)(struct http_server_owner *owner, struct conn *conn);
    /* The session and its connection are gone (all streams were reset before). error NONE: closed
     * in order. */
    void (*on_closed)(struct http_server_owner *owner, enum http_error error);
};

struct http_server_owner {
    const struct http_server_owner_ops *ops;
};

/* A server session of any version of HTTP: h1_server_start and h2_server_start make them. */
struct http_server;
struct http_server_ops {
    void (*drain)(struct http_server *server);
    void (*abort)(struct http_server *server);
    bool (*is_idle)(const struct http_server *server);
};
struct http_server {
    const struct http_server_ops *ops;
    /* During on_closed: what broke, more closely than its error (static), or NULL. */
    const char *error_text;
};

/* Graceful end: answers what has begun (h1: with Connection: close; h2: GOAWAY twice, RFC 9113
 * 6.8), closes idle connections; on_closed comes from the loop. */
static inline void http_server_drain(struct http_server *server)
{
    server->ops->drain(server);
}

/* Ends it at once; streams in progress get on_reset(GONE), then the owner on_closed, before it
 * returns. Not from inside the session's own callbacks: there on_closed comes after them. */
static inline void http_server_abort(struct http_server *server)
{
    server->ops->abort(server);
}

static inline bool http_server_is_idle(const struct http_server *server)
{
    return server->ops->is_idle(server);
}

#endif
