/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_SERVER_H
#define RINGGATE_HTTP_H2_SERVER_H

/* HTTP/2 server session over a conn (RFC 9113, extended CONNECT of RFC 8441).
 * Many streams, each with its own credit: a slow reader of one stream holds up
 * that stream only. What peers may cost is counted by h2_guard: over a limit the session
 * ends with GOAWAY ENHANCE_YOUR_CALM and on_closed(FLOOD). */

#include "http/server.h"

/* Memory for sessions and streams of one loop. */
struct h2_server_pool;
struct h2_server_pool *h2_server_pool_new(struct loop *loop, unsigned sessions_max);
void h2_server_pool_free(struct h2_server_pool *pool);
/* For whoever takes blocks of the loop: when they are scarce, the session whose requests hold most
 * of them loses these (on_reset NO_MEMORY), at the end of the turn, if that is more than half of
 * all by the number of sessions. */
void h2_server_pool_relieve(struct h2_server_pool *pool);

struct h2_server_options {
    const struct http_limits *limits; /* borrowed; outlives the session */
    bool secure; /* the conn has TLS: scheme is https */
    bool any_scheme; /* the peer is a proxy that is trusted to say what its client used */
};

/* Takes an open conn, whose input may already hold bytes, the client preface first. NULL: no
 * memory, the conn stays the caller's. */
struct http_server *h2_server_start(struct h2_server_pool *pool, struct conn *conn,
                                    const struct h2_server_options *options,
                                    struct http_server_owner *owner);

/* What a connection without TLS begins with: 1: the HTTP/2 client preface (prior knowledge, RFC
 * 9113 3.3); 0: not enough bytes to tell; -1: something else, that is HTTP/1. */
int h2_server_detect(struct span input);

#endif
