/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_CLIENT_H
#define RINGGATE_HTTP_H1_CLIENT_H

/* HTTP/1.1 client session over a conn: one request at a time, kept alive
 * between them (RFC 9112). Any byte that no request asked for ends the
 * session: it never reaches another request. A request with unknown length is sent chunked;
 * head->upgrade, when set, is announced (Connection: Upgrade). */

#include "http/client.h"

struct h1_client_pool;
struct h1_client_pool *h1_client_pool_new(struct loop *loop, unsigned sessions_max);
void h1_client_pool_free(struct h1_client_pool *pool);

/* Takes an open conn. limits: for response heads (head_bytes_max, fields_max ...); borrowed. NULL:
 * no memory. */
struct http_client *h1_client_start(struct h1_client_pool *pool, struct conn *conn,
                                    const struct http_limits *limits,
                                    struct http_client_owner *owner);

#endif
