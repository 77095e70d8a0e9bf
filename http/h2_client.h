/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_CLIENT_H
#define RINGGATE_HTTP_H2_CLIENT_H

/* HTTP/2 client session over a conn (RFC 9113): many requests at a time, up
 * to what the peer and our own limit allow. After the peer's GOAWAY there is no room;
 * streams it says it has not processed, and those refused with REFUSED_STREAM, end with
 * HTTP_ERROR_REFUSED: they are safe to send elsewhere. Server push is disabled. */

#include "http/client.h"

struct h2_client_pool;
struct h2_client_pool *h2_client_pool_new(struct loop *loop, unsigned sessions_max);
void h2_client_pool_free(struct h2_client_pool *pool);

/* Takes an open conn (TLS with ALPN "h2", or prior knowledge). limits: for response heads and
 * for what the peer may cost us; borrowed. NULL: no memory. */
struct http_client *h2_client_start(struct h2_client_pool *pool, struct conn *conn,
                                    const struct http_limits *limits,
                                    struct http_client_owner *owner);

#endif
