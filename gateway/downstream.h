/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_DOWNSTREAM_H
#define RINGGATE_GATEWAY_DOWNSTREAM_H

/* A client's connection to an HTTP or HTTPS listener: PROXY header, TLS
 * handshake, then an HTTP session whose requests become exchanges. */

#include "gateway/worker.h"

struct downstream {
    struct conn_owner conn_owner; /* until the session starts */
    struct http_server_owner server_owner;
    struct worker_listener *listener;
    struct conn *conn;
    union {
        struct view *handshake_view; /* handshaking: pins the TLS spec */
        struct http_server *session; /* otherwise; NULL: none */
    };
    struct dlist link; /* worker->downstream_list */
    const struct tls_info *tls; /* NULL: plain */
    struct addr_short client; /* socket's peer, or the PROXY header's source */
    struct client_hold hold;
    unsigned proxy_pending : 1;
    unsigned handshaking : 1;
    unsigned refs : 30; /* the connection or session, and every exchange that came of it */
    uint64_t start_ns;
};
_Static_assert(sizeof(struct downstream) <= 112, "idle clients are to stay small");

/* Takes an accepted conn. */
void downstream_accept(struct worker_listener *listener, const struct snapshot_port *port,
                       struct conn *conn);
/* An exchange holds its downstream for log and addresses, also after the connection is gone. */
void downstream_ref(struct downstream *downstream);
void downstream_unref(struct downstream *downstream);
/* Graceful end of one. */
void downstream_drain(struct downstream *downstream);
/* At once. */
void downstream_abort(struct downstream *downstream);

#endif
