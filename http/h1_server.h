/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_SERVER_H
#define RINGGATE_HTTP_H1_SERVER_H

/* HTTP/1.0 and 1.1 server session over a conn (RFC 9112). Strict: what is
 * ambiguous is refused with a status and the connection closed, nothing of it
 * reaches the owner. Requests on one connection are served one after the other (pipelined ones wait
 * in the conn's input, which is back pressure). */

#include "http/server.h"

/* Memory for sessions of one loop. */
struct h1_server_pool;
struct h1_server_pool *h1_server_pool_new(struct loop *loop, unsigned sessions_max);
void h1_server_pool_free(struct h1_server_pool *pool);

struct h1_server_options {
    const struct http_limits *limits; /* borrowed; outlives the session */
    bool secure; /* the conn has TLS: scheme is https */
};

/* Takes an open conn, whose input may already hold bytes (on_request then comes from the loop).
 * NULL: no memory, the conn stays the caller's. */
struct http_server *h1_server_start(struct h1_server_pool *pool, struct conn *conn,
                                    const struct h1_server_options *options,
                                    struct http_server_owner *owner);

#endif
