/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_CLIENT_H
#define RINGGATE_HTTP_H1_CLIENT_H

/* HTTP/1.1 client session over a conn: one request at a time, kept alive
 * between them (RFC 9112). Any byte that no request asked for ends the
 * session: it never reaches another request. */

#include "http/server.h"

struct h1_client;

struct h1_client_owner;
struct h1_client_owner_ops {
    /* The request is over and the session can take another. Comes after the stream's on_end. */
    void (*on_idle)(struct h1_client_owner *owner, struct h1_client *client);
    /* The session is gone (its stream got on_reset or on_end before). Once, always last, also after
     * h1_client_close. */
    void (*on_closed)(struct h1_client_owner *owner, struct h1_client *client,
                      enum http_error error);
};
struct h1_client_owner {
    const struct h1_client_owner_ops *ops;
};

struct h1_client_pool;
struct h1_client_pool *h1_client_pool_new(struct loop *loop, unsigned sessions_max);
void h1_client_pool_free(struct h1_client_pool *pool);

/* Takes an open conn. limits: for response heads (head_bytes_max, fields_max ...); borrowed. NULL:
 * no memory. */
struct h1_client *h1_client_start(struct h1_client_pool *pool, struct conn *conn,
                                  const struct http_limits *limits, struct h1_client_owner *owner);

/* Sends a request head on an idle session; returns its stream, or NULL when the session is not idle
 * or just failed (on_closed follows). The response head is put in arena (the exchange's). end: no
 * body follows. A request with unknown length is sent chunked. head->upgrade, when set, is
 * announced (Connection: Upgrade). expect_continue: Expect is forwarded; the body should wait for
 * on_head(100) or 1 s. */
struct http_stream *h1_client_request(struct h1_client *client, struct http_head *head,
                                      struct arena *arena, struct http_stream_user *user, bool end);
/* Closes an idle session, or one whose request is to be abandoned (its stream gets on_reset(GONE)).
 * on_closed follows before it returns; inside the session's own callbacks, after them. */
void h1_client_close(struct h1_client *client);
struct conn *h1_client_conn(const struct h1_client *client);
/* True when no byte of a response has come for the current request: a retry elsewhere is safe for
 * idempotent ones. */
bool h1_client_is_untouched(const struct h1_client *client);

#endif
